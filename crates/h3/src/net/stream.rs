//! [`RequestStream`]: one request with its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use super::{Error, RecvHalf, SendHalf, Tunnel, connection::Shared, halves::Fate};
use crate::{error::Code, varint::VarInt};

/// One request with its answer, in either role; or the tunnel of a CONNECT.
///
/// A direction that is dropped before its end is given up with H3_REQUEST_CANCELLED; what was sent and finished before is not
/// touched by that.
#[derive(Debug)]
pub struct RequestStream {
    pub(super) send: SendHalf,
    pub(super) recv: RecvHalf,
}

impl RequestStream {
    pub(super) fn new(
        shared: &Arc<Shared>,
        send: quinn::SendStream,
        recv: quinn::RecvStream,
    ) -> Self {
        let fate = Fate::new(shared);
        Self { send: SendHalf::new(shared, &fate, send), recv: RecvHalf::new(shared, &fate, recv) }
    }

    /// Sends the head of a request.
    pub(super) async fn begin(
        &mut self,
        request: &Request<()>,
        section: Vec<u8>,
    ) -> Result<(), Error> {
        self.recv.is_answer_to(request);
        self.send.answer_to(request);
        self.send.send_head(section).await
    }

    /// Returns the identifier of the stream in QUIC (RFC 9000 §2.1).
    pub fn id(&self) -> u64 {
        self.send.id()
    }

    /// Sends the head of a response: [`SendHalf::send_response`].
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`SendHalf::send_response`].
    pub async fn send_response(&mut self, response: &Response<()>) -> Result<(), Error> {
        self.send.send_response(response).await
    }

    /// Waits for the head of the response: [`RecvHalf::recv_response`].
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`RecvHalf::recv_response`].
    pub async fn recv_response(&mut self) -> Result<Response<()>, Error> {
        self.recv.recv_response().await
    }

    /// Sends bytes of content: [`SendHalf::send_data`].
    ///
    /// Cancel-safe, as that is.
    ///
    /// # Errors
    /// As [`SendHalf::send_data`].
    pub async fn send_data(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.send.send_data(bytes).await
    }

    /// Sends trailers: [`SendHalf::send_trailers`].
    ///
    /// Cancel-safe, as that is.
    ///
    /// # Errors
    /// As [`SendHalf::send_trailers`].
    pub async fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), Error> {
        self.send.send_trailers(trailers).await
    }

    /// Ends our direction: [`SendHalf::finish`].
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`SendHalf::finish`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.send.finish().await
    }

    /// Waits until the peer wants no more of our direction: [`SendHalf::stopped`].
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`SendHalf::stopped`].
    pub async fn stopped(&self) -> Result<Code, Error> {
        self.send.stopped().await
    }

    /// Waits for bytes of content: [`RecvHalf::recv_data`].
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`RecvHalf::recv_data`].
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, Error> {
        self.recv.recv_data().await
    }

    /// Gives our direction up: what was not sent yet is lost.
    pub fn reset(&mut self, code: Code) {
        self.send.reset(code);
    }

    /// Tells the peer that nothing more will be read.
    pub fn stop(&mut self, code: Code) {
        self.recv.stop(code);
    }

    /// Gives both directions up.
    pub fn abort(mut self, code: Code) {
        self.send.reset(code);
        self.recv.stop(code);
    }

    /// Takes the directions apart.
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }

    /// Makes it the bytes that a CONNECT carries (RFC 9114 §4.4): those of DATA frames.
    pub fn into_io(self) -> Tunnel {
        Tunnel::new(self.send, self.recv)
    }

    /// Hands the stream over to a session of WebTransport.
    pub(super) fn into_session(self, session: VarInt) {
        let shared = Arc::clone(self.recv.shared());
        let send = self.send.into_quic();
        if let (Some(send), Some((recv, rest))) = (send, self.recv.into_quic()) {
            shared.sessions.bidirectional(session, send, recv, rest);
        }
    }
}
