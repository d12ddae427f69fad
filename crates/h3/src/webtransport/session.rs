//! One session: what its capsules say, what it may use, and how it ends.

use std::fmt;

use super::{
    capsule::Capsule,
    code,
    dialect::Terms,
    flow::{Allowance, Grant},
    header::Direction,
    limits::Limits,
};
use crate::error::{Code, Fault};

/// How a session ended. It is told once and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The peer closed it, with the application's code and reason: 0 and nothing if it just ended its stream.
    ByPeer(u32, String),
    /// We closed it.
    ByUs(u32, String),
    /// The peer broke a rule, or reset the stream of the session.
    Broken(Code),
    /// The connection is gone.
    Lost,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, code, reason) = match self {
            Self::ByPeer(code, reason) => ("the peer", code, reason),
            Self::ByUs(code, reason) => ("this side", code, reason),
            Self::Broken(code) => {
                return write!(f, "a rule was broken, or it was given up ({code})");
            }
            Self::Lost => return f.write_str("the connection is gone"),
        };
        write!(f, "{who} closed it with code {code}")?;
        if reason.is_empty() { Ok(()) } else { write!(f, " ({reason:?})") }
    }
}

/// What a capsule of the peer means for those who wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer asks to end the session soon.
    Draining,
    /// The peer lets us use more.
    Raised,
    /// The session has ended.
    Ended,
}

/// The state of one session.
///
/// ```text
/// Open ──Close capsule, FIN, reset, fault, connection gone──► Ended
/// ```
///
/// What is to be said to the peer collects in [`take_capsules`](Self::take_capsules).
#[derive(Debug)]
pub struct Session {
    state: State,
    capsules: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Open(Box<Open>),
    Ended(Ending),
}

/// What a session has as long as it is open.
#[derive(Debug)]
struct Open {
    /// Whether both sides have flow control.
    is_bounded: bool,
    /// Whether the peer may wait for our bounds: some do that never said so (Safari), and others ignore them (draft 16 §5.1).
    may_wait: bool,
    is_draining: bool,
    theirs: [Allowance; 3],
    ours: [Grant; 3],
}

const DATA: usize = 0;

/// Where the counts of such streams stand.
const fn of(direction: Direction) -> usize {
    match direction {
        Direction::Bidirectional => 1,
        Direction::Unidirectional => 2,
    }
}

/// What a capsule calls the bound at `place`.
const fn bound(place: usize, to: u64) -> Capsule {
    match place {
        DATA => Capsule::MaxData(to),
        1 => Capsule::MaxStreams(Direction::Bidirectional, to),
        _ => Capsule::MaxStreams(Direction::Unidirectional, to),
    }
}

impl Session {
    /// Begins a session. Its first capsules raise the peer's bounds above what our settings said, where the peer's draft has such capsules.
    pub fn new(terms: &Terms, limits: &Limits) -> Self {
        let (first, credit) = (limits.first(), terms.credit);
        let open = Open {
            is_bounded: credit.is_some(),
            may_wait: terms.dialect.has_flow_control(),
            is_draining: false,
            theirs: [
                Allowance::new(credit.map(|it| it.data)),
                Allowance::new(credit.map(|it| it.bidirectional)),
                Allowance::new(credit.map(|it| it.unidirectional)),
            ],
            ours: [
                Grant::new(first.data, limits.session_window),
                Grant::new(first.bidirectional, limits.streams_bidirectional_max),
                Grant::new(first.unidirectional, limits.streams_unidirectional_max),
            ],
        };
        let mut session = Self { state: State::Open(Box::new(open)), capsules: Vec::new() };
        (DATA..3).for_each(|place| session.raise(place));
        session
    }

