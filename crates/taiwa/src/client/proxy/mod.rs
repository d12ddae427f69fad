//! [`Proxy`]: which proxy leads to which server.

mod endpoint;
mod environment;
mod exceptions;
pub(super) mod http_connect;
pub(super) mod socks;
#[cfg(test)]
mod tests;

use std::fmt;

use super::dial::Place;
use crate::error::{Error, ProxyError, ProxyFault};
pub(super) use endpoint::{Endpoint, Scheme};
use exceptions::Exceptions;

/// A proxy that connections go through, and the hosts that are reached without it.
///
/// | URL | the proxy is asked by | who resolves the server's name | default port |
/// |---|---|---|---|
/// | `http://` | HTTP CONNECT (RFC 9110 §9.3.6) | the proxy | 80 |
/// | `https://` | the same, inside of TLS with the client's roots | the proxy | 443 |
/// | `socks5://` | SOCKS 5 (RFC 1928) | the client | 1080 |
/// | `socks5h://` | SOCKS 5 | the proxy | 1080 |
///
/// User and password stand in the URL, percent-encoded where they have one of `/?#@:%`:
/// `http://user:pass%3Aword@host:3128`. They become `Proxy-Authorization: Basic` (RFC 7617) or the user
/// and password of RFC 1929, and appear in no `Debug` output and no error. Unless the proxy is
/// `https://` they travel in clear text.
///
/// Through a proxy `wss` is as safe as without it: TLS goes through to the server. `ws` asks for a
/// tunnel, too (RFC 6455 §4.1), since proxies that would read it as HTTP rarely know WebSocket.
///
/// ```
/// use taiwa::{Client, Proxy};
/// # fn main() -> Result<(), taiwa::Error> {
/// let proxy = Proxy::parse("socks5h://user:secret@proxy.example")?;
/// assert!(!format!("{proxy:?}").contains("secret"));
/// let proxy = proxy.except("localhost, .corp.example, 10.0.0.0/8");
/// let through = Client::builder().proxy(proxy).build()?;
/// let direct = Client::builder().proxy(None).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Proxy {
    /// For `ws` URLs.
    ws: Option<Choice>,
    /// For `wss` URLs.
    wss: Option<Choice>,
    exceptions: Exceptions,
}

/// A proxy, or the variable of the environment that has no URL of one.
type Choice = Result<Endpoint, &'static str>;

impl Proxy {
    /// Reads the URL of a proxy, which serves `ws` and `wss` alike. Without a scheme it is `http://`.
    ///
    /// # Errors
    /// [`Error::Proxy`] with [`ProxyFault::Url`], which leaves the URL out: there may be a password in
    /// it.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::parse(url)
            .ok_or_else(|| Error::Proxy(Box::new(ProxyError::new("URL", ProxyFault::Url))))?;
        let (ws, wss) = (Some(Ok(endpoint.clone())), Some(Ok(endpoint)));
        Ok(Self { ws, wss, exceptions: Exceptions::default() })
    }

    /// Reads the environment as curl does; `None` if it names no proxy. An empty variable counts as
    /// none, and the lowercase name comes before the uppercase one.
    ///
    /// | for | variables, the first one counts |
    /// |---|---|
    /// | `wss` | `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY` |
    /// | `ws` | `http_proxy`, `HTTP_PROXY`, `all_proxy`, `ALL_PROXY` |
    /// | neither | `no_proxy`, `NO_PROXY`: as in [`except`](Self::except) |
    ///
    /// `HTTP_PROXY` is passed over where `REQUEST_METHOD` is set: there we are a CGI program, whose
    /// server turns a request's header `Proxy` into just this variable (httpoxy, CVE-2016-5385), so any
    /// visitor could choose the proxy.
    ///
    /// `localhost`, names below it and loopback addresses never go through a proxy of the environment:
    /// behind it they are another machine. A proxy of [`parse`](Self::parse) has no such exception.
    ///
    /// A variable with no URL of a proxy fails the connections that would go through it, with
    /// [`ProxyFault::Url`]; they don't go around it.
    pub fn from_environment() -> Option<Self> {
        environment::read(|name| std::env::var(name).ok())
    }

    /// Reaches these hosts without the proxy: a list in the form of `NO_PROXY`, separated by commas or
    /// spaces, which adds to what was excepted before.
    ///
    /// | entry | excepts |
    /// |---|---|
    /// | `example.org`, `.example.org`, `*.example.org` | the host and all below it |
    /// | `192.0.2.7`, `2001:db8::7`, `[2001:db8::7]` | the address, where the URL has an address |
    /// | `10.0.0.0/8`, `fd00::/8` | a range of addresses, where the URL has an address |
    /// | any of the first two rows with `:8080` | that port alone |
    /// | `*` | every host |
    ///
    /// Names are not resolved for this.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        self.exceptions.add(list);
        self
    }

    /// Returns the proxy to a server, `None` if there is none.
    pub(super) fn endpoint(&self, to: Place<'_>) -> Result<Option<&Endpoint>, Error> {
        if self.exceptions.contain(to.host, to.port) {
            return Ok(None);
        }
        match if to.is_tls { &self.wss } else { &self.ws } {
            None => Ok(None),
            Some(Ok(endpoint)) => Ok(Some(endpoint)),
            Some(Err(variable)) => {
                Err(Error::Proxy(Box::new(ProxyError::new(*variable, ProxyFault::Url))))
            }
        }
    }
}

impl fmt::Debug for Proxy {
    /// Leaves users and passwords out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("ws", &self.ws)
            .field("wss", &self.wss)
            .field("exceptions", &self.exceptions)
            .finish()
    }
}
