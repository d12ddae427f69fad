//! One connection of a server, from the accepted socket to its end.

use std::{io, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use rustls::pki_types::CertificateDer;
use taiwa_proto::{
    h1::{H1Fault, HeadReader, parse_request, write_response, write_response_head},
    handshake::{Arrival, Opening, Rejection, is_upgrade},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Addr, Credentials, LocalAddr, PeerCertificates, Shared, Terms,
    attend::{Attended, attend},
    early::Arrived,
    h2,
    listener::Stream,
    plain,
    serving::part,
    upgrade::{Bare, BareIo, RESPONSE_LEN, Reply, Upgrade},
};
use crate::{
    io::BoxIo,
    tls::{alpn, handshake_error},
    websocket::Inner,
};

/// Who talks to whom, and how.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) peer: Addr,
    pub(crate) local: Addr,
    pub(super) is_tls: bool,
    /// Over unix sockets.
    pub(super) credentials: Option<Credentials>,
    /// Over TLS, if the client has shown any; its own is the first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

impl Ends {
    pub(super) fn new(peer: Addr, local: Addr) -> Self {
        Self { peer, local, is_tls: false, credentials: None, certificates: Vec::new() }
    }

    /// Reads an opening handshake and checks its `Origin` and subprotocols.
    pub(super) fn open<B>(
        &self,
        request: &Request<B>,
        terms: &Terms,
    ) -> Result<Opening, Rejection> {
        self.permit(Opening::read(request)?, terms)
    }

    /// Reads an extended CONNECT, as [`open`](Self::open) does an upgrade.
    pub(super) fn open_connect<B>(
        &self,
        request: &Request<B>,
        protocol: &str,
        terms: &Terms,
    ) -> Result<Opening, Rejection> {
        self.permit(Opening::read_connect(request, protocol)?, terms)
    }

    fn permit(&self, opening: Opening, terms: &Terms) -> Result<Opening, Rejection> {
        opening.permitted_by(&terms.origins, self.arrival())?;
        terms.subprotocols.check(&opening)?;
        Ok(opening)
    }

    /// Tells an ordinary request who talks to whom.
    pub(super) fn introduce(&self, extensions: &mut Extensions) {
        self.peer.tcp().map(|it| extensions.insert(it));
        extensions.insert(self.peer.clone());
        extensions.insert(LocalAddr(self.local.clone()));
        if !self.certificates.is_empty() {
            extensions.insert(PeerCertificates(self.certificates.clone().into()));
        }
    }

    /// No page can open a unix socket: a request with an `Origin` came through a program that stands in
    /// between, and that program's own address is the one that a page may have bound a name to.
    pub(super) fn arrival(&self) -> Arrival {
        self.local.ip().map_or(Arrival::Network, Arrival::at)
    }
}

/// Serves one connection to its end.
///
/// What opens it, and what it came as, is boxed apart: its room is given back before the long life of the WebSocket begins.
pub(super) fn serve(shared: Arc<Shared>, arrived: Arrived) -> impl Future<Output = ()> + Send {
    let opening = Box::pin(open(Arc::clone(&shared), arrived));
    serve_opened(shared, opening)
}

async fn serve_opened(
    shared: Arc<Shared>,
    opening: Pin<Box<impl Future<Output = Option<Became>>>>,
) {
    match opening.await {
        Some(Became::WebSocket(Opened { attended, home })) => {
            drop(shared);
            attend(attended, home).await;
        }
        Some(Became::Http2 { io, ends, read, deadline }) => {
            Box::pin(h2::serve(shared, io, ends, read, deadline)).await;
        }
        None => {}
    }
}

/// What a connection becomes for longer.
enum Became {
    WebSocket(Opened),
    Http2 { io: BoxIo, ends: Arc<Ends>, read: Bytes, deadline: Option<Instant> },
}

/// A closure at work, and where its socket comes back to.
pub(super) struct Opened {
    pub(super) attended: Attended,
    pub(super) home: oneshot::Receiver<Box<Inner>>,
}

/// Serves a connection until it is a WebSocket or turns out to be of HTTP/2. `None`: it became neither, and has ended.
async fn open(shared: Arc<Shared>, arrived: Arrived) -> Option<Became> {
    let stream = match arrived {
        Arrived::Upgrade(upgrade) => {
            return answer_later(&shared, upgrade).await.map(Became::WebSocket);
        }
        Arrived::Stream(stream) => stream,
    };
    let deadline = shared.terms.config.deadlines.handshake.map(|within| Instant::now() + within);
    let begun = tokio::select! {
        begun = begin(&shared, stream, deadline) => begun,
        () = shared.terms.going_away.wait() => None,
    };
    let (io, ends, first) = begun?;
    match first {
        First::Late => part(io, &late()).await,
        First::Fault(fault) => part(io, &whole(fault.response())).await,
        First::Http2(read) => return Some(Became::Http2 { io, ends, read, deadline }),
        First::Request { .. } if !shared.http1 => part(io, &other_version()).await,
        First::Request { request, leftover, .. } if is_upgrade(&request) => {
            return upgrade(shared, io, ends, *request, leftover).await.map(Became::WebSocket);
        }
        First::Request { head, leftover, .. } => {
            let mut read = BytesMut::from(&head[..]);
            read.extend_from_slice(&leftover);
            return plain::serve(shared, io, ends, read.freeze()).await.map(Became::WebSocket);
        }
    }
    None
}

/// Bytes of a read of a head: the opening handshakes of browsers fit, unless they have long cookies.
const HEAD_LEN: usize = 1024;

/// What a connection begins with.
enum First {
    Request {
        request: Box<Request<()>>,
        head: Vec<u8>,
        leftover: BytesMut,
    },
    Fault(H1Fault),
    /// With what was read.
    Http2(Bytes),
    Late,
}

/// Reads the proxy's header, does the TLS handshake and reads the first head. `None`: there is nobody to answer.
async fn begin(
    shared: &Shared,
    stream: Stream,
    deadline: Option<Instant>,
) -> Option<(BoxIo, Arc<Ends>, First)> {
    let (io, mut ends) = stream.open().ok()?;
    let mut io = in_time(deadline, shared.read_proxy_header(io, &mut ends)).await??;
    let mut is_http2 = false;
    if let Some(acceptor) = &shared.tls {
        io = match in_time(deadline, acceptor.accept(io)).await? {
            // RFC 8737 §3: once the handshake is done, no more data is exchanged.
            Ok(tls) if tls.get_ref().1.alpn_protocol() == Some(alpn::ACME) => return None,
            Ok(tls) => {
                let session = tls.get_ref().1;
                ends.certificates = session.peer_certificates().unwrap_or_default().to_vec();
                is_http2 = session.alpn_protocol() == Some(alpn::HTTP2);
                Box::new(tls)
            }
            Err(error) => {
                (shared.terms.on_error)(Some(&ends.peer), &handshake_error(error));
                return None;
            }
        };
        ends.is_tls = true;
    }
    if is_http2 {
        return Some((io, Arc::new(ends), First::Http2(Bytes::new())));
    }
    let first = match in_time(deadline, read_first(shared, &mut io)).await {
        Some(first) => first.ok()?,
        None => First::Late,
    };
    Some((io, Arc::new(ends), first))
}

pub(super) async fn in_time<T>(
    deadline: Option<Instant>,
    it: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, it).await.ok(),
        None => Some(it.await),
    }
}

