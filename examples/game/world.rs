//! The game itself: who plays, where they are, and how a tick is written. It knows nothing of connections.
//!
//! What goes over the wire, numbers from their smallest byte on:
//!
//! | what | bytes |
//! |---|---|
//! | an input of a player | `u32` its number, `i8` and `i8` where to: 127 is full speed |
//! | a tick | `u32` its number, `u16` and `u16` where the coin is; then of each player |
//! | … | `u16` its number, `u16` and `u16` where it is, `u16` its points, |
//! | … | `u32` its last input, `u16` how long that had waited, in tenths of a millisecond |

use std::{collections::BTreeMap, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};
use taiwa_core::{Admission, Client, Connect, Payload, Refusal, RefusalKind, SessionId, User};

const FIELD: (f32, f32) = (1000.0, 600.0);
const STEP: f32 = 15.0;
const REACH: f32 = 40.0;
const PLAYERS_MAX: usize = 50;

struct Player {
    number: u16,
    token: Box<str>,
    session: SessionId,
    at: (f32, f32),
    aim: (f32, f32),
    points: u16,
    input: u32,
    input_came: Instant,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) tick: u32,
    players: BTreeMap<Box<str>, Player>,
    coin: (f32, f32),
    newest: u16,
}

impl World {
    /// Lets a player in. Its token is its name and, behind a dot, a secret by which it takes its own place again.
    pub(crate) fn come(
        &mut self,
        client: &Client,
        connect: &Connect,
    ) -> Result<Admission, Refusal> {
        let no = |text| Refusal::new(RefusalKind::Forbidden, text);
        let token = connect.token.as_deref().unwrap_or_default();
        let (name, secret) = token.split_once('.').ok_or(no("no name"))?;
        let is_name = |it: &str| it.bytes().all(|it| it.is_ascii_alphanumeric());
        if !(1..=12).contains(&name.len()) || !is_name(name) || !(16..=64).contains(&secret.len()) {
            return Err(no("1 to 12 letters and digits"));
        }
        let is_full = self.players.len() >= PLAYERS_MAX;
        match self.players.get_mut(name) {
            Some(player) if *player.token == *token => player.session = client.session,
            Some(_) => return Err(no("somebody has this name")),
            None if is_full => return Err(no("too many players")),
            None => {
                self.newest = self.newest.wrapping_add(1);
                let player = Player {
                    number: self.newest,
                    token: token.into(),
                    session: client.session,
                    at: (FIELD.0 / 2.0, FIELD.1 / 2.0),
                    aim: (0.0, 0.0),
                    points: 0,
                    input: 0,
                    input_came: Instant::now(),
                };
                self.players.insert(name.into(), player);
            }
        }
        Ok(Admission { user: Some(User(name.into())), ..Admission::default() })
    }

    /// Takes out whoever played over a connection that is no more.
    pub(crate) fn go(&mut self, client: &Client) {
        self.players.retain(|_, it| it.session != client.session);
    }

    /// Takes an input; `None` if it is none.
    pub(crate) fn steer(&mut self, client: &Client, payload: &Payload) -> Option<()> {
        let Payload::Binary(bytes) = payload else { return None };
        let &[a, b, c, d, x, y] = bytes.as_ref() else { return None };
        let player = self.players.get_mut(client.user.as_ref()?.as_str())?;
        let speed = |byte: u8| f32::from(byte.cast_signed()) / 127.0;
        // Whatever a page sends, nobody is faster than the others.
        let length = speed(x).hypot(speed(y)).max(1.0);
        player.aim = (speed(x) / length, speed(y) / length);
        player.input = u32::from_le_bytes([a, b, c, d]);
        player.input_came = Instant::now();
        Some(())
    }

    /// Moves all by one tick, and writes it down.
    pub(crate) fn step(&mut self) -> Bytes {
        self.tick = self.tick.wrapping_add(1);
        let mut caught = self.tick == 1;
        for player in self.players.values_mut() {
            player.at.0 = (player.at.0 + player.aim.0 * STEP).clamp(0.0, FIELD.0);
            player.at.1 = (player.at.1 + player.aim.1 * STEP).clamp(0.0, FIELD.1);
            let distance = (player.at.0 - self.coin.0).hypot(player.at.1 - self.coin.1);
            if distance < REACH && !caught {
                caught = true;
                player.points = player.points.saturating_add(1);
            }
        }
        if caught {
            let somewhere =
                |prime: u32, max: f32| (self.tick.wrapping_mul(prime) % 1000) as f32 / 1000.0 * max;
            self.coin = (somewhere(7919, FIELD.0), somewhere(6101, FIELD.1));
        }
        let mut bytes = BytesMut::with_capacity(8 + 14 * self.players.len());
        let now = Instant::now();
        bytes.put_u32_le(self.tick);
        bytes.put_u16_le(self.coin.0 as u16);
        bytes.put_u16_le(self.coin.1 as u16);
        for player in self.players.values() {
            for it in [player.number, player.at.0 as u16, player.at.1 as u16, player.points] {
                bytes.put_u16_le(it);
            }
            let waited = now.duration_since(player.input_came).as_micros() / 100;
            bytes.put_u32_le(player.input);
            bytes.put_u16_le(u16::try_from(waited).unwrap_or(u16::MAX));
        }
        bytes.freeze()
    }

    /// Writes down who is who. Names need no escapes.
    pub(crate) fn names(&self) -> Bytes {
        let all: Vec<_> =
            self.players.iter().map(|(name, it)| format!("\"{}\":\"{name}\"", it.number)).collect();
        format!("{{{}}}", all.join(",")).into()
    }
}
