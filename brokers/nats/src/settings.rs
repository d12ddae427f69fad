//! How to reach NATS, and what is kept there.

use std::{fmt, path::PathBuf, time::Duration};

use async_nats::ConnectOptions;
use percent_encoding::percent_decode_str;

/// How to reach NATS, and what may wait for it. Secrets are not in its `Debug` output.
#[derive(Clone)]
pub struct Settings {
    /// Addresses of servers of one NATS cluster, as `host` or `host:port`; the port is otherwise 4222.
    pub servers: Vec<String>,
    /// Begins the name of each subject and each stream: programs that share a NATS and should not meet have different ones.
    /// Letters, digits, `-` and `_`, 64 at most. `taiwa`.
    pub prefix: String,
    /// Who we are.
    pub credentials: Credentials,
    /// Whether the connection must be encrypted. Off; `tls://` turns it on.
    pub tls: bool,
    /// Certificates of authorities to be trusted besides those of the system, a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key, PEM files, for servers that ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether histories, sessions and identifiers are kept in files of the server, and so outlive its restart; otherwise in its
    /// memory. On.
    pub files: bool,
    /// Calls that wait for NATS at once. 65,536. One more is refused as unavailable: the broker is busy.
    pub queue_max: usize,
    /// Bytes of statements, letters and sessions that wait for it. 64 MiB. What would be more is refused in the same way.
    pub queue_bytes_max: usize,
    /// How long a call may take. 5 s. Later ones are refused; what was said may then have been said or not.
    pub deadline: Duration,
    /// Channels whose last message is remembered, so that saying the next takes one request. 65,536. Of others it is asked
    /// first.
    pub known_max: usize,
    /// Messages of one channel that wait to be taken in by this node. 65,536. Later ones are dropped, and
    /// [`State::Missed`](taiwa_core::State::Missed) says so.
    pub hear_max: usize,
    /// Kinds of retention: pairs of size and age in which histories are kept, each a stream. 64. Statements of one more are
    /// refused.
    pub streams_max: usize,
    /// The longest time for which a session is kept. 24 h. Longer ones are refused.
    pub session_max: Duration,
    /// How often a node says that it is alive. 3 s.
    pub beat: Duration,
    /// How long it may be silent before it is gone. 10 s.
    pub silence_max: Duration,
}

/// Who we are.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody: the server lets everyone in.
    #[default]
    None,
    /// A name and its password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// The seed of an nkey.
    Nkey(String),
    /// A `.creds` file with a JWT and its seed.
    File(PathBuf),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:4222".into()],
            prefix: "taiwa".into(),
            credentials: Credentials::None,
            tls: false,
            ca_file: None,
            certificate: None,
            files: true,
            queue_max: 65_536,
            queue_bytes_max: 64 << 20,
            deadline: Duration::from_secs(5),
            known_max: 65_536,
            hear_max: 65_536,
            streams_max: 64,
            session_max: Duration::from_hours(24),
            beat: Duration::from_secs(3),
            silence_max: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .field("prefix", &self.prefix)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Password { .. } => "password",
            Self::Token(_) => "token",
            Self::Nkey(_) => "nkey",
            Self::File(_) => "file",
        })
    }
}