async fn read_first(shared: &Shared, io: &mut BoxIo) -> io::Result<First> {
    let mut reader = HeadReader::new();
    // Otherwise it would be read 64 bytes at a time.
    let mut read = BytesMut::with_capacity(HEAD_LEN);
    // RFC 9113 §3.3: a client that knows that the server speaks HTTP/2 begins with its preface. Over TLS it has to be agreed on
    // (§3.2).
    let mut may_be_http2 = shared.http2.is_some() && shared.tls.is_none();
    loop {
        if io.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if may_be_http2 {
            let n = read.len().min(h2::PREFACE.len());
            may_be_http2 = read[..n] == h2::PREFACE[..n];
            match may_be_http2 {
                true if n == h2::PREFACE.len() => return Ok(First::Http2(read.freeze())),
                true => continue,
                false => {}
            }
        }
        let fed = reader.feed(&read, &shared.terms.config.limits);
        match fed.and_then(|head| head.map(|it| Ok((parse_request(&it)?, it))).transpose()) {
            Err(fault) => return Ok(First::Fault(fault)),
            Ok(None) => read.clear(),
            Ok(Some((request, head))) => {
                let (leftover, head) = (BytesMut::from(head.leftover), head.as_bytes().to_vec());
                return Ok(First::Request { request: Box::new(request), head, leftover });
            }
        }
    }
}

