//! How a session begins: a request for one, on either side.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::time::timeout;

use super::{Seat, Session};
use crate::{
    Protocol,
    error::Code,
    net::{Connection, Error, RequestStream},
    settings::SettingId,
    webtransport::{
        Dialect, Terms, code,
        dialect::{DRAFT_02_ASKED, DRAFT_02_CHOSEN},
        protocols,
    },
};

/// How long a request may wait for the settings of its client, which stand on another stream.
const SETTINGS_WITHIN: Duration = Duration::from_secs(10);

/// A request for a session that waits for an answer. Dropped without one, it is given up with H3_REQUEST_CANCELLED.
pub struct SessionRequest {
    request: Request<()>,
    stream: RequestStream,
    terms: Terms,
    seat: Seat,
    protocols: Vec<String>,
    chosen: Option<String>,
}

impl SessionRequest {
    /// Takes an extended CONNECT whose `:protocol` is [that of WebTransport](crate::webtransport::is_token). It waits for the client's
    /// settings; `None` if by these there can be no session, or there are too many already: the request is given up then.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    pub async fn new(
        connection: &Connection,
        request: Request<()>,
        stream: RequestStream,
    ) -> Option<Self> {
        // Draft 16 §3.1: "the server MUST NOT process any incoming WebTransport requests until the client's SETTINGS have been
        // received".
        let Ok(Ok(settings)) = timeout(SETTINGS_WITHIN, connection.peer_settings()).await else {
            stream.abort(Code::REQUEST_REJECTED);
            return None;
        };
        let find = |id| SettingId::new(id).and_then(|id| settings.get(id));
        let terms = match Terms::of_peer(find) {
            Ok(Some(terms)) => terms,
            Ok(None) => {
                // "the server MUST treat all established and newly incoming WebTransport sessions as malformed".
                stream.abort(Code::MESSAGE_ERROR);
                return None;
            }
            Err(fault) => {
                connection.close(fault.code, fault.rule);
                return None;
            }
        };
        let sessions = connection.sessions();
        // Draft 16 §5.1: "A server that receives more than one session on an underlying transport connection when flow control
        // is not enabled MUST reset the excessive CONNECT streams with a H3_REQUEST_REJECTED status".
        let is_alone = terms.dialect.has_flow_control() && terms.credit.is_none();
        let seat = match is_alone && sessions.count() > 0 {
            true => None,
            false => sessions.seat(stream.id()),
        };
        match seat {
            Some(seat) => {
                let protocols = protocols::read_list(request.headers());
                Some(Self { request, stream, terms, seat, protocols, chosen: None })
            }
            None => {
                stream.abort(Code::REQUEST_REJECTED);
                None
            }
        }
    }

    /// Returns the request: its path, its headers, its origin.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// Returns the protocols that the client offers to speak (draft 16 §3.3), the best first, at most
    /// [`OFFERED_MAX`](protocols::OFFERED_MAX).
    pub fn protocols(&self) -> &[String] {
        &self.protocols
    }

    /// Chooses the first one that the client offers and `ours` has, and returns it; none if there is none.
    pub fn choose<S: AsRef<str>>(&mut self, ours: &[S]) -> Option<&str> {
        let is_ours = |it: &&String| ours.iter().any(|our| our.as_ref() == it.as_str());
        self.chosen = self.protocols.iter().find(is_ours).cloned();
        self.chosen.as_deref()
    }

    /// Accepts: answers with status 200 and these headers.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    /// The end of the stream or the connection.
    pub async fn accept(mut self, headers: HeaderMap) -> Result<Session, Error> {
        let mut response = Response::new(());
        *response.headers_mut() = headers;
        if self.request.headers().contains_key(DRAFT_02_ASKED) {
            let name = HeaderName::from_static(DRAFT_02_CHOSEN);
            response.headers_mut().insert(name, HeaderValue::from_static("draft02"));
        }
        if let Some(protocol) = self.chosen.as_deref().and_then(protocols::write_item) {
            response.headers_mut().insert(protocols::CHOSEN, protocol);
        }
        self.stream.send_response(&response).await?;
        Ok(self.seat.begin(&self.terms, self.chosen, self.stream))
    }

    /// Refuses with a response, which should be no 2xx, and a body.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    /// The end of the stream or the connection.
    pub async fn reject(mut self, response: &Response<()>, body: Bytes) -> Result<(), Error> {
        self.stream.send_response(response).await?;
        if !body.is_empty() {
            self.stream.send_data(body).await?;
        }
        self.stream.finish().await
    }
}

