//! How many conversations each address has: counted at the door, off the path of messages.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use taiwa::Addr;

/// Counts conversations by address. A network of 64 bits counts as one address of IPv6: whoever has one has all of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    /// 0 for no limit.
    max: Arc<AtomicUsize>,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One conversation among those of its address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    ip: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The address has as many conversations as it may.
#[derive(Debug, PartialEq)]
pub(crate) struct Full;

impl Addresses {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: Arc::new(max.into()), counts: Arc::default() }
    }

    /// Sets another limit; 0 for none. Conversations that began without one are not counted.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    /// Counts a conversation; nothing is counted without a limit or without an address.
    pub(crate) fn enter(&self, peer: &Addr) -> Result<Option<Box<Place>>, Full> {
        let max = self.max.load(Relaxed);
        let Some(ip) = peer.ip().filter(|_| max > 0).map(network) else { return Ok(None) };
        let mut counts = lock(&self.counts);
        let count = counts.entry(ip).or_default();
        if *count >= max {
            return Err(Full);
        }
        *count += 1;
        Ok(Some(Box::new(Place { ip, counts: self.counts.clone() })))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// No code that can panic runs under this lock; were it poisoned, its content would be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Addr {
        Addr::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn an_address_has_as_many_conversations_as_it_may_and_gets_room_back() {
        let addresses = Addresses::new(2);
        let one = addresses.enter(&at("192.0.2.1")).unwrap();
        let _two = addresses.enter(&at("::ffff:192.0.2.1")).unwrap();
        assert_eq!(addresses.enter(&at("192.0.2.1")).unwrap_err(), Full);
        assert!(addresses.enter(&at("192.0.2.2")).is_ok());
        drop(one);
        assert!(addresses.enter(&at("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let addresses = Addresses::new(1);
        let _one = addresses.enter(&at("2001:db8::1")).unwrap();
        assert_eq!(addresses.enter(&at("2001:db8::ffff:1")).unwrap_err(), Full);
        assert!(addresses.enter(&at("2001:db8:0:1::1")).unwrap().is_some());
        assert_eq!(lock(&addresses.counts).len(), 1, "who has left is not remembered");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let addresses = Addresses::new(0);
        assert!(addresses.enter(&at("192.0.2.1")).unwrap().is_none());
        assert!(Addresses::new(1).enter(&Addr::Unknown).unwrap().is_none());
    }
}
