//! The opening handshake on a stream of a connection that several WebSockets share.

use std::{io, time::Duration};

use ::h2::{Reason, ext::Protocol};
use bytes::BytesMut;
use http::Version;
use taiwa_proto::handshake::{HandshakeFault, Wish};

use super::connection::Lease;
use crate::{
    client::open::{Agreement, Answer},
    error::Error,
    h2::{broken, pair},
    io::BoxIo,
};

/// How long a stream that is ended waits for its peer's end.
const LINGER: Duration = Duration::from_secs(5);

/// Why no WebSocket was opened, and what may be tried next.
pub(in crate::client) enum Unopened {
    /// The server has not looked at the request, or the connection was dead before: another one may do.
    Unprocessed(Error),
    /// The server wants HTTP/1.1 for it.
    Http1Required(Error),
    /// Nothing else would go better.
    Failed(Error),
}

impl Unopened {
    pub(in crate::client) fn into_error(self) -> Error {
        match self {
            Self::Unprocessed(error) | Self::Http1Required(error) | Self::Failed(error) => error,
        }
    }
}

/// Whether a connection has proven to live just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Age {
    Fresh,
    /// It may be dead without anybody knowing: after a machine's sleep, say, or behind a router that forgot it.
    Used,
}

/// Sends the request and reads the head of the response. The transport is the stream, of a refusal too, whose body is read
/// from it.
pub(in crate::client) async fn open(
    lease: Lease,
    age: Age,
    wish: Wish<'_>,
) -> Result<(BoxIo, Answer), Unopened> {
    let misuse = |it| Unopened::Failed(Error::Request(it));
    let (mut request, pending) = wish.connect_request(Version::HTTP_2).map_err(misuse)?;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let gone = || Unopened::Unprocessed(Error::Io(io::ErrorKind::ConnectionAborted.into()));
    let mut requests = lease.requests().ok_or_else(gone)?;
    // It fails at once when the server has said that it goes away, or the connection has ended.
    let (response, send) = requests.send_request(request, false).map_err(|it| {
        let is_over = it.is_io() || it.reason().is_some();
        if is_over { unprocessed(it) } else { failed(it) }
    })?;
    drop(requests);
    let response = tokio::select! {
        response = response => response.map_err(|it| blame(it, age))?,
        () = lease.connection().silence(), if age == Age::Used => {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the connection is dead");
            return Err(Unopened::Unprocessed(Error::Io(error)));
        }
    };
    let verified = pending.verify(&response);
    let (head, recv) = response.into_parts();
    let response = http::Response::from_parts(head, ());
    let answer = match verified {
        Ok(agreed) => Answer::Agreed(Agreement { agreed, response, leftover: BytesMut::new() }),
        Err(HandshakeFault::Refused(_)) => Answer::Refused(response, BytesMut::new()),
        Err(fault) => return Err(Unopened::Failed(Error::Handshake(fault))),
    };
    let (stream, pump) = pair(recv, send);
    tokio::spawn(async move {
        pump.run(Some(LINGER)).await;
        drop(lease);
    });
    Ok((Box::new(stream.ended_when_dropped()), answer))
}

fn failed(error: ::h2::Error) -> Unopened {
    Unopened::Failed(Error::Io(broken(error)))
}

fn unprocessed(error: ::h2::Error) -> Unopened {
    Unopened::Unprocessed(Error::Io(broken(error)))
}

fn blame(error: ::h2::Error, age: Age) -> Unopened {
    match error.reason() {
        // RFC 9113 §8.7: "The REFUSED_STREAM error code can be included in a RST_STREAM frame to indicate that the
        // stream is being closed prior to any processing having occurred."
        Some(Reason::REFUSED_STREAM) => unprocessed(error),
        // RFC 9113 §7: "The endpoint requires that HTTP/1.1 be used instead of HTTP/2."
        Some(Reason::HTTP_1_1_REQUIRED) => Unopened::Http1Required(Error::Io(broken(error))),
        // RFC 9113 §6.8: "the GOAWAY frame contains the stream identifier of the last [...] stream that was processed";
        // of these alone it is the error.
        _ if error.is_go_away() && error.is_remote() => unprocessed(error),
        None if age == Age::Used => unprocessed(error),
        _ => failed(error),
    }
}
