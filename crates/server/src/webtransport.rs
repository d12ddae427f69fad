//! Sessions of WebTransport: one stream of messages, and datagrams, become a line of a shard as a WebSocket is one.
//!
//! How messages lie on the stream is the dialect's affair ([`Framing`]). Between session and shard stands a WebSocket in
//! memory. So limits, order, fairness, rules for slow readers and the drain are those of all lines; it costs a task, and what is
//! on its way between the two is bounded by [`BETWEEN_BYTES`].

mod introduction;

use std::{
    future::{pending, poll_fn},
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::FutureExt;
use http::StatusCode;
use taiwa::{
    CloseCode, Config, Deadlines, Error, Limits, Message, RawConnection, RawSeat, RawStream,
    RawTransport, Receiver, Sender, WebSocket,
    webtransport::{
        BidirectionalStream, Ending, ReceiveStream, SendStream, Session, SessionRequest,
    },
};
use taiwa_core::{self as core, Framing, Unframed};
use taiwa_proto::{Connection, Role};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf, duplex},
    time::{Instant, sleep, timeout},
};

use crate::{
    host::as_ours,
    meet::{Entry, Way},
    site::Running,
    trace,
};

/// Bytes on their way between a session and its shard, in each direction. Past it the client, or the shard, waits.
const BETWEEN_BYTES: usize = 16 << 10;
/// How many bytes are read from a stream at once, and up to how many messages are written to it together.
const TOGETHER_BYTES: usize = 16 << 10;
/// How many bytes a framing may put into a message for its conversation.
const MARK_BYTES: usize = 16;
/// How long the client may take to read what was said last, and the shard to hear how a session ended.
const PARTING_WITHIN: Duration = Duration::from_secs(5);
/// How long a page may take to read what has reached its browser.
const READ_WITHIN: Duration = Duration::from_secs(1);

impl Running {
    /// Answers a request for a session; it then lives on a shard.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    ///
    /// That the client has gone.
    pub async fn meet_session(&self, asked: SessionRequest) -> Result<(), Error> {
        let (entry, framing) = match self.open_session(&asked).await {
            Ok(entry) => entry,
            Err(shut) => {
                let (parts, body) = shut.into_parts();
                return asked.reject(parts.status.as_u16(), body).await;
            }
        };
        let (session, seat, config) = asked.accept_raw().await?;
        let within = config.deadlines.handshake;
        let (open, stream) = match entry {
            Entry::Open(open) => (open, None),
            Entry::Stranger(stranger) => {
                match introduction::hear(stranger, &session, &*framing, &config).await {
                    Some((open, stream)) => (open, Some(stream)),
                    // The session was closed, or is closed when it is dropped.
                    None => return Ok(()),
                }
            }
        };
        let (way, span) = open.into_way();
        let socket = join(way, seat, &config).map_err(Error::Io)?;
        trace::answered(&span, StatusCode::OK, 500);
        drop(span);
        // From here on it is the shard that ends it, also when the server goes away.
        tokio::spawn(async move {
            let (sender, receiver) = socket.split();
            let message_bytes_max = config.limits.message_bytes_max;
            let carried = Carried { session, framing, sender, message_bytes_max };
            match stream {
                Some((stream, arrived)) => carried.talk(receiver, stream, arrived).await,
                None => carried.run(receiver, within).await,
            }
        });
        Ok(())
    }
}

/// Gives a client its place on a shard, of this node or another, and returns the way there.
fn join(way: Way, seat: RawSeat, config: &Config) -> io::Result<WebSocket> {
    let (ours, theirs) = duplex(BETWEEN_BYTES);
    let (io, leftover) = (Box::new(theirs), BytesMut::new());
    let message_bytes_max = config.limits.message_bytes_max.saturating_add(MARK_BYTES);
    let limits = Limits { message_bytes_max, ..config.limits.clone() };
    let config_there = Arc::new(Config { limits, ..config.clone() });
    match way {
        Way::Here(post, guest) => {
            let now = Instant::now().into_std();
            let raw = RawConnection {
                connection: Connection::new(Role::Server, config_there, None, now),
                transport: RawTransport::Other(io),
                response: vec![],
                leftover,
                subprotocol: None,
                seat,
            };
            post.join(raw, guest)?;
        }
        Way::Far(far) => {
            let stream = RawStream { io, leftover, config: config_there, deflate: None, seat };
            tokio::spawn(far.carry(stream));
        }
    }
    Ok(WebSocket::over(ours, Role::Client, Arc::new(between(config))))
}

