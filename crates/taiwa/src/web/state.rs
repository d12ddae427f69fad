//! What the browser's callbacks tell and the socket's methods read: messages that wait, and the end.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use js_sys::{JsString, Uint8Array};
use taiwa_proto::{
    CloseCode, Closed, Deadline, Deadlines, Fault, Limits, Message, Misuse, Side, Utf8Bytes,
};
use wasm_bindgen::{JsCast, JsValue};

use super::timer::Timer;
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
    /// How it ended, until somebody is told.
    end: RefCell<Option<(CloseCode, Utf8Bytes, bool)>>,
    /// How it ended, once somebody is told.
    closed: OnceCell<Closed>,
    inbox: RefCell<VecDeque<Message>>,
    inbox_bytes: Cell<usize>,
    wakers: RefCell<Vec<Waker>>,
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
            end: RefCell::new(None),
            closed: OnceCell::new(),
            inbox: RefCell::default(),
            inbox_bytes: Cell::new(0),
            wakers: RefCell::default(),
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

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.get()
    }

    /// Has the task woken when anything changes.
    pub(super) fn note(&self, cx: &Context<'_>) {
        let mut wakers = self.wakers.borrow_mut();
        if !wakers.iter().any(|it| it.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }

    pub(super) fn wake(&self) {
        let wakers = self.wakers.take();
        wakers.into_iter().for_each(Waker::wake);
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
            let state = Rc::clone(self);
            let timer = Timer::after(within, move || state.abandon(Deadline::Close));
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
        if self.phase() != Phase::Ended {
            self.phase.set(Phase::Ended);
            *self.end.borrow_mut() = Some((code, reason, clean));
        }
        self.wake();
    }

    /// Ends without waiting for the browser any longer.
    pub(super) fn abandon(&self, deadline: Deadline) {
        self.fail(Failure::Late(deadline));
        self.ended(CloseCode::ABNORMAL, Utf8Bytes::default(), false);
    }

    /// Takes in a message as the browser hands it over, if limits allow.
    pub(super) fn arrived(&self, payload: &JsValue) -> Result<(), Failure> {
        let message = self.read(payload)?;
        let cost = message.as_bytes().len() + MESSAGE_COST;
        let mut inbox = self.inbox.borrow_mut();
        let bytes = self.inbox_bytes.get() + cost;
        if !inbox.is_empty() && self.limits.inbox_bytes_max < bytes {
            return Err(Failure::InboxFull);
        }
        self.inbox_bytes.set(bytes);
        inbox.push_back(message);
        drop(inbox);
        self.wake();
        Ok(())
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

    /// Tells the end, once with the error if it is one. Pending before the end.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.closed.get().is_some() {
            return Poll::Ready(Ok(()));
        }
        let Some((code, reason, clean)) = self.end.take() else {
            self.note(cx);
            return Poll::Pending;
        };
        *self.close_timer.borrow_mut() = None;
        let (closed, result) = match self.failure.get() {
            Some(failure) => {
                let (code, reason) = (failure.code(), Utf8Bytes::default());
                let closed = Closed { code, reason, by: Side::Us, clean: false };
                (closed, Err(failure.into()))
            }
            None if code == CloseCode::ABNORMAL => {
                (Closed { code, reason, by: Side::Peer, clean: false }, Err(Error::Lost))
            }
            None => (Closed { code, reason, by: self.by.get(), clean }, Ok(())),
        };
        self.closed.set(closed).expect("asked above");
        Poll::Ready(result)
    }

    /// What a call gets that needs an open connection.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.phase() {
            Phase::Open => Ok(()),
            Phase::Opening | Phase::Closing => Err(Error::Misuse(Misuse::Closing)),
            Phase::Ended => match self.poll_end(&Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(error)) => Err(error),
                _ => Err(self.closed().cloned().map_or(Error::Lost, Error::Closed)),
            },
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
