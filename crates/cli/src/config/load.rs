//! Reads the settings: flags over environment over file over defaults, and says of everything that is wrong where.

use std::{collections::BTreeMap, ffi::OsString, fmt, fs, io, ops::Range, path::PathBuf};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{
    flags::{Given, Said},
    keys::{self, Found, Section},
    sense,
    settings::Settings,
    tree::{self, File, Origin, Sources, Step},
};

/// The file that is read if it is there and no other is named.
pub(crate) const USUAL_FILE: &str = "taiwa.toml";

/// Names the file if no flag does.
pub(crate) const FILE_VARIABLE: &str = "TAIWA_CONFIG";

/// What all our variables begin with.
const PREFIX: &str = "TAIWA_";

/// Variables with names of their own, from before there was a tree.
pub(crate) const ALIASES: [(&str, &str); 1] = [("TAIWA_LOG", "log.level")];

/// How many problems are told: more come from one cause.
const PROBLEMS_MAX: usize = 100;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) origin: Option<Origin>,
    pub(crate) key: String,
    pub(crate) text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// What the settings are made of.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) file: Option<File>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) flags: Vec<Given>,
}

/// Settings, and where those that are no defaults come from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// By path; also lists and what is in them.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// Variables that look like ours and are not.
    pub(crate) strangers: Vec<String>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// Reads the file that a flag or else the environment names, or else the usual one if it is there.
///
/// # Errors
/// A file that was named can't be read, or the usual one is there and can't be read.
pub(crate) fn file(named: Option<PathBuf>) -> Result<Option<File>, Problem> {
    let from_variable = || std::env::var_os(FILE_VARIABLE).filter(|it| !it.is_empty());
    let named = named.or_else(|| from_variable().map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| USUAL_FILE.into());
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(File { path, text })),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let text = format!("can't read {}: {error}", path.display());
            Err(Problem { origin: None, key: String::new(), text })
        }
    }
}

impl Layers {
    /// Lays them over each other.
    ///
    /// # Errors
    /// All that is wrong, in the order of its places.
    pub(crate) fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let mut loading = Loading {
            sources: Sources::new(self.file.clone()),
            problems: Vec::new(),
            strangers: Vec::new(),
        };
        let mut tree = loading.file(self.file.as_ref())?;
        loading.refuse_unknown(&mut tree, keys::all(), &mut Vec::new());
        loading.variables(&mut tree, &self.variables);
        loading.flags(&mut tree, &self.flags);
        let whole = Spanned::new(0..0, DeValue::Table(tree.clone()));
        let origins = tree::origins(&whole, &loading.sources);
        let settings = loading.settings(tree);
        let file = self.file.as_ref().map(|it| it.path.clone());
        match settings {
            Some(settings) if loading.problems.is_empty() => {
                let problems = sense::check(&settings, &origins);
                match problems.is_empty() {
                    true => Ok(Loaded { settings, origins, strangers: loading.strangers, file }),
                    false => Err(problems),
                }
            }
            _ => {
                loading.problems.sort_by_key(|it| it.origin.as_ref().map(Origin::place));
                Err(loading.problems)
            }
        }
    }
}

struct Loading {
    sources: Sources,
    problems: Vec<Problem>,
    strangers: Vec<String>,
}

impl Loading {
    fn blame(&mut self, span: &Range<usize>, key: impl Into<String>, text: impl Into<String>) {
        let origin = self.sources.origin(span);
        self.problems.push(Problem { origin, key: key.into(), text: text.into() });
    }

