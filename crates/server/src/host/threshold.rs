//! WebSockets whose opening handshake waits for their conversation: it is answered once that says so, or has ended.
//!
//! The conversation has its line from the beginning. What it says on it meanwhile waits here, and goes out with the socket.

use http::StatusCode;
use taiwa::RawConnection;
use taiwa_core::{Input, Line, Message};
use tokio::sync::oneshot;
use tracing::Span;

use super::{
    Host, Parting,
    act::close,
    exchange::BodyGone,
    note::Guest,
    stage::{Pending, as_ours},
    talk::{Carrier, Lines as TalkLines, Talk, TalkKey},
    visit::Visit,
};
use crate::{
    body, drain,
    shard::{Key as LineKey, Lines},
    trace,
};

/// A line that is not open yet, or whose socket is on its way.
pub(super) struct Threshold {
    /// Answers the handshake; taken when that was told.
    opener: Option<Opener>,
    pub(super) said: Vec<Message>,
    pub(super) bytes: usize,
}

/// Who answers an opening handshake.
pub(crate) enum Opener {
    /// The shard itself.
    Here(Box<Unanswered>),
    /// A task, which then brings the socket.
    There(oneshot::Sender<Crossing>),
}

/// A socket on which the response to the opening handshake waits to be written. Dropped, it says that the server goes away.
pub(crate) struct Unanswered {
    raw: Option<RawConnection>,
    span: Span,
}

impl Unanswered {
    pub(crate) fn new(raw: RawConnection, span: Span) -> Self {
        Self { raw: Some(raw), span }
    }

    /// Opens the WebSocket. `None` if that fails: then there is no socket any more.
    fn open(mut self, lines: &mut Lines) -> Option<LineKey> {
        let raw = self.raw.take()?;
        trace::answered(&self.span, StatusCode::SWITCHING_PROTOCOLS, 500);
        lines
            .take_in(raw)
            .inspect_err(|it| tracing::debug!("a WebSocket was not opened: {it}"))
            .ok()
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            let response = body::text(StatusCode::SERVICE_UNAVAILABLE, drain::GOES_AWAY);
            trace::answered(&self.span, response.status(), 500);
            raw.refuse(response);
        }
    }
}

/// What becomes of an opening handshake.
pub(crate) enum Crossing {
    /// It is to be opened, and its socket brought to this line. Dropped, it tells the conversation that nobody comes.
    Open(BodyGone),
    /// It is to be opened, and closed at once.
    Away(Box<Away>),
}

/// What a client is told whose conversation has ended before its WebSocket was open.
pub(crate) struct Away {
    said: Vec<Message>,
    code: u16,
    reason: String,
}

impl Threshold {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.as_bytes().len();
        self.said.push(message);
    }

    /// Tells who waits for the opening that it is closed at once; without a word, when the shards end, that nobody opens it: a
    /// socket would find no shard. Who was told before brings a socket that finds nobody.
    pub(super) fn turn_away(self, code: u16, reason: &str, parting: &Parting, lines: &mut Lines) {
        let (Some(opener), Parting::Not) = (self.opener, parting) else { return };
        let away = Away { said: self.said, code, reason: reason.to_owned() };
        match opener {
            Opener::Here(unanswered) => {
                if let Some(socket) = unanswered.open(lines) {
                    send_away(socket, away, lines);
                }
            }
            // Whoever waited may have gone.
            Opener::There(answer) => drop(answer.send(Crossing::Away(Box::new(away)))),
        }
    }
}

impl Host {
    /// Begins the conversation of a WebSocket whose handshake is answered when that says so.
    pub(super) fn expect_guest(&mut self, guest: Guest, opener: Opener, lines: &mut Lines) {
        let Guest::New { conversation, dialect, version, peer, place, certificate, path, span } =
            guest
        else {
            return;
        };
        if let Parting::From(_) = self.parting {
            // Who waits is told by the end of this answer.
            return;
        }
        // What is asked at once is asked because of the handshake.
        let because = span.enter();
        let visit = Visit::new((version, &peer), (place, certificate), &path, lines.now());
        let mut talk = Talk::new(conversation, dialect, None, visit);
        let (line, said) = (Line::default(), vec![]);
        let threshold = Threshold { opener: Some(opener), said, bytes: 0 };
        talk.lines = TalkLines::One(line, Carrier::Threshold(Box::new(threshold)));
        talk.flow = Some(line);
        let Ok(key) = self.stage.talks.insert(talk) else { return };
        self.stage.tally.opened += 1;
        if let Some(leaving) = &mut self.leaving {
            leaving.one_more(lines.now());
        }
        if self.take_seat(key, lines).is_some() {
            self.hear(key, Input::Joined(line), lines);
        }
        drop(because);
        self.settle(lines);
    }

    /// Has a line opened that waits for it.
    pub(super) fn open(&mut self, key: TalkKey, line: Line, lines: &mut Lines) {
        let Some(talk) = self.stage.talks.get_mut(key) else { return };
        let Some(Carrier::Threshold(threshold)) = talk.lines.get_mut(line) else { return };
        match threshold.opener.take() {
            None => {}
            Some(Opener::There(answer)) => {
                let post = self.stage.posts[self.stage.index].clone();
                // If nobody waits for it, it tells so as it is dropped.
                let _ = answer.send(Crossing::Open(BodyGone::new(post, key, line)));
            }
            Some(Opener::Here(unanswered)) => {
                // Once the shard says goodbye, it might not find one more line.
                let stays = matches!(self.parting, Parting::Not);
                match stays.then(|| unanswered.open(lines)).flatten() {
                    Some(socket) => self.seat_opened(socket, (key, line), lines),
                    None => {
                        talk.lines.remove(line);
                        self.stage.queue.push_back(Pending::Left(key, line));
                    }
                }
            }
        }
    }

    /// Brings an opened WebSocket to the conversation that waited for it.
    pub(super) fn seat_awaited(&mut self, socket: LineKey, place: BodyGone, lines: &mut Lines) {
        let (key, line) = place.defuse();
        self.seat_opened(socket, (key, line), lines);
    }

    fn seat_opened(&mut self, socket: LineKey, (key, line): (TalkKey, Line), lines: &mut Lines) {
        let carrier = self.stage.talks.get_mut(key).and_then(|it| it.lines.get_mut(line));
        let Some(carrier @ Carrier::Threshold(_)) = carrier else {
            // It ended while the handshake was answered. Who comes again hears why.
            return close(socket, 1013, "", lines);
        };
        let before = std::mem::replace(carrier, Carrier::Socket(socket));
        self.stage.remember_socket(socket, key, line);
        if let Carrier::Threshold(threshold) = before {
            if threshold.bytes > 0 {
                // Somebody may wait for it to be read.
                lines.await_room(socket);
            }
            for message in threshold.said {
                self.stage.send(key, line, message, lines);
            }
        }
    }
}

/// Closes a WebSocket that has no conversation any more, behind that one's last words.
pub(super) fn send_away(socket: LineKey, away: Away, lines: &mut Lines) {
    for message in away.said.iter().filter_map(as_ours) {
        // What is too much for it is behind what it can read.
        let _ = lines.send(socket, &message);
    }
    close(socket, away.code, &away.reason, lines);
}
