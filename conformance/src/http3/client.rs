//! The client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn::{
    ConnectionError, Endpoint, ReadError, RecvStream, SendStream, TransportConfig, VarInt,
    crypto::rustls::QuicClientConfig,
};
use taiwa_h3::{
    connection::Role,
    error::Code,
    head::read_response,
    qpack::SectionLimits,
    request::{Bounds, Event, Receiving},
};
use tokio::time::timeout;

use super::{Certificate, control, get, head};

/// How long anything may take for which no other time is named.
const WITHIN: Duration = Duration::from_secs(10);

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is closed with this code.
    Closes(Code),
    /// The stream alone is reset with this code.
    Resets(Code),
    /// The request is answered with this status.
    Answers(u16),
}

/// A request stream of a client that writes what it likes.
#[derive(Debug)]
pub struct Stream {
    /// What the client writes.
    pub send: SendStream,
    /// What the server writes.
    pub recv: RecvStream,
    receiving: Receiving,
    input: Bytes,
}

/// A client behind the handshake of QUIC.
#[derive(Debug)]
pub struct RawQuic {
    _endpoint: Endpoint,
    /// The connection; streams are opened on it.
    pub quic: quinn::Connection,
    control: Option<SendStream>,
}

impl RawQuic {
    /// Connects, and says nothing.
    pub async fn knock(addr: SocketAddr, certificate: &Certificate) -> Self {
        Self::knock_with(addr, certificate, TransportConfig::default()).await
    }

    /// Connects with windows of its own, and says nothing.
    pub async fn knock_with(
        addr: SocketAddr,
        certificate: &Certificate,
        mut transport: TransportConfig,
    ) -> Self {
        transport.datagram_receive_buffer_size(Some(64 << 10));
        let mut tls = certificate.client();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = QuicClientConfig::try_from(tls).expect("it has the ciphers");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a free port");
        let connecting = endpoint.connect_with(config, addr, "localhost").expect("right");
        let quic = within(connecting).await.expect("the server is there");
        Self { _endpoint: endpoint, quic, control: None }
    }

    /// Connects, and opens a control stream that is right.
    pub async fn connect(addr: SocketAddr, certificate: &Certificate) -> Self {
        let mut client = Self::knock(addr, certificate).await;
        client.control = Some(client.uni(&control()).await);
        client
    }

    /// Writes on the control stream.
    pub async fn control(&mut self, bytes: &[u8]) {
        let control = self.control.as_mut().expect("not after a mere knock");
        // The server may have closed it by now, which is seen elsewhere.
        let _ = within(control.write_all(bytes)).await;
    }

    /// Gives the control stream away.
    pub fn take_control(&mut self) -> SendStream {
        self.control.take().expect("not after a mere knock")
    }

    /// Opens a stream in our direction and writes on it.
    pub async fn uni(&self, bytes: &[u8]) -> SendStream {
        let mut stream = within(self.quic.open_uni()).await.expect("the server allows it");
        let _ = within(stream.write_all(bytes)).await;
        stream
    }

    /// Opens a request stream and writes on it.
    pub async fn bidi(&self, bytes: &[u8]) -> Stream {
        let opened = within(self.quic.open_bi()).await;
        let (mut send, recv) = opened.expect("the server allows it");
        let _ = within(send.write_all(bytes)).await;
        Stream::new(send, recv)
    }

    /// Makes a request that is right.
    pub async fn is_served(&self) {
        let mut stream = self.bidi(&head(&get())).await;
        stream.send.finish().expect("open");
        let outcome = stream.outcome().await;
        assert!(matches!(outcome, Outcome::Answers(200..500)), "{outcome:?}");
    }

    /// Returns the code with which the server closes the connection.
    pub async fn closed(&self) -> Code {
        match within(self.quic.closed()).await {
            ConnectionError::ApplicationClosed(close) => code(close.error_code),
            other => panic!("not closed by the server: {other}"),
        }
    }
}

impl Stream {
    /// Takes both directions of a stream.
    pub fn new(send: SendStream, recv: RecvStream) -> Self {
        let bounds = Bounds { section_bytes_max: 1 << 20, idle_frames_max: 1000 };
        let receiving = Receiving::new(Role::Client, bounds);
        Self { send, recv, receiving, input: Bytes::new() }
    }

    /// Returns what becomes of the request.
    pub async fn outcome(&mut self) -> Outcome {
        match self.next().await {
            Ok(Some(Event::Head(section))) => {
                let read = read_response(&section, &SectionLimits::default());
                self.receiving.content(None);
                Outcome::Answers(read.expect("a response").status().as_u16())
            }
            Ok(other) => panic!("{other:?} in place of an answer"),
            Err(outcome) => outcome,
        }
    }

    /// Reads content, or the bytes of a tunnel, to the end.
    ///
    /// # Errors
    /// What ended it before.
    pub async fn content(&mut self) -> Result<Vec<u8>, Outcome> {
        let mut content = vec![];
        while let Some(event) = self.next().await? {
            let Event::Data(bytes) = event else { panic!("{event:?} within content") };
            content.extend_from_slice(&bytes);
        }
        Ok(content)
    }

    async fn next(&mut self) -> Result<Option<Event>, Outcome> {
        loop {
            if let Some(event) = self.receiving.next(&mut self.input).expect("no fault of ours") {
                return Ok(Some(event));
            }
            match within(self.recv.read_chunk(usize::MAX, true)).await {
                Ok(Some(chunk)) => self.input = chunk.bytes,
                Ok(None) => return Ok(None),
                Err(error) => return Err(ended(error)),
            }
        }
    }
}

fn ended(error: ReadError) -> Outcome {
    match error {
        ReadError::Reset(it) => Outcome::Resets(code(it)),
        ReadError::ConnectionLost(ConnectionError::ApplicationClosed(close)) => {
            Outcome::Closes(code(close.error_code))
        }
        other => panic!("{other}"),
    }
}

/// Returns a code of QUIC as one of HTTP/3.
fn code(code: VarInt) -> Code {
    Code::new(code.into_inner()).expect("below 2^62")
}

/// Waits, but not for ever.
async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(WITHIN, what).await.expect("in time")
}
