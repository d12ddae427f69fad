//! Connections that are opened and closed at once.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::{Carrier, dial::Line};
use crate::{
    clients::Rest,
    measure::{Measure, histogram, note},
    rows::{Effort, WARM_UP},
    wire::{self, Found},
};

/// Opens connections, `at_once` of them under way, each of which ends with a Close as soon as it is open.
pub(crate) fn handshakes(
    carrier: &Carrier<'_>,
    at_once: usize,
    effort: Effort,
) -> Result<Value, String> {
    carrier.run(Rest::Sleep, async {
        turns(carrier, at_once, WARM_UP.min(effort.window)).await?;
        let measure = Measure::start(carrier.server)?;
        let latency = turns(carrier, at_once, effort.window).await?;
        measure.stop_with_latency("connection", "connections", &latency)
    })
}

async fn turns(
    carrier: &Carrier<'_>,
    at_once: usize,
    window: Duration,
) -> Result<Histogram<u64>, String> {
    let latency = RefCell::new(histogram());
    let end = Instant::now() + window;
    try_join_all((0..at_once).map(|_| async {
        while Instant::now() < end {
            let took = once(carrier).await?;
            note(&mut latency.borrow_mut(), took);
        }
        Ok::<_, String>(())
    }))
    .await?;
    Ok(latency.into_inner())
}

/// Returns how long the opening took.
async fn once(carrier: &Carrier<'_>) -> Result<Duration, String> {
    let since = Instant::now();
    let mut socket = carrier.open_socket(&Line::Own).await?;
    let took = since.elapsed();
    socket.sender.send(wire::CLOSE, &1000_u16.to_be_bytes()).await?;
    loop {
        match socket.receiver.next(None)? {
            Some(Found::Close(Some(1000))) => break,
            Some(found) => return Err(format!("{found:?} where a Close was due")),
            None => socket.receiver.wait().await?,
        }
    }
    socket.receiver.end().await?;
    Ok(took)
}
