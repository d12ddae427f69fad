//! The handshake of a SOCKS 5 proxy (RFC 1928), with user and password (RFC 1929).
//!
//! Written here since it is this short: what crates offer fixes the transport, or what an error can say.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::ProxyFault;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;

/// Where the proxy is to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Target {
    Address(SocketAddr),
    /// A name for the proxy to resolve, and a port.
    Name(String, u16),
}

impl Target {
    /// An address if `host` is one, otherwise a name.
    pub(in crate::client) fn of(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name(host.to_owned(), port),
        }
    }
}

/// Has a proxy connect to `to`: afterwards `io` leads there. Not one byte behind the reply is read.
pub(in crate::client) async fn tunnel(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    to: &Target,
    credentials: Option<(&[u8], &[u8])>,
) -> Result<(), ProxyFault> {
    let request = request(to)?;
    let login = credentials.map(|(user, password)| login(user, password)).transpose()?;
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    write(io, methods).await?;
    match (read(io).await?, login) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(login)) => {
            write(io, &login).await?;
            let [_, status] = read(io).await?;
            // RFC 1929 §2: "A STATUS field of X'00' indicates success."
            if status != 0 {
                return Err(ProxyFault::Credentials);
            }
        }
        // RFC 1928 §3: "If the selected METHOD is X'FF', none of the methods listed by the client are
        // acceptable".
        ([VERSION, 0xff], _) => return Err(ProxyFault::Credentials),
        _ => return Err(ProxyFault::NotSocks),
    }
    write(io, &request).await?;
    match read(io).await? {
        [VERSION, 0] => {}
        // The rest of a refusal tells nothing, and a careless proxy may leave it out.
        [VERSION, reply] => return Err(ProxyFault::SocksRefused(reply)),
        _ => return Err(ProxyFault::NotSocks),
    }
    let [_, address_type] = read(io).await?;
    // RFC 1928 §6: the address and port that the proxy bound. Nobody needs them, yet they stand before
    // the tunnel.
    let len = match address_type {
        1 => 4,
        3 => read::<1>(io).await?[0].into(),
        4 => 16,
        _ => return Err(ProxyFault::NotSocks),
    };
    let mut bound = [0; 255 + 2];
    io.read_exact(&mut bound[..len + 2]).await.map_err(ProxyFault::Io)?;
    Ok(())
}

/// RFC 1928 §4.
fn request(to: &Target) -> Result<Vec<u8>, ProxyFault> {
    let mut out = vec![VERSION, CONNECT, 0];
    let port = match to {
        Target::Address(SocketAddr::V4(address)) => {
            out.push(1);
            out.extend(address.ip().octets());
            address.port()
        }
        Target::Address(SocketAddr::V6(address)) => {
            out.push(4);
            out.extend(address.ip().octets());
            address.port()
        }
        Target::Name(name, port) => {
            out.push(3);
            out.push(u8::try_from(name.len()).map_err(|_| ProxyFault::HostTooLong)?);
            out.extend(name.as_bytes());
            *port
        }
    };
    out.extend(port.to_be_bytes());
    Ok(out)
}

/// RFC 1929 §2.
fn login(user: &[u8], password: &[u8]) -> Result<Vec<u8>, ProxyFault> {
    let mut out = vec![1];
    for word in [user, password] {
        out.push(u8::try_from(word.len()).map_err(|_| ProxyFault::Credentials)?);
        out.extend(word);
    }
    Ok(out)
}

async fn write(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), ProxyFault> {
    let written = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    written.await.map_err(ProxyFault::Io)
}

async fn read<const N: usize>(io: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], ProxyFault> {
    let mut bytes = [0; N];
    let read: io::Result<usize> = io.read_exact(&mut bytes).await;
    read.map_err(ProxyFault::Io)?;
    Ok(bytes)
}
