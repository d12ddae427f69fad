//! An opening handshake that may be interrupted and taken up again.

use std::{
    fmt,
    io::{Read, Write},
};

use super::{
    super::{
        config::WebSocketConfig,
        error::{Error, Result},
        handshake::{
            client::{self, Request, Response},
            server::{self, Callback},
        },
    },
    WebSocket,
};

/// A handshake that waits for its transport.
pub struct MidHandshake<Role>(Role);

impl<Role: HandshakeRole> MidHandshake<Role> {
    /// Goes on.
    ///
    /// # Errors
    /// [`HandshakeError::Interrupted`] if the transport says `WouldBlock` again.
    pub fn handshake(self) -> Result<Role::FinalResult, HandshakeError<Role>> {
        self.0.go_on()
    }
}

impl<Role> fmt::Debug for MidHandshake<Role> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MidHandshake").finish_non_exhaustive()
    }
}

/// Why a handshake is not done.
pub enum HandshakeError<Role: HandshakeRole> {
    /// The transport said `WouldBlock`.
    Interrupted(MidHandshake<Role>),
    /// It failed.
    Failure(Error),
}

impl<Role: HandshakeRole> fmt::Debug for HandshakeError<Role> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(_) => f.write_str("HandshakeError::Interrupted(...)"),
            Self::Failure(it) => write!(f, "HandshakeError::Failure({it:?})"),
        }
    }
}

impl<Role: HandshakeRole> fmt::Display for HandshakeError<Role> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(_) => f.write_str("the handshake waits for its transport"),
            Self::Failure(it) => it.fmt(f),
        }
    }
}

impl<Role: HandshakeRole> std::error::Error for HandshakeError<Role> {}

impl<Role: HandshakeRole> From<Error> for HandshakeError<Role> {
    fn from(error: Error) -> Self {
        Self::Failure(error)
    }
}

/// One end of the handshake: [`ClientHandshake`] or [`ServerHandshake`].
pub trait HandshakeRole: Sized {
    /// What comes of it.
    type FinalResult;

    #[doc(hidden)]
    fn go_on(self) -> Result<Self::FinalResult, HandshakeError<Self>>;
}

/// The client's end.
pub struct ClientHandshake<S> {
    io: S,
    exchange: client::Exchange,
}

impl<S: Read + Write> ClientHandshake<S> {
    /// Begins; nothing is written before [`MidHandshake::handshake`].
    ///
    /// # Errors
    /// If the request is no opening handshake.
    pub fn start(
        stream: S,
        request: Request,
        config: Option<WebSocketConfig>,
    ) -> Result<MidHandshake<Self>> {
        let exchange = client::Exchange::new(request, config)?;
        Ok(MidHandshake(Self { io: stream, exchange }))
    }
}

impl<S: Read + Write> HandshakeRole for ClientHandshake<S> {
    type FinalResult = (WebSocket<S>, Response);

    fn go_on(mut self) -> Result<Self::FinalResult, HandshakeError<Self>> {
        match self.exchange.advance(&mut self.io) {
            Ok((engine, response)) => Ok((WebSocket { io: self.io, engine }, response)),
            Err(error) if error.is_would_block() => {
                Err(HandshakeError::Interrupted(MidHandshake(self)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl<S> fmt::Debug for ClientHandshake<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake").finish_non_exhaustive()
    }
}

/// The server's end.
pub struct ServerHandshake<S, C> {
    io: S,
    exchange: server::Exchange<C>,
}

impl<S: Read + Write, C: Callback> ServerHandshake<S, C> {
    /// Begins; nothing is read before [`MidHandshake::handshake`].
    pub fn start(stream: S, callback: C, config: Option<WebSocketConfig>) -> MidHandshake<Self> {
        MidHandshake(Self { io: stream, exchange: server::Exchange::new(callback, config) })
    }
}

impl<S: Read + Write, C: Callback> HandshakeRole for ServerHandshake<S, C> {
    type FinalResult = WebSocket<S>;

    fn go_on(mut self) -> Result<Self::FinalResult, HandshakeError<Self>> {
        match self.exchange.advance(&mut self.io) {
            Ok(engine) => Ok(WebSocket { io: self.io, engine }),
            Err(error) if error.is_would_block() => {
                Err(HandshakeError::Interrupted(MidHandshake(self)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl<S, C> fmt::Debug for ServerHandshake<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake").finish_non_exhaustive()
    }
}
