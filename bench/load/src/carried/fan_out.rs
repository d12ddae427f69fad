//! What one says, all hear: one message in on one WebSocket, out on all of them.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::{select, sync::Notify};

use super::{
    Carrier,
    socket::{Receiver, Sender},
};
use crate::{
    clients::Rest,
    measure::{Measure, histogram, note},
    messages::json,
    rows::{Effort, WARM_UP},
    wire::{self, Expected, Found},
};

/// Has the server deliver one message after the other to all WebSockets, each when the one before is everywhere.
pub(crate) fn fan_out(
    carrier: &Carrier<'_>,
    count: usize,
    lines: usize,
    bytes: usize,
    effort: Effort,
) -> Result<Value, String> {
    carrier.run(Rest::Look, async {
        let lines = carrier.open_lines(lines).await?;
        let sockets = carrier.open(&lines, 0, count).await?;
        let (mut senders, mut receivers) = (vec![], vec![]);
        for socket in sockets {
            senders.push(socket.sender);
            receivers.push(socket.receiver);
        }
        let round = Round::default();
        let speaking = async {
            speak(carrier, &mut senders, &round, bytes, WARM_UP.min(effort.window)).await?;
            let measure = Measure::start(carrier.server)?;
            let latency = speak(carrier, &mut senders, &round, bytes, effort.window).await?;
            measure.stop_with_latency("delivery", "deliveries", &latency)
        };
        select! {
            figures = speaking => figures,
            why = try_join_all(receivers.iter_mut().map(|it| listen(it, &round))) => {
                Err(why.err().unwrap_or_else(|| "nobody listens".into()))
            }
        }
    })
}

/// The message that is on its way to all.
struct Round {
    message: RefCell<Vec<u8>>,
    /// How many there were, with this one.
    number: Cell<u64>,
    since: Cell<Instant>,
    /// Those who have not heard it.
    left: Cell<usize>,
    everywhere: Notify,
    latency: RefCell<Histogram<u64>>,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            message: RefCell::default(),
            number: Cell::new(0),
            since: Cell::new(Instant::now()),
            left: Cell::new(0),
            everywhere: Notify::new(),
            latency: RefCell::new(histogram()),
        }
    }
}

async fn speak(
    carrier: &Carrier<'_>,
    senders: &mut [Sender<'_>],
    round: &Round,
    bytes: usize,
    window: Duration,
) -> Result<Histogram<u64>, String> {
    round.latency.replace(histogram());
    let end = Instant::now() + window;
    let (mut speaker, all) = (0, senders.len());
    while Instant::now() < end {
        let message = json(bytes, &mut carrier.noise.borrow_mut());
        round.message.replace(message.clone());
        round.number.set(round.number.get() + 1);
        round.left.set(all);
        round.since.set(Instant::now());
        senders[speaker].send(wire::BINARY, &message).await?;
        round.everywhere.notified().await;
        speaker = (speaker + 1) % all;
    }
    Ok(round.latency.replace(histogram()))
}

async fn listen(receiver: &mut Receiver<'_>, round: &Round) -> Result<Infallible, String> {
    let mut heard = 0;
    loop {
        let found = {
            let message = round.message.borrow();
            let due = (heard < round.number.get()).then_some(Expected::Bytes(&message));
            receiver.next(due)?
        };
        match found {
            Some(Found::Message) => {
                heard += 1;
                note(&mut round.latency.borrow_mut(), round.since.get().elapsed());
                round.left.set(round.left.get() - 1);
                if round.left.get() == 0 {
                    round.everywhere.notify_one();
                }
            }
            // The visit is over before an answer is missed.
            Some(Found::Ping(_)) => {}
            Some(found) => return Err(format!("{found:?} where a message was due")),
            None => receiver.wait().await?,
        }
    }
}
