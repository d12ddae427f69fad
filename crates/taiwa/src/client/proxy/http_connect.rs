//! The tunnel of an HTTP proxy (RFC 9110 §9.3.6).

use http::{
    HeaderValue, Method, Request, Uri,
    header::{HOST, PROXY_AUTHORIZATION},
};
use taiwa_proto::{Limits, h1::write_request};
use tokio::io::AsyncWriteExt;

use super::Endpoint;
use crate::{
    client::{
        dial::Place,
        open::{read_body, read_response},
    },
    error::{Error, ProxyFault},
    io::BoxIo,
    rewind::Rewind,
};

/// Asks a proxy for a tunnel to `host`. What comes back leads to the server.
pub(in crate::client) async fn tunnel(
    mut io: BoxIo,
    proxy: &Endpoint,
    to: Place<'_>,
    limits: &Limits,
) -> Result<BoxIo, ProxyFault> {
    let Place { host, port, .. } = to;
    let authority =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    // RFC 9110 §9.3.6: "CONNECT uses a special form of request target [...] consisting of only the host
    // and port number of the tunnel destination".
    *request.uri_mut() =
        Uri::try_from(&authority).expect("host and port of a URI are an authority");
    let host = HeaderValue::try_from(authority).expect("a URI has no control characters");
    request.headers_mut().insert(HOST, host);
    if let Some(authorization) = proxy.authorization() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    let mut bytes = Vec::new();
    write_request(&request, &mut bytes);
    io.write_all(&bytes).await.map_err(ProxyFault::Io)?;
    io.flush().await.map_err(ProxyFault::Io)?;

    let (response, leftover) =
        read_response(&mut io, limits).await.map_err(|error| match error {
            Error::Http(fault) => ProxyFault::Http(fault),
            Error::Io(error) => ProxyFault::Io(error),
            // Nothing but interim responses.
            other => ProxyFault::Io(std::io::Error::other(other)),
        })?;
    if !response.status().is_success() {
        let body = read_body(&mut io, &response, leftover, limits).await;
        return Err(ProxyFault::Refused(Box::new(response.map(|()| body))));
    }
    // RFC 9110 §9.3.6: "data received after that header section is from the server", and "A client MUST
    // ignore any Content-Length or Transfer-Encoding header fields received in a successful response to
    // CONNECT."
    if leftover.is_empty() { Ok(io) } else { Ok(Box::new(Rewind { first: leftover.freeze(), io })) }
}
