//! One client of the house: its conversation, its lines, and what was said on each.

use std::{collections::BTreeMap, mem};

use bytes::Bytes;
use taiwa_core::{Conversation, Line, Message, Polled, Response};
use taiwa_hub::Seat;

use super::End;

/// One client.
pub(super) struct Person {
    pub(super) seat: Option<Seat>,
    pub(super) conversation: Option<Box<dyn Conversation>>,
    /// By which later requests find it.
    pub(super) address: String,
    pub(super) lines: BTreeMap<Line, Way>,
    /// Where what is encoded for all goes, and what waits while that is nowhere.
    flow: Option<Line>,
    waiting: Vec<Message>,
}

/// One transport of a client, or one of its requests.
pub(super) struct Way {
    pub(super) state: State,
    pub(super) heard: Vec<Message>,
    pub(super) status: Option<u16>,
    pub(super) end: Option<End>,
}

pub(super) enum State {
    Unanswered,
    Open,
    /// Answered at the end of the turn in which something was said on it.
    Poll {
        head: Bytes,
        write: fn(&[Message]) -> Polled,
        said: Vec<Message>,
    },
    Gone,
}

impl Way {
    pub(super) fn new(state: State) -> Self {
        Self { state, heard: vec![], status: None, end: None }
    }

    /// Answers a poll on which something was said; tells whether it was one.
    fn finish(&mut self) -> bool {
        let State::Poll { head, write, said } = &self.state else { return false };
        if said.is_empty() {
            return false;
        }
        let body = [&head[..], &write(said).body].concat();
        self.heard.push(Message::Text(body.into()));
        self.state = State::Gone;
        true
    }
}

impl Person {
    pub(super) fn new(address: String, conversation: Option<Box<dyn Conversation>>) -> Self {
        let flow = Some(Line::default());
        Self { seat: None, conversation, address, lines: BTreeMap::new(), flow, waiting: vec![] }
    }

    /// Tells whether a line is there on which something can be said.
    pub(super) fn has_line(&self) -> bool {
        self.lines.values().any(|it| matches!(it.state, State::Open | State::Poll { .. }))
    }

    pub(super) fn hear(&mut self, line: Line, message: Message) {
        let Some(way) = self.lines.get_mut(&line) else { return };
        match &mut way.state {
            State::Unanswered => panic!("nothing is said before the answer: {message:?}"),
            State::Open => way.heard.push(message),
            State::Poll { said, .. } => said.push(message),
            State::Gone => {}
        }
    }

    /// Takes what is encoded for all.
    pub(super) fn hear_with_all(&mut self, message: Message) {
        match self.flow {
            Some(line) => self.hear(line, message),
            None => self.waiting.push(message),
        }
    }

    pub(super) fn flow(&mut self, line: Option<Line>) {
        self.flow = line;
        if let Some(line) = line {
            mem::take(&mut self.waiting).into_iter().for_each(|it| self.hear(line, it));
        }
    }

    pub(super) fn respond(&mut self, line: Line, response: Response) {
        let way = self.lines.get_mut(&line).expect("there is such a request");
        assert!(matches!(way.state, State::Unanswered), "a request is answered once");
        let status = match response {
            Response::Whole { status, body, .. } => {
                way.heard.push(Message::Text(body));
                way.state = State::Gone;
                status
            }
            Response::Stream { .. } => {
                way.state = State::Open;
                200
            }
            Response::Poll { head, write, .. } => {
                way.state = State::Poll { head, write, said: vec![] };
                200
            }
            other => panic!("{other:?} is not known here"),
        };
        way.status = Some(status);
    }

    /// Ends a line; what waits on a poll is its answer. Tells whether it was there.
    pub(super) fn close(&mut self, line: Line, end: End) -> bool {
        let Some(way) = self.lines.get_mut(&line) else { return false };
        if matches!(way.state, State::Gone | State::Unanswered) {
            return false;
        }
        way.finish();
        way.state = State::Gone;
        way.end = Some(end);
        self.unflow(line);
        true
    }

    /// Answers polls; returns one that was and has ended so.
    pub(super) fn finish_poll(&mut self) -> Option<Line> {
        let line = self.lines.iter_mut().find_map(|(line, way)| way.finish().then_some(*line))?;
        self.unflow(line);
        Some(line)
    }

    pub(super) fn unflow(&mut self, line: Line) {
        if self.flow == Some(line) {
            self.flow = None;
        }
    }
}
