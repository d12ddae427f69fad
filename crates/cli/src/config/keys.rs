//! All keys there are, with what is known of each, read from the schema of the settings.

use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::Value;

use super::{reload::Reload, settings::Settings};

/// A table of settings.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its name in the table above; empty for the root.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) doc: String,
    /// Whether there may be many of it (`[[namespace]]`).
    pub(crate) repeated: bool,
    pub(crate) keys: Vec<Key>,
    pub(crate) sections: Vec<Section>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) kind: Kind,
    /// What holds if nobody says anything; `None` if then nothing holds.
    pub(crate) default: Option<Value>,
    /// What it may look like, where there is no default.
    pub(crate) example: Option<Value>,
    /// Words that are allowed, if these are all, with what each means.
    pub(crate) choices: Vec<Choice>,
    pub(crate) secret: bool,
    /// What it waits for when it is changed while the server runs.
    pub(crate) reload: Option<Reload>,
}

/// A word that a setting may be.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) word: String,
    pub(crate) doc: String,
}

/// What a value looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Truth,
    Number,
    /// Text, or what can be written as text: the name of the form, if it has one.
    Text(Option<String>),
    List(Box<Kind>),
}

impl Kind {
    /// Names it for people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Truth => "true or false".into(),
            Self::Number => "whole number".into(),
            Self::Text(form) => form.clone().unwrap_or_else(|| "text".into()),
            Self::List(of) => format!("list: {}", of.name()),
        }
    }
}

/// Returns the JSON Schema of a type, with nothing behind references.
fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

/// Returns the JSON Schema of the settings.
pub(crate) fn schema() -> Value {
    let mut schema = schema_of::<Settings>().to_value();
    tidy(&mut schema);
    note_reloads(&mut schema, "");
    schema["title"] = "Settings of taiwa serve".into();
    schema
}

/// Notes what each key waits for when it is changed.
fn note_reloads(schema: &mut Value, path: &str) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, below) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if below["properties"].is_object() {
            note_reloads(below, &path);
        } else if below["items"]["properties"].is_object() {
            note_reloads(&mut below["items"], &path);
        } else if let Some(reload) = Reload::of(&path) {
            below[RELOAD] = reload.name().into();
        }
    }
}

/// The keyword of the schema that says what a key waits for. Programs that don't know it pass over it (JSON Schema Core
/// 2020-12 §6.5).
const RELOAD: &str = "x-reload";

/// Takes out what says nothing in TOML: nulls, and defaults of whole tables, whose keys have their own. Makes one line
/// of each text.
fn tidy(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            fields["type"] = only.clone();
        }
    }
    if let Some(Value::Array(parts)) = fields.get_mut("anyOf") {
        parts.retain(|it| it["type"] != "null");
        if let [Value::Object(only)] = parts.as_slice() {
            let only = only.clone();
            fields.shift_remove("anyOf");
            for (name, value) in only {
                fields.entry(name).or_insert(value);
            }
        }
    }
    // How many bits a number has is not for JSON Schema to say.
    fields.shift_remove("format");
    if fields.get("default").is_some_and(|it| it.is_object() || it.is_null()) {
        fields.shift_remove("default");
    }
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    }
    for (name, value) in fields.iter_mut() {
        match (name.as_str(), value) {
            ("items", below) => tidy(below),
            ("properties", Value::Object(below)) => below.values_mut().for_each(tidy),
            ("anyOf" | "oneOf", Value::Array(below)) => below.iter_mut().for_each(tidy),
            _ => {}
        }
    }
}

/// Returns all keys.
pub(crate) fn all() -> &'static Section {
    static ALL: LazyLock<Section> = LazyLock::new(|| section("", "", &schema(), false));
    &ALL
}

fn section(path: &str, name: &str, schema: &Value, repeated: bool) -> Section {
    let mut made = Section {
        name: name.into(),
        doc: text(schema, "description"),
        repeated,
        keys: Vec::new(),
        sections: Vec::new(),
    };
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if schema["properties"].is_object() {
            made.sections.push(section(&path, name, schema, false));
        } else if schema["items"]["properties"].is_object() {
            let doc = text(schema, "description");
            made.sections.push(Section { doc, ..section(&path, name, &schema["items"], true) });
        } else {
            made.keys.push(key(&path, name, schema));
        }
    }
    made
}

fn key(path: &str, name: &str, schema: &Value) -> Key {
    let is_list = schema["items"].is_object();
    Key {
        name: name.into(),
        doc: text(schema, "description"),
        kind: kind(schema),
        default: schema.get("default").cloned(),
        example: schema["examples"].get(0).cloned(),
        choices: choices(if is_list { &schema["items"] } else { schema }),
        secret: schema["writeOnly"] == true || schema["items"]["writeOnly"] == true,
        reload: Reload::of(path),
    }
}

fn kind(schema: &Value) -> Kind {
    let title = schema["title"].as_str().map(str::to_owned);
    match schema["type"].as_str() {
        Some("boolean") => Kind::Truth,
        Some("integer") => Kind::Number,
        Some("array") => Kind::List(Box::new(kind(&schema["items"]))),
        _ => Kind::Text(title),
    }
}

fn choices(schema: &Value) -> Vec<Choice> {
    let described = schema["oneOf"].as_array().into_iter().flatten();
    described
        .filter_map(|it| {
            let word = it["const"].as_str()?.to_owned();
            Some(Choice { word, doc: text(it, "description") })
        })
        .collect()
}

fn text(schema: &Value, field: &str) -> String {
    schema[field].as_str().unwrap_or_default().to_owned()
}

