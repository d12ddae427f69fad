//! Long polls: when they are answered, and when nobody polls any more.

use std::time::{Duration, Instant};

use taiwa_core::{Action, Actions, Exchange, Line, Message, Request, Response};

use super::words::Ending;
use crate::{
    http,
    wire::{
        Fault,
        poll::{self, Verdict},
    },
};

/// The requests of one client.
pub(super) struct Polls {
    /// What the client knows this conversation by.
    token: Box<str>,
    /// The request that began it, until it is answered.
    opening: Option<Exchange>,
    /// The poll that waits, and until when.
    waits: Option<(Line, Instant)>,
    /// When the last one ended.
    since: Instant,
}

impl Polls {
    pub(super) fn new(address: &str, now: Instant) -> Self {
        Self { token: http::session_token(address).into(), opening: None, waits: None, since: now }
    }

    pub(super) fn opened_by(&mut self, exchange: Exchange) {
        self.opening = Some(exchange);
    }

    /// Tells the client that it is in, by which name.
    pub(super) fn let_in(&mut self, now: Instant, out: &mut Actions) {
        self.since = now;
        if let Some(exchange) = self.opening.take() {
            let response = http::whole(poll::opened(&self.token));
            out.push(Action::Respond(exchange, response));
        }
    }

    /// Says no to a client that is not in.
    pub(super) fn keep_out(&mut self, is_temporary: bool, out: &mut Actions) {
        if let Some(exchange) = self.opening.take() {
            let verdict = if is_temporary { Verdict::Failed } else { Verdict::Forbidden };
            out.push(Action::Respond(exchange, http::whole(poll::status(verdict as u16))));
        }
    }

    /// Takes a poll; one that waits already is answered with nothing.
    pub(super) fn wait(&mut self, exchange: Exchange, until: Instant, out: &mut Actions) {
        if let Some((line, _)) = self.waits.replace((exchange.line(), until)) {
            out.push(Action::Send(line, Verdict::Nothing.message()));
        }
        out.push(Action::Respond(exchange, http::waiting(&self.token)));
        out.push(Action::Flow(Some(exchange.line())));
    }

    /// Takes note that a poll is over.
    pub(super) fn left(&mut self, line: Line, now: Instant, out: &mut Actions) {
        if self.waits.is_some_and(|it| it.0 == line) {
            self.waits = None;
            self.since = now;
            out.push(Action::Flow(None));
        }
    }

    /// Tells by the poll that waits that everything is over.
    pub(super) fn end(&mut self, ending: &Ending, out: &mut Actions) {
        self.keep_out(ending.returns(), out);
        if let Some((line, _)) = self.waits.take() {
            let verdict = if ending.returns() { Verdict::Gone } else { Verdict::Forbidden };
            out.push(Action::Send(line, verdict.message()));
        }
    }

    /// Answers a poll that has waited long enough. Tells whether the client is gone.
    pub(super) fn timeout(&mut self, now: Instant, window: Duration, out: &mut Actions) -> bool {
        match self.waits {
            Some((line, until)) if until <= now => {
                out.push(Action::Send(line, Verdict::Nothing.message()));
                // Its end is told at the end of this turn.
                self.waits = Some((line, now + window));
                false
            }
            Some(_) => false,
            None => self.since + patience(window) <= now,
        }
    }

    pub(super) fn deadline(&self, window: Duration) -> Option<Instant> {
        Some(self.waits.map_or(self.since + patience(window), |it| it.1))
    }
}

/// How long nobody polls before the client is gone.
fn patience(window: Duration) -> Duration {
    window + window / 2
}

/// Reads what a request brings.
pub(super) fn brought(request: &Request) -> Result<Vec<Message>, Fault> {
    poll::messages(request.header("content-type").unwrap_or(""), &request.body)
}

/// Answers a request whose messages were taken.
pub(super) fn taken() -> Response {
    http::whole(poll::status(200))
}

/// Answers a request whose messages can't be read.
pub(super) fn failed() -> Response {
    http::whole(poll::status(Verdict::Failed as u16))
}
