//! Hosts that are reached without a proxy: the grammar of `NO_PROXY`.

use std::net::IpAddr;

use super::endpoint::split_port;

/// What is excepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// `*`
    Everything,
    /// `localhost`, what is below it, and loopback addresses.
    Loopback,
    /// A host and all below it.
    Name {
        name: String,
        port: Option<u16>,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    /// Addresses that share the first bits.
    Range {
        address: IpAddr,
        bits: u32,
    },
}

impl Exceptions {
    /// Excepts this machine.
    pub(super) fn loopback() -> Self {
        Self { rules: vec![Rule::Loopback] }
    }

    /// Adds the entries of a list. One that is none excepts nothing.
    pub(super) fn add(&mut self, list: &str) {
        let entries = list.split(|it: char| it == ',' || it.is_whitespace());
        self.rules.extend(entries.filter_map(Rule::parse));
    }

    pub(super) fn contain(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = host.parse().ok().map(|it: IpAddr| it.to_canonical());
        self.rules.iter().any(|rule| rule.has(host, address, port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|it| *it <= width(address))?;
            return Some(Self::Range { address, bits });
        }
        if let Ok(address) = entry.parse::<IpAddr>() {
            return Some(Self::Address { address: address.to_canonical(), port: None });
        }
        let (name, port) = split_port(entry)?;
        if let Ok(address) = name.parse::<IpAddr>() {
            return Some(Self::Address { address: address.to_canonical(), port });
        }
        let name = name.strip_prefix('*').filter(|it| it.starts_with('.')).unwrap_or(name);
        let name = name.strip_prefix('.').unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        (!name.is_empty()).then(|| Self::Name { name: name.to_owned(), port })
    }

    fn has(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let same_port = |it: &Option<u16>| it.is_none_or(|it| it == port);
        match self {
            Self::Everything => true,
            Self::Loopback => match address {
                Some(address) => address.is_loopback(),
                None => is_below(host, "localhost"),
            },
            Self::Name { name, port } => {
                address.is_none() && same_port(port) && is_below(host, name)
            }
            Self::Address { address: it, port } => address == Some(*it) && same_port(port),
            Self::Range { address: it, bits } => {
                address.is_some_and(|address| shares_bits(address, *it, *bits))
            }
        }
    }
}

/// Says whether `host` is `name` or ends in it behind a dot.
fn is_below(host: &str, name: &str) -> bool {
    let Some(rest) = host.len().checked_sub(name.len()) else { return false };
    let (before, end) = host.as_bytes().split_at(rest);
    end.eq_ignore_ascii_case(name.as_bytes()) && matches!(before.last(), None | Some(b'.'))
}

const fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { u32::BITS } else { u128::BITS }
}

fn shares_bits(one: IpAddr, other: IpAddr, bits: u32) -> bool {
    let high = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    high >= bits
}
