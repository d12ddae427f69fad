//! Answers for people: tables of plain text.

use std::fmt::Write as _;

use serde_json::Value;

/// A table: columns are as wide as what is in them.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new(heads: &[&str]) -> Self {
        Self(vec![heads.iter().map(|it| (*it).to_owned()).collect()])
    }

    fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    fn write(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |at| {
            self.0.iter().filter_map(|it| it.get(at)).map(|it: &String| it.chars().count()).max()
        };
        let widths: Vec<_> = (0..columns).map(|at| width(at).unwrap_or_default()).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names are chosen by strangers: what would move a cursor or worse is shown by its number.
fn clean(text: &str) -> String {
    let shown = |it: char| match it.is_control() {
        true => it.escape_default().to_string(),
        false => it.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Writes a value without quotes; nothing for nothing.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn listed(value: &Value, field: &str, columns: &[(&str, &str)]) -> String {
    let mut table = Table::new(&columns.iter().map(|it| it.0).collect::<Vec<_>>());
    for item in items(value, field) {
        table.row(columns.iter().map(|(_, name)| cell(&item[*name])).collect());
    }
    let mut text = table.write();
    if value["more"] == true {
        text.push_str("There are more: --limit shows up to 10000.\n");
    }
    text
}

pub(super) fn nodes(value: &Value) -> String {
    let columns = [
        ("NODE", "node"),
        ("SHARDS", "shards"),
        ("SESSIONS", "sessions"),
        ("SUBSCRIPTIONS", "subscriptions"),
        ("CHANNELS", "channels"),
    ];
    listed(value, "nodes", &columns)
}

const CLIENT: [(&str, &str); 4] =
    [("SESSION", "session"), ("USER", "user"), ("DIALECT", "dialect"), ("ADDRESS", "address")];

pub(super) fn sessions(value: &Value) -> String {
    listed(value, "sessions", &CLIENT)
}

pub(super) fn channels(value: &Value) -> String {
    listed(value, "channels", &[("CHANNEL", "channel"), ("SUBSCRIBERS", "subscribers")])
}

/// Writes what is there, a line each.
fn facts(value: &Value, fields: &[(&str, &str)]) -> String {
    let mut table = Table(Vec::new());
    for (label, name) in fields {
        if !value[*name].is_null() {
            table.row(vec![(*label).to_owned(), cell(&value[*name])]);
        }
    }
    table.write()
}

pub(super) fn session(value: &Value) -> String {
    let fields = [
        ("session", "session"),
        ("user", "user"),
        ("dialect", "dialect"),
        ("address", "address"),
        ("info", "info"),
        ("meta", "meta"),
        ("connected", "connected"),
    ];
    let mut text = facts(value, &fields);
    let channels: Vec<_> = items(value, "channels").map(cell).collect();
    let _ = writeln!(text, "\nchannels: {}", channels.len());
    for name in channels.into_iter().chain(items(value, "patterns").map(cell)) {
        let _ = writeln!(text, "  {name}");
    }
    text
}

pub(super) fn channel(value: &Value) -> String {
    let mut text = facts(value, &[("channel", "channel"), ("subscribers", "subscribers")]);
    if let Some(offset) = value["position"].get("offset") {
        let _ = writeln!(
            text,
            "history      at {}, epoch {}",
            cell(offset),
            cell(&value["position"]["epoch"])
        );
    }
    if value.get("members").is_some() {
        text.push('\n');
        text.push_str(&listed(value, "members", &CLIENT[..3]));
    }
    text
}

pub(super) fn kicked(value: &Value) -> String {
    match value["affected"].as_u64() {
        Some(1) => "1 session was sent away\n".into(),
        count => format!("{} sessions were sent away\n", count.unwrap_or_default()),
    }
}

pub(super) fn reloaded(value: &Value) -> String {
    let names = |field| items(value, field).map(cell).collect::<Vec<_>>().join(", ");
    let mut text = match names("changed") {
        none if none.is_empty() => "no setting has changed\n".to_owned(),
        changed => format!("changed: {changed}\n"),
    };
    if value["certificate_changed"] == true {
        text.push_str("new connections see the new certificate\n");
    }
    let waiting = names("restart");
    if !waiting.is_empty() {
        let _ = writeln!(text, "these need a restart: {waiting}");
    }
    text
}

/// Says where a server listens.
pub(super) fn places(value: &Value) -> String {
    let listens: Vec<_> = items(value, "listens").map(cell).collect();
    format!("pid {}, on {}", cell(&value["pid"]), listens.join(", "))
}

pub(super) fn info(value: &Value) -> String {
    let server = &value["server"];
    let mut text = facts(
        server,
        &[("version", "version"), ("pid", "pid"), ("up, seconds", "up_s"), ("ready", "ready")],
    );
    for place in items(server, "listens") {
        let _ = writeln!(text, "listens      {}", cell(place));
    }
    text.push_str(&facts(
        value,
        &[("sessions", "sessions"), ("subscriptions", "subscriptions"), ("channels", "channels")],
    ));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_moves_the_cursor() {
        let list = json!({"channels": [
            {"channel": "対話", "subscribers": 12}, {"channel": "a\u{1b}[2J\n", "subscribers": 1},
        ], "more": true});
        let lines = channels(&list);
        assert_eq!(
            lines,
            "CHANNEL       SUBSCRIBERS\n対話            12\na\\u{1b}[2J\\n  1\n\
             There are more: --limit shows up to 10000.\n"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(session(&json!({"session": "x"})), "session  x\n\nchannels: 0\n");
        let known =
            json!({"channel": "a", "subscribers": 2, "position": {"offset": 7, "epoch": "e"}});
        assert_eq!(channel(&known), "channel      a\nsubscribers  2\nhistory      at 7, epoch e\n");
        assert_eq!(kicked(&json!({"affected": 1})), "1 session was sent away\n");
        let report = json!({"changed": [], "restart": ["listen"]});
        assert_eq!(reloaded(&report), "no setting has changed\nthese need a restart: listen\n");
    }
}