/// The settings of the WebSocket in memory: what the shard says is as long as it is, and it asks for signs of life itself.
fn between(config: &Config) -> Config {
    let limits = Limits { message_bytes_max: i32::MAX as usize, ..config.limits.clone() };
    let deadlines = Deadlines { message: None, write: None, ..config.deadlines.clone() };
    Config { limits, deadlines, ..Config::default() }
}

/// A session and its way to the shard.
struct Carried {
    session: Session,
    framing: Box<dyn Framing>,
    sender: Sender,
    message_bytes_max: usize,
}

/// Why a session ends.
type Parting = (u32, String);

impl Carried {
    async fn run(self, receiver: Receiver, within: Option<Duration>) {
        let opened = match within {
            Some(within) => timeout(within, self.session.accept_bi()).await,
            None => Ok(self.session.accept_bi().await),
        };
        match opened {
            Ok(Some(stream)) => self.talk(receiver, stream, BytesMut::new()).await,
            Ok(None) => {
                let ending = self.session.closed().await;
                self.tell_shard(&ending).await;
            }
            Err(_late) => self.session.close(4408, "no stream was opened"),
        }
    }

    /// Carries messages between the client and the shard, `arrived` before all others, until one of them has enough.
    async fn talk(&self, mut receiver: Receiver, stream: BidirectionalStream, arrived: BytesMut) {
        let (mut send, mut receive) = stream.split();
        let parting = tokio::select! {
            // What has arrived before the end counts.
            biased;
            () = self.speak(&mut receive, arrived) => return,
            parting = self.hear(&mut receiver, &mut send) => parting,
            ending = self.session.closed() => {
                let heard = async { while let Ok(Some(_)) = receiver.recv().await {} };
                tokio::select! {
                    () = self.tell_shard(&ending) => {}
                    () = heard => {}
                }
                return;
            }
            () = self.speak_by_datagrams() => return,
            () = self.turn_streams_away() => return,
        };
        // What was said last is to arrive before the close, which resets the stream.
        let _ = send.shutdown().await;
        let _ = timeout(PARTING_WITHIN, send.stopped()).await;
        // A browser has it then, but its page reads in its own time, and the close would overtake that. Who has read all ends
        // the stream, or the session.
        let ended = async { while let Ok(1..) = read_nothing(&mut receive).await {} };
        tokio::select! {
            () = ended => {}
            _ = self.session.closed() => {}
            () = sleep(READ_WITHIN) => {}
        }
        let (code, reason) = parting;
        self.session.close(code, &reason);
    }

    /// Brings what the shard says to the client, until it has no more to say.
    async fn hear(&self, receiver: &mut Receiver, send: &mut SendStream) -> Parting {
        while let Ok(Some(message)) = receiver.recv().await {
            let mut out = BytesMut::new();
            self.write(message, &mut out);
            while out.len() < TOGETHER_BYTES
                && let Some(Ok(Some(message))) = receiver.recv().now_or_never()
            {
                self.write(message, &mut out);
            }
            if send.write_all_buf(&mut out).await.is_err() {
                // The client wants to hear no more of it.
                let _ = self.sender.start_close(CloseCode::NORMAL, "");
                break;
            }
        }
        while let Ok(Some(_)) = receiver.recv().await {}
        match receiver.closed() {
            Some(closed) => (closed.code.get().into(), closed.reason.to_string()),
            None => (CloseCode::ABNORMAL.get().into(), String::new()),
        }
    }

    /// Sends a message as a datagram if it is to be one and fits, otherwise writes it for the stream.
    fn write(&self, message: Message, out: &mut BytesMut) {
        let message = match message {
            Message::Text(text) => core::Message::Text(text.into_bytes()),
            Message::Binary(bytes) => core::Message::Binary(bytes),
        };
        let is_sent = self.framing.datagram(&message).is_some_and(|datagram| {
            let fits = self.session.datagram_bytes_max().is_some_and(|max| datagram.len() <= max);
            fits && self.session.send_datagram(&datagram).is_ok()
        });
        if !is_sent {
            self.framing.write(&message, out);
        }
    }

