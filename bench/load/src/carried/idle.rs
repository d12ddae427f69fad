//! WebSockets that do nothing.

use futures_util::{TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Carrier, echo::once, socket::Socket};
use crate::{
    clients::Rest,
    noise::Pool,
    rows::{IDLE_MESSAGE_BYTES, OPENING_MAX, SETTLE},
};

/// Holds `count` WebSockets, and reads the server's memory before and after one message on each. What a connection costs that they
/// share is in it, save for the first one's.
pub(crate) fn idle(carrier: &Carrier<'_>, count: usize, lines: usize) -> Result<Value, String> {
    let pool = Pool::new(IDLE_MESSAGE_BYTES, &mut carrier.noise.borrow_mut());
    let server = carrier.server;
    carrier.run(Rest::Sleep, async {
        // The first one makes the server allocate what it needs only once.
        let mut lines_open = carrier.open_lines(1).await?;
        let mut sockets = carrier.open(&lines_open, 0, 1).await?;
        once_each(carrier, &mut sockets, &pool).await?;
        sleep(SETTLE).await;
        let (before, cpu) = (server.resident_bytes()?, server.cpu()?);
        lines_open.extend(carrier.open_lines(lines - 1).await?);
        let mut more = carrier.open(&lines_open, 1, count).await?;
        sleep(SETTLE).await;
        let (opened, cpu_opened) = (server.resident_bytes()?, server.cpu()?);
        once_each(carrier, &mut more, &pool).await?;
        sleep(SETTLE).await;
        let after = server.resident_bytes()?;
        let each = |bytes: u64| (bytes as f64 - before as f64) / more.len() as f64;
        Ok(json!({
            "bytes_per_connection": each(after),
            "bytes_per_connection_before_a_message": each(opened),
            "cpu_us_per_opening": (cpu_opened - cpu).as_secs_f64() * 1e6 / more.len() as f64,
            "resident_bytes_of_one_connection": before,
            "connections": count,
            "lines": lines,
        }))
    })
}

/// Sends one message on each, a few at a time.
async fn once_each(
    carrier: &Carrier<'_>,
    sockets: &mut [Socket<'_>],
    pool: &Pool,
) -> Result<(), String> {
    stream::iter(sockets.iter_mut().map(Ok::<_, String>))
        .try_for_each_concurrent(OPENING_MAX, |socket| async move {
            once(carrier, socket, pool, IDLE_MESSAGE_BYTES).await.map(drop)
        })
        .await
}
