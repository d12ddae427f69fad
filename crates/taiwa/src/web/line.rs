//! A connection through either of the browser's interfaces.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
};

use taiwa_proto::{
    CloseCode, Closed, Deadline, Message, Misuse, Side,
    deflate::{self, Deflate},
    handshake::extensions::parse_extensions,
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;

use super::{
    events::Events,
    state::{Phase, Reader, State},
    streams::Streams,
    timer::Timer,
    waiting::Waiter,
};
use crate::error::{Error, TrySendError};

/// One connection. Everything goes by `&self`, since sender and receiver may share it.
pub(super) struct Line {
    pub(super) state: Rc<State>,
    interface: Interface,
    pub(super) protocol: Option<String>,
    pub(super) extensions: String,
    pub(super) deflate: Option<deflate::Params>,
    /// While something waits to be written: how much at the last progress, and what comes of none.
    stall: RefCell<Option<(usize, Timer)>>,
    /// Permits that are out.
    permits: Cell<usize>,
}

/// Which of the browser's interfaces it is.
pub(super) enum Interface {
    Events(Events),
    Streams(Streams),
}

/// Permits of one connection that may be out at once. A permit is room for a message of any size.
const PERMITS_MAX: usize = 16;
/// What a queued message counts for beside its payload, where messages can be counted.
const MESSAGE_COST: usize = 16;

impl Line {
    /// Takes an opened connection.
    pub(super) fn new(state: Rc<State>, interface: Interface) -> Self {
        let (protocol, extensions) = match &interface {
            Interface::Events(it) => (it.protocol(), it.extensions()),
            Interface::Streams(it) => (it.protocol(), it.extensions()),
        };
        Self {
            state,
            interface,
            protocol: (!protocol.is_empty()).then_some(protocol),
            deflate: agreed(&extensions),
            extensions,
            stall: RefCell::default(),
            permits: Cell::new(0),
        }
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        let message = match (self.state.next(), &self.interface) {
            (Some(message), _) => Some(message),
            // Nobody waits for the browser's end of a connection that was given up.
            (None, Interface::Streams(it)) if !self.is_given_up() => {
                self.state.waiting.note(Waiter::READER, cx);
                ready!(it.poll_read())
            }
            (None, _) => None,
        };
        match message {
            Some(message) => Poll::Ready(Ok(Some(message))),
            None => self.state.poll_end(cx).map_ok(|()| None),
        }
    }

    /// Waits for the end for somebody who is not the reader, keeping messages for whom they are.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>, waiter: Waiter) -> Poll<Closed> {
        loop {
            if let Some(closed) = self.state.end() {
                return Poll::Ready(closed.clone());
            }
            self.state.waiting.note(waiter, cx);
            let Interface::Streams(streams) = &self.interface else { return Poll::Pending };
            if !self.state.keeps_more() {
                return Poll::Pending;
            }
            match streams.poll_read() {
                Poll::Ready(Some(message)) => self.state.keep(message),
                // The end of the stream comes before that of the connection.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads for a receiver that is gone, until there is nobody else either.
    pub(super) fn read_for_nobody(self: &Rc<Self>) {
        self.state.set_reader(Reader::Nobody);
        if let Interface::Streams(_) = self.interface {
            let line = Rc::downgrade(self);
            spawn_local(poll_fn(move |cx| match line.upgrade() {
                Some(line) => line.poll_closed(cx, Waiter::READER).map(drop),
                None => Poll::Ready(()),
            }));
        }
    }

    /// Tells whether all messages were received that there will ever be.
    pub(super) fn is_read(&self) -> bool {
        let is_read = match &self.interface {
            Interface::Events(_) => self.state.phase() == Phase::Ended,
            Interface::Streams(it) => it.is_read() || self.is_given_up(),
        };
        is_read && self.state.keeps_nothing()
    }

    fn is_given_up(&self) -> bool {
        self.state.phase() == Phase::Ended && self.state.has_failed()
    }

    /// Waits for the end, dropping messages.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_recv(cx))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    pub(super) fn buffered_amount(&self) -> usize {
        match &self.interface {
            Interface::Events(it) => it.buffered_amount(),
            Interface::Streams(it) => it.buffered_amount(),
        }
    }

    /// Tells whether the outbox is below its limit.
    pub(super) fn has_room(&self) -> bool {
        let queued = match &self.interface {
            Interface::Events(it) => it.buffered_amount(),
            Interface::Streams(it) => it.buffered_amount() + MESSAGE_COST * it.unsent_messages(),
        };
        queued < self.state.limits.outbox_bytes_max
    }

    /// Tells whether the browser has everything, as far as it tells.
    fn is_written(&self) -> bool {
        match &self.interface {
            Interface::Events(_) => self.has_room(),
            Interface::Streams(it) => it.unsent_messages() == 0,
        }
    }

    /// Queues a message if there is room: `Ok(false)` if not.
    pub(super) fn queue(&self, message: &Message) -> Result<bool, Error> {
        self.check_open()?;
        if self.has_room() {
            return self.queue_anyway(message).map(|()| true);
        }
        Ok(false)
    }

    pub(super) fn try_send(&self, message: Message) -> Result<(), TrySendError> {
        match self.queue(&message) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TrySendError::Full(message)),
            Err(_) => Err(TrySendError::Closing(message)),
        }
    }

    /// Queues a message, room or not.
    pub(super) fn queue_anyway(&self, message: &Message) -> Result<(), Error> {
        self.check_open()?;
        match &self.interface {
            Interface::Events(it) => it.queue(message).map_err(|it| failure(&it)),
            Interface::Streams(it) => {
                it.queue(message);
                Ok(())
            }
        }
    }

    pub(super) fn poll_send(
        &self,
        message: &Message,
        is_queued: &mut bool,
        cx: &mut Context<'_>,
        waiter: Waiter,
    ) -> Poll<Result<(), Error>> {
        while !*is_queued {
            *is_queued = self.queue(message)?;
            if !*is_queued {
                ready!(self.poll_room(cx, waiter))?;
            }
        }
        self.poll_written(cx, waiter)
    }

    pub(super) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        waiter: Waiter,
    ) -> Poll<Result<(), Error>> {
        self.poll_out(cx, waiter, Self::has_room)
    }

    /// Waits for room and takes it until [`give_back`](Self::give_back).
    pub(super) fn poll_permit(
        &self,
        cx: &mut Context<'_>,
        waiter: Waiter,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_room(cx, waiter))?;
        if self.permits.get() == PERMITS_MAX {
            self.state.waiting.note(waiter, cx);
            return Poll::Pending;
        }
        self.permits.set(self.permits.get() + 1);
        Poll::Ready(Ok(()))
    }

    pub(super) fn give_back(&self) {
        self.permits.set(self.permits.get() - 1);
        self.state.wake();
    }

    pub(super) fn poll_written(
        &self,
        cx: &mut Context<'_>,
        waiter: Waiter,
    ) -> Poll<Result<(), Error>> {
        self.poll_out(cx, waiter, Self::is_written)
    }

    fn poll_out(
        &self,
        cx: &mut Context<'_>,
        waiter: Waiter,
        enough: fn(&Self) -> bool,
    ) -> Poll<Result<(), Error>> {
        let checked = self.state.tell_sender().and_then(|()| self.check_open());
        if let Err(error) = checked {
            *self.stall.borrow_mut() = None;
            return Poll::Ready(Err(error));
        }
        if enough(self) {
            *self.stall.borrow_mut() = None;
            return Poll::Ready(Ok(()));
        }
        self.state.waiting.note(waiter, cx);
        if let Interface::Events(it) = &self.interface {
            it.look_again();
        }
        self.watch();
        Poll::Pending
    }

    /// Waits until the browser has what was queued before the Close frame.
    pub(super) fn poll_handed_over(&self, cx: &mut Context<'_>, waiter: Waiter) -> Poll<()> {
        match &self.interface {
            Interface::Streams(it) if 0 < it.unsent_messages() && self.state.end().is_none() => {
                self.state.waiting.note(waiter, cx);
                Poll::Pending
            }
            Interface::Streams(_) | Interface::Events(_) => Poll::Ready(()),
        }
    }

    /// Gives up when less and less is written for [`Deadlines::write`](crate::Deadlines::write).
    fn watch(&self) {
        let Some(within) = self.state.deadlines.write else { return };
        let buffered = self.buffered_amount();
        let mut stall = self.stall.borrow_mut();
        if stall.as_ref().is_none_or(|(before, _)| buffered < *before) {
            let state = Rc::clone(&self.state);
            let timer = Timer::after(within, move || state.abandon(Deadline::Write));
            *stall = Some((buffered, timer));
        }
    }

    /// Begins the closing handshake. No harm if it has begun already.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        let with = close_info(code, reason)?;
        let by = if self.is_open() { Side::Us } else { Side::Peer };
        if self.state.begin_close(by) {
            match &self.interface {
                Interface::Events(it) => it.close(with),
                Interface::Streams(it) => it.close(with),
            }
        }
        Ok(())
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.state.closed()
    }

    /// Tells whether messages can be sent.
    pub(super) fn is_open(&self) -> bool {
        self.state.phase() == Phase::Open
            && match &self.interface {
                Interface::Events(it) => it.is_open(),
                Interface::Streams(_) => true,
            }
    }

    fn check_open(&self) -> Result<(), Error> {
        self.state.check_open()?;
        match self.is_open() {
            true => Ok(()),
            // The browser has the peer's Close frame and does not tell yet.
            false => Err(Error::Misuse(Misuse::Closing)),
        }
    }
}

