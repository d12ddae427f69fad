//! The PROXY protocol, versions 1 and 2: for whom a proxy opened the connection. The quotes are of HAProxy's
//! "The PROXY protocol, Versions 1 & 2".

mod header;

use std::{fmt::Display, io};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::{Addr, Network, Shared, connection::Ends};
use crate::{io::BoxIo, rewind::Rewind};
use header::{Header, HeaderFault};

impl Shared {
    /// "The receiver SHOULD ensure proper access filtering so that only trusted proxies are allowed to use
    /// this protocol." Without the protocol everybody may come.
    pub(super) fn lets_in(&self, peer: &Addr) -> bool {
        self.proxies.as_ref().is_none_or(|it| it.iter().any(|network| network.has(peer)))
    }

    /// Reads the header that a proxy must send, if this server takes connections from proxies, and puts what
    /// it says into `ends`. `None`: this connection must end.
    pub(super) async fn read_proxy_header(&self, mut io: BoxIo, ends: &mut Ends) -> Option<BoxIo> {
        if self.proxies.is_none() {
            return Some(io);
        }
        let refuse = |why: &dyn Display| {
            (self.terms.on_error)(Some(&ends.peer), &format_args!("PROXY protocol: {why}"));
            None
        };
        if !self.lets_in(&ends.peer) {
            return refuse(&"the peer is none of the proxies");
        }
        // The transport failed, or the peer went away: nobody's fault.
        let (read, header) =
            read(&mut io, self.terms.config.limits.handshake_bytes_max).await.ok()?;
        match header {
            Err(fault) => return refuse(&fault),
            Ok(Header::Transport) => {}
            Ok(Header::Proxied { source, destination }) => {
                ends.peer = source;
                ends.local = destination;
                // Those of the proxy.
                ends.credentials = None;
            }
        }
        Some(if read.is_empty() { io } else { Box::new(Rewind { first: read.freeze(), io }) })
    }
}

/// Reads a header; returns it with what was read behind it.
async fn read(
    io: &mut BoxIo,
    bytes_max: usize,
) -> io::Result<(BytesMut, Result<Header, HeaderFault>)> {
    let mut read = BytesMut::new();
    loop {
        if io.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match header::parse(&read, bytes_max) {
            Ok(None) => {}
            Ok(Some((header, len))) => return Ok((read.split_off(len), Ok(header))),
            Err(fault) => return Ok((read, Err(fault))),
        }
    }
}

impl super::Server {
    /// Takes connections from proxies alone: whoever connects must be in one of these networks, and must send
    /// a PROXY header (HAProxy's `send-proxy` and `send-proxy-v2`, versions 1 and 2) before anything else,
    /// TLS too. What the header says becomes [`Upgrade::peer_addr`](crate::Upgrade::peer_addr) and
    /// [`local_addr`](crate::Upgrade::local_addr); with LOCAL, UNKNOWN or UNSPEC these stay the proxy's.
    ///
    /// Whether there is a header is never guessed. A connection from elsewhere, without a header or with a
    /// wrong one is closed without a word to the peer, and told to [`on_error`](crate::Serving::on_error). A
    /// header may have [`Limits::handshake_bytes_max`](crate::Limits::handshake_bytes_max) bytes, and has to
    /// come, with all of the handshake behind it, within
    /// [`Deadlines::handshake`](crate::Deadlines::handshake); past either the connection is closed. Of the
    /// optional fields of version 2 the checksum (CRC32c) is verified, the others are skipped.
    ///
    /// It holds for all listeners of the server; those on unix sockets need [`Network::UNIX`]. Default: off.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use taiwa::{Network, Server};
    /// let proxies = ["10.0.0.0/8", "::1"].map(|it| Network::parse(it).expect("a network"));
    /// let server = Server::bind("127.0.0.1:0").await?.proxy_protocol(proxies);
    /// # drop(server); Ok(()) }
    /// ```
    #[must_use]
    pub fn proxy_protocol(mut self, proxies: impl IntoIterator<Item = Network>) -> Self {
        self.proxies = Some(proxies.into_iter().collect());
        self
    }
}
