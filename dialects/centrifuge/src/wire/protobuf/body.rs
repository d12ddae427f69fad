//! Replies as messages of Protocol Buffers.

use taiwa_core::Payload;

use crate::wire::{
    Reply, payload,
    reply::{self, Fields},
};

/// Writes a reply behind its length.
pub(in crate::wire) fn write(reply: &Reply<'_>, out: &mut Vec<u8>) {
    let mut body = Body { out: Vec::new() };
    reply::reply(&mut body, reply);
    varint(out, body.out.len() as u64);
    out.extend_from_slice(&body.out);
}

/// The fields of a message that is being written.
struct Body {
    out: Vec<u8>,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Body {
    fn delimited(&mut self, tag: u32, bytes: &[u8]) {
        varint(&mut self.out, u64::from(tag) << 3 | 2);
        varint(&mut self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }
}

impl Fields for Body {
    fn number(&mut self, tag: u32, _: &'static str, value: u64) {
        if value != 0 {
            varint(&mut self.out, u64::from(tag) << 3);
            varint(&mut self.out, value);
        }
    }

    fn flag(&mut self, tag: u32, name: &'static str, value: bool) {
        self.number(tag, name, value.into());
    }

    fn text(&mut self, tag: u32, _: &'static str, value: &str) {
        if !value.is_empty() {
            self.delimited(tag, value.as_bytes());
        }
    }

    fn label(&mut self, tag: u32, name: &'static str, value: &str) {
        self.text(tag, name, value);
    }

    fn payload(&mut self, tag: u32, name: &'static str, value: &Payload) {
        self.json(tag, name, &payload::bytes(value));
    }

    fn quoted(&mut self, tag: u32, name: &'static str, value: &Payload) {
        self.payload(tag, name, value);
    }

    fn delta(&mut self, tag: u32, name: &'static str, value: &[u8]) {
        self.json(tag, name, value);
    }

    fn json(&mut self, tag: u32, _: &'static str, value: &[u8]) {
        if !value.is_empty() {
            self.delimited(tag, value);
        }
    }

    fn message(&mut self, tag: u32, _: &'static str, fields: impl FnOnce(&mut Self)) {
        let mut body = Self { out: Vec::new() };
        fields(&mut body);
        self.delimited(tag, &body.out);
    }

    fn messages<T>(
        &mut self,
        tag: u32,
        name: &'static str,
        items: &[T],
        fields: impl Fn(&mut Self, &T),
    ) {
        for item in items {
            self.message(tag, name, |to| fields(to, item));
        }
    }

    fn map<'a, T>(
        &mut self,
        tag: u32,
        name: &'static str,
        entries: impl ExactSizeIterator<Item = (&'a str, T)>,
        fields: impl Fn(&mut Self, T),
    ) {
        for (key, value) in entries {
            self.message(tag, name, |to| {
                to.text(1, "key", key);
                to.message(2, "value", |to| fields(to, value));
            });
        }
    }

    fn texts<'a>(
        &mut self,
        tag: u32,
        name: &'static str,
        entries: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) {
        for (key, value) in entries {
            self.message(tag, name, |to| {
                to.text(1, "key", key);
                to.text(2, "value", value);
            });
        }
    }
}