/// What a Close frame carries; `None` for no code.
///
/// The browser takes 1000 and 3000 to 4999 (WebSockets Standard §3.1): the other codes are for
/// itself and for servers.
fn close_info(code: CloseCode, reason: &str) -> Result<Option<(u16, &str)>, Misuse> {
    if code == CloseCode::NO_STATUS && reason.is_empty() {
        return Ok(None);
    }
    if !matches!(code.get(), 1000 | 3000..=4999) {
        return Err(Misuse::CloseCode(code));
    }
    if 123 < reason.len() {
        return Err(Misuse::ReasonTooLong);
    }
    Ok(Some((code.get(), reason)))
}

/// Reads what `extensions` tells of permessage-deflate.
fn agreed(extensions: &str) -> Option<deflate::Params> {
    // Whatever the browser agreed to was offered by it.
    let offered = Deflate { keep_our_context: true, keep_peer_context: true, ..Deflate::default() };
    let list = parse_extensions([extensions.as_bytes()]).ok()?;
    list.iter().find_map(|it| deflate::negotiate::agreed(&offered, it))
}

/// An exception of the browser as an error of the world.
pub(super) fn failure(exception: &JsValue) -> Error {
    let told = exception.dyn_ref::<js_sys::Error>().map(|it| String::from(it.message()));
    let told = told.filter(|it| !it.is_empty());
    Error::Io(std::io::Error::other(told.unwrap_or_else(|| {
        "the browser could not open the connection, and tells no program why".into()
    })))
}
