//! Where a proxy is and what it speaks: its URL.

use std::{fmt, net::Ipv6Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::percent_decode_str;

use crate::error::{Error, ProxyError, ProxyFault};

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Scheme {
    Http,
    Https,
    /// Addresses are resolved here.
    Socks5,
    /// Names are resolved there.
    Socks5h,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::client) struct Endpoint {
    pub(in crate::client) scheme: Scheme,
    /// A name or an address, without brackets.
    pub(in crate::client) host: String,
    pub(in crate::client) port: u16,
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Endpoint {
    /// Reads a URL. `None` tells no more: whatever part is wrong, a piece of the password may be in it.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            "socks5" => (Scheme::Socks5, 1080),
            "socks5h" => (Scheme::Socks5h, 1080),
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (host, port) = split_port(place)?;
        let is_host = if place.starts_with('[') {
            host.parse::<Ipv6Addr>().is_ok()
        } else {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(allowed)
        };
        // A path says that somebody mistakes a page, or a password with a slash, for a proxy.
        if !is_host || !matches!(path, "" | "/") {
            return None;
        }
        Some(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            user: percent_decode_str(user).collect(),
            password: percent_decode_str(password).collect(),
        })
    }

    /// Returns user and password, if there are any.
    pub(in crate::client) fn credentials(&self) -> Option<(&[u8], &[u8])> {
        let is_there = !(self.user.is_empty() && self.password.is_empty());
        is_there.then_some((&self.user, &self.password))
    }

    /// Makes `Proxy-Authorization` (RFC 7617 §2), if there are credentials.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = self.credentials()?;
        let plain = [user, b":", password].concat();
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Makes an error that names the proxy.
    pub(in crate::client) fn blame(&self, fault: ProxyFault) -> Error {
        Error::Proxy(Box::new(ProxyError::new(self.to_string(), fault)))
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; the host comes without brackets.
pub(super) fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    match port.strip_prefix(':') {
        Some("") => Some((host, None)),
        Some(port) if port.bytes().all(|it| it.is_ascii_digit()) => {
            Some((host, Some(port.parse().ok()?)))
        }
        None if port.is_empty() => Some((host, None)),
        _ => None,
    }
}

/// The URL without user and password.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Socks5 => "socks5",
            Scheme::Socks5h => "socks5h",
        };
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
