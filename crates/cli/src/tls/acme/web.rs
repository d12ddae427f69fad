//! The requests to the ACME server, by the client that all our requests are made with.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, uri::Scheme};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use taiwa_server::outgoing::{Bounds, Outgoing};

/// Bounds of each request: chains of certificates are the longest answers.
const BOUNDS: Bounds = Bounds { deadline: Duration::from_secs(30), answer_bytes_max: 256 * 1024 };

pub(super) struct Web(pub(super) Outgoing);

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let outgoing = self.0.clone();
        Box::pin(async move {
            // RFC 8555 §6.1: "Use of HTTPS is REQUIRED." The directory names the other URLs.
            if request.uri().scheme() != Some(&Scheme::HTTPS) {
                return Err(Error::Str("an https URL"));
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let answer = outgoing.send(Request::from_parts(head, body), BOUNDS).await;
            let answer = answer.map_err(|it| Error::Other(Box::new(it)))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
