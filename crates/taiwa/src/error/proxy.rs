//! What goes wrong at a proxy.

use std::{fmt, io};

use bytes::Bytes;
use http::Response;
use taiwa_proto::h1::H1Fault;

/// A connection that failed at the proxy, before the server was reached: which proxy, and why.
#[derive(Debug)]
pub struct ProxyError {
    proxy: String,
    fault: ProxyFault,
}

impl ProxyError {
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn new(proxy: impl Into<String>, fault: ProxyFault) -> Self {
        Self { proxy: proxy.into(), fault }
    }

    /// Returns the proxy's URL without user and password; for [`ProxyFault::Url`] where the URL came
    /// from, such as the variable `https_proxy`.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// Returns what went wrong.
    pub fn fault(&self) -> &ProxyFault {
        &self.fault
    }
}

/// What went wrong at a proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyFault {
    /// No URL of a proxy, or one whose scheme is not spoken: see [`Proxy`](crate::Proxy).
    Url,
    /// The proxy could not be resolved or connected to, or the connection to it failed.
    Io(io::Error),
    /// TLS with an `https://` proxy failed.
    Tls(io::Error),
    /// The HTTP proxy refuses the tunnel: 407 wants other credentials, 403 does not want us to go there,
    /// 502 and 504 did not reach the server. Here is its response, with as much of the body as came with
    /// it (at most [`Limits::handshake_bytes_max`](crate::Limits::handshake_bytes_max)).
    Refused(Box<Response<Bytes>>),
    /// What the proxy sent is no HTTP, or passes a limit.
    Http(H1Fault),
    /// The SOCKS proxy refuses user and password, or wants some, or they are longer than the 255 bytes
    /// of RFC 1929 §2.
    Credentials,
    /// The SOCKS proxy could not or would not connect: its reply (RFC 1928 §6).
    SocksRefused(u8),
    /// What the proxy sent is no SOCKS 5.
    NotSocks,
    /// The server's name is longer than the 255 bytes that SOCKS 5 can say.
    HostTooLong,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}: {}", self.proxy, self.fault)
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            ProxyFault::Io(it) | ProxyFault::Tls(it) => Some(it),
            ProxyFault::Http(it) => Some(it),
            _ => None,
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "not of the form [http|https|socks5|socks5h]://[USER:PASSWORD@]HOST[:PORT], percent-encoded",
            ),
            Self::Io(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Refused(response) => write!(f, "refused with status {}", response.status()),
            Self::Http(fault) => write!(f, "bad answer to CONNECT: {fault}"),
            Self::Credentials => f.write_str("user and password missing, too long or refused"),
            Self::SocksRefused(reply) => {
                // RFC 1928 §6.
                let meaning = match reply {
                    1 => "general failure",
                    2 => "connection not allowed by its rules",
                    3 => "network unreachable",
                    4 => "host unreachable",
                    5 => "connection refused by the server",
                    6 => "TTL expired",
                    7 => "command not supported",
                    8 => "address type not supported",
                    _ => "unassigned reply",
                };
                write!(f, "{meaning} (SOCKS reply {reply})")
            }
            Self::NotSocks => f.write_str("its answer is no SOCKS 5"),
            Self::HostTooLong => f.write_str("the server's name is longer than 255 bytes"),
        }
    }
}
