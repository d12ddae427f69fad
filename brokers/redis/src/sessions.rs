//! Sessions that can move.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use taiwa_core::{SessionId, SessionStore, Then};

use crate::{
    node::{Redis, millis},
    reply::Reply,
};

impl SessionStore for Redis {
    fn save(&self, session: SessionId, body: Bytes, ttl: Duration, then: Then<()>) {
        let key = self.shared.keys.session(session);
        let ttl = millis(ttl);
        let set: &[&[u8]] = &[b"SET", key.as_bytes(), &body, b"PX", ttl.as_bytes()];
        self.command(&key, set, then, |_| Ok(()));
    }

    fn take(&self, session: SessionId, then: Then<Option<Bytes>>) {
        let key = self.shared.keys.session(session);
        self.command(&key, &[b"GETDEL", key.as_bytes()], then, |it: Value| Ok(it.body()));
    }

    fn drop_session(&self, session: SessionId) {
        let key = self.shared.keys.session(session);
        self.command(&key, &[b"UNLINK", key.as_bytes()], Box::new(|_| {}), |_| Ok(()));
    }
}
