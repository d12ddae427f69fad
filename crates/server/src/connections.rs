//! The live connections: who, where, since when, how many messages.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use taiwa::{Addr, Utf8Bytes};

/// Rows of one report; the rest is in its total.
pub(crate) const ROWS_MAX: usize = 1000;

/// How often a report is made at the most, however many look at it.
pub(crate) const REPORT_EVERY: Duration = Duration::from_millis(250);

/// All live connections.
#[derive(Default)]
pub(crate) struct Connections {
    state: Mutex<State>,
    report: Mutex<Option<(Instant, Utf8Bytes)>>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    live: BTreeMap<u64, Arc<Entry>>,
}

struct Entry {
    id: u64,
    who: Addr,
    path: Box<str>,
    since: SystemTime,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Connections {
    /// Puts a connection into the list, until what is returned is dropped.
    pub(crate) fn list(self: &Arc<Self>, who: Addr, path: &str, since: SystemTime) -> Live {
        let mut state = lock(&self.state);
        state.last_id += 1;
        let id = state.last_id;
        let (received, sent) = Default::default();
        let entry = Arc::new(Entry { id, who, path: path.into(), since, received, sent });
        state.live.insert(id, entry.clone());
        drop(state);
        Live { connections: self.clone(), entry }
    }

    /// Returns the connections as JSON: `{"total": n, "rows": [{id, who, path, since, in, out}]}`,
    /// the newest [`ROWS_MAX`] first, `since` in milliseconds of Unix time. The answer may be
    /// [`REPORT_EVERY`] old at `now`.
    pub(crate) fn report(&self, now: Instant) -> Utf8Bytes {
        let mut report = lock(&self.report);
        if let Some((made, text)) = &*report
            && now.saturating_duration_since(*made) < REPORT_EVERY
        {
            return text.clone();
        }
        let text: Utf8Bytes = self.json().into();
        *report = Some((now, text.clone()));
        text
    }

    fn json(&self) -> String {
        let (total, live) = {
            let state = lock(&self.state);
            let newest = state.live.values().rev().take(ROWS_MAX).cloned().collect::<Vec<_>>();
            (state.live.len(), newest)
        };
        let rows = live.iter().map(|it| it.row()).collect();
        serde_json::to_string(&Report { total, rows }).expect("strings and numbers are JSON")
    }
}

#[derive(Serialize)]
struct Report<'a> {
    total: usize,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    id: u64,
    who: String,
    path: &'a str,
    since: u64,
    r#in: u64,
    out: u64,
}

impl Entry {
    fn row(&self) -> Row<'_> {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        Row {
            id: self.id,
            who: self.who.to_string(),
            path: &self.path,
            since: since.as_millis() as u64,
            r#in: self.received.load(Relaxed),
            out: self.sent.load(Relaxed),
        }
    }
}

/// One connection in the list, until it is dropped.
pub(crate) struct Live {
    connections: Arc<Connections>,
    entry: Arc<Entry>,
}

impl Live {
    /// Returns its number, unique in this process.
    pub(crate) fn id(&self) -> u64 {
        self.entry.id
    }

    /// Counts a message from the client.
    pub(crate) fn received(&self) {
        self.entry.received.fetch_add(1, Relaxed);
    }

    /// Counts a message to the client.
    pub(crate) fn sent(&self) {
        self.entry.sent.fetch_add(1, Relaxed);
    }

    /// Returns how many messages came and went.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.entry.received.load(Relaxed), self.entry.sent.load(Relaxed))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        lock(&self.connections.state).live.remove(&self.entry.id);
    }
}

/// No code that can panic runs under these locks; were one poisoned, its content would be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Addr {
        Addr::Tcp("127.0.0.1:9".parse().unwrap())
    }

    #[test]
    fn the_report_has_the_newest_first_and_the_counts() {
        let connections = Arc::new(Connections::default());
        let since = UNIX_EPOCH + Duration::from_millis(1234);
        let a = connections.list(who(), "/a", since);
        let b = connections.list(who(), "/\"b\"<script>", since);
        let gone = connections.list(who(), "/gone", since);
        a.received();
        a.sent();
        a.sent();
        drop(gone);
        let report: serde_json::Value =
            serde_json::from_str(&connections.report(Instant::now())).unwrap();
        assert_eq!(
            report,
            serde_json::json!({"total": 2, "rows": [
                {"id": 2, "who": "127.0.0.1:9", "path": "/\"b\"<script>", "since": 1234, "in": 0, "out": 0},
                {"id": 1, "who": "127.0.0.1:9", "path": "/a", "since": 1234, "in": 1, "out": 2},
            ]})
        );
        drop((a, b));
    }

    #[test]
    fn a_report_is_made_once_for_all_who_ask_in_the_same_quarter_second() {
        let connections = Arc::new(Connections::default());
        let start = Instant::now();
        let before = connections.report(start);
        let _live = connections.list(who(), "/x", UNIX_EPOCH);
        assert_eq!(connections.report(start + REPORT_EVERY / 2), before);
        assert_ne!(connections.report(start + REPORT_EVERY), before);
    }

    #[test]
    fn the_report_is_bounded() {
        let connections = Arc::new(Connections::default());
        let _live: Vec<_> =
            (0..ROWS_MAX + 7).map(|_| connections.list(who(), "/x", UNIX_EPOCH)).collect();
        let report: serde_json::Value =
            serde_json::from_str(&connections.report(Instant::now())).unwrap();
        assert_eq!(report["total"], ROWS_MAX + 7);
        assert_eq!(report["rows"].as_array().unwrap().len(), ROWS_MAX);
        assert_eq!(report["rows"][0]["id"], ROWS_MAX + 7);
    }
}
