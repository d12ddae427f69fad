//! [`WebSocketUpgrade`]: the extractor.

use std::{borrow::Cow, collections::BTreeSet, fmt, future::Future, sync::LazyLock};

use axum_core::{Error, extract::FromRequestParts, response::Response};
use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};
use taiwa_proto::{
    Config, Deadlines, Limits,
    handshake::{Origins, Rejection as Broken},
};

use super::{
    WebSocket,
    rejection::{
        ConnectionNotUpgradable, InvalidConnectionHeader, InvalidProtocolPseudoheader,
        InvalidUpgradeHeader, InvalidWebSocketVersionHeader, MethodNotConnect, MethodNotGet,
        WebSocketKeyHeaderMissing, WebSocketUpgradeRejection,
    },
};
use crate::{Rejection, Sockets, Upgrade};

/// Extracts a request to upgrade; [`on_upgrade`](Self::on_upgrade) makes the response to return.
#[must_use]
pub struct WebSocketUpgrade<F = DefaultOnFailedUpgrade> {
    upgrade: Upgrade,
    protocol: Option<HeaderValue>,
    requested: BTreeSet<HeaderValue>,
    on_failed_upgrade: F,
}

impl<F> WebSocketUpgrade<F> {
    /// Does nothing: all connections of a thread share one buffer to read into.
    pub fn read_buffer_size(self, size: usize) -> Self {
        let _ = size;
        self
    }

    /// Does nothing: what is sent is written at once, or with what is sent meanwhile.
    pub fn write_buffer_size(self, size: usize) -> Self {
        let _ = size;
        self
    }

    /// Sets [`Limits::outbox_bytes_max`]: bytes that wait for the peer to read them, past which sending
    /// waits. Default 1 MiB.
    pub fn max_write_buffer_size(mut self, max: usize) -> Self {
        self.upgrade.limits_mut().outbox_bytes_max = max;
        self
    }

    /// Sets [`Limits::message_bytes_max`]: bytes of one message from the peer. Default 64 MiB.
    pub fn max_message_size(mut self, max: usize) -> Self {
        self.upgrade.limits_mut().message_bytes_max = max;
        self
    }

    /// Does nothing: a frame takes room as it arrives, and [`max_message_size`](Self::max_message_size)
    /// bounds it.
    pub fn max_frame_size(self, max: usize) -> Self {
        let _ = max;
        self
    }

    /// Does nothing: a frame of a client that is not masked closes the connection with 1002, as RFC 6455 §5.1
    /// says.
    pub fn accept_unmasked_frames(self, accept: bool) -> Self {
        let _ = accept;
        self
    }

    /// Chooses the first of these subprotocols that the client offers.
    pub fn protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Cow<'static, str>>,
    {
        let mut ours = protocols.into_iter().filter_map(|name| match name.into() {
            Cow::Borrowed(name) => HeaderValue::from_str(name).ok(),
            Cow::Owned(name) => HeaderValue::try_from(name).ok(),
        });
        self.protocol = ours.find(|name| self.requested.contains(name));
        self
    }

    /// Returns the subprotocols that the client offers.
    pub fn requested_protocols(&self) -> impl Iterator<Item = &HeaderValue> {
        self.requested.iter()
    }

    /// Chooses a subprotocol. One that the client does not offer is left out of the response.
    pub fn set_selected_protocol(&mut self, protocol: HeaderValue) {
        self.protocol = Some(protocol);
    }

    /// Returns the subprotocol that was chosen.
    pub fn selected_protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_ref()
    }

    /// Sets what hears of a socket that did not come to be after its response was made. Default: nobody.
    pub fn on_failed_upgrade<C: OnFailedUpgrade>(self, callback: C) -> WebSocketUpgrade<C> {
        let Self { upgrade, protocol, requested, .. } = self;
        WebSocketUpgrade { upgrade, protocol, requested, on_failed_upgrade: callback }
    }

    /// Accepts: makes the response to return, and runs `callback` with the socket in a task of its own, as
    /// [`Upgrade::on_upgrade`] does.
    #[must_use = "return it"]
    pub fn on_upgrade<C, Fut>(self, callback: C) -> Response
    where
        C: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        F: OnFailedUpgrade,
    {
        let Self { upgrade, protocol, on_failed_upgrade, .. } = self;
        let chosen = protocol.as_ref().and_then(|it| it.to_str().ok());
        upgrade.subprotocol(chosen).on_upgrade_or(
            move |socket| {
                let protocol = protocol.filter(|_| socket.subprotocol().is_some());
                callback(WebSocket::new(socket, protocol))
            },
            |error| on_failed_upgrade.call(Error::new(error)),
        )
    }
}