impl Section {
    /// Finds a section by its name.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|it| it.name == name)
    }

    /// Finds a key by its name.
    pub(crate) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|it| it.name == name)
    }

    /// Finds what a path such as `log.level` leads to, but not into sections of which there may be many.
    pub(crate) fn find(&self, path: &str) -> Option<Found<'_>> {
        match path.split_once('.') {
            Some((name, rest)) => self.section(name).filter(|it| !it.repeated)?.find(rest),
            None => match self.key(path) {
                Some(key) => Some(Found::Key(key)),
                None => self.section(path).map(Found::Section),
            },
        }
    }

    /// Finds what must not be shown at a path such as `auth.jwt.secrets[1]`: a secret, or a table that has one, also in
    /// lists.
    pub(crate) fn hiding(&self, path: &str) -> Option<Found<'_>> {
        let mut section = self;
        for step in path.split('.') {
            let name = step.split('[').next().unwrap_or(step);
            match section.section(name) {
                Some(below) => section = below,
                None => return section.key(name).filter(|it| it.secret).map(Found::Key),
            }
        }
        section.keys.iter().any(|it| it.secret).then_some(Found::Section(section))
    }

    /// Returns the key to which a path leads.
    ///
    /// # Panics
    /// Without one: it is for paths that stand in the program.
    pub(crate) fn expect_key(&self, path: &str) -> &Key {
        match self.find(path) {
            Some(Found::Key(key)) => key,
            _ => panic!("{path} is no setting"),
        }
    }

    /// Returns everything that can be set from outside a file, with its path: the keys, and the sections of which there
    /// may be many.
    pub(crate) fn paths(&self) -> Vec<(String, Found<'_>)> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect<'a>(&'a self, prefix: &str, found: &mut Vec<(String, Found<'a>)>) {
        found.extend(self.keys.iter().map(|it| (format!("{prefix}{}", it.name), Found::Key(it))));
        for section in &self.sections {
            let path = format!("{prefix}{}", section.name);
            match section.repeated {
                true => found.push((path, Found::Section(section))),
                false => section.collect(&format!("{path}."), found),
            }
        }
    }

    /// Returns the name here that is most like one that is not here.
    pub(crate) fn nearest(&self, wrong: &str) -> Option<&str> {
        let names = self.keys.iter().map(|it| &it.name);
        let names = names.chain(self.sections.iter().map(|it| &it.name)).map(String::as_str);
        nearest(wrong, names)
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Key(&'a Key),
    Section(&'a Section),
}

/// Returns the name that is most like a wrong one, if any is like it at all.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = plain(wrong);
    let last = |it: &str| it.rsplit('.').next().unwrap_or_default().to_owned();
    let rated = names.map(|it| {
        let name = plain(it);
        // The last part alone tells too, for those who forgot the table.
        let whole = strsim::damerau_levenshtein(&wrong, &name);
        let ends = 1 + strsim::damerau_levenshtein(&last(&wrong), &last(&name));
        // Half of a name is no misspelling, and still tells which one was meant.
        let part = wrong.len() > 2 && last(&name).contains(&wrong);
        (whole.min(ends).min(if part { 2 } else { usize::MAX }), it)
    });
    let (distance, near) = rated.min_by_key(|it| it.0)?;
    (distance <= 1 + wrong.len() / 5).then_some(near)
}

/// Makes variables and flags comparable with paths.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace("__", ".").replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_is_and_has_a_default_or_an_example() {
        fn check(section: &Section) {
            assert!(section.doc.ends_with('.'), "{}: {:?}", section.name, section.doc);
            for key in &section.keys {
                assert!(key.doc.ends_with('.'), "{}.{}: {:?}", section.name, key.name, key.doc);
                let has = key.default.is_some() ^ key.example.is_some();
                assert!(has, "{}.{}: default or example", section.name, key.name);
            }
            section.sections.iter().for_each(check);
        }
        check(all());
    }

    #[test]
    fn kinds_and_defaults_are_those_of_the_settings() {
        let key = |path: &str| all().expect_key(path);
        assert_eq!(key("listen").kind, Kind::List(Box::new(Kind::Text(Some("address".into())))));
        assert_eq!(key("listen").default, Some(serde_json::json!(["127.0.0.1:8000"])));
        assert_eq!(key("limits.connection.message_max").kind, Kind::Text(Some("size".into())));
        assert_eq!(key("limits.connection.fragments_max").kind, Kind::Number);
        assert_eq!(key("times.session_ttl").default, Some("2m".into()));
        assert_eq!((&key("tls.cert").default, key("tls.cert").secret), (&None, false));
        assert_eq!(key("tls.cert").kind, Kind::Text(None));
        assert!(key("auth.jwt.secrets").secret && key("api.keys").secret);
        let words: Vec<_> = key("log.level").choices.iter().map(|it| it.word.as_str()).collect();
        assert_eq!(words, ["off", "error", "warn", "info", "debug", "trace"]);
        assert!(all().section("namespace").unwrap().repeated);
    }

    #[test]
    fn the_nearest_name_is_told_if_there_is_one_near() {
        for (wrong, right) in [
            ("lissten", Some("listen")),
            ("name_space", Some("namespace")),
            ("namespaces", Some("namespace")),
            ("unix-mode", Some("unix_mode")),
            ("proxy", Some("proxy_protocol")),
            ("origin", Some("origins")),
            ("xyzzy", None),
        ] {
            assert_eq!(all().nearest(wrong), right, "{wrong}");
        }
        let paths = all().paths();
        let near = |wrong| nearest(wrong, paths.iter().map(|it| it.0.as_str()));
        assert_eq!(near("session_ttl"), Some("times.session_ttl"));
        assert_eq!(near("limits.kept_mxa"), Some("limits.shard.kept_max"));
        assert_eq!(near("what.elephants"), None);
    }
}
