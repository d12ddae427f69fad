//! [`SendHalf`] and [`RecvHalf`]: the two directions of a request stream.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::{Error, connection::Shared, error::ENDED, quic_code};
use crate::{
    connection::Role,
    error::{Code, Fault, Scope},
    frame::{self, FrameType},
    head,
    request::{Event, Receiving},
    varint::VarInt,
};

/// What both directions of a stream know of each other.
pub(super) struct Fate {
    shared: Arc<Shared>,
    /// With which code a direction is given up that is dropped before its end.
    code: AtomicU64,
    /// Whether the peer's giving up has been counted.
    is_counted: AtomicBool,
}

impl Fate {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        shared.open.send_modify(|it| *it += 1);
        Arc::new(Self {
            shared: Arc::clone(shared),
            code: AtomicU64::new(Code::REQUEST_CANCELLED.get()),
            is_counted: AtomicBool::new(false),
        })
    }

    fn code(&self) -> Code {
        Code::new(self.code.load(Relaxed)).expect("it was one")
    }

    /// Takes note of what the peer did, and returns the error as it is to be told.
    fn hear(&self, error: Error) -> Error {
        match &error {
            Error::Fault(fault) if fault.scope == Scope::Connection => self.shared.fail(*fault),
            Error::Fault(fault) => self.code.store(fault.code.get(), Relaxed),
            // A server that needs no more of a request gives up nothing (RFC 9114 §4.1); a client may say any code.
            Error::Reset(code)
                if (*code != Code::NO_ERROR || self.shared.role == Role::Server)
                    && !self.is_counted.swap(true, Relaxed) =>
            {
                self.shared.count_reset();
            }
            _ => {}
        }
        self.shared.told(error)
    }
}

impl Drop for Fate {
    fn drop(&mut self) {
        self.shared.open.send_modify(|it| *it -= 1);
    }
}

/// Our direction of a request stream.
pub struct SendHalf {
    fate: Arc<Fate>,
    /// `None` once it is ended, by either side.
    quic: Option<quinn::SendStream>,
    id: u64,
    /// Bytes that QUIC has not taken yet.
    queue: VecDeque<Bytes>,
    is_connect: bool,
}

impl SendHalf {
    pub(super) fn new(shared: &Arc<Shared>, fate: &Arc<Fate>, quic: quinn::SendStream) -> Self {
        debug_assert!(Arc::ptr_eq(shared, &fate.shared));
        let id = quic.id().into();
        let (fate, quic) = (Arc::clone(fate), Some(quic));
        Self { fate, quic, id, queue: VecDeque::new(), is_connect: false }
    }

    /// Takes note of what kind of request it belongs to.
    pub(super) fn answer_to(&mut self, request: &Request<()>) {
        self.is_connect = request.method() == Method::CONNECT;
    }

    /// Returns the identifier of the stream in QUIC (RFC 9000 §2.1).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sends the head of a response. Interim ones (1xx) come before the last.
    ///
    /// Cancel-safe: once polled, the head is on its way, and goes out with whatever comes next.
    ///
    /// # Errors
    /// [`Error::HeadTooLarge`] and [`Error::Misuse`] if nothing was sent; otherwise the end of the stream or the connection.
    pub async fn send_response(&mut self, response: &Response<()>) -> Result<(), Error> {
        let mut section = Vec::new();
        let section_bytes = head::write_response(response, &mut section)?;
        let settings = &self.fate.shared.peer_settings;
        let bytes_max = settings.borrow().as_ref().map(|it| it.field_section_bytes_max());
        if bytes_max.is_some_and(|it| section_bytes as u64 > it) {
            return Err(Error::HeadTooLarge);
        }
        self.send_head(section).await
    }

    pub(super) async fn send_head(&mut self, section: Vec<u8>) -> Result<(), Error> {
        self.queue(FrameType::HEADERS, section.into())?;
        self.flush().await
    }

    /// Sends bytes of content, when the peer lets them through: they are in QUIC's hands when it returns.
    ///
    /// Cancel-safe: once polled, the bytes are on their way, and go out with whatever comes next.
    ///
    /// # Errors
    /// The end of the stream or the connection.
    pub async fn send_data(&mut self, bytes: Bytes) -> Result<(), Error> {
        if !bytes.is_empty() {
            self.queue(FrameType::DATA, bytes)?;
        }
        self.flush().await
    }