    /// Takes a capsule of the peer: its type, and its value, of which those of unknown types may be left out.
    ///
    /// # Errors
    /// A fault. The session has ended by it; its stream is to be reset with the fault's code.
    pub fn receive(&mut self, kind: u64, value: &[u8]) -> Result<Option<Event>, Fault> {
        if !matches!(self.state, State::Open(_)) {
            // Draft 16 §6: "If any additional stream data is received on the CONNECT stream after receiving a WT_CLOSE_SESSION capsule,
            // the stream MUST be reset with code H3_MESSAGE_ERROR."
            return Err(Fault::stream(Code::MESSAGE_ERROR, "a capsule came behind the close"));
        }
        let event = Capsule::read(kind, value).and_then(|capsule| match capsule {
            Some(capsule) => self.act(capsule),
            None => Ok(None),
        });
        event.inspect_err(|fault| self.end(Ending::Broken(fault.code)))
    }

    fn act(&mut self, capsule: Capsule) -> Result<Option<Event>, Fault> {
        let State::Open(open) = &mut self.state else { return Ok(None) };
        match capsule {
            Capsule::Close(code, reason) => {
                self.end(Ending::ByPeer(code, reason));
                return Ok(Some(Event::Ended));
            }
            Capsule::Drain => {
                let is_news = !std::mem::replace(&mut open.is_draining, true);
                return Ok(is_news.then_some(Event::Draining));
            }
            Capsule::MaxData(to) => open.theirs[DATA].raise(to)?,
            Capsule::MaxStreams(direction, to) => open.theirs[of(direction)].raise(to)?,
            Capsule::DataBlocked(at) => return Ok(self.unblock(DATA, at)),
            Capsule::StreamsBlocked(direction, at) => return Ok(self.unblock(of(direction), at)),
        }
        Ok(open.is_bounded.then_some(Event::Raised))
    }

    fn unblock(&mut self, place: usize, at: u64) -> Option<Event> {
        if let State::Open(open) = &mut self.state
            && let Some(to) = open.ours[place].blocked_at(at)
        {
            bound(place, to).write(&mut self.capsules);
        }
        None
    }

    fn raise(&mut self, place: usize) {
        if let State::Open(open) = &mut self.state
            && open.may_wait
            && let Some(to) = open.ours[place].raised()
        {
            bound(place, to).write(&mut self.capsules);
        }
    }

