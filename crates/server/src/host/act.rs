//! What conversations want done; how they begin and end.

use taiwa::CloseCode;
use taiwa_core::{Action, Command, Event, Input, Line, Token};
use taiwa_hub::Arrival;

use super::{
    Host,
    note::{Guest, Whose},
    stage::{Pending, Stage},
    talk::{self, Carrier, Talk, TalkKey},
    visit::Visit,
};
use crate::shard::{Key as LineKey, Lines};

impl Host {
    /// Takes in a client that came by WebSocket.
    pub(super) fn seat_guest(&mut self, line: LineKey, guest: Guest, lines: &mut Lines) {
        let Guest { whose, dialect, peer, place, path, asks } = guest;
        let conversation = match whose {
            Whose::New(conversation) => conversation,
            Whose::Known(key) => return self.add_socket(line, key, lines),
        };
        let address = peer.ip();
        let talk = Talk {
            conversation,
            dialect,
            seat: None,
            lines: talk::Lines::One(Line(0), Carrier::Socket(line)),
            flow: Some(Line(0)),
            pending: 0,
            alarm: Default::default(),
            visit: Visit::new(peer, place, path, lines.now()),
            aside: None,
        };
        let Ok(key) = self.stage.talks.insert(talk) else {
            let _ = lines.close(line, CloseCode::TRY_AGAIN_LATER, "");
            return;
        };
        self.stage.remember_socket(line, key, Line(0));
        self.stage.tally.opened += 1;
        if !self.take_seat(key, dialect, address, lines) {
            return self.settle(lines);
        }
        match asks {
            None => self.receive(key, Input::Joined(Line(0)), lines),
            Some((token, command)) => {
                self.ask(key, token, command, lines);
                self.settle(lines);
            }
        }
    }

    /// Gives a conversation one more line.
    fn add_socket(&mut self, socket: LineKey, key: TalkKey, lines: &mut Lines) {
        let Some(talk) = self.stage.talks.get_mut(key) else {
            let _ = lines.close(socket, CloseCode::POLICY_VIOLATION, "no such conversation");
            return;
        };
        let aside = talk.aside();
        let line = Line(aside.lines_so_far);
        aside.lines_so_far += 1;
        talk.lines.insert(line, Carrier::Socket(socket));
        self.stage.remember_socket(socket, key, line);
        self.receive(key, Input::Joined(line), lines);
    }

    /// Gives a new conversation its session; false if there is no room for one.
    pub(super) fn take_seat(
        &mut self,
        key: TalkKey,
        dialect: &'static str,
        address: Option<std::net::IpAddr>,
        lines: &mut Lines,
    ) -> bool {
        let arrival = Arrival { dialect, address };
        match self.hub(lines, |hub, _, way| hub.enter(arrival, way)) {
            Ok((seat, _)) => {
                self.stage.seat(seat, key);
                true
            }
            Err(why) => {
                if let Some(talk) = self.stage.talks.get_mut(key) {
                    talk.pending += 1;
                    self.stage.queue.push_back(Pending::Event(key, Event::Disconnect(why)));
                }
                false
            }
        }
    }

    pub(super) fn act(&mut self, key: TalkKey, action: Action, lines: &mut Lines) {
        match action {
            Action::Send(line, message) => self.stage.send(key, line, message, lines),
            Action::Flow(line) => self.stage.flow(key, line, lines),
            Action::Respond(exchange, response) => self.respond(key, exchange, response, lines),
            Action::Ask(token, command) => self.ask(key, token, command, lines),
            Action::Answer(call, answer) => {
                if let Some(seat) = self.stage.talks.get(key).and_then(|it| it.seat) {
                    self.hub(lines, |hub, now, way| {
                        hub.answer_call(seat, call, answer, now, way);
                    });
                }
            }
            Action::Close(line, code, reason) => self.close_line(key, line, code, &reason, lines),
            Action::End(code, reason) => self.end(key, code, &reason, lines),
            // What core may add one day is not asked of this server.
            _ => {}
        }
    }

