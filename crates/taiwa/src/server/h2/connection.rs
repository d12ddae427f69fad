//! One connection of HTTP/2: its handshake, its streams, its end.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    ext::Protocol,
    server::{Builder, Connection, SendResponse},
};
use http::Request;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Http2,
    request::{self, Respond},
    socket,
    watch::Watched,
};
use crate::{
    io::BoxIo,
    rewind::Rewind,
    server::{
        Shared,
        connection::{Ends, in_time},
    },
};

/// What a client begins with (RFC 9113 §3.4).
pub(in crate::server) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The greatest window (RFC 9113 §6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// What small frames that nobody has taken yet may cost besides their bytes: a quarter of a kilobyte each. WebSockets take
/// theirs at once (`h2::Pump`), so it is the bodies of requests that may come near; past it the connection ends with
/// `ENHANCE_YOUR_CALM`.
const SMALL_FRAMES: usize = 16 << 20;
/// The least limit of a list of fields that the crate under us works with.
const HEAD_BYTES_MIN: u32 = 1024;

type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// Serves a connection that begins with `read` to its end.
pub(in crate::server) async fn serve(
    shared: Arc<Shared>,
    io: BoxIo,
    ends: Arc<Ends>,
    read: Bytes,
    deadline: Option<Instant>,
) {
    let Some(limits) = shared.http2.clone() else { return };
    let (io, flooded) = Watched::new(Rewind { first: read, io }, limits.resets_per_second_max);
    let handshake = builder(&limits, &shared).handshake(io);
    let connection = tokio::select! {
        shaken = in_time(deadline, handshake) => shaken,
        () = shared.terms.going_away.wait() => None,
    };
    let Some(Ok(connection)) = connection else { return };
    let leave = Arc::new(Notify::new());
    let streams = Streams { shared, ends, limits, leave, tasks: JoinSet::new() };
    let served = Served {
        connection,
        streams,
        flooded,
        is_flooded: false,
        is_leaving: false,
        quiet_since: Instant::now(),
    };
    served.run().await;
}

fn builder(limits: &Http2, shared: &Shared) -> Builder {
    let streams = limits.streams_max.max(1);
    let window = limits.stream_window.clamp(1, WINDOW_MAX);
    let of_the_handshake = shared.terms.config.limits.handshake_bytes_max;
    let head = limits.head_bytes_max.unwrap_or(of_the_handshake.try_into().unwrap_or(u32::MAX));
    let resets = limits.resets_per_second_max as usize;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(streams)
        .initial_window_size(window)
        // All streams that nobody reads may be full, and another one still has its own window.
        .initial_connection_window_size(streams.saturating_mul(window).min(WINDOW_MAX))
        .max_send_buffer_size(limits.stream_unsent_max.max(1) as usize)
        .data_frame_budget(SMALL_FRAMES)
        .max_header_list_size(head.max(HEAD_BYTES_MIN))
        // `Watched` counts them in time.
        .max_pending_accept_reset_streams(resets)
        .max_concurrent_reset_streams(streams as usize);
    if limits.websockets {
        builder.enable_connect_protocol();
    }
    builder
}

/// A connection at work.
struct Served {
    connection: Connection<Watched<Rewind>, Bytes>,
    streams: Streams,
    flooded: Arc<AtomicBool>,
    /// The same, acted on.
    is_flooded: bool,
    /// GOAWAY was sent.
    is_leaving: bool,
    /// Since when there is no stream.
    quiet_since: Instant,
}

/// The tasks of a connection's streams.
struct Streams {
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    limits: Http2,
    /// A response asks for the end of the connection.
    leave: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Served {
    async fn run(mut self) {
        let going_away = Arc::clone(&self.streams.shared.terms.going_away);
        let leave = Arc::clone(&self.streams.leave);
        loop {
            let quiet = self.quiet_until();
            let Self { connection, streams, flooded, is_flooded, is_leaving, .. } = &mut self;
            let accepting = poll_fn(|cx| poll_accept(connection, flooded, is_flooded, cx));
            tokio::select! {
                accepted = accepting => match accepted {
                    Some(Ok((request, respond))) => streams.begin(request, respond),
                    // Told to the streams; there is nobody else to tell.
                    Some(Err(_)) | None => break,
                },
                Some(ended) = streams.tasks.join_next() => {
                    streams.shared.hear_panic(ended);
                    self.quiet_since = Instant::now();
                }
                () = going_away.wait(), if !*is_leaving => self.leave(),
                () = leave.notified(), if !*is_leaving => self.leave(),
                () = until(quiet) => match *is_leaving {
                    // The client does not close.
                    true => break,
                    false => self.leave(),
                },
            }
        }
        let Self { connection, mut streams, .. } = self;
        drop(connection);
        while let Some(ended) = streams.tasks.join_next().await {
            streams.shared.hear_panic(ended);
        }
    }

    /// Tells the client to begin no more streams (RFC 9113 §6.8).
    fn leave(&mut self) {
        self.connection.graceful_shutdown();
        self.is_leaving = true;
        self.quiet_since = Instant::now();
    }

    /// Returns until when a connection without streams stays.
    fn quiet_until(&self) -> Option<Instant> {
        let within: Option<Duration> = match self.is_leaving {
            true => self.streams.shared.terms.config.deadlines.close,
            false => self.streams.limits.idle_max,
        };
        within.filter(|_| self.streams.tasks.is_empty()).map(|it| self.quiet_since + it)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Drives the connection until it brings a stream.
fn poll_accept(
    connection: &mut Connection<Watched<Rewind>, Bytes>,
    flooded: &AtomicBool,
    is_flooded: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Accepted> {
    if !*is_flooded {
        let accepted = connection.poll_accept(cx);
        if !flooded.load(Ordering::Relaxed) {
            return accepted;
        }
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        *is_flooded = true;
    }
    // None of the streams that came with the flood is begun.
    connection.poll_closed(cx).map(|_| None)
}

impl Streams {
    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        // Those of streams that were reset go on for a while.
        if self.tasks.len() >= 2 * self.limits.streams_max.max(1) as usize {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let (shared, ends) = (Arc::clone(&self.shared), Arc::clone(&self.ends));
        let respond = Respond { respond, leave: Arc::clone(&self.leave) };
        if request.extensions().get::<Protocol>().is_some() {
            self.tasks.spawn(socket::serve(shared, ends, request, respond));
        } else {
            self.tasks.spawn(request::answer(shared, ends, request, respond));
        }
    }
}
