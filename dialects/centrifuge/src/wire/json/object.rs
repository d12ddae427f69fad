//! Replies as JSON objects.

use taiwa_core::Payload;

use crate::wire::{
    Reply,
    payload::{json_text, quoted},
    reply::{self, Fields},
};

/// Writes a reply without the end of its line.
pub(in crate::wire) fn write(reply: &Reply<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    reply::reply(&mut Object { out, empty: true }, reply);
    out.push(b'}');
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut *self.out, text).expect("a string is written into memory");
    }

    fn key(&mut self, key: &str, first: bool) {
        if !first {
            self.out.push(b',');
        }
        self.string(key);
        self.out.push(b':');
    }

    fn nested(&mut self, fields: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        self.empty = true;
        fields(self);
        self.empty = false;
        self.out.push(b'}');
    }
}

impl Fields for Object<'_> {
    fn number(&mut self, _: u32, name: &'static str, value: u64) {
        if value != 0 {
            self.name(name);
            self.out.extend_from_slice(value.to_string().as_bytes());
        }
    }

    fn flag(&mut self, _: u32, name: &'static str, value: bool) {
        if value {
            self.name(name);
            self.out.extend_from_slice(b"true");
        }
    }

    fn text(&mut self, tag: u32, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.label(tag, name, value);
        }
    }

    fn label(&mut self, _: u32, name: &'static str, value: &str) {
        self.name(name);
        self.string(value);
    }

    fn payload(&mut self, tag: u32, name: &'static str, value: &Payload) {
        self.json(tag, name, &json_text(value));
    }

    fn quoted(&mut self, tag: u32, name: &'static str, value: &Payload) {
        self.delta(tag, name, &json_text(value));
    }

    fn delta(&mut self, _: u32, name: &'static str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(&quoted(value));
    }

    fn json(&mut self, _: u32, name: &'static str, value: &[u8]) {
        self.name(name);
        // Between values a JSON text may have ends of lines, which here would end the reply; a blank means the same.
        let from = self.out.len();
        self.out.extend_from_slice(value);
        for byte in &mut self.out[from..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }

    fn message(&mut self, _: u32, name: &'static str, fields: impl FnOnce(&mut Self)) {
        self.name(name);
        self.nested(fields);
    }

    fn messages<T>(
        &mut self,
        _: u32,
        name: &'static str,
        items: &[T],
        fields: impl Fn(&mut Self, &T),
    ) {
        if items.is_empty() {
            return;
        }
        self.name(name);
        self.out.push(b'[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            self.nested(|to| fields(to, item));
        }
        self.out.push(b']');
    }

    fn map<'a, T>(
        &mut self,
        _: u32,
        name: &'static str,
        entries: impl ExactSizeIterator<Item = (&'a str, T)>,
        fields: impl Fn(&mut Self, T),
    ) {
        if entries.len() == 0 {
            return;
        }
        self.name(name);
        self.out.push(b'{');
        for (i, (key, value)) in entries.enumerate() {
            self.key(key, i == 0);
            self.nested(|to| fields(to, value));
        }
        self.out.push(b'}');
    }

    fn texts<'a>(
        &mut self,
        _: u32,
        name: &'static str,
        entries: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) {
        if entries.len() == 0 {
            return;
        }
        self.name(name);
        self.out.push(b'{');
        for (i, (key, value)) in entries.enumerate() {
            self.key(key, i == 0);
            self.string(value);
        }
        self.out.push(b'}');
    }
}
