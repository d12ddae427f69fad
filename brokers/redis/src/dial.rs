//! Connecting: a socket, TLS, and the first words.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    error::Error,
    scripts::{self, Loaded},
    settings::{Address, Settings, Tls},
    wire::{self, Value},
};

pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection whose first words were said.
pub(crate) struct Wire {
    pub(crate) reader: ReadHalf<Box<dyn Transport>>,
    pub(crate) writer: WriteHalf<Box<dyn Transport>>,
    /// What came and was not read yet.
    pub(crate) came: BytesMut,
    pub(crate) scripts: Loaded,
    /// Which process of the server this is.
    pub(crate) process: Vec<u8>,
    reply_bytes_max: usize,
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

/// Connects, says who we are, and loads the scripts. All within [`Settings::connect_max`].
pub(crate) async fn dial(settings: &Settings, tls: Option<&TlsConnector>) -> Result<Wire, Error> {
    let all = async {
        let transport = transport(settings, tls).await?;
        let (reader, writer) = tokio::io::split(transport);
        let mut wire = Wire {
            reader,
            writer,
            came: BytesMut::new(),
            scripts: Loaded(vec![]),
            process: vec![],
            reply_bytes_max: settings.reply_bytes_max,
        };
        wire.greet(settings).await?;
        Ok(wire)
    };
    tokio::time::timeout(settings.connect_max, all).await.unwrap_or(Err(Error::Deadline))
}

async fn transport(
    settings: &Settings,
    tls: Option<&TlsConnector>,
) -> Result<Box<dyn Transport>, Error> {
    let (host, port) = match &settings.address {
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp(host, port) => (host, *port),
    };
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.clone())
        .map_err(|_| Error::Unusable("the host is no name that a certificate could have"))?;
    Ok(Box::new(tls.connect(name, stream).await?))
}

impl Wire {
    async fn greet(&mut self, settings: &Settings) -> Result<(), Error> {
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &settings.password {
            let user = settings.user.as_deref().unwrap_or("default");
            hello.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
        }
        let database = settings.database.to_string();
        let mut commands = vec![wire::command(&hello)];
        if settings.database > 0 {
            commands.push(wire::command(&[b"SELECT", database.as_bytes()]));
        }
        commands.push(wire::command(&[b"INFO", b"server"]));
        commands.extend(scripts::SOURCES.iter().map(|it| scripts::load(it)));
        let answers = self.exchange(&commands, &mut |_| {}).await?;
        for answer in &answers {
            if let Value::Fault(why) = answer {
                let why = String::from_utf8_lossy(why).into_owned();
                let old = why.starts_with("NOPROTO") || why.contains("unknown command");
                return Err(if old {
                    Error::Unusable("the server is too old: it takes Redis 6.2 or later")
                } else {
                    Error::Refused(why)
                });
            }
        }
        let facts = answers[0].list().unwrap_or_default();
        let mode = facts.chunks_exact(2).find(|it| it[0].text() == Some(b"mode"));
        if mode.is_some_and(|it| it[1].text() == Some(b"cluster")) {
            return Err(Error::Unusable("clusters of Redis servers are not spoken to yet"));
        }
        let (said, loaded) = answers.split_at(answers.len() - scripts::SOURCES.len());
        let info = said.last().and_then(Value::text).unwrap_or_default();
        let process = info.split(|it| *it == b'\n').find(|it| it.starts_with(b"run_id:"));
        self.process = process.unwrap_or_default().to_vec();
        self.scripts.0 = loaded.iter().filter_map(|it| Some(it.text()?.to_vec())).collect();
        if self.scripts.0.len() != scripts::SOURCES.len() {
            return Err(Error::Unusable("the server does not load scripts"));
        }
        Ok(())
    }

    /// Says several things at once, and waits for as many answers; what subscriptions bring meanwhile goes to `pushed`.
    pub(crate) async fn exchange(
        &mut self,
        commands: &[Vec<u8>],
        pushed: &mut (dyn FnMut(Vec<Value>) + Send),
    ) -> Result<Vec<Value>, Error> {
        let mut answers = Vec::with_capacity(commands.len());
        // In pieces, each of which the server can take without its answers being read.
        for piece in commands.chunks(64) {
            self.writer.write_all(&piece.concat()).await?;
            self.writer.flush().await?;
            let wanted = answers.len() + piece.len();
            while answers.len() < wanted {
                match self.next()? {
                    Some(Value::Push(it)) => pushed(it),
                    Some(answer) => answers.push(answer),
                    None if self.reader.read_buf(&mut self.came).await? == 0 => {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    None => {}
                }
            }
        }
        Ok(answers)
    }

    /// Takes the next value out of what came.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Error> {
        wire::read(&mut self.came, self.reply_bytes_max).map_err(|it| match it {
            wire::Broken::Syntax => Error::Unusable("what answers does not speak RESP3"),
            wire::Broken::TooLong => Error::Unusable("an answer is longer than reply_bytes_max"),
        })
    }
}

/// Returns a time of between half and all of `longest`.
pub(crate) fn jittered(longest: Duration, random: u64) -> Duration {
    longest / 2 + (longest / 2).mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}
