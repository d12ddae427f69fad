//! The page's list of connections: a report over a WebSocket whenever it has changed.

use std::time::Duration;

use serde_json::json;
use taiwa::{Error, Upgrade, Utf8Bytes};
use tokio::time::{MissedTickBehavior, interval};

use crate::control::Control;

/// Where the page finds it.
pub(crate) const PATH: &str = "/.taiwa/connections";

/// Rows of one report; the rest is in its total.
const ROWS_MAX: usize = 1000;

/// How often a report is made at the most.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Accepts, and reports until the client leaves.
pub(crate) async fn meet(upgrade: Upgrade, control: &Control) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    let mut tick = interval(REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Utf8Bytes::default();
    loop {
        tokio::select! {
            received = socket.recv() => if received?.is_none() { return Ok(()) },
            _ = tick.tick() => {
                let report = report(control).await;
                if report != last {
                    // A page that has gone needs none.
                    if socket.send(report.clone()).await.is_err() {
                        return Ok(());
                    }
                    last = report;
                }
            }
        }
    }
}

/// Returns the connections as JSON: `{"total": n, "rows": [{id, who, path, http, dialect, user, since, in, out}]}`, the newest
/// first, `since` in milliseconds of Unix time.
async fn report(control: &Control) -> Utf8Bytes {
    let shards = control.look(ROWS_MAX).await;
    let total: usize = shards.iter().flat_map(|it| it.dialects.values()).sum();
    let mut rows: Vec<_> = shards.into_iter().flat_map(|it| it.rows).collect();
    rows.sort_by_key(|it| std::cmp::Reverse((it.since, it.id)));
    rows.truncate(ROWS_MAX);
    let rows = rows.iter().map(|it| {
        json!({
            "id": it.id, "who": it.who, "path": it.path, "http": it.http, "dialect": it.dialect,
            "user": it.user, "since": it.since, "in": it.received, "out": it.sent,
        })
    });
    json!({"total": total, "rows": rows.collect::<Vec<_>>()}).to_string().into()
}
