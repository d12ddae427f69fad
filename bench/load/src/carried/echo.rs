//! One message outstanding on each WebSocket.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::{Carrier, socket::Socket};
use crate::{
    clients::Rest,
    measure::{Measure, histogram, note},
    noise::Pool,
    rows::{Effort, WARM_UP},
    wire,
};

/// Keeps one message of `bytes` outstanding on each of `count` WebSockets.
pub(crate) fn echo(
    carrier: &Carrier<'_>,
    count: usize,
    lines: usize,
    bytes: usize,
    effort: Effort,
) -> Result<Value, String> {
    let pool = Pool::new(bytes, &mut carrier.noise.borrow_mut());
    carrier.run(Rest::Sleep, async {
        let lines = carrier.open_lines(lines).await?;
        let mut sockets = carrier.open(&lines, 0, count).await?;
        turns(carrier, &mut sockets, &pool, bytes, WARM_UP.min(effort.window)).await?;
        let measure = Measure::start(carrier.server)?;
        let latency = turns(carrier, &mut sockets, &pool, bytes, effort.window).await?;
        measure.stop_with_latency("message", "messages", &latency)
    })
}

async fn turns(
    carrier: &Carrier<'_>,
    sockets: &mut [Socket<'_>],
    pool: &Pool,
    bytes: usize,
    window: Duration,
) -> Result<Histogram<u64>, String> {
    let latency = RefCell::new(histogram());
    let end = Instant::now() + window;
    try_join_all(sockets.iter_mut().map(|socket| async {
        while Instant::now() < end {
            let took = once(carrier, socket, pool, bytes).await?;
            note(&mut latency.borrow_mut(), took);
        }
        Ok::<_, String>(())
    }))
    .await?;
    Ok(latency.into_inner())
}

/// Sends one message of random content, and waits until it is back.
pub(super) async fn once(
    carrier: &Carrier<'_>,
    socket: &mut Socket<'_>,
    pool: &Pool,
    bytes: usize,
) -> Result<Duration, String> {
    let start = pool.start(&mut carrier.noise.borrow_mut());
    let message = pool.message(start, bytes);
    let since = Instant::now();
    socket.sender.send(wire::BINARY, message).await?;
    socket.receive(message).await?;
    Ok(since.elapsed())
}