/// Why there is no session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The server does not speak WebTransport.
    Unsupported,
    /// The server, or our own limit, allows no more sessions on this connection.
    TooMany,
    /// The server refuses, with this response.
    Refused(Box<Response<()>>),
    /// The server chose a protocol that the request does not offer: the session is ended with WT_ALPN_ERROR.
    ProtocolNotOffered,
    /// The stream or the connection has ended.
    Failed(Error),
}

impl std::fmt::Display for SessionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsupported => f.write_str("the server does not speak WebTransport"),
            Self::TooMany => f.write_str("no more sessions on this connection"),
            Self::Refused(response) => {
                write!(f, "the server refused the session with status {}", response.status())
            }
            Self::ProtocolNotOffered => {
                f.write_str("the server chose a protocol that was not offered")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Connection {
    /// Waits for the server's settings, and returns what they say of WebTransport; `None` if it does not speak it.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the connection, and a fault in the settings, which ends it.
    pub async fn webtransport(&self) -> Result<Option<Terms>, Error> {
        let settings = self.peer_settings().await?;
        let find = |id| SettingId::new(id).and_then(|id| settings.get(id));
        Terms::of_peer(find).map_err(|fault| {
            self.close(fault.code, fault.rule);
            Error::Fault(fault)
        })
    }

    /// Asks the server for a session, by a request whose method is CONNECT and whose URI is the session's; returns it with the
    /// server's answer. What it offers to speak stands in its headers ([`protocols::write_list`]). On a connection that has sessions it
    /// does not wait for a stream.
    ///
    /// Not cancel-safe: dropping its future gives the request up.
    ///
    /// # Errors
    /// A [`SessionError`].
    pub async fn session(
        &self,
        mut request: Request<()>,
    ) -> Result<(Session, Response<()>), SessionError> {
        let terms = self.webtransport().await?.ok_or(SessionError::Unsupported)?;
        let place = self.sessions().place(terms.sessions_max).ok_or(SessionError::TooMany)?;
        let protocol = match terms.dialect {
            Dialect::Draft15 => Protocol::WEBTRANSPORT_H3,
            Dialect::Draft02 | Dialect::Draft07 | Dialect::Draft13 => Protocol::WEBTRANSPORT,
        };
        request.extensions_mut().insert(protocol);
        request.headers_mut().insert(DRAFT_02_ASKED, HeaderValue::from_static("1"));
        let offered = protocols::read_list(request.headers());
        let mut stream = match self.reserve() {
            Some(reserved) => self.open_on(reserved, request).await?,
            None if self.sessions().count() > 1 => return Err(SessionError::TooMany),
            None => self.open(request).await?,
        };
        let seat = place.seat(stream.id()).ok_or(SessionError::TooMany)?;
        let response = stream.recv_response().await?;
        if !response.status().is_success() {
            return Err(SessionError::Refused(Box::new(response)));
        }
        let chosen = protocols::read_item(response.headers());
        // Draft 16 §3.3: "If the client receives a WT-Protocol value that was not included in its WT-Available-Protocols list, the client
        // MUST close the WebTransport session with a WT_ALPN_ERROR error code."
        if chosen.as_ref().is_some_and(|it| !offered.contains(it)) {
            stream.abort(code::ALPN_ERROR);
            return Err(SessionError::ProtocolNotOffered);
        }
        Ok((seat.begin(&terms, chosen, stream), response))
    }
}
