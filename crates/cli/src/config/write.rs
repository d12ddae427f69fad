//! Writes settings: the file of `config init`, what `config show` and `config env` print, and the page
//! docs/configuration.md.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{
    flags,
    keys::{self, Found, Key, Section},
    load::{self, Loaded},
    reload::Reload,
    tree::Origin,
};

/// Width of the lines of prose in the file of `config init`.
const WIDTH: usize = 100;

/// Writes a value as TOML does. Of a table, which is always one of a list, this is on one line.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} = {}", toml(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A basic string of TOML: that of JSON, but that it has no raw DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\x7f', "\\u007F")
}

/// Returns the file of `config init`: every key is there, with `#` before what need not be said.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Settings of `taiwa serve`. Each key stands here with its default, or with an example if there is\n\
         # none, behind a `#`: take that away to change it. Flags and variables of the environment win over\n\
         # this file. `taiwa config check` looks for errors in it.\n",
    );
    write_example(&mut text, keys::all(), "", &mut Told::default());
    text
}

/// Lists of words that were explained before.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    /// Returns whether the words of a key are explained for the first time.
    fn is_first(&mut self, key: &Key) -> bool {
        let words = key.words();
        let first = !self.0.contains(&words);
        if first {
            self.0.push(words);
        }
        first
    }
}

impl Key {
    /// Its choices without what they mean.
    fn words(&self) -> String {
        self.choices.iter().map(|it| quoted(&it.word)).collect::<Vec<_>>().join(", ")
    }
}

fn write_example(text: &mut String, section: &Section, path: &str, told: &mut Told) {
    for key in &section.keys {
        text.push('\n');
        prose(text, &key.doc);
        if !key.choices.is_empty() && !told.is_first(key) {
            prose(text, &format!("  One of {}, as above.", key.words()));
        } else {
            for choice in &key.choices {
                prose(text, &format!("  {}: {}", quoted(&choice.word), choice.doc));
            }
        }
        let value = key.default.as_ref().or(key.example.as_ref()).map_or_else(String::new, toml);
        if key.default.is_none() {
            text.push_str("# Not set by default; an example:\n");
        }
        let _ = writeln!(text, "#{} = {value}", key.name);
    }
    for below in &section.sections {
        let path =
            if path.is_empty() { below.name.clone() } else { format!("{path}.{}", below.name) };
        text.push('\n');
        prose(text, &below.doc);
        let brackets = if below.repeated { ("#[[", "]]") } else { ("[", "]") };
        // What is in a list is not there until the list is.
        let hidden = if section.repeated { "#" } else { "" };
        let _ = writeln!(text, "{hidden}{}{path}{}", brackets.0, brackets.1);
        write_example(text, below, &path, told);
    }
}

fn prose(text: &mut String, paragraph: &str) {
    let indent = &paragraph[..paragraph.len() - paragraph.trim_start().len()];
    let mut line = format!("#{indent}");
    for word in paragraph.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = format!("#{indent}  ");
            line.truncate(1 + indent.len() * 2);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// What is said beside each setting that holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// Where it comes from.
    pub(crate) origin: bool,
    /// What it waits for when it is changed.
    pub(crate) reload: bool,
}

/// Returns the settings that hold, as TOML, with what is asked for beside them.
pub(crate) fn effective(loaded: &Loaded, beside: Beside) -> String {
    let values = serde_json::to_value(&loaded.settings).expect("settings are what JSON can say");
    let origins = beside.origin.then_some(&loaded.origins);
    let mut text = String::new();
    let notes = Notes { origins, reload: beside.reload };
    write_effective(&mut text, keys::all(), &values, "", "", notes);
    text
}

#[derive(Clone, Copy)]
struct Notes<'a> {
    origins: Option<&'a BTreeMap<String, Origin>>,
    reload: bool,
}

impl Notes<'_> {
    fn of(&self, key: &Key, path: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(origins) = self.origins {
            notes.push(origins.get(path).map_or_else(|| "default".into(), ToString::to_string));
        }
        notes.extend(key.reload.filter(|_| self.reload).map(|it| it.name().to_owned()));
        notes
    }
}

