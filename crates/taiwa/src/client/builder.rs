//! [`ClientBuilder`]: the settings of a client.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use taiwa_proto::{Config, Deadlines, Keepalive, Limits, deflate::Deflate, handshake::Wish};

use super::{Client, Shared};
use crate::{error::Error, tls::Trust};

/// Settings of a [`Client`]. What is wrong with them is told by [`build`](Self::build).
#[must_use]
pub struct ClientBuilder {
    config: Config,
    deflate_required: bool,
    headers: HeaderMap,
    subprotocols: Vec<String>,
    trust: Trust,
    /// What is wrong with the settings: the first thing.
    fault: Option<Error>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config { keepalive: Some(Keepalive::default()), ..Config::default() },
            deflate_required: false,
            headers: HeaderMap::new(),
            subprotocols: Vec::new(),
            trust: Trust::default(),
            fault: None,
        }
    }
}

impl ClientBuilder {
    /// Adds a header to the request, for example `authorization`, `cookie`, `origin`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => _ = self.headers.append(name, value),
            (Err(error), _) => self.blame(Error::Header(error.into())),
            (_, Err(error)) => self.blame(Error::Header(error.into())),
        }
        self
    }

    /// Offers subprotocols, the most preferred first (RFC 6455 §1.9). Default: none.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Offers permessage-deflate (RFC 7692). Default: not.
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self
    }

    /// Offers permessage-deflate and does without the connection if the server does without it: it is
    /// closed with 1010, and opening it fails with [`HandshakeFault::ExtensionMissing`].
    pub fn compression_required(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self.deflate_required = true;
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the deadlines.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.config.deadlines = deadlines;
        self
    }

    /// Sets when silent peers are pinged; `None` never. Default: [`Keepalive::default`].
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.config.keepalive = keepalive.into();
        self
    }

    /// Sets limits, deadlines, keepalive and compression at once. Note that [`Config::default`] has
    /// keepalive off.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Trusts the certificates in `pem` as roots, and those of the platform no longer. May be called
    /// several times.
    pub fn root_certificate_pem(mut self, pem: &[u8]) -> Self {
        if let Err(error) = self.trust.add_pem(pem) {
            self.blame(error);
        }
        self
    }

    /// Accepts any certificate of the server: whoever sits in between can read and write everything.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.trust = Trust::Anyone;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`Error::Tls`] for a bad root certificate, [`Error::Header`] for a header that is none,
    /// [`Error::Request`] for a header of the handshake's own or a subprotocol that is no token.
    pub fn build(self) -> Result<Client, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        // Asking once tells what every connection would tell.
        let uri = Uri::from_static("ws://localhost/");
        let (subprotocols, headers) = (&self.subprotocols[..], self.headers.clone());
        let wish = Wish { subprotocols, headers, ..Wish::new(&uri, [0; 16]) };
        wish.request().map_err(Error::Request)?;
        Ok(Client {
            shared: Arc::new(Shared {
                config: Arc::new(self.config),
                deflate_required: self.deflate_required,
                headers: self.headers,
                subprotocols: self.subprotocols,
                trust: self.trust,
                connector: OnceLock::new(),
            }),
        })
    }

    fn blame(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }
}
