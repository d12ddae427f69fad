//! Subprotocols and extensions: what a client offers and a server answers, for any version of HTTP.

use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, HeaderValue};

use super::client::HandshakeFault;
use super::extensions::{Extension, parse_extensions};
use super::subprotocols::{Grammar, choose_subprotocol, parse_subprotocols};
use super::{Agreed, Rejection};
use crate::deflate::{Deflate, negotiate};

/// What a client offers in `Sec-WebSocket-Protocol` and `Sec-WebSocket-Extensions`, as a server reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
}

impl Offer {
    /// Reads the two headers.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subprotocols`] or [`Rejection::Extensions`] if one of them is malformed or too long.
    /// An extension, or a parameter of permessage-deflate, that we don't know is no error: it is
    /// declined in [`Offer::answer`].
    pub fn read(headers: &HeaderMap, grammar: Grammar) -> Result<Self, Rejection> {
        Ok(Self {
            subprotocols: parse_subprotocols(lines(headers, &SEC_WEBSOCKET_PROTOCOL), grammar)
                .map_err(|_| Rejection::Subprotocols)?,
            extensions: parse_extensions(lines(headers, &SEC_WEBSOCKET_EXTENSIONS))
                .map_err(|_| Rejection::Extensions)?,
        })
    }

    /// Returns the subprotocols in the client's order of preference.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// Returns the extensions in the client's order of preference.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Returns the first of the client's subprotocols that is in `supported`.
    pub fn choose(&self, supported: &[impl AsRef<str>]) -> Option<&str> {
        choose_subprotocol(&self.subprotocols, supported)
    }

    /// Answers the offer: puts the two headers into `headers` and returns what is agreed.
    ///
    /// A `subprotocol` that the client did not ask for is left out. `None` for `deflate` declines
    /// all extensions.
    pub fn answer(
        &self,
        subprotocol: Option<&str>,
        deflate: Option<&Deflate>,
        headers: &mut HeaderMap,
    ) -> Agreed {
        let mut agreed = Agreed::default();
        // RFC 6455 §4.2.2: "The value chosen MUST be derived from the client's handshake".
        if let Some(name) = subprotocol.and_then(|name| self.choose(&[name]))
            && let Ok(value) = HeaderValue::from_str(name)
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
            agreed.subprotocol = Some(name.to_owned());
        }
        if let Some(deflate) = deflate
            && !self.extensions.is_empty()
            && let Some((params, answer)) = negotiate::accept(deflate, &self.extensions)
            && let Ok(value) = HeaderValue::from_str(&answer)
        {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
            agreed.deflate = Some(params);
        }
        agreed
    }
}

/// Client: reads the server's answer to an offer of `subprotocols` and `deflate`.
pub(crate) fn read_answer(
    headers: &HeaderMap,
    subprotocols: &[String],
    grammar: Grammar,
    deflate: Option<&Deflate>,
) -> Result<Agreed, HandshakeFault> {
    let mut agreed = Agreed::default();

    // RFC 6455 §11.3.4: the header "MUST NOT appear more than once in an HTTP response".
    let answer = parse_subprotocols(lines(headers, &SEC_WEBSOCKET_PROTOCOL), grammar)
        .map_err(|_| HandshakeFault::Subprotocol)?;
    match <[String; 1]>::try_from(answer) {
        Ok([one]) if subprotocols.contains(&one) => agreed.subprotocol = Some(one),
        // RFC 6455 §4.1: "if [...] this header field indicates the use of a subprotocol that was not
        // present in the client's handshake [...], the client MUST _Fail the WebSocket Connection_."
        Ok(_) => return Err(HandshakeFault::SubprotocolNotOffered),
        Err(none) if none.is_empty() => {}
        Err(_) => return Err(HandshakeFault::Subprotocol),
    }

    let answer = parse_extensions(lines(headers, &SEC_WEBSOCKET_EXTENSIONS))
        .map_err(|_| HandshakeFault::Extensions)?;
    for extension in &answer {
        // RFC 6455 §4.1: "use of an extension that was not present in the client's handshake [...],
        // the client MUST _Fail the WebSocket Connection_."
        let Some(deflate) = deflate.filter(|_| extension.name == "permessage-deflate") else {
            return Err(HandshakeFault::ExtensionNotOffered);
        };
        if agreed.deflate.is_some() {
            return Err(HandshakeFault::Extensions);
        }
        let params = negotiate::agreed(deflate, extension).ok_or(HandshakeFault::DeflateParams)?;
        agreed.deflate = Some(params);
    }
    Ok(agreed)
}

/// Returns the values of all lines of a header.
pub(crate) fn lines<'a>(
    headers: &'a HeaderMap,
    name: &'static HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// Returns the value of a header that is there exactly once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &'static HeaderName) -> Option<&'a [u8]> {
    let mut lines = lines(headers, name);
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}