/// `header` is what stands in brackets, `path` what the origins know: they differ in a list.
fn write_effective(
    text: &mut String,
    section: &Section,
    values: &Value,
    header: &str,
    path: &str,
    notes: Notes<'_>,
) {
    for key in &section.keys {
        let Some(value) = values.get(&key.name) else { continue };
        let _ = write!(text, "{} = {}", key.name, toml(value));
        let notes = notes.of(key, &format!("{path}{}", key.name));
        if !notes.is_empty() {
            let _ = write!(text, "  # {}", notes.join("; "));
        }
        text.push('\n');
    }
    for below in &section.sections {
        let Some(value) = values.get(&below.name) else { continue };
        let header = format!("{header}{}", below.name);
        match value {
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let _ = writeln!(text, "\n[[{header}]]");
                    let path = format!("{path}{}[{number}].", below.name);
                    write_effective(text, below, item, &format!("{header}."), &path, notes);
                }
            }
            _ => {
                // A table that only holds tables needs no line of its own.
                let has_own = below.keys.iter().any(|it| value.get(&it.name).is_some());
                if has_own {
                    let _ = writeln!(text, "\n[{header}]");
                }
                let path = format!("{path}{}.", below.name);
                write_effective(text, below, value, &format!("{header}."), &path, notes);
            }
        }
    }
}

/// Returns all variables of the environment, as a file that a shell or a service manager can read.
pub(crate) fn environment() -> String {
    let mut text = format!(
        "# The file to read the settings from, in TOML.\n#{}={}\n",
        load::FILE_VARIABLE,
        load::USUAL_FILE
    );
    for (path, found) in keys::all().paths() {
        text.push('\n');
        let value = match found {
            Found::Key(key) => {
                prose(&mut text, &key.doc);
                key.default.as_ref().or(key.example.as_ref()).map_or_else(String::new, as_variable)
            }
            Found::Section(section) => {
                prose(&mut text, &section.doc);
                match path.as_str() {
                    "api.key" => API_KEY.to_owned(),
                    "tls.certificate" => TLS_CERTIFICATE.to_owned(),
                    _ => "[{ name = \"news\", history_size = 100 }]".to_owned(),
                }
            }
        };
        let is_example = matches!(found, Found::Key(Key { default: None, .. }) | Found::Section(_));
        if is_example {
            text.push_str("# Not set by default; an example:\n");
        }
        let quoted = if value.contains([' ', '"']) { format!("'{value}'") } else { value };
        let _ = writeln!(text, "#{}={quoted}", load::variable_of(&path));
    }
    text
}

const API_KEY: &str =
    "[{ secret = \"a-long-random-text\", commands = [\"publish\"], channels = [\"news:*\"] }]";

const TLS_CERTIFICATE: &str =
    "[{ cert = \"/etc/taiwa/other.pem\", key = \"/etc/taiwa/other.key\" }]";

fn as_variable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(as_variable).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Returns the page docs/configuration.md.
pub(crate) fn page() -> String {
    let mut text = String::from(include_str!("page.md"));
    write_page(&mut text, keys::all(), "", &mut Told::default());
    text
}

fn write_page(text: &mut String, section: &Section, path: &str, told: &mut Told) {
    if !section.keys.is_empty() {
        text.push_str("\n| key | meaning | form | default | changes |\n|---|---|---|---|---|\n");
    }
    for key in &section.keys {
        let full = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
        let mut meaning = key.doc.clone();
        if let Some(flag) = flags::flag_of(&full) {
            let _ = write!(meaning, " Flag: `--{flag}`.");
        }
        if let Some((name, _)) = load::ALIASES.iter().find(|it| it.1 == full) {
            let _ = write!(meaning, " Also `{name}`.");
        }
        let form = match key.choices.as_slice() {
            [] => key.kind.name(),
            _ if !told.is_first(key) => format!("{}, as above", key.words().replace('"', "`")),
            choices => {
                let each = choices.iter().map(|it| format!("`{}`: {}", it.word, it.doc));
                each.collect::<Vec<_>>().join("<br>")
            }
        };
        let default = match &key.default {
            Some(default) => format!("`{}`", toml(default)),
            None => "not set".into(),
        };
        let changes = key.reload.map_or("", Reload::name).to_owned();
        let cells = [format!("`{}`", key.name), meaning, form, default, changes];
        let cells = cells.map(|it| it.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for below in &section.sections {
        let path =
            if path.is_empty() { below.name.clone() } else { format!("{path}.{}", below.name) };
        let shown = if below.repeated { format!("[[{path}]]") } else { format!("[{path}]") };
        let _ = writeln!(text, "\n### `{shown}`\n\n{}", below.doc);
        write_page(text, below, &path, told);
    }
}

#[cfg(test)]
mod tests;