    /// Takes out what is to be sent on the session's stream; empty if there is nothing.
    pub fn take_capsules(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.capsules)
    }

    /// Tells whether there is something to be sent on the session's stream.
    pub fn has_capsules(&self) -> bool {
        !self.capsules.is_empty()
    }

    /// Tells how the session ended; `None` while it is open.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.state {
            State::Open(_) => None,
            State::Ended(ending) => Some(ending),
        }
    }

    /// Tells whether the peer asked to end the session soon.
    pub fn is_draining(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.is_draining)
    }

    /// Asks the peer to end the session soon.
    pub fn drain(&mut self) {
        if matches!(self.state, State::Open(_)) {
            Capsule::Drain.write(&mut self.capsules);
        }
    }

    /// Closes the session. What collects in [`take_capsules`](Self::take_capsules) is the last; the stream ends behind it. Tells
    /// whether it was open.
    pub fn close(&mut self, code: u32, reason: &str) -> bool {
        if !matches!(self.state, State::Open(_)) {
            return false;
        }
        let capsule = Capsule::close(code, reason);
        capsule.write(&mut self.capsules);
        let Capsule::Close(code, reason) = capsule else { unreachable!("it was just made") };
        self.state = State::Ended(Ending::ByUs(code, reason));
        true
    }

    /// Takes that the peer ended its side of the session's stream. Draft 16 §6: "Cleanly terminating a CONNECT stream without a WT_CLOSE_SESSION
    /// capsule SHALL be semantically equivalent to terminating it with a WT_CLOSE_SESSION capsule that has an error code of 0 and
    /// an empty error string."
    pub fn finished(&mut self) {
        self.end(Ending::ByPeer(0, String::new()));
    }

    /// Ends the session in another way; what ended it first stays.
    pub fn end(&mut self, ending: Ending) {
        if matches!(self.state, State::Open(_)) {
            self.state = State::Ended(ending);
            self.capsules = Vec::new();
        }
    }

    /// Opens a stream of ours; tells whether the peer allows it now. If not, it is told that we wait.
    #[must_use]
    pub fn open(&mut self, direction: Direction) -> bool {
        let State::Open(open) = &mut self.state else { return false };
        let allowance = &mut open.theirs[of(direction)];
        let is_allowed = allowance.take(1) == 1;
        if !is_allowed && let Some(at) = allowance.blocked() {
            Capsule::StreamsBlocked(direction, at).write(&mut self.capsules);
        }
        is_allowed
    }

    /// Takes back that a stream was opened: there is none.
    pub fn unopen(&mut self, direction: Direction) {
        if let State::Open(open) = &mut self.state {
            open.theirs[of(direction)].untake(1);
        }
    }

    /// Uses up to `wanted` bytes of what the peer allows, and returns how many; 0 where it must be waited for. The peer is told so.
    pub fn send(&mut self, wanted: u64) -> u64 {
        let State::Open(open) = &mut self.state else { return 0 };
        let taken = open.theirs[DATA].take(wanted);
        if taken < wanted
            && let Some(at) = open.theirs[DATA].blocked()
        {
            Capsule::DataBlocked(at).write(&mut self.capsules);
        }
        taken
    }

    /// Gives back bytes that were not sent after all.
    pub fn unsend(&mut self, unused: u64) {
        if let State::Open(open) = &mut self.state {
            open.theirs[DATA].untake(unused);
        }
    }

    /// Counts a stream that the peer opened. `false`: there are too many, and where there is no flow control that stream alone is
    /// to be refused.
    ///
    /// # Errors
    /// A fault that has ended the session, where there is flow control.
    pub fn accept(&mut self, direction: Direction) -> Result<bool, Fault> {
        let State::Open(open) = &mut self.state else { return Ok(false) };
        let grant = &mut open.ours[of(direction)];
        if open.is_bounded {
            if grant.take(1) {
                return Ok(true);
            }
            // Draft 16 §5.6.2: "If an endpoint receives an incoming stream for a session that would exceed the advertised Maximum
            // Streams value, it MUST close the WebTransport session with a WT_FLOW_CONTROL_ERROR error code."
            return Err(self.overdrawn("more streams were opened than allowed"));
        }
        if grant.in_use() >= grant.window() {
            return Ok(false);
        }
        let _ = grant.take(1);
        Ok(true)
    }

    /// Takes that a stream of the peer is done with, in all its directions.
    pub fn done(&mut self, direction: Direction) {
        self.give_back(of(direction), 1);
    }

    /// Counts bytes that were read from a stream of the session.
    ///
    /// # Errors
    /// A fault that has ended the session, where there is flow control.
    pub fn read(&mut self, bytes: u64) -> Result<(), Fault> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        if !open.ours[DATA].take(bytes) && open.is_bounded {
            // Draft 16 §5.6.4: "If an endpoint receives Stream Body data in excess of this limit, it MUST close the WebTransport session
            // with a WT_FLOW_CONTROL_ERROR error code."
            return Err(self.overdrawn("more bytes were sent than allowed"));
        }
        self.give_back(DATA, bytes);
        Ok(())
    }

    /// Takes that a stream was given up before all it carried was read: how much that was, QUIC does not tell.
    pub fn unread(&mut self) {
        if let State::Open(open) = &mut self.state
            && let Some(to) = open.ours[DATA].lost()
        {
            bound(DATA, to).write(&mut self.capsules);
        }
    }

    fn give_back(&mut self, place: usize, amount: u64) {
        let State::Open(open) = &mut self.state else { return };
        open.ours[place].give_back(amount);
        self.raise(place);
    }

    fn overdrawn(&mut self, rule: &'static str) -> Fault {
        self.end(Ending::Broken(code::FLOW_CONTROL_ERROR));
        Fault::stream(code::FLOW_CONTROL_ERROR, rule)
    }
}

#[cfg(test)]
mod tests;
