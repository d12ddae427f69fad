//! What the browser's callbacks tell and the socket's methods read: messages that wait, and the end.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll},
};

use js_sys::{JsString, Uint8Array};
use taiwa_proto::{
    CloseCode, Closed, Deadline, Deadlines, Fault, Limits, Message, Misuse, Side, Utf8Bytes,
};
use wasm_bindgen::{JsCast, JsValue};

use super::{
    timer::Timer,
    waiting::{Waiter, Waiting},
};
use crate::error::Error;

/// What a message costs in the inbox beside its payload.
const MESSAGE_COST: usize = 64;

/// One connection as the browser tells of it.
///
/// ```text
/// Opening ─► Open ─► Closing ─► Ended
///    └─────────┴──────────────────▲
/// ```
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) deadlines: Deadlines,
    phase: Cell<Phase>,
    was_open: Cell<bool>,
    /// Who began to close.
    by: Cell<Side>,
    /// Why we closed, if not because the program asked to.
    failure: Cell<Option<Failure>>,
    /// How it ended, as soon as it has.
    closed: OnceCell<Closed>,
    /// What of that is an error, until somebody is told.
    untold: Cell<Option<Error>>,
    is_told: Cell<bool>,
    reader: Cell<Reader>,
    inbox: RefCell<VecDeque<Message>>,
    inbox_bytes: Cell<usize>,
    /// They are woken when anything changes.
    pub(super) waiting: Waiting,
    /// From our Close frame to the end.
    close_timer: RefCell<Option<Timer>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Open,
    Closing,
    Ended,
}

/// Who takes the messages, and is told of errors that end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The connection is whole.
    Socket,
    Receiver,
    /// The receiver was dropped: messages are, too.
    Nobody,
}

/// Why we closed a connection by ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Fault(Fault),
    Late(Deadline),
    InboxFull,
}

impl Failure {
    /// The code that a program outside a browser would send. Inside, only 1000 and 3000 to 4999 may be
    /// sent, so [`sendable`](Self::sendable) is that plus 3000.
    fn code(self) -> CloseCode {
        match self {
            Self::Fault(fault) => fault.close_code(),
            Self::Late(deadline) => deadline.close_code().unwrap_or(CloseCode::ABNORMAL),
            Self::InboxFull => CloseCode::POLICY_VIOLATION,
        }
    }

    /// The code and the reason that are sent, if any are.
    pub(super) fn sendable(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Fault(_) => Some((3000 + self.code().get(), "message too big")),
            Self::InboxFull => Some((3000 + self.code().get(), "messages are not received")),
            Self::Late(_) => None,
        }
    }
}

