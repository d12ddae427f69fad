//! What the hub wants done, and the app that it asks.

use std::{collections::VecDeque, time::Instant};

use taiwa_core::{
    Admission, Answer, Command, Disconnect, Event, Message, Messages, Question, Refusal,
    RefusalKind, Token,
};
use taiwa_hub::{Done, Encoded, Letter, OrderId, Outlet, Seat, Ticket};

use super::{BANNED, ECHO, TOKEN};

/// What the shard wants done.
#[derive(Default)]
pub(super) struct Street {
    pub(super) told: VecDeque<(Seat, Told)>,
    encoded: Vec<Messages>,
    pub(super) orders: Vec<(OrderId, Result<Done, Refusal>)>,
    /// Whose clients do not read.
    pub(super) stalled: Vec<Seat>,
    drawn: u128,
}

pub(super) enum Told {
    Event(Event),
    Message(Message),
    /// The session of this seat goes to the conversation of that one.
    Reseat(Seat),
}

fn banned() -> Answer {
    let reason = "banned for good".into();
    Answer::Disconnect(Disconnect::App { code: 4007, reason, may_return: false })
}

impl Outlet for Street {
    fn event(&mut self, seat: Seat, event: Event) {
        self.told.push_back((seat, Told::Event(event)));
    }

    fn encoded(&mut self, messages: Messages) -> Encoded {
        self.encoded.push(messages);
        Encoded(self.encoded.len() as u32 - 1)
    }

    fn deliver(&mut self, seat: Seat, encoded: Encoded) {
        for message in self.encoded[encoded.0 as usize].as_slice() {
            self.told.push_back((seat, Told::Message(message.clone())));
        }
    }

    fn fan_out_ended(&mut self) {
        self.encoded.clear();
    }

    fn queued(&self, seat: Seat) -> usize {
        if self.stalled.contains(&seat) { usize::MAX / 2 } else { 0 }
    }

    fn tell_drained(&mut self, _: Seat, _: usize) {}

    // Without sockets nobody is behind with reading.
    fn hold(&mut self, _: Seat, _: Instant) {}

    fn post(&mut self, shard: u16, _: Letter) {
        panic!("there is no shard {shard}");
    }

    /// The app: it knows its own tokens and lets those without one stay anonymous.
    fn ask(&mut self, _: Ticket, question: Question) -> Option<Result<Answer, Refusal>> {
        Some(match question {
            Question::Connect { connect, .. } => match connect.token.as_deref() {
                None => Ok(Answer::Admission(Box::default())),
                Some(token) => match token.strip_prefix(TOKEN) {
                    Some(user) => {
                        let user = Some(user.into());
                        Ok(Answer::Admission(Box::new(Admission { user, ..Admission::default() })))
                    }
                    None if token == BANNED => Ok(banned()),
                    None => Err(Refusal::new(RefusalKind::Unauthorized, "not one of our tokens")),
                },
            },
            Question::Call { method, .. } if *method == *BANNED => Ok(banned()),
            Question::Call { method, payload, .. } if *method == *ECHO => {
                Ok(Answer::Payload(payload))
            }
            Question::Call { .. } => Err(Refusal::new(RefusalKind::NotFound, "no such method")),
            _ => Ok(Answer::Noted),
        })
    }

    fn done(&mut self, order: OrderId, result: Result<Done, Refusal>) {
        self.orders.push((order, result));
    }

    fn reseat(&mut self, fresh: Seat, taken: Seat) {
        self.told.push_back((fresh, Told::Reseat(taken)));
    }

    fn migrate(&mut self, _: Seat, _: u16, _: Token, _: Command) {
        panic!("there is one shard");
    }

    /// The same in each run, as far apart as random ones.
    fn random(&mut self) -> u128 {
        self.drawn = self
            .drawn
            .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
            .wrapping_add(0x5851_f42d_4c95_7f2d);
        self.drawn
    }
}
