//! The opening handshake on a stream of a connection that several WebSockets share.

use std::{io, time::Duration};

use bytes::BytesMut;
use http::Version;
use taiwa_h3::{Protocol, error::Code, net};
use taiwa_proto::handshake::{HandshakeFault, Wish};

use super::{connection::Lease, stream::H3Stream};
use crate::{
    client::{
        h2::{Age, Unopened},
        open::{Agreement, Answer},
    },
    error::Error,
    io::BoxIo,
};

/// How long a server of a connection that was used before may give no sign that it is there.
const SIGN_WITHIN: Duration = Duration::from_secs(3);

/// Sends the request and reads the head of the response. The transport is the stream, of a refusal too, whose body is read
/// from it.
pub(in crate::client) async fn open(
    mut lease: Lease,
    age: Age,
    wish: Wish<'_>,
) -> Result<(BoxIo, Answer), Unopened> {
    let misuse = |it| Unopened::Failed(Error::Request(it));
    let (mut request, pending) = wish.connect_request(Version::HTTP_3).map_err(misuse)?;
    request.extensions_mut().insert(Protocol::WEBSOCKET);
    let reserved = lease.take_reserved();
    let http3 = lease.connection().http3();
    let asking = async {
        let mut stream = match reserved {
            Some(reserved) => http3.open_on(reserved, request).await?,
            None => http3.open(request).await?,
        };
        let response = stream.recv_response().await?;
        Ok((stream, response))
    };
    let asked = tokio::select! {
        biased;
        asked = asking => asked,
        // What was sent is acknowledged at once, whenever it is answered.
        () = http3.silent(SIGN_WITHIN), if age == Age::Used => {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the connection is dead");
            return Err(Unopened::Unprocessed(Error::Io(error)));
        }
    };
    let (stream, mut response) = asked.map_err(|it| blame(it, age))?;
    *response.version_mut() = Version::HTTP_3;
    let answer = match pending.verify(&response) {
        Ok(agreed) => Answer::Agreed(Agreement { agreed, response, leftover: BytesMut::new() }),
        Err(HandshakeFault::Refused(_)) => Answer::Refused(response, BytesMut::new()),
        Err(fault) => return Err(Unopened::Failed(Error::Handshake(fault))),
    };
    Ok((Box::new(H3Stream::new(stream.into_io(), lease)), answer))
}

fn blame(error: net::Error, age: Age) -> Unopened {
    let told = Error::Io(error.clone().into());
    match error {
        // RFC 9114 §4.1.1: "the server has not performed any application processing".
        net::Error::GoingAway | net::Error::Reset(Code::REQUEST_REJECTED) => {
            Unopened::Unprocessed(told)
        }
        // RFC 9114 §8.1: "The peer is requesting that it be retried over HTTP/1.1."
        net::Error::Reset(Code::VERSION_FALLBACK) => Unopened::Http1Required(told),
        net::Error::Closed(_) if age == Age::Used => Unopened::Unprocessed(told),
        _ => Unopened::Failed(told),
    }
}
