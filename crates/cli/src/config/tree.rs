//! What was set, by whom: file, environment and flags laid over each other in one TOML tree.
//!
//! Every value of the tree has a span. Those of the file are its bytes; each variable and each flag has a span of its own
//! behind the file's end. So a span tells where a value comes from, also one that serde's errors name.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::keys::{Found, Kind};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl Origin {
    /// By which it is sorted: the file from top to bottom, then the others as they came.
    pub(crate) fn place(&self) -> (usize, usize) {
        match self {
            Self::File { line, column, .. } => (*line, *column),
            Self::Variable(_) => (usize::MAX, 0),
            Self::Flag(_) => (usize::MAX, 1),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Where the spans of a tree lead.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    file: Option<File>,
    others: Vec<Origin>,
}

impl Sources {
    pub(crate) fn new(file: Option<File>) -> Self {
        Self { file, others: Vec::new() }
    }

    /// Makes a span for what comes from elsewhere than the file.
    pub(crate) fn add(&mut self, origin: Origin) -> Range<usize> {
        let at = self.end() + self.others.len();
        self.others.push(origin);
        at..at + 1
    }

    /// Says where a span leads.
    pub(crate) fn origin(&self, span: &Range<usize>) -> Option<Origin> {
        if span.start >= self.end() {
            return self.others.get(span.start - self.end()).cloned();
        }
        let file = self.file.as_ref()?;
        let before = file.text.get(..span.start)?;
        let line = before.bytes().filter(|it| *it == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some(Origin::File { path: file.path.clone(), line, column })
    }

    /// Past the file, whose end is a place too: of what is missing there.
    fn end(&self) -> usize {
        self.file.as_ref().map_or(0, |it| it.text.len() + 1)
    }
}

/// Reads the text of a variable or flag as a value of `place`'s kind; what does not fit stays text, for serde to refuse.
/// A list is written in TOML, as `["a", "b"]`, or as its items with commas between them; secrets may have commas, and are not split there.
pub(crate) fn value<'a>(
    text: &'a str,
    place: Found<'_>,
    span: &Range<usize>,
) -> Result<Spanned<DeValue<'a>>, String> {
    let Found::Key(key) = place else { return parsed(text, span) };
    let kind = &key.kind;
    match kind {
        Kind::List(_) if text.trim_start().starts_with('[') => parsed(text, span),
        Kind::List(of) if key.secret => {
            let only = of_kind(text, of, span);
            Ok(Spanned::new(span.clone(), DeValue::Array(DeArray::from_iter([only]))))
        }
        _ => Ok(of_kind(text, kind, span)),
    }
}

fn of_kind<'a>(text: &'a str, kind: &Kind, span: &Range<usize>) -> Spanned<DeValue<'a>> {
    let as_text = || DeValue::String(Cow::Borrowed(text));
    let value = match kind {
        Kind::List(of) => {
            let items = text.split(',').map(str::trim).filter(|it| !it.is_empty());
            DeValue::Array(items.map(|it| of_kind(it, of, span)).collect())
        }
        Kind::Truth => text.parse().map_or_else(|_| as_text(), DeValue::Boolean),
        Kind::Number => match parsed(text, span) {
            Ok(number) if matches!(number.get_ref(), DeValue::Integer(_)) => number.into_inner(),
            _ => as_text(),
        },
        Kind::Text(_) => as_text(),
    };
    Spanned::new(span.clone(), value)
}

fn parsed<'a>(text: &'a str, span: &Range<usize>) -> Result<Spanned<DeValue<'a>>, String> {
    let value = DeValue::parse(text).map_err(|it| it.message().to_owned())?;
    Ok(moved(value, span))
}

/// Makes all of a value come from one place.
fn moved<'a>(value: Spanned<DeValue<'a>>, span: &Range<usize>) -> Spanned<DeValue<'a>> {
    let value = match value.into_inner() {
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|it| moved(it, span)).collect())
        }
        DeValue::Table(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                (Spanned::new(span.clone(), key.into_inner()), moved(value, span))
            });
            DeValue::Table(entries.collect())
        }
        scalar => scalar,
    };
    Spanned::new(span.clone(), value)
}