    /// Reads the file. All errors of its syntax are told at once, and then nothing else.
    fn file<'a>(&mut self, file: Option<&'a File>) -> Result<DeTable<'a>, Vec<Problem>> {
        let Some(file) = file else { return Ok(DeTable::new()) };
        let (tree, errors) = DeTable::parse_recoverable(&file.text);
        for error in errors.iter().take(PROBLEMS_MAX) {
            self.blame(&error.span().unwrap_or(0..0), "", error.message());
        }
        match errors.is_empty() {
            true => Ok(tree.into_inner()),
            false => Err(std::mem::take(&mut self.problems)),
        }
    }

    /// Takes out keys that are none, and what is no table where one must be.
    fn refuse_unknown(&mut self, table: &mut DeTable<'_>, known: &Section, steps: &mut Vec<Step>) {
        let mut wrong = Vec::new();
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().to_string();
            steps.push(Step::Key(name.clone()));
            let path = tree::path_of(steps);
            match (known.section(&name), value.get_mut()) {
                (Some(below), DeValue::Table(table)) if !below.repeated => {
                    self.refuse_unknown(table, below, steps);
                }
                (Some(below), DeValue::Array(items)) if below.repeated => {
                    for (number, item) in items.iter_mut().enumerate() {
                        steps.push(Step::Item(number));
                        if let DeValue::Table(table) = item.get_mut() {
                            self.refuse_unknown(table, below, steps);
                        }
                        steps.pop();
                    }
                }
                (Some(below), _) => {
                    let brackets = if below.repeated { ("[[", "]]") } else { ("[", "]") };
                    let text =
                        format!("this is a table, written {}{path}{}", brackets.0, brackets.1);
                    self.blame(&key.span(), &path, text);
                    wrong.push(name);
                }
                (None, _) if known.key(&name).is_some() => {}
                (None, _) => {
                    self.blame(&key.span(), &path, unknown(known.nearest(&name)));
                    wrong.push(name);
                }
            }
            steps.pop();
        }
        for name in wrong {
            table.remove(name.as_str());
        }
    }

    fn variables<'a>(&mut self, tree: &mut DeTable<'a>, variables: &'a [(OsString, OsString)]) {
        let mut ours: Vec<_> = variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
            .collect();
        // A name of its own yields to the name that all have.
        ours.sort_by_key(|(name, _)| (ALIASES.iter().all(|it| it.0 != *name), *name));
        for (name, value) in ours.into_iter().filter(|it| it.0 != FILE_VARIABLE) {
            let path = path_of_variable(name);
            let span = self.sources.add(Origin::Variable(name.into()));
            let Some(place) = keys::all().find(&path) else {
                self.unknown_variable(name, &span);
                continue;
            };
            match value.to_str() {
                Some(text) => self.lay(tree, &path, place, text, &span),
                None => self.blame(&span, path, "this is not UTF-8"),
            }
        }
    }

    /// Two underscores are ours. Other names may be someone else's: Kubernetes gives every program `TAIWA_PORT` and more
    /// if there is a service named taiwa.
    fn unknown_variable(&mut self, name: &str, span: &Range<usize>) {
        let near = nearest_path(&name[PREFIX.len()..]).map(|it| variable_of(&it));
        match name.contains("__") {
            true => self.blame(span, "", unknown(near.as_deref())),
            false => self.strangers.push(match near {
                Some(near) => format!("{name} sets nothing; did you mean {near}?"),
                None => format!("{name} sets nothing"),
            }),
        }
    }

    fn flags<'a>(&mut self, tree: &mut DeTable<'a>, flags: &'a [Given]) {
        for given in flags {
            let span = self.sources.add(Origin::Flag(given.flag.clone()));
            let Some(place) = keys::all().find(&given.path) else {
                let near = nearest_path(&given.path);
                self.blame(&span, &given.path, unknown(near.as_deref()));
                continue;
            };
            match &given.said {
                Said::Text(text) => self.lay(tree, &given.path, place, text, &span),
                Said::Items(items) => {
                    let as_text = |it: &'a String| DeValue::String(it.as_str().into());
                    let items = items.iter().map(|it| Spanned::new(span.clone(), as_text(it)));
                    let list = Spanned::new(span.clone(), DeValue::Array(items.collect()));
                    tree::lay(tree, &given.path, list);
                }
                Said::Tables(tables) => tree::lay_before(tree, &given.path, tables, &span),
            }
        }
    }

    fn lay<'a>(
        &mut self,
        tree: &mut DeTable<'a>,
        path: &str,
        place: Found<'_>,
        text: &'a str,
        span: &Range<usize>,
    ) {
        if let Found::Section(Section { repeated: false, .. }) = place {
            return self.blame(span, path, "this is a table; set one of its keys");
        }
        let mut value = match tree::value(text, place, span) {
            Ok(value) => value,
            Err(error) => return self.blame(span, path, error),
        };
        if let (Found::Section(known), DeValue::Array(items)) = (place, value.get_mut()) {
            for (number, item) in items.iter_mut().enumerate() {
                let mut steps = vec![Step::Key(path.into()), Step::Item(number)];
                if let DeValue::Table(table) = item.get_mut() {
                    self.refuse_unknown(table, known, &mut steps);
                }
            }
        }
        tree::lay(tree, path, value);
    }

    /// Makes settings of the tree. Serde stops at the first value that is wrong, so that is taken out, and all begins
    /// anew.
    fn settings(&mut self, mut tree: DeTable<'_>) -> Option<Settings> {
        while self.problems.len() < PROBLEMS_MAX {
            let whole = Spanned::new(0..0, tree.clone());
            let error = match Settings::deserialize(Deserializer::from(whole)) {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            let whole = Spanned::new(0..0, DeValue::Table(tree.clone()));
            let Some((steps, span)) = error.span().and_then(|it| innermost(&whole, &it)) else {
                let text = error.message().to_owned();
                self.problems.push(Problem { origin: None, key: String::new(), text });
                return None;
            };
            let path = tree::path_of(&steps);
            let text = readable(&path, error.message());
            self.blame(&span, path, text);
            tree::remove(&mut tree, &steps);
        }
        None
    }
}

