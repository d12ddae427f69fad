//! Connecting: a socket, TLS, and the first words.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value,
    aio::MultiplexedConnection,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::mpsc,
    task::{AbortHandle, unconstrained},
};
use tokio_rustls::TlsConnector;

use crate::{
    error::Error,
    reply::{Reply, command},
    scripts,
    settings::{Address, Settings, Tls},
    tap::{Tap, Tapped},
};

pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// How many commands wait in the library; more wait in ours.
pub(crate) const SENT_MAX: usize = 1024;
/// From how many bytes on the library waits for the kernel.
const WRITE_BYTES: usize = 128 * 1024;

/// What a subscription brought, or became.
pub(crate) struct Pushed {
    /// Of which connection.
    pub(crate) line: u64,
    pub(crate) it: PushInfo,
    bytes: usize,
    tap: Arc<Tap>,
}

impl Drop for Pushed {
    fn drop(&mut self) {
        self.tap.take(self.bytes);
    }
}

/// How connections are made.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) settings: Settings,
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) pushes: mpsc::UnboundedSender<Pushed>,
}

/// A connection whose first words were said. It ends when this is dropped.
pub(crate) struct Wire {
    /// Its number, which no other one has.
    pub(crate) line: u64,
    pub(crate) redis: MultiplexedConnection,
    pub(crate) tap: Arc<Tap>,
    driver: AbortHandle,
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct About {
    /// Which process of the server this is.
    pub(crate) process: Vec<u8>,
    /// Whether it is one of a cluster of servers.
    pub(crate) clustered: bool,
    /// The first number of its version.
    pub(crate) version: u32,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Prepares TLS, once for all connections: it may read files of the platform.
pub(crate) fn tls(settings: &Tls) -> Result<TlsConnector, Error> {
    let wrong = |it: rustls::Error| Error::Io(io::Error::other(it));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    let builder = match &settings.roots {
        None => builder.with_platform_verifier().map_err(wrong)?,
        Some(roots) => {
            let mut store = RootCertStore::empty();
            for root in roots {
                store.add(root.clone()).map_err(wrong)?;
            }
            builder.with_root_certificates(store)
        }
    };
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

impl Dialer {
    /// Connects, and says who we are, all within [`Settings::connect_max`].
    pub(crate) async fn dial(&self, address: &Address) -> Result<Wire, Error> {
        let all = async {
            let transport = self.transport(address).await?;
            let tap = Tap::new(self.settings.reply_bytes_max);
            let line =
                getrandom::u64().map_err(|it| Error::Io(io::Error::other(it.to_string())))?;
            let (pushes, tapped) = (self.pushes.clone(), tap.clone());
            let take = move |it: PushInfo| {
                let bytes = it.data.iter().filter_map(Reply::text).map(<[u8]>::len).sum();
                tapped.push(bytes);
                pushes.send(Pushed { line, it, bytes, tap: tapped.clone() })
            };
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None)
                .set_pipeline_buffer_size(SENT_MAX)
                .set_write_backpressure_boundary(WRITE_BYTES)
                .set_push_sender(take);
            let tapped = Tapped { transport, tap: tap.clone() };
            let login = self.login();
            let made = MultiplexedConnection::new_with_config(&login, tapped, config);
            let (redis, driver) = made.await?;
            let driver = tokio::spawn(driver).abort_handle();
            Ok(Wire { line, redis, tap, driver })
        };
        tokio::time::timeout(self.settings.connect_max, all).await.unwrap_or(Err(Error::Deadline))
    }

    /// Asks the first server that can be reached what it is.
    pub(crate) async fn any(&self) -> Result<(Address, About), Error> {
        let mut result = Err(Error::Deadline);
        for address in [&self.settings.address].into_iter().chain(&self.settings.others) {
            let asked = async { self.dial(address).await?.greet(self.settings.connect_max).await };
            result = asked.await.map(|it| (address.clone(), it));
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name()
            .set_db(self.settings.database.into());
        if let Some(user) = &self.settings.user {
            login = login.set_username(user);
        }
        match &self.settings.password {
            Some(password) => login.set_password(password),
            None => login,
        }
    }

    async fn transport(&self, address: &Address) -> Result<Box<dyn Transport>, Error> {
        let (host, port) = match address {
            Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Address::Tcp(host, port) => (host, *port),
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Error::Unusable("the host is no name that a certificate could have"))?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

impl Wire {
    /// Loads the scripts, and asks what kind of server this is.
    pub(crate) async fn greet(&self, limit: Duration) -> Result<About, Error> {
        let mut commands = vec![command(&[b"INFO", b"server"])];
        commands.extend(scripts::SOURCES.iter().map(|it| scripts::load(it)));
        let answers = self.exchange(commands, limit).await?;
        if let Some(why) = answers.iter().find_map(fault) {
            return Err(why);
        }
        let info = answers[0].text().unwrap_or_default();
        let info = String::from_utf8_lossy(info);
        let fact = |name: &str| info.lines().find_map(|it| it.strip_prefix(name)).unwrap_or("");
        let version = fact("redis_version:").split('.').next();
        Ok(About {
            process: fact("run_id:").as_bytes().to_vec(),
            clustered: fact("redis_mode:") == "cluster",
            version: version.and_then(|it| it.parse().ok()).unwrap_or_default(),
        })
    }

    /// Says several things at once, and waits for as many answers; each piece of them is answered within `limit`.
    pub(crate) async fn exchange(
        &self,
        commands: Vec<Cmd>,
        limit: Duration,
    ) -> Result<Vec<Value>, Error> {
        let mut answers = Vec::with_capacity(commands.len());
        // In pieces, each of which the server can take without its answers being read.
        for piece in commands.chunks(SENT_MAX / 2) {
            let ask = async |it: &Cmd| {
                let answer = self.redis.clone().send_packed_command(it).await;
                self.tap.answered();
                answer
            };
            // They are polled first in their order, in which they are sent, since none of them yields before.
            let all = piece.iter().map(|it| unconstrained(ask(it)));
            let some = tokio::time::timeout(limit, join_all(all)).await;
            for answer in some.map_err(|_| Error::Deadline)? {
                answers.push(answer?);
            }
        }
        Ok(answers)
    }
}

/// Returns the error that an answer is.
pub(crate) fn fault(answer: &Value) -> Option<Error> {
    match answer {
        Value::ServerError(why) => Some(Error::Refused(text_of(why))),
        _ => None,
    }
}

/// Writes an error as the server did.
pub(crate) fn text_of(why: &redis::ServerError) -> String {
    format!("{} {}", why.code(), why.details().unwrap_or_default())
}

impl From<RedisError> for Error {
    fn from(why: RedisError) -> Self {
        use redis::ErrorKind;
        match why.kind() {
            ErrorKind::RESP3NotSupported => {
                Self::Unusable("the server is too old: it takes Redis 6.2 or later")
            }
            ErrorKind::Parse => Self::Unusable("what answers does not speak RESP3"),
            ErrorKind::Io => Self::Io(io::Error::other(why.to_string())),
            _ => Self::Refused(match (why.code(), why.detail()) {
                (Some(code), Some(detail)) => format!("{code} {detail}"),
                _ => why.to_string(),
            }),
        }
    }
}

/// Returns a time of between half and all of `longest`.
pub(crate) fn jittered(longest: Duration, random: u64) -> Duration {
    longest / 2 + (longest / 2).mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}