/// Lays a value over whatever is at `path`.
pub(crate) fn lay<'a>(table: &mut DeTable<'a>, path: &str, value: Spanned<DeValue<'a>>) {
    let span = value.span();
    let named = |name: &str| Spanned::new(span.clone(), Cow::Owned(name.to_owned()));
    match path.split_once('.') {
        None => {
            // The key is found again under its old span otherwise.
            table.remove(path);
            table.insert(named(path), value);
        }
        Some((name, rest)) => {
            let empty = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            let below = table.entry(named(name)).or_insert_with(empty);
            if let DeValue::Table(below) = below.get_mut() {
                lay(below, rest, value);
            }
        }
    }
}

/// Puts tables before those of the list at `path`.
pub(crate) fn lay_before<'a>(
    table: &mut DeTable<'a>,
    path: &str,
    tables: &'a [[(&'static str, String); 2]],
    span: &Range<usize>,
) {
    let spanned = |it| Spanned::new(span.clone(), it);
    let ours = tables.iter().map(|fields| {
        let mut table = DeTable::new();
        for (name, text) in fields {
            let name = Spanned::new(span.clone(), Cow::Borrowed(*name));
            table.insert(name, spanned(DeValue::String(text.as_str().into())));
        }
        spanned(DeValue::Table(table))
    });
    let there = path.split_once('.').and_then(|(above, name)| match table.get(above)?.get_ref() {
        DeValue::Table(above) => above.get(name).map(Spanned::get_ref),
        _ => None,
    });
    let there = match there {
        Some(DeValue::Array(there)) => there.iter().cloned().collect(),
        _ => Vec::new(),
    };
    let items: DeArray<'a> = ours.chain(there).collect();
    lay(table, path, spanned(DeValue::Array(items)));
}

/// A step from a table or list to what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Item(usize),
}

/// Writes steps as people do: `namespace[2].name`.
pub(crate) fn path_of(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(name) if path.is_empty() => path.push_str(name),
            Step::Key(name) => path.extend([".", name.as_str()]),
            Step::Item(number) => path.push_str(&format!("[{number}]")),
        }
    }
    path
}

/// Calls `seen` with each value that holds no others, and each list and each item.
pub(crate) fn visit(
    value: &Spanned<DeValue<'_>>,
    steps: &mut Vec<Step>,
    seen: &mut impl FnMut(&[Step], Range<usize>),
) {
    match value.get_ref() {
        DeValue::Table(table) => {
            // A table of a list can be at fault as a whole.
            if matches!(steps.last(), Some(Step::Item(_))) {
                seen(steps, value.span());
            }
            for (key, value) in table {
                steps.push(Step::Key(key.get_ref().to_string()));
                visit(value, steps, seen);
                steps.pop();
            }
        }
        DeValue::Array(items) => {
            seen(steps, value.span());
            for (number, item) in items.iter().enumerate() {
                steps.push(Step::Item(number));
                visit(item, steps, seen);
                steps.pop();
            }
        }
        _ => seen(steps, value.span()),
    }
}

/// Takes out what the steps lead to.
pub(crate) fn remove(table: &mut DeTable<'_>, steps: &[Step]) {
    let Some((Step::Key(name), rest)) = steps.split_first() else { return };
    if rest.is_empty() {
        table.remove(name.as_str());
    } else if let Some(value) = table.get_mut(name.as_str()) {
        remove_below(value.get_mut(), rest);
    }
}

fn remove_below(value: &mut DeValue<'_>, steps: &[Step]) {
    match (value, steps) {
        (DeValue::Table(table), _) => remove(table, steps),
        (DeValue::Array(items), [Step::Item(number)]) => {
            let all = std::mem::replace(items, DeArray::new());
            let kept = all.into_iter().enumerate().filter(|it| it.0 != *number);
            *items = kept.map(|it| it.1).collect();
        }
        (DeValue::Array(items), [Step::Item(number), rest @ ..]) => {
            if let Some(item) = items.get_mut(*number) {
                remove_below(item.get_mut(), rest);
            }
        }
        _ => {}
    }
}

/// Where each value comes from, by its path.
pub(crate) fn origins(tree: &Spanned<DeValue<'_>>, sources: &Sources) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    visit(tree, &mut Vec::new(), &mut |steps, span| {
        if let Some(origin) = sources.origin(&span) {
            origins.insert(path_of(steps), origin);
        }
    });
    origins
}
