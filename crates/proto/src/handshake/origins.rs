//! Whose web pages may open a WebSocket here: the defence against cross-site hijacking (RFC 6455 §10.2).

use std::{fmt, net::IpAddr};

/// Which origins are let in.
///
/// A browser names the origin of the page in `Origin` and cannot be talked out of it; it also sends the
/// user's cookies along. A request without `Origin` comes from a program that is no browser, and passes
/// under every policy: it has no cookies of somebody else to misuse. The origin `null` (a sandboxed
/// frame, a file) passes under [`Origins::Any`] only.
///
/// An origin in a list whose host begins with `*.` stands for all hosts below the rest, however deep, and not
/// for the rest itself: `https://*.a.example` lets in `https://x.y.a.example`, not `https://a.example`. Scheme
/// and port count as ever. Who can get a name below it, a hoster's customer say, is let in with it.
///
/// Schemes and hosts are compared without regard to case, and a port that is the scheme's default as if it
/// were named. An origin of another scheme (`tauri://localhost`, `chrome-extension://…`) is let in by a list
/// alone.
///
/// The scheme of the page is not compared by [`Origins::SameHost`]: behind a proxy that ends TLS the
/// server does not know its own. List origins where `http:` pages of the same host are not trusted.
///
/// ```
/// use taiwa_proto::handshake::{Origin, Origins};
/// let origins = Origins::default().allow(Origin::parse("https://app.example").unwrap());
/// assert!(origins.permit(Some("https://chat.example"), "chat.example"));
/// assert!(origins.permit(Some("https://app.example"), "chat.example"));
/// assert!(!origins.permit(Some("https://evil.example"), "chat.example"));
/// assert!(origins.permit(None, "chat.example"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages from the host and port that the request names in `Host`. The default.
    #[default]
    SameHost,
    /// As [`Origins::SameHost`], and pages of these origins.
    SameHostOr(Vec<Origin>),
    /// Pages of these origins only.
    List(Vec<Origin>),
    /// All pages. For services that use no cookies and trust no network.
    Any,
}

impl Origins {
    /// Adds an origin to those that are let in.
    #[must_use]
    pub fn allow(self, origin: Origin) -> Self {
        match self {
            Self::SameHost => Self::SameHostOr(vec![origin]),
            Self::SameHostOr(mut list) => {
                list.push(origin);
                Self::SameHostOr(list)
            }
            Self::List(mut list) => {
                list.push(origin);
                Self::List(list)
            }
            Self::Any => Self::Any,
        }
    }

    /// Says whether a request with this `Origin` may open a WebSocket at this `Host`. An `origin` that
    /// can't be read is not permitted.
    pub fn permit(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        let (same_host, list) = match self {
            Self::Any => return true,
            Self::SameHost => (true, &[][..]),
            Self::SameHostOr(list) => (true, &list[..]),
            Self::List(list) => (false, &list[..]),
        };
        let Some(origin) = Origin::parse(origin) else { return false };
        is_in(list, &origin) || (same_host && origin.is_host(host))
    }

    /// Says whether pages of this `origin` are let in by name, whatever `Host` says.
    pub fn names(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::SameHost => false,
            Self::SameHostOr(list) | Self::List(list) => {
                Origin::parse(origin).is_some_and(|it| is_in(list, &it))
            }
        }
    }
}

fn is_in(list: &[Origin], origin: &Origin) -> bool {
    list.iter().any(|it| it.stands_for(origin))
}

/// By which way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// From a program on the same machine.
    Loopback,
    /// From elsewhere, or through a unix socket: no page can open one, so a request that names an origin came
    /// through a program that stands in between.
    Network,
}

impl Arrival {
    /// Tells it by our own address on the connection.
    pub fn at(local: IpAddr) -> Self {
        if local.to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// Tells whether `host` is what a user of this machine would call it: an address, `localhost`, a name
/// without a dot.
pub(super) fn is_near(host: &str) -> bool {
    let Some((name, _)) = split_host(host) else { return false };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.starts_with('[')
        || name.parse::<IpAddr>().is_ok()
        || name.ends_with(".localhost")
        || !name.contains('.')
}

/// The origin of a web page: scheme, host and port (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    /// The default port of the scheme if none is named and the scheme has one.
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host` or `scheme://host:port`, as browsers write it. `None` for anything else:
    /// `null`, a path (even `/`), user information, several origins.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        if !letters.next()?.is_ascii_alphabetic()
            || !letters.all(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.'))
        {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_host(authority)?;
        let port = port.or(default_port(&scheme));
        Some(Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// Says whether this entry of a list stands for `origin`.
    fn stands_for(&self, origin: &Self) -> bool {
        let below = |parent: &str| {
            let labels = origin.host.strip_suffix(parent).and_then(|it| it.strip_suffix('.'));
            // Neither `*.` nor `*..` names a parent.
            !parent.is_empty()
                && !parent.starts_with('.')
                && labels.is_some_and(|it| !it.is_empty())
        };
        self == origin
            || (self.scheme == origin.scheme
                && self.port == origin.port
                && self.host.strip_prefix("*.").is_some_and(below))
    }

    /// Says whether a page of this origin came from `host`, a value of `Host`. Without a port in `host`
    /// the default one of the page's scheme is taken.
    pub fn is_host(&self, host: &str) -> bool {
        let Some(port) = self.port else { return false };
        split_host(host).is_some_and(|(host, host_port)| {
            host.eq_ignore_ascii_case(&self.host)
                && host_port.or(default_port(&self.scheme)) == Some(port)
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if default_port(&self.scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Splits `host` or `host:port`, without user information. `None`: neither of them.
pub(crate) fn split_host(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inside) => {
            let end = inside.find(']')?;
            inside[..end].parse::<std::net::Ipv6Addr>().ok()?;
            authority.split_at(end + 2)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    // RFC 3986 §3.2.2 reg-name, without percent-encoding: no resolver and no browser uses it.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    if host.is_empty() || !(host.starts_with('[') || host.bytes().all(is_name)) {
        return None;
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((host, None)),
        None => None,
        // RFC 3986 §3.2.3 "port = *DIGIT": it may be empty.
        Some("") => Some((host, None)),
        Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