    /// Sends trailers (RFC 9114 §4.1): fields behind the content.
    ///
    /// Cancel-safe, as [`send_data`](Self::send_data).
    ///
    /// # Errors
    /// [`Error::Misuse`] on the stream of a CONNECT; otherwise as [`send_data`](Self::send_data).
    pub async fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), Error> {
        if self.is_connect {
            return Err(Error::Misuse("a CONNECT has no trailers"));
        }
        let mut section = Vec::new();
        head::write_trailers(trailers, &mut section);
        self.send_head(section).await
    }

    /// Ends our direction behind all that was sent.
    ///
    /// Cancel-safe: called again, it goes on.
    ///
    /// # Errors
    /// The end of the stream or the connection; that the peer wants no more of it (H3_NO_ERROR) is none.
    pub async fn finish(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Waits until the peer wants no more of it, and returns its code; for ever, if it never says so.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the connection.
    pub async fn stopped(&self) -> Result<Code, Error> {
        let Some(quic) = &self.quic else { return std::future::pending().await };
        match quic.stopped().await {
            Ok(Some(code)) => Ok(super::code(code)),
            Ok(None) => std::future::pending().await,
            Err(quinn::StoppedError::ConnectionLost(error)) => Err(self.fate.hear(error.into())),
            Err(quinn::StoppedError::ZeroRttRejected) => Err(ENDED),
        }
    }

    /// Tells the peer that no new requests are taken on this connection:
    /// [`Connection::go_away`](super::Connection::go_away).
    pub fn go_away(&self) {
        self.fate.shared.goes_away.send_replace(true);
    }

    /// Gives our direction up: what was not sent yet is lost.
    pub fn reset(&mut self, code: Code) {
        self.queue.clear();
        if let Some(mut quic) = self.quic.take() {
            let _ = quic.reset(quic_code(code));
        }
    }

    /// Sets how urgent it is beside its siblings; 0 is where all begin, and what is higher goes first.
    pub fn set_priority(&self, priority: i32) {
        if let Some(quic) = &self.quic {
            let _ = quic.set_priority(priority);
        }
    }

    /// Queues a frame. Nothing is copied.
    pub(super) fn queue(&mut self, kind: FrameType, payload: Bytes) -> Result<(), Error> {
        if self.quic.is_none() {
            return Err(ENDED);
        }
        let mut head = Vec::with_capacity(2 * VarInt::LEN_MAX);
        frame::write_head(kind, payload.len() as u64, &mut head);
        self.queue.extend([Bytes::from(head), payload]);
        Ok(())
    }

    /// Queues a frame that is written already.
    pub(super) fn queue_frame(&mut self, frame: Bytes) -> Result<(), Error> {
        if self.quic.is_none() {
            return Err(ENDED);
        }
        self.queue.push_back(frame);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.queue.is_empty() {
            let Some(quic) = &mut self.quic else { return Poll::Ready(Err(ENDED)) };
            let chunks = self.queue.make_contiguous();
            let written = ready!(pin!(quic.write_chunks(chunks)).poll(cx));
            match written {
                Ok(written) => drop(self.queue.drain(..written.chunks)),
                Err(error) => {
                    self.quic = None;
                    self.queue.clear();
                    return Poll::Ready(Err(self.fate.hear(error.into())));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match ready!(self.poll_flush(cx)) {
            Err(Error::Reset(Code::NO_ERROR)) | Ok(()) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        if let Some(mut quic) = self.quic.take() {
            // It fails where the peer has stopped it, and then nobody misses the end.
            let _ = quic.finish();
            // It counts until all has arrived: who ends the connection before would take it back.
            let (arrived, fate) = (quic.stopped(), Arc::clone(&self.fate));
            tokio::spawn(async move { drop((arrived.await, fate)) });
        }
        if self.fate.shared.role == Role::Server || self.is_connect {
            // RFC 9114 §4.1: "A server can send a complete response prior to the client sending an entire request [...] the server MAY
            // abort reading the request stream with H3_NO_ERROR". And nobody is told of a tunnel's orderly end as if it broke.
            self.fate.code.store(Code::NO_ERROR.get(), Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the stream over to others; `None` if it is ended.
    pub(super) fn into_quic(mut self) -> Option<quinn::SendStream> {
        self.quic.take()
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        // Otherwise quinn would end it as if all had been said.
        self.reset(self.fate.code());
    }
}

impl fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The peer's direction of a request stream.
pub struct RecvHalf {
    fate: Arc<Fate>,
    /// `None` once it is ended, by either side.
    quic: Option<quinn::RecvStream>,
    rules: Receiving,
    input: Bytes,
    trailers: Option<HeaderMap>,
    /// Of the request, when we wait for its response.
    method: Method,
}

impl RecvHalf {
    pub(super) fn new(shared: &Arc<Shared>, fate: &Arc<Fate>, quic: quinn::RecvStream) -> Self {
        Self {
            fate: Arc::clone(fate),
            quic: Some(quic),
            rules: Receiving::new(shared.role, shared.limits.bounds()),
            input: Bytes::new(),
            trailers: None,
            method: Method::GET,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.fate.shared
    }

    /// Says what request was read.
    pub(super) fn expect(&mut self, request: &Request<()>) -> Result<(), Fault> {
        match *request.method() {
            Method::CONNECT => self.rules.tunnel(),
            _ => self.rules.content(head::content_length(request.headers())?),
        }
        Ok(())
    }

    /// Says to what request a response will come.
    pub(super) fn is_answer_to(&mut self, request: &Request<()>) {
        self.method = request.method().clone();
    }

    /// Waits for the encoded head of a message.
    pub(super) async fn head(&mut self) -> Result<Event, Error> {
        match poll_fn(|cx| self.poll_event(cx)).await? {
            Some(event) => Ok(event),
            // The rules know no stream that ends before its head.
            None => Err(ENDED),
        }
    }

    /// Waits for the head of the response. Interim ones (1xx) are passed over.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the stream or the connection; [`Error::Fault`] of the scope of a stream for a malformed response
    /// (H3_MESSAGE_ERROR) or one whose head is too large (H3_EXCESSIVE_LOAD).
    pub async fn recv_response(&mut self) -> Result<Response<()>, Error> {
        loop {
            let response = match self.head().await? {
                Event::Head(section) => {
                    let limits = &self.fate.shared.limits.section;
                    head::read_response(&section, limits).map_err(|it| self.give_up(it))?
                }
                Event::HeadTooLong => {
                    let fault = Fault::stream(Code::EXCESSIVE_LOAD, "field section over its limit");
                    return Err(self.give_up(fault));
                }
                _ => {
                    let rule = "no response";
                    return Err(self.give_up(Fault::connection(Code::FRAME_UNEXPECTED, rule)));
                }
            };
            let status = response.status();
            if status.is_informational() {
                self.rules.interim();
                continue;
            }
            let is_without_content = self.method == Method::HEAD
                || status == StatusCode::NO_CONTENT
                || status == StatusCode::NOT_MODIFIED;
            match self.method {
                Method::CONNECT if status.is_success() => self.rules.tunnel(),
                _ if is_without_content => self.rules.content(None),
                _ => {
                    let length = head::content_length(response.headers());
                    let length = length.map_err(|it| self.give_up(it))?;
                    self.rules.content(length);
                }
            }
            return Ok(response);
        }
    }

    /// Waits for bytes of content, as they come; never empty. `None`: that was all, and [`trailers`](Self::trailers) are there, if
    /// there are any.
    ///
    /// What is not read is not sent: at most [`Limits::stream_window`](super::Limits::stream_window) bytes wait here.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the stream or the connection.
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Polls for what [`recv_data`](Self::recv_data) waits for.
    ///
    /// # Errors
    /// The end of the stream or the connection.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match ready!(self.poll_event(cx))? {
                Some(Event::Data(bytes)) => return Poll::Ready(Ok(Some(bytes))),
                Some(Event::Trailers(section)) => {
                    let limits = &self.fate.shared.limits.section;
                    match head::read_trailers(&section, limits) {
                        Ok(trailers) => self.trailers = Some(trailers),
                        Err(fault) => return Poll::Ready(Err(self.give_up(fault))),
                    }
                }
                Some(_) => return Poll::Ready(Err(Error::Misuse("the head was not read"))),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Returns the trailers, once all content is read.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Tells whether there are trailers, once all content is read.
    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// Tells the peer that nothing more will be read.
    pub fn stop(&mut self, code: Code) {
        self.input.clear();
        if let Some(mut quic) = self.quic.take() {
            let _ = quic.stop(quic_code(code));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, Error>> {
        loop {
            match self.rules.next(&mut self.input) {
                Ok(None) => {}
                Ok(event) => return Poll::Ready(Ok(event)),
                Err(fault) => return Poll::Ready(Err(self.give_up(fault))),
            }
            let Some(quic) = &mut self.quic else { return Poll::Ready(Ok(None)) };
            let read = ready!(pin!(quic.read_chunk(usize::MAX, true)).poll(cx));
            match read {
                Ok(Some(chunk)) => self.input = chunk.bytes,
                Ok(None) => {
                    self.quic = None;
                    return Poll::Ready(match self.rules.end() {
                        Ok(()) => Ok(None),
                        Err(fault) => Err(self.fate.hear(fault.into())),
                    });
                }
                Err(error) => {
                    self.quic = None;
                    return Poll::Ready(Err(self.fate.hear(error.into())));
                }
            }
        }
    }

    /// Reads no more because of what the peer did.
    fn give_up(&mut self, fault: Fault) -> Error {
        self.stop(fault.code);
        self.fate.hear(fault.into())
    }

    /// Tells whether the peer's direction is ended and read.
    pub fn is_ended(&self) -> bool {
        self.quic.is_none() && self.input.is_empty()
    }

    /// Hands the stream over to others, with what was read of it; `None` if it is ended.
    pub(super) fn into_quic(mut self) -> Option<(quinn::RecvStream, Bytes)> {
        let rest = std::mem::take(&mut self.input);
        self.quic.take().map(|quic| (quic, rest))
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.stop(self.fate.code());
    }
}

impl fmt::Debug for RecvHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvHalf").field("rules", &self.rules).finish_non_exhaustive()
    }
}
