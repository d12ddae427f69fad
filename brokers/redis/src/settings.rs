//! Where the server is, and every limit.

use std::{fmt, path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use taiwa_core::NodeId;

/// How to reach a Redis server, and the limits of a node. [`Settings::parse`] has the defaults.
#[derive(Clone)]
pub struct Settings {
    /// Where the server is, or any of a cluster of servers.
    pub address: Address,
    /// Other servers of the same cluster, asked if that one can't be reached.
    pub others: Vec<Address>,
    /// The name of the user, for servers with an access control list.
    pub user: Option<String>,
    /// The password. It stands in no text that this crate makes.
    pub password: Option<String>,
    /// The number of the database. Default: 0.
    pub database: u32,
    /// How TLS is spoken, if it is.
    pub tls: Option<Tls>,
    /// What all keys and channels begin with: clusters of different prefixes never meet. Default: `taiwa:`.
    pub prefix: String,
    /// Who this node is. Default: drawn by chance.
    pub node: Option<NodeId>,
    /// How long connecting may take, all in all: beyond it the attempt has failed. Default: 3 s.
    pub connect_max: Duration,
    /// How long a request may take: then it is refused, though it may still be done. Default: 5 s.
    pub request_max: Duration,
    /// How long the server may be silent when it should answer: then it counts as lost. An idle connection is asked each
    /// second. Default: 4 s.
    pub silence_max: Duration,
    /// Requests that may wait for an answer: more are refused. Default: 65,536.
    pub requests_max: usize,
    /// Bytes of requests that may wait for an answer: more are refused. Default: 64 MiB.
    pub request_bytes_max: usize,
    /// The longest answer: a longer one ends the connection. Default: 256 MiB, for a history of large publications.
    pub reply_bytes_max: usize,
    /// How often this node says that it is alive. Default: 3 s.
    pub beat_every: Duration,
    /// After what silence another node is gone. Equal on all nodes, three beats at least. Default: 10 s.
    pub gone_after: Duration,
    /// How long the server keeps the presence of a node that says nothing; the node renews it three times as often. Other
    /// nodes don't see it once it is [gone](Settings::gone_after). Default: 5 min.
    pub presence_ttl: Duration,
    /// How long to wait, by chance half of it less, before connecting again; the time doubles up to
    /// [`again_max`](Settings::again_max). Default: 50 ms.
    pub again_after: Duration,
    /// The longest time between two attempts. Default: 3 s.
    pub again_max: Duration,
}

/// Where a server is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Address {
    /// A host, by name or address, and its port.
    Tcp(String, u16),
    /// A socket of this machine.
    Unix(PathBuf),
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whom to trust, in place of the platform's roots.
    pub roots: Option<Vec<CertificateDer<'static>>>,
}

/// What is wrong with a URL. Nothing of the URL stands in it, since there may be a password in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadUrl(pub(crate) &'static str);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadUrl {}

impl Settings {
    /// Reads a URL: `redis://`, `rediss://` with TLS, or `redis+unix://`, all with defaults.
    ///
    /// | form | |
    /// |---|---|
    /// | `redis://[user[:password]@]host[:port][/database][?prefix=name:]` | port 6379, unless it says another |
    /// | `redis://[user[:password]@]host[:port],host[:port]…` | some servers of a cluster: the first that can be reached tells the rest |
    /// | `rediss://…` | the same with TLS |
    /// | `redis+unix:///path/to/socket[?db=1&user=…&password=…&prefix=…]` | a socket of this machine |
    ///
    /// User, password, path and prefix are percent-decoded. `redis://:password@host` has a password and no user.
    ///
    /// # Errors
    ///
    /// Says which part can't be read.
    ///
    /// ```
    /// let settings = taiwa_redis::Settings::parse("rediss://ada:s%2Fecret@cache.example:6380/2").unwrap();
    /// assert_eq!(settings.password.as_deref(), Some("s/ecret"));
    /// assert_eq!(settings.database, 2);
    /// assert!(!format!("{settings:?}").contains("ecret"));
    /// ```
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(BadUrl("a URL has a scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let tls = match scheme {
            "redis" => None,
            "rediss" => Some(Tls::default()),
            "redis+unix" | "unix" => None,
            _ => return Err(BadUrl("the scheme is none of redis, rediss, redis+unix")),
        };
        let mut settings = if matches!(scheme, "redis" | "rediss") {
            Self { tls, ..Self::of_host(rest)? }
        } else {
            let path = decoded(rest)?;
            if !path.starts_with('/') {
                return Err(BadUrl("the path of a socket begins with /"));
            }
            Self::at(Address::Unix(path.into()))
        };
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(BadUrl("the query has pairs with ="))?;
            let value = decoded(value)?;
            match name {
                "db" => settings.database = number(&value)?,
                "prefix" => settings.prefix = value,
                "user" => settings.user = Some(value),
                "password" => settings.password = Some(value),
                _ => return Err(BadUrl("the query knows db, prefix, user and password alone")),
            }
        }
        if settings.user.is_some() && settings.password.is_none() {
            return Err(BadUrl("a user has a password"));
        }
        Ok(settings)
    }

    fn of_host(rest: &str) -> Result<Self, BadUrl> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let mut hosts = host.split(',').map(address);
        let first = hosts.next().expect("a text has a first part")?;
        let mut settings = Self { others: hosts.collect::<Result<_, _>>()?, ..Self::at(first) };
        if let Some(login) = login {
            let (user, password) =
                login.split_once(':').ok_or(BadUrl("a user has a password, behind a colon"))?;
            settings.user = (!user.is_empty()).then(|| decoded(user)).transpose()?;
            settings.password = Some(decoded(password)?);
        }
        if !path.is_empty() {
            settings.database = number(path)?;
        }
        Ok(settings)
    }

    /// Returns the defaults, with a server.
    pub fn at(address: Address) -> Self {
        Self {
            address,
            others: vec![],
            user: None,
            password: None,
            database: 0,
            tls: None,
            prefix: "taiwa:".into(),
            node: None,
            connect_max: Duration::from_secs(3),
            request_max: Duration::from_secs(5),
            silence_max: Duration::from_secs(4),
            requests_max: 65_536,
            request_bytes_max: 64 * 1024 * 1024,
            reply_bytes_max: 256 * 1024 * 1024,
            beat_every: Duration::from_secs(3),
            gone_after: Duration::from_secs(10),
            presence_ttl: Duration::from_secs(300),
            again_after: Duration::from_millis(50),
            again_max: Duration::from_secs(3),
        }
    }
}

