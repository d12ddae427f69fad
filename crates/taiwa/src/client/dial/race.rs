//! Connecting to the one of several addresses that answers first (RFC 8305, happy eyeballs).

use std::{
    future::{pending, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::sleep,
};

/// RFC 8305 §5: "A simple implementation can have a fixed delay for how long to wait before starting the
/// next connection attempt. [...] One recommended value for a default delay is 250 milliseconds."
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried. The rest is passed over: with a quarter of a second for each
/// the handshake's deadline is near.
const ADDRESSES_MAX: usize = 32;

type Attempt<'a, T> = Pin<Box<dyn Future<Output = (SocketAddr, io::Result<T>)> + Send + 'a>>;

/// Returns the first connection by TCP that stands. The other attempts end with this future.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    local: Option<IpAddr>,
) -> io::Result<TcpStream> {
    connect_by(addresses, |address| attempt(address, local)).await
}

/// Returns the first connection that stands, each made by `attempt`.
pub(super) async fn connect_by<T: Send, F: Future<Output = io::Result<T>> + Send>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut waiting = interleaved(addresses).into_iter();
    let mut attempts: Vec<Attempt<'_, T>> = Vec::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let connecting = attempt(address);
            attempts.push(Box::pin(async move { (address, connecting.await) }));
        }
        if attempts.is_empty() {
            return Err(tried(&failed));
        }
        let is_last = waiting.len() == 0;
        let delay = async { if is_last { pending().await } else { sleep(ATTEMPT_DELAY).await } };
        tokio::select! {
            biased;
            (address, result) = first(&mut attempts) => match result {
                Ok(connected) => return Ok(connected),
                Err(error) => failed.push((address, error)),
            },
            () = delay => {}
        }
    }
}

/// Puts addresses in the order in which they are tried: families by turns, and otherwise as the resolver
/// sorted them (RFC 6724).
pub(super) fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    // RFC 8305 §4: "Whichever address family is first in the list should be followed by an address of
    // the other address family".
    let is_first_family = |it: &&SocketAddr| it.is_ipv6() == addresses[0].is_ipv6();
    let mut first = addresses.iter().filter(is_first_family);
    let mut second = addresses.iter().filter(|it| !is_first_family(it));
    let mut out = Vec::with_capacity(addresses.len().min(ADDRESSES_MAX));
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return out;
        }
        for address in pair.into_iter().flatten() {
            if out.len() < ADDRESSES_MAX && !out.contains(address) {
                out.push(*address);
            }
        }
    }
}

async fn attempt(address: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local {
        if local.is_ipv4() != address.is_ipv4() {
            let message = format!("not of the family of the local address {local}");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(address).await
}

/// Waits for any of the attempts to end, and takes it out.
async fn first<T>(attempts: &mut Vec<Attempt<'_, T>>) -> (SocketAddr, io::Result<T>) {
    poll_fn(|cx| {
        for index in 0..attempts.len() {
            if let Poll::Ready(ended) = attempts[index].as_mut().poll(cx) {
                drop(attempts.swap_remove(index));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}

/// Makes one error of all, which names each address.
fn tried(failed: &[(SocketAddr, io::Error)]) -> io::Error {
    let each: Vec<String> = failed.iter().map(|(at, error)| format!("{at}: {error}")).collect();
    let kind = failed.last().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
    io::Error::new(kind, format!("can't connect to {}", each.join("; ")))
}