impl State {
    pub(super) fn new(limits: Limits, deadlines: Deadlines) -> Rc<Self> {
        Rc::new(Self {
            limits,
            deadlines,
            phase: Cell::new(Phase::Opening),
            was_open: Cell::new(false),
            by: Cell::new(Side::Peer),
            failure: Cell::new(None),
            closed: OnceCell::new(),
            untold: Cell::new(None),
            is_told: Cell::new(false),
            reader: Cell::new(Reader::Socket),
            inbox: RefCell::default(),
            inbox_bytes: Cell::new(0),
            waiting: Waiting::default(),
            close_timer: RefCell::default(),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Tells whether the opening handshake succeeded.
    pub(super) fn was_open(&self) -> bool {
        self.was_open.get()
    }

    /// Returns how the connection ended, once its reader was told.
    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.get().filter(|_| self.is_told.get())
    }

    /// Returns how the connection ended, told or not.
    pub(super) fn end(&self) -> Option<&Closed> {
        self.closed.get()
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.get()
    }

    pub(super) fn set_reader(&self, reader: Reader) {
        self.reader.set(reader);
        if reader == Reader::Nobody {
            self.inbox.take();
            self.inbox_bytes.set(0);
        }
    }

    pub(super) fn wake(&self) {
        self.waiting.wake();
    }

    pub(super) fn opened(&self) {
        if self.phase() == Phase::Opening {
            self.phase.set(Phase::Open);
            self.was_open.set(true);
        }
        self.wake();
    }

    /// Begins to close. Returns whether it was for us to begin.
    pub(super) fn begin_close(self: &Rc<Self>, by: Side) -> bool {
        if self.phase() != Phase::Open {
            return false;
        }
        self.phase.set(Phase::Closing);
        self.by.set(by);
        if let Some(within) = self.deadlines.close {
            // A socket that is dropped meanwhile needs no end.
            let state = Rc::downgrade(self);
            let timer = Timer::after(within, move || {
                if let Some(state) = state.upgrade() {
                    state.abandon(Deadline::Close);
                }
            });
            *self.close_timer.borrow_mut() = Some(timer);
        }
        self.wake();
        true
    }

    /// Remembers why we close; the first reason counts.
    pub(super) fn fail(&self, failure: Failure) {
        if self.failure.get().is_none() {
            self.failure.set(Some(failure));
        }
    }

    /// Tells whether we close for a reason of our own.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Takes in the end; the first one counts.
    pub(super) fn ended(&self, code: CloseCode, reason: Utf8Bytes, clean: bool) {
        if self.phase() == Phase::Ended {
            return;
        }
        self.phase.set(Phase::Ended);
        let (closed, error) = match self.failure.get() {
            Some(failure) => {
                let (code, reason) = (failure.code(), Utf8Bytes::default());
                (Closed { code, reason, by: Side::Us, clean: false }, Some(failure.into()))
            }
            None if code == CloseCode::ABNORMAL => {
                (Closed { code, reason, by: Side::Peer, clean: false }, Some(Error::Lost))
            }
            None => (Closed { code, reason, by: self.by.get(), clean }, None),
        };
        self.untold.set(error);
        self.closed.set(closed).expect("it ends once");
        self.wake();
    }

    /// Ends without waiting for the browser any longer.
    pub(super) fn abandon(&self, deadline: Deadline) {
        if self.phase() != Phase::Ended {
            self.fail(Failure::Late(deadline));
            self.ended(CloseCode::ABNORMAL, Utf8Bytes::default(), false);
        }
    }

    /// Takes in a message as the browser hands it over, if limits allow.
    pub(super) fn arrived(&self, payload: &JsValue) -> Result<(), Failure> {
        let message = self.read(payload)?;
        let bytes = self.inbox_bytes.get() + message.as_bytes().len() + MESSAGE_COST;
        if !self.inbox.borrow().is_empty() && self.limits.inbox_bytes_max < bytes {
            return Err(Failure::InboxFull);
        }
        self.keep(message);
        Ok(())
    }

    /// Keeps a message for the reader, if there is one.
    pub(super) fn keep(&self, message: Message) {
        if self.reader() == Reader::Nobody {
            return;
        }
        self.inbox_bytes.set(self.inbox_bytes.get() + message.as_bytes().len() + MESSAGE_COST);
        self.inbox.borrow_mut().push_back(message);
        self.wake();
    }

    pub(super) fn keeps_nothing(&self) -> bool {
        self.inbox.borrow().is_empty()
    }

    /// Tells whether messages should be kept that nobody has asked for yet.
    pub(super) fn keeps_more(&self) -> bool {
        self.inbox_bytes.get() <= self.limits.message_bytes_max
    }

    /// Takes the next message that waits.
    pub(super) fn next(&self) -> Option<Message> {
        let mut inbox = self.inbox.borrow_mut();
        let message = inbox.pop_front()?;
        self.inbox_bytes.set(self.inbox_bytes.get() - message.as_bytes().len() - MESSAGE_COST);
        if inbox.is_empty() {
            *inbox = VecDeque::new();
        }
        Some(message)
    }

    /// Copies a message out of the browser's memory, if it is not too long for ours.
    pub(super) fn read(&self, payload: &JsValue) -> Result<Message, Failure> {
        let fits = |len: usize| match len <= self.limits.message_bytes_max {
            true => Ok(()),
            false => Err(Failure::Fault(Fault::MessageTooBig)),
        };
        if let Some(text) = payload.dyn_ref::<JsString>() {
            // A unit of UTF-16 becomes one byte at least.
            fits(text.length() as usize)?;
            let text = String::from(text);
            fits(text.len())?;
            return Ok(Message::from(text));
        }
        // A view of an `ArrayBuffer` or of another array, without a copy.
        let bytes = Uint8Array::new(payload);
        fits(bytes.length() as usize)?;
        Ok(Message::from(bytes.to_vec()))
    }

    /// Tells the reader of the end, once with the error if it is one. Pending before the end.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.phase() != Phase::Ended {
            self.waiting.note(Waiter::READER, cx);
            return Poll::Pending;
        }
        Poll::Ready(self.tell())
    }

    fn tell(&self) -> Result<(), Error> {
        *self.close_timer.borrow_mut() = None;
        self.is_told.set(true);
        self.untold.take().map_or(Ok(()), Err)
    }

    /// Tells a sender that waits. The error that ended the connection is the receiver's to hear, if there
    /// is one.
    pub(super) fn tell_sender(&self) -> Result<(), Error> {
        match self.phase() {
            Phase::Ended if self.reader() != Reader::Receiver => self.tell(),
            _ => Ok(()),
        }
    }

    /// What a call gets that needs an open connection.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.phase() {
            Phase::Open => Ok(()),
            Phase::Opening | Phase::Closing => Err(Error::Misuse(Misuse::Closing)),
            Phase::Ended => Err(self.end().cloned().map_or(Error::Lost, Error::Closed)),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fault(fault) => Self::Fault(fault),
            Failure::Late(deadline) => Self::Late(deadline),
            Failure::InboxFull => Self::InboxFull,
        }
    }
}
