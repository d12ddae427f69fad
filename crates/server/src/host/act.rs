//! What conversations want done; how they begin and end.

use taiwa::CloseCode;
use taiwa_core::{Action, Command, Event, Input, Line, SessionId, Token};
use taiwa_hub::Arrival;

use super::{
    Host,
    note::{Guest, Moved},
    stage::{Pending, Stage},
    talk::{self, Carrier, Talk, TalkKey},
    threshold::send_away,
    visit::Visit,
};
use crate::shard::{Key as LineKey, Lines};

impl Host {
    /// Takes in a client that came by WebSocket.
    pub(super) fn seat_guest(&mut self, line: LineKey, guest: Guest, lines: &mut Lines) {
        match guest {
            Guest::New { conversation, dialect, version, peer, place, certificate, path, span } => {
                // What is asked at once is asked because of the handshake.
                let _because = span.enter();
                let visit = Visit::new((version, &peer), (place, certificate), &path, lines.now());
                let talk = Talk::new(conversation, dialect, Some(line), visit);
                let Some(key) = self.add_talk(line, Line::default(), talk, lines) else { return };
                self.stage.tally.opened += 1;
                if self.take_seat(key, lines).is_some() {
                    self.hear(key, Input::Joined(Line::default()), lines);
                }
            }
            Guest::Awaited(place) => self.seat_awaited(line, place, lines),
            Guest::Away(away) => send_away(line, *away, lines),
            Guest::Known(key, dialect) => {
                if !self.follow(line, (key, dialect), lines) {
                    self.add_socket(line, Some(key), dialect, lines);
                }
            }
            Guest::PassedOn(old, dialect) => {
                let key = self.stage.arrived.get(&old).copied();
                self.add_socket(line, key, dialect, lines);
            }
            Guest::Moved(moved) => {
                let Moved { mut talk, questions, line: number, from } = *moved;
                if let Some(carrier) = talk.lines.get_mut(number) {
                    *carrier = Carrier::Socket(line);
                }
                if from.is_some() {
                    talk.aside().came_from = from;
                }
                let key = self.add_talk(line, number, talk, lines);
                match (from, key) {
                    (Some(from), Some(key)) => drop(self.stage.arrived.insert(from, key)),
                    (Some(from), None) => self.stage.forget_old(from),
                    (None, _) => {}
                }
                let Some(key) = key else { return };
                if self.take_seat(key, lines).is_some() {
                    for (token, command) in questions {
                        self.ask(key, token, command, lines);
                    }
                    self.stage.look_at(key);
                }
            }
        }
        self.settle(lines);
    }

    fn add_talk(
        &mut self,
        socket: LineKey,
        line: Line,
        talk: Talk,
        lines: &mut Lines,
    ) -> Option<TalkKey> {
        let Ok(key) = self.stage.talks.insert(talk) else {
            let _ = lines.close(socket, CloseCode::TRY_AGAIN_LATER, "");
            return None;
        };
        self.stage.remember_socket(socket, key, line);
        if let Some(leaving) = &mut self.leaving {
            leaving.one_more(lines.now());
        }
        Some(key)
    }

    /// Gives a conversation one more line.
    fn add_socket(
        &mut self,
        socket: LineKey,
        key: Option<TalkKey>,
        dialect: &'static str,
        lines: &mut Lines,
    ) {
        let talk = key.and_then(|key| Some((key, self.stage.talks.get_mut(key)?)));
        let Some((key, talk)) = talk.filter(|(_, it)| it.dialect == dialect) else {
            let _ = lines.close(socket, CloseCode::POLICY_VIOLATION, "no such conversation");
            return;
        };
        let aside = talk.aside();
        let line = Line(aside.lines_so_far);
        aside.lines_so_far += 1;
        talk.lines.insert(line, Carrier::Socket(socket));
        self.stage.remember_socket(socket, key, line);
        self.hear(key, Input::Joined(line), lines);
    }

