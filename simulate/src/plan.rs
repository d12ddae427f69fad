//! What a seed decides before anything happens.

use std::{sync::Arc, time::Duration};

use taiwa_proto::{
    Config, Deadlines, Keepalive, Limits, Message,
    deflate::{Deflate, Params},
};

use crate::{Dice, Network};

/// Something that one end wants to do.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Send a message as soon as there is room.
    Send(Message),
    /// Send a Ping.
    Ping(Vec<u8>),
    /// Begin the closing handshake.
    Close(u16, &'static str),
    /// Read nothing for so long, and say so.
    Pause(Duration),
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// Both ends are told soon, and bytes under way may be lost.
    Reset(Duration),
    /// Nothing passes any more, and nobody is told.
    Silence(Duration),
    /// One end stands still, with its socket open. 0 is the client, 1 the server.
    Hang(usize, Duration),
    /// One end shuts its write side down without a Close frame, and stands still.
    HalfClose(usize, Duration),
}

/// A run, client first, server second.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all further chance comes from.
    pub seed: u64,
    /// The same for both ends.
    pub config: Arc<Config>,
    /// What the opening handshake agreed on.
    pub deflate: Option<Params>,
    /// Both directions.
    pub network: Network,
    /// What either end does, in this order; before each it waits for so long.
    pub wishes: [Vec<(Duration, Wish)>; 2],
    /// What goes wrong.
    pub disaster: Option<Disaster>,
}

impl Plan {
    /// Decides on everything by `seed`; nothing goes wrong, and one end or both close.
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let read_len_max = dice.pick(&[1, 3, 64, 4096, 64 << 10]);
        let bytes_max = dice.pick(&[64, 5000, 256 << 10]);
        let network = Network {
            read_len_max,
            write_len_max: dice.pick(&[1, 20, 64 << 10]),
            delay_max: Duration::from_micros(dice.pick(&[1, 1000, 200_000])),
            bytes_max,
        };
        // Long messages only where they don't make millions of reads.
        let is_fast = 4096 <= read_len_max.min(network.write_len_max).min(bytes_max);
        let len_max = if is_fast { 70_000 } else { 130 };
        let deflate = (!dice.one_in(5)).then(|| params(&mut dice));
        let config = Arc::new(config(&mut dice, network.delay_max));
        let mut wishes = [0, 1].map(|_| wishes(&mut dice, len_max));
        // At least one end closes.
        let who = dice.below(3);
        let closing = [(1000, "done"), (1001, ""), (4999, "再見"), (1005, "")];
        for (i, wishes) in wishes.iter_mut().enumerate() {
            if i == who || who == 2 {
                let (code, reason) = dice.pick(&closing);
                wishes.push((dice.time(Duration::from_secs(3)), Wish::Close(code, reason)));
            }
        }
        Self { seed, config, deflate, network, wishes, disaster: None }
    }

    /// Takes the endings out of what both ends want: they would talk for ever.
    pub fn never_closing(mut self) -> Self {
        for wishes in &mut self.wishes {
            wishes.retain(|it| !matches!(it.1, Wish::Close(..)));
        }
        self
    }

    /// Returns how long each end reads nothing, in all.
    pub fn pauses(&self) -> [Duration; 2] {
        self.wishes.each_ref().map(|wishes| {
            let pause = |it: &(Duration, Wish)| match it.1 {
                Wish::Pause(time) => time,
                _ => Duration::ZERO,
            };
            wishes.iter().map(pause).sum()
        })
    }
}

fn params(dice: &mut Dice) -> Params {
    Params {
        server_no_context_takeover: dice.one_in(2),
        client_no_context_takeover: dice.one_in(2),
        server_max_window_bits: 9 + dice.below(7) as u8,
        client_max_window_bits: 8 + dice.below(8) as u8,
    }
}

fn config(dice: &mut Dice, delay_max: Duration) -> Config {
    let keepalive = Keepalive {
        ping_after: Duration::from_secs(20),
        pong_within: Duration::from_secs(20) + delay_max,
    };
    Config {
        limits: Limits {
            outbox_bytes_max: dice.pick(&[1, 1000, 1 << 20]),
            pongs_max: dice.pick(&[1, 16]),
            ..Limits::default()
        },
        // Slow networks take their time for a whole message; that is not what is tested here.
        deadlines: Deadlines {
            message: Some(Duration::from_secs(10_000)),
            close: Some(Duration::from_secs(10_000)),
            ..Deadlines::default()
        },
        keepalive: Some(keepalive),
        deflate: Some(Deflate {
            message_bytes_min: dice.pick(&[0, 128]),
            level: dice.up_to(9) as u8,
            window_bits: 9 + dice.below(7) as u8,
            ..Deflate::default()
        }),
    }
}

fn wishes(dice: &mut Dice, len_max: usize) -> Vec<(Duration, Wish)> {
    let gap_max = Duration::from_millis(dice.pick(&[1, 100, 5000]));
    (0..dice.below(25))
        .map(|_| {
            let wish = match dice.below(12) {
                0 => Wish::Ping((0..dice.below(126)).map(|it| it as u8).collect()),
                1 => Wish::Pause(dice.time(Duration::from_secs(15))),
                _ => Wish::Send(message(dice, len_max)),
            };
            (dice.time(gap_max), wish)
        })
        .collect()
}

fn message(dice: &mut Dice, len_max: usize) -> Message {
    let len = match dice.below(4) {
        0 => dice.pick(&[0, 1, 125, 126, 127, 0xffff, 0x1_0000]).min(len_max),
        1 => dice.below(len_max),
        _ => dice.below(len_max.min(300)),
    };
    match dice.below(3) {
        0 => (0..len).map(|_| dice.roll() as u8).collect::<Vec<_>>().into(),
        1 => vec![dice.roll() as u8; len].into(),
        _ => "対話は taiwa 🦀 "
            .chars()
            .cycle()
            .skip(dice.below(9))
            .take(len / 3)
            .collect::<String>()
            .into(),
    }
}