    /// Brings the client's messages to the shard.
    async fn speak(&self, receive: &mut ReceiveStream, mut arrived: BytesMut) {
        let ended = loop {
            let bytes_max = self.message_bytes_max;
            match next_message(&*self.framing, bytes_max, receive, &mut arrived).await {
                Ok(Some(message)) => {
                    let Some(message) = as_ours(&message) else {
                        let Unframed { code, reason } = Unframed::NO_TEXT;
                        break Some((CloseCode::new(code), reason));
                    };
                    // The shard takes no more; why, it tells on the other side.
                    if self.sender.send(message).await.is_err() {
                        break None;
                    }
                }
                Ok(None) => break Some((CloseCode::NORMAL, "")),
                Err(Unframed { code, reason }) => break Some((CloseCode::new(code), reason)),
            }
        };
        if let Some((code, reason)) = ended {
            let _ = self.sender.start_close(code, reason);
        }
        // How the shard parts is heard elsewhere.
        pending().await
    }

    /// Brings the client's datagrams to the shard, as messages; those for which there is no room are lost, as any datagram
    /// may be.
    async fn speak_by_datagrams(&self) {
        while let Some(datagram) = self.session.recv_datagram().await {
            let message = self.framing.read_datagram(datagram);
            if let Some(message) = message.and_then(|it| as_ours(&it)) {
                let _ = self.sender.try_send(message);
            }
        }
        pending().await
    }

    /// There is one stream.
    async fn turn_streams_away(&self) {
        loop {
            tokio::select! {
                Some(_) = self.session.accept_bi() => {}
                Some(_) = self.session.accept_uni() => {}
                else => pending().await,
            }
        }
    }

    /// Tells the shard how the session ended.
    async fn tell_shard(&self, ending: &Ending) {
        // Of one that is lost the shard hears by the end of its line.
        let Ending::ByPeer(code, reason) = ending else { return };
        let code = u16::try_from(*code).unwrap_or(0);
        let is_ours = matches!(code, 3000..=4999);
        let code = if is_ours { CloseCode::new(code) } else { CloseCode::NORMAL };
        let reason = &reason[..reason.floor_char_boundary(123)];
        let _ = timeout(PARTING_WITHIN, self.sender.close(code, reason)).await;
    }
}

/// Reads once what nobody wants any more.
async fn read_nothing(receive: &mut ReceiveStream) -> io::Result<usize> {
    poll_fn(|cx| poll_read(receive, &mut BytesMut::new(), cx)).await
}

/// Reads a message; `None` at the end of the stream.
async fn next_message(
    framing: &dyn Framing,
    bytes_max: usize,
    receive: &mut (impl AsyncRead + Unpin),
    arrived: &mut BytesMut,
) -> Result<Option<core::Message>, Unframed> {
    let mut seen = 0;
    loop {
        if arrived.len() > seen {
            let read = framing.read(arrived, seen, bytes_max)?;
            if arrived.is_empty() {
                // Who waits for the next one keeps nothing of those before it.
                *arrived = BytesMut::new();
            }
            if read.is_some() {
                return Ok(read);
            }
        }
        seen = arrived.len();
        match poll_fn(|cx| poll_read(receive, arrived, cx)).await {
            Ok(1..) => {}
            Ok(0) if arrived.is_empty() => return Ok(None),
            Ok(0) | Err(_) => return Err(Unframed::CUT),
        }
    }
}

/// Reads once, behind what has arrived. Who waits has no buffer: it is the stack's while there is something to read.
fn poll_read(
    receive: &mut (impl AsyncRead + Unpin),
    arrived: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut buffer = [MaybeUninit::uninit(); TOGETHER_BYTES];
    let mut read = ReadBuf::uninit(&mut buffer);
    ready!(Pin::new(receive).poll_read(cx, &mut read))?;
    arrived.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}
