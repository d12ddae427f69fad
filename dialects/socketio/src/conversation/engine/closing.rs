//! How a client leaves, or is sent away: behind its last words.

use std::{
    mem,
    time::{Duration, Instant},
};

use taiwa_core::{Action, Actions, Exchange, Line, Request};

use super::{Engine, NORMAL, State, text};
use crate::{
    http,
    wire::{Fault, Frame},
};

/// So long after a client's farewell its last poll may come, which it sent at the same time on another connection.
const LAST_POLL_WITHIN: Duration = Duration::from_secs(1);

/// So long the last words to a client wait for its next polls.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// A connection that ends when its lines are gone and its last poll was answered.
#[derive(Default)]
pub(super) struct Closing {
    pub(super) lines: Vec<Line>,
    pub(super) last: Option<Last>,
}

/// A poll that is to come.
pub(super) struct Last {
    /// Nobody waits longer for it.
    pub(super) until: Instant,
    packet: &'static str,
    /// Something was said that waits for a poll of its own before: clients that read both at once take the end first.
    has_words: bool,
}

impl Last {
    /// Waits for a poll that was sent together with a farewell.
    pub(super) fn poll(now: Instant) -> Self {
        Self { until: now + LAST_POLL_WITHIN, packet: "6", has_words: false }
    }
}

impl Engine {
    /// Ends because the client broke a rule.
    pub(in super::super) fn fault(&mut self, fault: Fault, out: &mut Actions) {
        self.leave("1", None, (1002, fault.0), out);
    }

    /// Ends in such a way that the session can be taken up again.
    pub(in super::super) fn close(&mut self, code: u16, reason: &str, out: &mut Actions) {
        self.leave("1", None, (code, reason), out);
    }

    /// Ends with the session, behind its last words, if there are any.
    pub(in super::super) fn end(
        &mut self,
        (code, reason): (u16, &str),
        has_words: bool,
        now: Instant,
        out: &mut Actions,
    ) {
        let until = now + FAREWELL_WITHIN;
        match mem::replace(&mut self.state, State::Ended) {
            State::Polling { poll, probe } if poll.is_none() || has_words => {
                out.extend(probe.as_ref().map(|it| Action::Close(it.line, code, reason.into())));
                // A poll that waits is answered by these words.
                let has_words = has_words && poll.is_none();
                let last = Some(Last { until, packet: "1", has_words });
                let lines = poll.into_iter().chain(probe.map(|it| it.line)).collect();
                self.state = State::Closing(Closing { lines, last });
            }
            state => {
                if let State::Polling { poll: Some(poll), .. } = state {
                    out.push(Action::Send(poll, text("1")));
                }
                out.push(Action::End(code, reason.into()));
            }
        }
    }

    /// Closes all lines, a poll with this packet, and ends when they are gone, and no other poll is to come.
    pub(super) fn leave(
        &mut self,
        packet: &'static str,
        last: Option<Last>,
        (code, reason): (u16, &str),
        out: &mut Actions,
    ) {
        let mut lines = vec![];
        match mem::replace(&mut self.state, State::Ended) {
            State::Polling { poll, probe } => {
                out.extend(poll.map(|it| Action::Send(it, text(packet))));
                lines.extend(poll);
                lines.extend(probe.map(|it| it.line));
            }
            State::WebSocket(line) => lines.push(line),
            State::Closing(before) => lines = before.lines,
            State::Opening | State::Ended => {}
        }
        out.extend(lines.iter().map(|it| Action::Close(*it, code, reason.into())));
        self.state = State::Closing(Closing { lines, last });
        self.end_if_alone(out);
    }

    pub(super) fn end_if_alone(&mut self, out: &mut Actions) {
        if let State::Closing(Closing { lines, last: None }) = &self.state
            && lines.is_empty()
        {
            self.state = State::Ended;
            out.push(Action::End(NORMAL, "".into()));
        }
    }

    /// Takes a request of a client that leaves or is sent away.
    pub(super) fn last_request(
        &mut self,
        exchange: Exchange,
        request: &Request,
        out: &mut Actions,
    ) {
        let State::Closing(Closing { lines, last }) = &mut self.state else { return };
        match (&*request.method, last.as_mut()) {
            ("GET", Some(it)) => {
                lines.push(exchange.line());
                let packet = (!mem::take(&mut it.has_words)).then_some(it.packet);
                *last = last.take().filter(|_| packet.is_none());
                self.wait(exchange, vec![], out);
                out.extend(packet.map(|it| Action::Send(exchange.line(), text(it))));
            }
            // What it says does not count any more, but that it leaves.
            ("POST", Some(it)) if it.packet == "1" => {
                out.push(Action::Respond(exchange, http::taken()));
                let frames = self.revision.payload(&request.body, false, self.settings.packets_max);
                if frames.is_ok_and(|it| it.contains(&Frame::Close)) {
                    *last = None;
                    self.end_if_alone(out);
                }
            }
            _ => out.push(Action::Respond(exchange, http::gone())),
        }
    }
}
