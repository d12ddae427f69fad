//! What a shard of the hub wants done: the only way out of it.

use std::time::Instant;

use taiwa_core::{Answer, Command, Event, Messages, Question, Refusal, Token};

use crate::{far::Wish, letter::Letter, order::Done, slab::Key};

/// Where a session sits on its shard. Whoever drives the shard keeps the conversation and the lines that belong to it.
pub type Seat = Key;

/// Ties an answer that comes later to its question.
pub type Ticket = Key;

/// One message that was encoded for all, until [`Outlet::fan_out_ended`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Encoded(pub u32);

/// Ties [`Done`] to an [`Order`](crate::order::Order); whoever orders chooses it.
pub type OrderId = u64;

/// Does what a shard wants done. Nothing here calls the shard again: what comes of it is told in a later call.
pub trait Outlet {
    /// Tells a conversation something. Everything for one seat reaches its client in the order of these calls and those
    /// of [`Outlet::deliver`].
    fn event(&mut self, seat: Seat, event: Event);
    /// Takes a message that several are to get.
    fn encoded(&mut self, messages: Messages) -> Encoded;
    /// Sends such a message to the line in use of a seat.
    fn deliver(&mut self, seat: Seat, encoded: Encoded);
    /// Says that the messages encoded so far are not delivered any more.
    fn fan_out_ended(&mut self);
    /// Returns how many bytes wait for the client of a seat to read.
    fn queued(&self, seat: Seat) -> usize;
    /// Tells whether what is said to a seat now is on its way at the end of this turn: it has a line in use, and nothing that
    /// was said before waits for its client to read. Who has not goes without what is
    /// [volatile](taiwa_core::Publication::volatile).
    fn takes_at_once(&self, seat: Seat) -> bool {
        self.queued(seat) == 0
    }
    /// Asks for a call of [`Shard::drained`](crate::Shard::drained) once less than half of `below` waits for the client.
    fn tell_drained(&mut self, seat: Seat, below: usize);
    /// Reads no more from the line in use of a seat until then: its client has said more than others can take in.
    fn hold(&mut self, seat: Seat, until: Instant);
    /// Sends a letter to another shard. Letters from one shard to another arrive in order.
    fn post(&mut self, shard: u16, letter: Letter);
    /// Asks the app. What it does not answer at once comes by [`Shard::answered`](crate::Shard::answered) with the ticket.
    fn ask(&mut self, ticket: Ticket, question: Question) -> Option<Result<Answer, Refusal>>;
    /// Answers an order.
    fn done(&mut self, order: OrderId, result: Result<Done, Refusal>);
    /// Gives the session of `taken`, whose own conversation ends if it still has one, to the conversation of `fresh`, whose
    /// seat is no more.
    fn reseat(&mut self, fresh: Seat, taken: Seat);
    /// Takes a conversation that was not let in yet to another shard, where it asks again. Its seat here is no more.
    fn migrate(&mut self, seat: Seat, shard: u16, token: Token, command: Command);
    /// Asks or tells what all nodes have in common. With a ticket, its answer comes by
    /// [`Shard::found`](crate::Shard::found). Called for shards [of a cluster](crate::Shard::in_cluster) alone.
    fn far(&mut self, ticket: Option<Ticket>, wish: Wish) {
        let _ = (ticket, wish);
    }
    /// Returns random bits that nobody can guess.
    fn random(&mut self) -> u128;
}

/// A client that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The dialect that it speaks.
    pub dialect: &'static str,
    /// Its address.
    pub address: Option<std::net::IpAddr>,
}