impl Settings {
    /// Tells which setting can't be.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let second = Duration::from_secs(1);
        let rules = [
            (self.beat_every < second / 10, "beat_every is a tenth of a second at least"),
            (
                self.gone_after < 3 * self.beat_every,
                "gone_after is three times beat_every at least",
            ),
            (
                self.presence_ttl < 8 * self.beat_every,
                "presence_ttl is eight times beat_every at least",
            ),
            (self.prefix.contains(['{', '}']), "the prefix has no braces"),
            (self.connect_max.is_zero(), "connect_max is not zero"),
            (self.request_max.is_zero(), "request_max is not zero"),
            (self.silence_max < second, "silence_max is a second at least"),
            (self.again_after.is_zero(), "again_after is not zero"),
            (self.again_max < self.again_after, "again_max is again_after at least"),
        ];
        rules.iter().find(|(broken, _)| *broken).map(|(_, rule)| *rule)
    }
}

/// Reads a host and, perhaps, its port.
fn address(text: &str) -> Result<Address, BadUrl> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| BadUrl("the port is no number"))?)
        }
        _ => (text, 6379),
    };
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(BadUrl("a URL has a host"));
    }
    Ok(Address::Tcp(host.into(), port))
}

fn decoded(part: &str) -> Result<String, BadUrl> {
    let text = percent_decode_str(part).decode_utf8();
    text.map(Into::into).map_err(|_| BadUrl("what is percent-encoded is no UTF-8"))
}

fn number(text: &str) -> Result<u32, BadUrl> {
    text.parse().map_err(|_| BadUrl("the database is no number"))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("address", &self.address)
            .field("others", &self.others)
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, wanted: (&str, Option<&str>, Option<&str>, u32, &str)) {
        let it = Settings::parse(url).unwrap();
        let (user, password) = (it.user.as_deref(), it.password.as_deref());
        assert_eq!((&*it.address.to_string(), user, password, it.database, &*it.prefix), wanted);
    }

    #[test]
    fn urls_of_all_forms_are_read() {
        check("redis://localhost", ("localhost:6379", None, None, 0, "taiwa:"));
        check("redis://[::1]:7000/3", ("[::1]:7000", None, None, 3, "taiwa:"));
        check("redis://[::1]", ("[::1]:6379", None, None, 0, "taiwa:"));
        check("redis://:p%40@h/1?prefix=x%3A", ("h:6379", None, Some("p@"), 1, "x:"));
        check("rediss://u:a:b@h:1", ("h:1", Some("u"), Some("a:b"), 0, "taiwa:"));
        check("redis+unix:///a%20b?db=2&password=x", ("/a b", None, Some("x"), 2, "taiwa:"));
        let some = Settings::parse("redis://u:p@h,[::1]:7,i:8/0").unwrap();
        let others: Vec<_> = some.others.iter().map(ToString::to_string).collect();
        assert_eq!(
            (some.address.to_string(), others),
            ("h:6379".into(), vec!["[::1]:7".into(), "i:8".into()])
        );
        assert!(Settings::parse("rediss://h").unwrap().tls.is_some());
        assert!(Settings::parse("redis://h").unwrap().tls.is_none());
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_the_url() {
        for url in [
            "",
            "localhost",
            "http://h",
            "redis://",
            "redis://secret@h",
            "redis://h:secret",
            "redis://h/secret",
            "redis://h?secret",
            "redis://h?secret=1",
            "redis://a:secret@h,",
            "redis://a:b@h,i:secret",
            "redis+unix://secret",
            "redis+unix:///s?user=secret",
            "redis://:%ff@secret",
        ] {
            let why = Settings::parse(url).unwrap_err().to_string();
            assert!(!why.contains("secret") && !why.is_empty(), "{url}: {why}");
        }
    }

    #[test]
    fn settings_that_can_not_be_are_told() {
        let good = || Settings::parse("redis://h").unwrap();
        assert_eq!(good().fault(), None);
        let second = Duration::from_secs(1);
        assert!(Settings { gone_after: 8 * second, ..good() }.fault().is_some());
        assert!(Settings { presence_ttl: 20 * second, ..good() }.fault().is_some());
        assert!(Settings { prefix: "{a}".into(), ..good() }.fault().is_some());
        assert!(Settings { again_max: Duration::ZERO, ..good() }.fault().is_some());
    }

    #[test]
    fn settings_are_shown_without_their_secrets() {
        let shown = format!("{:?}", Settings::parse("redis://ada:secret@h").unwrap());
        assert!(!shown.contains("secret") && shown.contains("6379"), "{shown}");
    }
}
