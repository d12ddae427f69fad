//! WebTransport over HTTP/3: sessions with many streams, and datagrams, for servers and clients.
//!
//! | | |
//! |---|---|
//! | a server | [`Server::webtransport`](crate::Server::webtransport): a closure that gets each [`SessionRequest`] |
//! | a client | [`connect`], or [`Client::builder`] with headers, roots, [hashes of certificates](ClientBuilder::certificate_hash) |
//! | both | a [`Session`]: streams ([`SendStream`], [`ReceiveStream`], both in a [`BidirectionalStream`]), which are tokio's `AsyncWrite` and `AsyncRead`; datagrams, also as a `Stream` and `Sink` ([`Session::datagrams`]) |
//!
//! Browsers speak different drafts of it (draft-ietf-webtrans-http3); which one a peer speaks is found out by its settings, from draft 02
//! (Chromium, Firefox) over 13 and 14 (Safari) to 16: [`Session::dialect`]. Several sessions share a connection. Where both
//! sides have flow control for each session, from draft 13 on, it is kept. What a session speaks is agreed on as subprotocols of
//! WebSockets are: [`ClientBuilder::protocols`], [`SessionRequest::protocol`], [`Session::protocol`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
//! use taiwa::{Error, Http3, Server, Upgrade, webtransport::{Client, SessionRequest}};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let server = Server::bind("127.0.0.1:0")
//!     .await?
//!     .tls(certificate.as_bytes(), key.as_bytes())?
//!     .http3(Http3::default())
//!     .webtransport(|request: SessionRequest| async move {
//!         let session = request.accept().await?;
//!         while let Some(mut stream) = session.accept_bi().await {
//!             let mut question = String::new();
//!             stream.read_to_string(&mut question).await?;
//!             stream.write_all(question.to_uppercase().as_bytes()).await?;
//!             stream.shutdown().await?;
//!         }
//!         Ok::<(), Error>(())
//!     });
//! let url = format!("https://localhost:{}/shout", server.local_addr()?.port());
//! # let serving =
//! server.serve(|upgrade: Upgrade| upgrade.reject(404, "no WebSockets here"));
//! # tokio::spawn(serving.into_future());
//!
//! let client = Client::builder().roots(certificate.as_bytes())?.build()?;
//! let session = client.connect(&url).await?;
//! let mut stream = session.open_bi().await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "HELLO");
//! session.close(0, "thank you");
//! # Ok(()) }
//! ```

mod client;
mod pinned;
mod pool;
mod request;

pub use client::{Client, ClientBuilder, connect};
pub use request::SessionRequest;
pub use taiwa_h3::{
    net::{
        BidirectionalStream, DatagramError, Datagrams, ReceiveStream, SendStream, Session,
        StreamError,
    },
    webtransport::{Dialect, Ending, Limits, REASON_BYTES_MAX},
};

use std::io;

use crate::error::Error;

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        Self::Io(error.into())
    }
}

impl From<DatagramError> for Error {
    fn from(error: DatagramError) -> Self {
        Self::Io(io::Error::other(error))
    }
}