impl<F> fmt::Debug for WebSocketUpgrade<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("upgrade", &self.upgrade)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade<DefaultOnFailedUpgrade> {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let sockets = parts.extensions.get::<Sockets>().cloned();
        let sockets = sockets.unwrap_or_else(as_axum_has_it);
        let upgrade = sockets.upgrade_parts(parts).map_err(|it| in_axums_words(it, parts))?;
        let requested = parts.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let requested = requested.flat_map(|line| line.as_bytes().split(|it| *it == b','));
        let requested = requested.filter_map(|it| HeaderValue::from_bytes(it.trim_ascii()).ok());
        let requested = requested.collect();
        let on_failed_upgrade = DefaultOnFailedUpgrade;
        Ok(Self { upgrade, protocol: None, requested, on_failed_upgrade })
    }
}

/// Settings of those who have none.
fn as_axum_has_it() -> Sockets {
    static SOCKETS: LazyLock<Sockets> = LazyLock::new(|| {
        let message_bytes_max = 64 << 20;
        let limits = Limits { message_bytes_max, fragments_max: 1 << 16, ..Limits::default() };
        let deadlines = Deadlines { write: None, message: None, ..Deadlines::default() };
        let config = Config { limits, deadlines, ..Config::default() };
        let sockets = Sockets::builder().config(config).origins(Origins::Any);
        sockets.sockets_max(usize::MAX).build()
    });
    SOCKETS.clone()
}

/// Says by axum's types what they can say.
fn in_axums_words(rejection: Rejection, parts: &Parts) -> WebSocketUpgradeRejection {
    let Rejection::Request(broken) = rejection else {
        return match rejection {
            Rejection::NotUpgradable => ConnectionNotUpgradable.into(),
            rejection => WebSocketUpgradeRejection::Handshake(rejection),
        };
    };
    match broken {
        Broken::HttpVersion => ConnectionNotUpgradable.into(),
        Broken::Method => MethodNotGet.into(),
        Broken::NotUpgrade if parts.version >= Version::HTTP_2 => match parts.method {
            Method::CONNECT => InvalidProtocolPseudoheader.into(),
            _ => MethodNotConnect.into(),
        },
        Broken::Protocol => InvalidProtocolPseudoheader.into(),
        Broken::NotUpgrade if !says_upgrade(&parts.headers) => InvalidConnectionHeader.into(),
        Broken::NotUpgrade => InvalidUpgradeHeader.into(),
        Broken::Connection => InvalidConnectionHeader.into(),
        Broken::Version | Broken::VersionTwice => InvalidWebSocketVersionHeader.into(),
        Broken::Key => WebSocketKeyHeaderMissing.into(),
        broken => WebSocketUpgradeRejection::Handshake(Rejection::Request(broken)),
    }
}

fn says_upgrade(headers: &HeaderMap) -> bool {
    let connection = headers.get(CONNECTION).map_or(&b""[..], HeaderValue::as_bytes);
    connection.to_ascii_lowercase().windows(7).any(|it| it == b"upgrade")
}

/// What hears of a socket that did not come to be; see [`WebSocketUpgrade::on_failed_upgrade`].
pub trait OnFailedUpgrade: Send + 'static {
    /// Is told why.
    fn call(self, error: Error);
}

impl<F: FnOnce(Error) + Send + 'static> OnFailedUpgrade for F {
    fn call(self, error: Error) {
        self(error);
    }
}

/// Nobody hears of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct DefaultOnFailedUpgrade;

impl OnFailedUpgrade for DefaultOnFailedUpgrade {
    fn call(self, _: Error) {}
}
