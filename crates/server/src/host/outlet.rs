//! [`Way`]: how what the hub says gets to conversations, lines, other shards and the app.

use std::time::Instant;

use taiwa_core::{Answer, Asked, Command, Event, Messages, Question, Refusal, Token};
use taiwa_hub::{Done, Encoded, Letter, OrderId, Outlet, Seat, Ticket, far::Wish};
use tracing::{Instrument, Span};

use super::{
    moved::Migrant,
    note::Note,
    stage::{Pending, Stage, Written},
    talk::Carrier,
};
use crate::{shard::Lines, trace};

/// The hub's outlet for one call.
pub(super) struct Way<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) lines: &'a mut Lines,
}

impl Outlet for Way<'_> {
    fn event(&mut self, seat: Seat, event: Event) {
        let Some(key) = self.stage.talk_at(seat) else { return };
        if let Some(talk) = self.stage.talks.get_mut(key) {
            talk.pending += 1;
            self.stage.queue.push_back(Pending::Event(key, event));
        }
    }

    fn encoded(&mut self, messages: Messages) -> Encoded {
        let first = self.stage.encoded.len() as u32;
        let all = messages.as_slice();
        let written = all.iter().zip(1..).map(|(it, i)| Written::new(it.clone(), i < all.len()));
        self.stage.encoded.extend(written);
        Encoded(first)
    }

    fn deliver(&mut self, seat: Seat, encoded: Encoded) {
        if let Some(key) = self.stage.talk_at(seat) {
            self.stage.deliver(key, encoded.0 as usize, self.lines);
        }
    }

    fn fan_out_ended(&mut self) {
        self.stage.encoded.clear();
    }

    fn queued(&self, seat: Seat) -> usize {
        self.stage.talk_at(seat).map_or(0, |it| self.stage.queued(it, self.lines))
    }

    fn takes_at_once(&self, seat: Seat) -> bool {
        self.stage.talk_at(seat).is_some_and(|it| self.stage.takes_at_once(it, self.lines))
    }

    fn tell_drained(&mut self, seat: Seat, below: usize) {
        if let Some(key) = self.stage.talk_at(seat) {
            self.stage.tell_drained(key, below, self.lines);
        }
    }

    fn hold(&mut self, seat: Seat, until: Instant) {
        let Some(key) = self.stage.talk_at(seat) else { return };
        let Some(talk) = self.stage.talks.get(key) else { return };
        // Over HTTP each request waits for its answer anyway.
        let sockets = talk.lines.iter().filter_map(|(_, it)| match it {
            Carrier::Socket(socket) => Some(*socket),
            _ => None,
        });
        for socket in sockets.collect::<Vec<_>>() {
            self.stage.hold_until(until, socket, self.lines);
        }
    }

    fn post(&mut self, shard: u16, letter: Letter) {
        if let Some(post) = self.stage.posts.get(usize::from(shard)) {
            post.send(Note::Hub(letter));
        }
    }

    fn ask(&mut self, ticket: Ticket, question: Question) -> Option<Result<Answer, Refusal>> {
        let span = trace::decision(&question);
        match span.in_scope(|| self.stage.shared.app.ask(question)) {
            Asked::Now(answer) => {
                trace::decided(&span, &answer);
                Some(answer)
            }
            Asked::Later(later) => {
                let post = self.stage.posts[self.stage.index].clone();
                // The hub has a deadline of its own: this only frees what the app holds meanwhile.
                let within = self.stage.shared.settings.app_deadline;
                let asking = async move {
                    if let Ok(answer) = tokio::time::timeout(within, later).await {
                        trace::decided(&Span::current(), &answer);
                        post.send(Note::Answered(ticket, Box::new(answer)));
                    }
                };
                self.stage.shared.runtime.spawn(asking.instrument(span));
                None
            }
        }
    }

    fn done(&mut self, order: OrderId, result: Result<Done, Refusal>) {
        self.stage.order_done(order, result);
    }

    fn reseat(&mut self, fresh: Seat, taken: Seat) {
        let Some(key) = self.stage.talk_at(fresh) else { return };
        self.stage.unseat(fresh);
        if let Some(old) = self.stage.talk_at(taken)
            && let Some(talk) = self.stage.talks.get_mut(old)
        {
            // Its session is another's now: it ends without taking the session along.
            talk.seat = None;
            talk.pending += 1;
            let replaced = Event::Disconnect(taiwa_core::Disconnect::Replaced);
            self.stage.queue.push_back(Pending::Event(old, replaced));
        }
        self.stage.seat(taken, key);
    }

    fn migrate(&mut self, seat: Seat, shard: u16, token: Token, command: Command) {
        let Some(key) = self.stage.talk_at(seat) else { return };
        self.stage.unseat(seat);
        let Some(talk) = self.stage.talks.get_mut(key) else { return };
        talk.seat = None;
        let socket = talk.socket();
        if let Some((_, socket)) = socket {
            // What the client sends meanwhile waits, and goes along at the end of the turn.
            self.stage.hold(socket, self.lines);
        }
        let questions = vec![(token, command)];
        self.stage.migrants.push(Migrant { key, socket, shard, questions });
    }

    fn far(&mut self, ticket: Option<Ticket>, wish: Wish) {
        let index = self.stage.index;
        if let Some(membership) = &self.stage.shared.membership {
            membership.fulfil(index, ticket, wish, &self.stage.posts[index]);
        }
    }

    fn random(&mut self) -> u128 {
        crate::random::bits()
    }
}