/// Finds the smallest value around a span.
fn innermost(
    tree: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
) -> Option<(Vec<Step>, Range<usize>)> {
    let mut found: Option<(Vec<Step>, Range<usize>)> = None;
    tree::visit(tree, &mut Vec::new(), &mut |steps, it| {
        let around = it.start <= span.start && span.end <= it.end;
        if around && found.as_ref().is_none_or(|found| it.len() <= found.1.len()) {
            found = Some((steps.to_vec(), it));
        }
    });
    found
}

/// Says it in words for those who write no Rust. Of a secret nothing is told but that it is wrong.
fn readable(path: &str, message: &str) -> String {
    match keys::all().hiding(path) {
        Some(Found::Key(_)) => return "this must be text, and not empty".into(),
        Some(Found::Section(_)) => return "this must be a table".into(),
        None => {}
    }
    let mut text = message.to_owned();
    for (rust, words) in [
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected a nonzero usize", "expected a whole number from 1 on"),
        ("expected u32", "expected a whole number up to 4294967295"),
        ("expected u16", "expected a whole number up to 65535"),
        ("expected u8", "expected a whole number up to 255"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path"),
        ("expected a sequence", "expected a list, as [\"a\", \"b\"]"),
    ] {
        if let Some(before) = text.strip_suffix(rust) {
            text = format!("{before}{words}");
        }
    }
    text
}

fn unknown(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("there is no such key; did you mean {near}?"),
        None => "there is no such key".into(),
    }
}

fn nearest_path(wrong: &str) -> Option<String> {
    let paths: Vec<_> = keys::all().paths().into_iter().map(|it| it.0).collect();
    keys::nearest(wrong, paths.iter().map(String::as_str)).map(str::to_owned)
}

/// Returns the variable that sets a path.
pub(crate) fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

fn path_of_variable(name: &str) -> String {
    match ALIASES.iter().find(|it| it.0 == name) {
        Some((_, path)) => (*path).to_owned(),
        None => name[PREFIX.len()..].replace("__", ".").to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests;