/// Answers an opening handshake.
async fn upgrade(
    shared: Arc<Shared>,
    io: BoxIo,
    ends: Arc<Ends>,
    request: Request<()>,
    leftover: BytesMut,
) -> Option<Opened> {
    let opening = match ends.open(&request, &shared.terms) {
        Ok(opening) => opening,
        Err(rejection) => {
            part(io, &whole(rejection.response())).await;
            return None;
        }
    };
    let asked = (request.into_parts().0, opening);
    let bare = Bare { io: BareIo::Task(io), leftover };
    let upgrade = Upgrade::at_once(&shared.terms, &ends, asked, bare);
    let upgrade = match &shared.at_once {
        Some(at_once) => shared.ask(at_once, &ends, upgrade)?,
        None => upgrade,
    };
    answer_later(&shared, upgrade).await
}

/// Answers an opening handshake about which somebody decides in their own time.
async fn answer_later(shared: &Shared, upgrade: Upgrade) -> Option<Opened> {
    let peer = upgrade.peer_addr().clone();
    let (upgrade, mut waiting, Bare { io, leftover }) = upgrade.later()?;
    let mut io = match io {
        BareIo::Task(io) => io,
        BareIo::Accepted(tcp) => Box::new(TcpStream::from_std(tcp).ok()?),
    };
    let running = (shared.answer)(upgrade);
    let mut attended = Attended::new(&shared.terms, &peer, running);
    match attended.answer(&mut waiting.reply).await {
        Reply::Reject(response) => {
            part(io, &whole(response)).await;
            attended.run_out().await;
            None
        }
        Reply::Accept(response, transfer) => {
            let mut bytes = Vec::with_capacity(RESPONSE_LEN);
            write_response_head(&response, None, &mut bytes);
            let written = async {
                io.write_all(&bytes).await?;
                io.flush().await
            };
            let deadline =
                shared.terms.config.deadlines.write.map(|within| Instant::now() + within);
            if let Some(Ok(())) = in_time(deadline, written).await {
                let _ = transfer.send((io, leftover));
            }
            Some(Opened { attended, home: waiting.home })
        }
    }
}

/// What a closure's [`Upgrade`] talks to.
pub(super) struct Waiting {
    pub(super) reply: oneshot::Receiver<Reply>,
    pub(super) home: oneshot::Receiver<Box<Inner>>,
}

/// Writes a response after which the connection ends.
pub(super) fn whole<B: Into<Bytes>>(response: Response<B>) -> Vec<u8> {
    let (mut parts, body) = response.into_parts();
    if !parts.headers.contains_key(CONNECTION) {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut bytes = Vec::new();
    write_response(&Response::from_parts(parts, ()), &body.into(), &mut bytes);
    bytes
}

/// Answers a request of HTTP/1.1 where that is switched off (RFC 9110 §15.6.6).
fn other_version() -> Vec<u8> {
    let mut response = Response::new(Bytes::from_static(b"This server speaks HTTP/2.\n"));
    *response.status_mut() = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
    whole(response)
}

fn late() -> Vec<u8> {
    let mut response = Response::new(Bytes::from_static(b"The request took too long.\n"));
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    whole(response)
}