    fn ask(&mut self, key: TalkKey, token: Token, command: Command, lines: &mut Lines) {
        if let Some(seat) = self.stage.talks.get(key).and_then(|it| it.seat) {
            self.hub(lines, |hub, now, way| hub.command(seat, token, command, now, way));
        }
    }

    /// Ends one line behind what was sent on it.
    fn close_line(&mut self, key: TalkKey, line: Line, code: u16, reason: &str, lines: &mut Lines) {
        let Some(talk) = self.stage.talks.get_mut(key) else { return };
        match talk.lines.get(line) {
            Some(Carrier::Socket(socket)) => close(*socket, code, reason, lines),
            Some(_) => {
                if let Some(carrier) = talk.lines.remove(line) {
                    self.finish(carrier);
                }
            }
            None => {}
        }
    }

    /// Ends a conversation with its session and its lines.
    pub(super) fn end(&mut self, key: TalkKey, code: u16, reason: &str, lines: &mut Lines) {
        let Some(talk) = self.stage.talks.remove(key) else { return };
        let number = self.stage.number(key);
        let user = talk.seat.and_then(|it| self.hub.user(it)).cloned();
        let had_line = !talk.lines.is_empty();
        let text = if reason.is_empty() { code.to_string() } else { format!("{code} {reason:?}") };
        talk.visit.end(
            number,
            talk.dialect,
            user.as_ref().map(|it| it.as_str()),
            &text,
            lines.now(),
        );
        self.stage.tally.ended += 1;
        let all = match talk.lines {
            talk::Lines::None => vec![],
            talk::Lines::One(line, carrier) => vec![(line, carrier)],
            talk::Lines::More(all) => all,
        };
        for (_, carrier) in all {
            match carrier {
                Carrier::Socket(socket) => close(socket, code, reason, lines),
                carrier => self.finish(carrier),
            }
        }
        if let Some(seat) = talk.seat {
            self.stage.unseat(seat);
            self.hub(lines, |hub, now, way| {
                if had_line {
                    hub.depart(seat, None, now, way);
                } else {
                    hub.detach(seat, now, way);
                }
            });
        }
    }

    /// Tells a conversation that a line has ended.
    pub(super) fn line_left(&mut self, key: TalkKey, line: Line, lines: &mut Lines) {
        if let Some(talk) = self.stage.talks.get_mut(key)
            && talk.flow == Some(line)
        {
            talk.flow = None;
        }
        self.receive(key, Input::Left(line), lines);
    }
}

impl Stage {
    /// Returns the number under which a conversation is known outside: of its place, its shard and its age.
    pub(super) fn number(&self, key: TalkKey) -> u64 {
        key.bits() * self.posts.len() as u64 + self.index as u64
    }

    /// Sends what is encoded for all, and what waits for a line, to this one.
    fn flow(&mut self, key: TalkKey, line: Option<Line>, lines: &mut Lines) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        talk.flow = line;
        let (Some(line), Some(aside)) = (line, talk.aside.as_mut()) else { return };
        aside.waiting_bytes = 0;
        for message in std::mem::take(&mut aside.waiting) {
            self.send(key, line, message, lines);
        }
    }

    /// Lets a conversation that can't go to another shard connect without its earlier session.
    pub(super) fn begin_anew(&mut self, key: TalkKey, token: Token, command: Command) {
        let Command::Connect(_, _) = &command else { return };
        let Some(talk) = self.talks.get_mut(key) else { return };
        talk.seat = None;
        talk.pending += 1;
        let refusal = taiwa_core::Refusal::new(
            taiwa_core::RefusalKind::Unrecoverable,
            "the earlier session can't be taken up here",
        );
        self.queue.push_back(Pending::Event(key, Event::Reply(token, Err(refusal))));
    }
}

/// Closes a WebSocket; a code that may not be sent is 1011.
fn close(socket: LineKey, code: u16, reason: &str, lines: &mut Lines) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let code = CloseCode::new(code);
    if lines.close(socket, code, &reason[..end]).is_err() && lines.is_open(socket) {
        let _ = lines.close(socket, CloseCode::INTERNAL_ERROR, "");
    }
}
