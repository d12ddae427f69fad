//! What the load generator tells a server that it starts: the task, how clients come, and the certificate.
//!
//! The words are `[TASK] [--over NAME] [--cert FILE --key FILE]`.

use std::{fmt, fs, io, path::PathBuf, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

/// How clients come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// HTTP/1.1 in the clear: a connection of TCP for each WebSocket.
    Http1Clear,
    /// The same within TLS.
    Http1,
    /// HTTP/2 in the clear, begun without asking (RFC 9113 §3.3); WebSockets share connections (RFC 8441).
    Http2Clear,
    /// The same within TLS, agreed on by ALPN.
    Http2,
    /// HTTP/3; WebSockets share connections (RFC 9220).
    Http3,
    /// Sessions of WebTransport over HTTP/3, one a connection.
    WebTransport,
}

impl Over {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Http1Clear,
        Self::Http1,
        Self::Http2Clear,
        Self::Http2,
        Self::Http3,
        Self::WebTransport,
    ];

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1Clear => "h1c",
            Self::Http1 => "h1",
            Self::Http2Clear => "h2c",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
            Self::WebTransport => "wt",
        }
    }

    /// Finds the one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Tells whether it is encrypted, so that the server needs a certificate.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::Http1Clear | Self::Http2Clear)
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1Clear => "HTTP/1.1 in the clear",
            Self::Http1 => "HTTP/1.1 and TLS",
            Self::Http2Clear => "HTTP/2 in the clear",
            Self::Http2 => "HTTP/2 and TLS",
            Self::Http3 => "HTTP/3",
            Self::WebTransport => "WebTransport",
        })
    }
}

/// What a server is told.
#[derive(Debug)]
pub struct Order {
    /// The word for what it is to do; without one it echoes.
    pub task: Option<String>,
    /// How clients come; [`Over::Http1Clear`] unless told.
    pub over: Over,
    files: Option<(PathBuf, PathBuf)>,
}

impl Order {
    /// Reads the arguments of this program.
    ///
    /// # Errors
    /// They are not the words that the load generator says.
    pub fn from_arguments() -> io::Result<Self> {
        Self::parse(std::env::args().skip(1)).map_err(io::Error::other)
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut order = Self { task: None, over: Over::Http1Clear, files: None };
        let (mut certificate, mut key) = (None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--over" => {
                    let name = value()?;
                    order.over = Over::parse(&name).ok_or(format!("{name} is no way to come"))?;
                }
                "--cert" => certificate = Some(PathBuf::from(value()?)),
                "--key" => key = Some(PathBuf::from(value()?)),
                _ if order.task.is_none() && !word.starts_with('-') => order.task = Some(word),
                _ => return Err(format!("{word} is not known")),
            }
        }
        order.files = certificate.zip(key);
        match order.over.is_secure() && order.files.is_none() {
            true => Err(format!("{} needs --cert and --key", order.over)),
            false => Ok(order),
        }
    }

    /// Reads the certificate and its key, both as PEM.
    ///
    /// # Errors
    /// There are none, or they can't be read.
    pub fn certificate(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (certificate, key) = self.files.as_ref().ok_or(io::Error::other("no certificate"))?;
        Ok((fs::read(certificate)?, fs::read(key)?))
    }

    /// The files with the certificate and its key.
    ///
    /// # Errors
    /// There are none.
    pub fn files(&self) -> io::Result<(&PathBuf, &PathBuf)> {
        let files = self.files.as_ref().ok_or(io::Error::other("no certificate"))?;
        Ok((&files.0, &files.1))
    }

    /// Makes the server's end of TLS as rustls has it by default, for what has none of its own; `None` in the clear. By ALPN
    /// it agrees on what it was ordered.
    ///
    /// # Errors
    /// The certificate or its key is not one.
    pub fn acceptor(&self) -> io::Result<Option<TlsAcceptor>> {
        let protocol = match self.over {
            Over::Http1Clear | Over::Http2Clear => return Ok(None),
            Over::Http1 => "http/1.1",
            Over::Http2 => "h2",
            Over::Http3 | Over::WebTransport => "h3",
        };
        let (certificate, key) = self.certificate()?;
        let certificate = CertificateDer::from_pem_slice(&certificate).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(io::Error::other)?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let mut config = config.map_err(io::Error::other)?;
        config.alpn_protocols = vec![protocol.into()];
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Order, String> {
        Order::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_are_understood_in_any_order() {
        let order = parse("--over h2 fan-out --key k --cert c").unwrap();
        assert_eq!((order.over, order.task.as_deref()), (Over::Http2, Some("fan-out")));
        assert_eq!(order.files().unwrap(), (&"c".into(), &"k".into()));
        let order = parse("").unwrap();
        assert_eq!((order.over, order.task), (Over::Http1Clear, None));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--over", "--over h9", "--over h3", "a b", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
