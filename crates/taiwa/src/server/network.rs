//! [`Network`]: whom a server believes what a PROXY header says.

use std::{fmt, net::IpAddr};

use super::Addr;

/// A network of IP addresses, or all who may open a unix socket of ours.
///
/// ```
/// use taiwa::Network;
/// let network = Network::parse("10.1.0.0/16").unwrap();
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(!network.contains("10.2.0.1".parse().unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(Range);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Ip { first: IpAddr, prefix: u8 },
    Unix,
}

impl Network {
    /// Peers on unix sockets; written `unix`.
    pub const UNIX: Self = Self(Range::Unix);

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, a single address or `unix`. `None` for anything else, also for
    /// an address with bits set behind the prefix.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "unix" {
            return Some(Self::UNIX);
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().ok()?;
        let bits_max = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits_max,
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        let is_network = prefix <= bits_max && masked(first, prefix) == first;
        is_network.then_some(Self(Range::Ip { first, prefix }))
    }

    /// Tells whether the address is in the network. An IPv4 address in IPv6 (`::ffff:10.0.0.1`) counts as
    /// the IPv4 address it is.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match self.0 {
            Range::Unix => false,
            Range::Ip { first, prefix } => {
                let ip = ip.to_canonical();
                ip.is_ipv4() == first.is_ipv4() && masked(ip, prefix) == first
            }
        }
    }

    pub(super) fn has(&self, addr: &Addr) -> bool {
        match (addr, self.0) {
            (Addr::Unix(_), Range::Unix) => true,
            (Addr::Tcp(addr), Range::Ip { .. }) => self.contains(addr.ip()),
            _ => false,
        }
    }
}

/// Keeps the first `prefix` bits.
fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Range::Unix => f.write_str("unix"),
            Range::Ip { first, prefix } => write!(f, "{first}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_strictly_and_shown_as_they_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("2001:DB8::/32", Some("2001:db8::/32")),
            ("::/0", Some("::/0")),
            ("::1", Some("::1/128")),
            ("unix", Some("unix")),
            ("10.0.0.1/8", None),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("10.0.0.0/", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/8/8", None),
            ("10.0.0.0/999", None),
            ("10.0.0/8", None),
            ("localhost", None),
            ("UNIX", None),
            ("", None),
        ] {
            assert_eq!(Network::parse(text).map(|it| it.to_string()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_network_has_its_addresses_and_no_other() {
        for (network, ip, expected) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::10.0.0.1", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "127.0.0.1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("unix", "127.0.0.1", false),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(ip.parse().unwrap()), expected, "{network} {ip}");
        }
        assert!(Network::UNIX.has(&Addr::Unix(None)));
        assert!(!Network::parse("0.0.0.0/0").unwrap().has(&Addr::Unix(None)));
        assert!(!Network::parse("::/0").unwrap().has(&Addr::Unknown));
    }
}