    /// Gives a conversation its session, if there is room for one.
    pub(super) fn take_seat(&mut self, key: TalkKey, lines: &mut Lines) -> Option<SessionId> {
        let talk = self.stage.talks.get(key)?;
        let arrival = Arrival { dialect: talk.dialect, address: talk.visit.ip() };
        match self.hub(lines, |hub, _, way| hub.enter(arrival, way)) {
            Ok((seat, session)) => {
                self.stage.seat(seat, key);
                Some(session)
            }
            Err(why) => {
                if let Some(talk) = self.stage.talks.get_mut(key) {
                    talk.pending += 1;
                    self.stage.queue.push_back(Pending::Event(key, Event::Disconnect(why)));
                }
                None
            }
        }
    }

    pub(super) fn act(&mut self, key: TalkKey, action: Action, lines: &mut Lines) {
        match action {
            Action::Open(line) => self.open(key, line, lines),
            Action::Send(line, message) => self.stage.send(key, line, message, lines),
            Action::Say(message) => self.stage.send_shared(key, message, lines),
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

    pub(super) fn ask(
        &mut self,
        key: TalkKey,
        token: Token,
        mut command: Command,
        lines: &mut Lines,
    ) {
        if let Command::Connect(_, connect) = &mut command {
            connect.certificate = self.stage.talks.get(key).and_then(|it| it.visit.certificate());
        }
        if let Some(seat) = self.stage.talks.get(key).and_then(|it| it.seat) {
            self.hub(lines, |hub, now, way| hub.command(seat, token, command, now, way));
        } else if let Some(it) = self.stage.migrants.iter_mut().find(|it| it.key == key) {
            // It has no seat here any more, and asks where it goes to.
            it.questions.push((token, command));
        }
    }

    /// Lets a conversation that can't go to another shard connect as a new one.
    pub(super) fn begin_anew(
        &mut self,
        key: TalkKey,
        questions: Vec<(Token, Command)>,
        lines: &mut Lines,
    ) {
        let Some(session) = self.take_seat(key, lines) else { return };
        for (token, mut command) in questions {
            if let Command::Connect(_, connect) = &mut command
                && let Some(resume) = &mut connect.resume
            {
                // Nobody takes up his own session: so it is told that it begins anew.
                resume.key.session = session;
            }
            self.ask(key, token, command, lines);
        }
    }

    /// Ends one line behind what was sent on it.
    fn close_line(&mut self, key: TalkKey, line: Line, code: u16, reason: &str, lines: &mut Lines) {
        let Some(talk) = self.stage.talks.get_mut(key) else { return };
        match talk.lines.get(line) {
            Some(Carrier::Socket(socket)) => close(*socket, code, reason, lines),
            Some(_) => {
                match talk.lines.remove(line) {
                    // Behind all that was sent on it: who has gone does not get it.
                    Some(Carrier::Poll(poll)) => drop(poll.finish()),
                    Some(Carrier::Threshold(threshold)) => {
                        threshold.turn_away(code, reason, &self.parting, lines)
                    }
                    _ => {}
                }
                self.stage.queue.push_back(Pending::Left(key, line));
            }
            None => {}
        }
    }

    /// Ends a conversation with its session and its lines.
    pub(super) fn end(&mut self, key: TalkKey, code: u16, reason: &str, lines: &mut Lines) {
        let Some(talk) = self.stage.remove(key) else { return };
        let number = self.stage.number(key);
        let user = talk.seat.and_then(|it| self.hub.user(it)).cloned();
        let had_line = !talk.lines.is_empty();
        let text = if reason.is_empty() { code.to_string() } else { format!("{code} {reason:?}") };
        talk.visit.end(
            number,
            talk.dialect,
            user.as_ref().map(|it| it.as_str()),
            talk.aside.as_ref().and_then(|it| it.closed.as_ref()),
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
                Carrier::Threshold(threshold) => {
                    threshold.turn_away(code, reason, &self.parting, lines)
                }
                // Its body ends with it.
                Carrier::Stream(_) => {}
                Carrier::Poll(poll) => drop(poll.finish()),
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
        self.hear(key, Input::Left(line), lines);
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
        self.pour(key, lines);
    }
}

/// Closes a WebSocket; a code that may not be sent is 1011.
pub(super) fn close(socket: LineKey, code: u16, reason: &str, lines: &mut Lines) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let code = CloseCode::new(code);
    if lines.close(socket, code, &reason[..end]).is_err() && lines.is_open(socket) {
        let _ = lines.close(socket, CloseCode::INTERNAL_ERROR, "");
    }
}