impl Settings {
    /// Reads `nats://[user:password@|token@]host[:port][,host[:port]…]`, or `tls://…` for an encrypted connection. User, password
    /// and token are percent-encoded.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] says what is wrong, never repeating the text: it may have a password in it.
    ///
    /// ```
    /// use taiwa_nats::Settings;
    /// let settings = Settings::parse("nats://taiwa:secret@10.0.0.1,10.0.0.2:4223").unwrap();
    /// assert_eq!(settings.servers, ["10.0.0.1:4222", "10.0.0.2:4223"]);
    /// assert!(!format!("{settings:?}").contains("secret"));
    /// ```
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::Settings(why.into()));
        let (tls, rest) = match url.split_once("://") {
            Some(("nats", rest)) => (false, rest),
            Some(("tls", rest)) => (true, rest),
            _ => return wrong("the address of NATS begins with nats:// or tls://"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (who, hosts) =
            rest.rsplit_once('@').map_or((None, rest), |(who, hosts)| (Some(who), hosts));
        if hosts.contains(['/', '?', '#']) {
            return wrong(
                "the address of NATS has hosts and ports only, behind an optional user and password",
            );
        }
        let decode = |it: &str| match percent_decode_str(it).decode_utf8() {
            Ok(it) if !it.is_empty() => Ok(it.into_owned()),
            _ => Err(Error::Settings(
                "user, password and token of NATS are percent-encoded UTF-8, and not empty".into(),
            )),
        };
        let credentials = match who.map(|it| it.split_once(':').ok_or(it)) {
            None => Credentials::None,
            Some(Ok((user, password))) => {
                Credentials::Password { user: decode(user)?, password: decode(password)? }
            }
            Some(Err(token)) => Credentials::Token(decode(token)?),
        };
        let servers: Option<Vec<String>> = hosts.split(',').map(with_port).collect();
        let Some(servers) = servers else {
            return wrong("a server of NATS is host or host:port");
        };
        Ok(Self { servers, credentials, tls, ..Self::default() })
    }

    /// Tells what is wrong with them, if anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        let why = if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(plain) {
            "the prefix of NATS has 1 to 64 letters, digits, - and _"
        } else if self.servers.is_empty() {
            "NATS has no address"
        } else if [
            self.queue_max,
            self.queue_bytes_max,
            self.known_max,
            self.hear_max,
            self.streams_max,
        ]
        .contains(&0)
        {
            "no limit of NATS is zero"
        } else if self.deadline.is_zero() || self.beat.is_zero() || self.silence_max <= self.beat {
            "times of NATS are not zero, and a node may be silent for longer than a beat"
        } else {
            return Ok(());
        };
        Err(Error::Settings(why.into()))
    }

    /// Says the same in words of the client library.
    pub(crate) async fn options(&self) -> Result<ConnectOptions, Error> {
        let options = match &self.credentials {
            Credentials::None => ConnectOptions::new(),
            Credentials::Password { user, password } => {
                ConnectOptions::with_user_and_password(user.clone(), password.clone())
            }
            Credentials::Token(token) => ConnectOptions::with_token(token.clone()),
            Credentials::Nkey(seed) => ConnectOptions::with_nkey(seed.clone()),
            Credentials::File(path) => ConnectOptions::with_credentials_file(path)
                .await
                .map_err(|it| Error::Settings(format!("{}: {it}", path.display())))?,
        };
        let mut options = options
            .name("taiwa")
            .require_tls(self.tls)
            // A partition is noticed after two pings without an answer.
            .ping_interval(self.beat)
            .connection_timeout(self.deadline)
            .subscription_capacity(self.hear_max)
            // Our subjects are built from escaped names.
            .skip_subject_validation(true)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis((50 << attempts.min(6)).min(2_000))
            });
        if let Some(path) = &self.ca_file {
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        Ok(options)
    }
}

/// Adds the port of NATS where none is given.
fn with_port(server: &str) -> Option<String> {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (server, 4222_u16),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    (!host.is_empty() && (bracketed || !host.contains(':'))).then(|| format!("{host}:{port}"))
}

/// Why there is no connection to NATS.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting makes no sense.
    Settings(String),
    /// The server can't be reached, or does not let us in.
    Connect(String),
    /// It has no JetStream, or refused what we need of it.
    JetStream(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(why) => f.write_str(why),
            Self::Connect(why) => write!(f, "NATS: {why}"),
            Self::JetStream(why) => write!(f, "JetStream of NATS: {why}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, servers, credentials) in [
            ("nats://localhost", "localhost:4222", "none"),
            ("tls://t0k%40n@a:1,b", "a:1,b:4222", "token"),
            ("nats://u:p%3Aw@[::1]:42/", "[::1]:42", "password"),
            ("nats://[::1]", "[::1]:4222", "none"),
        ] {
            let settings = Settings::parse(url).unwrap();
            assert_eq!(settings.servers.join(","), servers);
            assert_eq!(format!("{:?}", settings.credentials), credentials);
            assert_eq!(settings.tls, url.starts_with("tls"));
            settings.check().unwrap();
        }
        let Credentials::Password { user, password } =
            Settings::parse("nats://u%40:p%3Aw@h").unwrap().credentials
        else {
            panic!("a user and a password")
        };
        assert_eq!((user.as_str(), password.as_str()), ("u@", "p:w"));
    }

    #[test]
    fn nonsense_is_refused_without_repeating_it() {
        for url in [
            "",
            "redis://secret@h",
            "nats://",
            "nats://h:secret",
            "nats://secret@",
            "nats://h,,g",
            "nats://h/secret",
            "nats://:secret@h",
            "nats://a:%ff@h",
            "nats://::1",
        ] {
            let error = Settings::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
        let wrong = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().unwrap_err();
        };
        wrong(|it| it.prefix = "a.b".into());
        wrong(|it| it.queue_max = 0);
        wrong(|it| it.silence_max = it.beat);
        wrong(|it| it.servers.clear());
    }
}
