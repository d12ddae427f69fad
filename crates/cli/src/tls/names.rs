//! For which names and addresses a certificate is.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use taiwa::Addr;

use crate::listen::Listen;

/// Returns all that a certificate is for: this machine, where the server listens, and these.
pub(crate) fn of(listen: &[Listen], addrs: &[Addr], more: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let given = listen.iter().filter_map(|it| match it {
        Listen::Tcp(place) => place.rsplit_once(':').map(|it| it.0.to_owned()),
        _ => None,
    });
    let named = given.filter(|it| check(it).is_ok() && it.parse::<IpAddr>().is_err());
    let bound = addrs.iter().filter_map(Addr::tcp).map(|it| it.ip().to_canonical());
    let bound = bound.filter(|it| !it.is_unspecified()).map(|it| it.to_string());
    for name in named.chain(bound).chain(more.iter().map(|it| canonical(it))) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |it| it.to_string())
}

/// Returns whether no certificate could be for a name.
pub(crate) fn check(name: &str) -> Result<(), &'static str> {
    let text = "this is a name, as chat.example or *.chat.example, or an IP address";
    let plain = name.strip_prefix("*.").unwrap_or(name);
    match ServerName::try_from(plain) {
        Ok(ServerName::IpAddress(_)) if plain != name => Err(text),
        Ok(_) if name.is_ascii() => Ok(()),
        _ => Err(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_this_machine_of_where_it_listens_and_those_that_were_said() {
        let listen =
            ["chat.local:0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"].map(|it| it.parse().unwrap());
        let bound = ["192.0.2.1:5", "0.0.0.0:5", "[::]:5"].map(|it| Addr::Tcp(it.parse().unwrap()));
        let more = ["A.example", "0:0:0:0:0:0:0:1"].map(str::to_owned);
        assert_eq!(
            of(&listen, &bound, &more),
            ["localhost", "127.0.0.1", "::1", "chat.local", "192.0.2.1", "a.example"]
        );
    }

    #[test]
    fn what_no_certificate_could_be_for_is_told() {
        for good in ["a.example", "*.a.example", "127.0.0.1", "::1", "localhost"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "*.", "a b", "*.127.0.0.1", "a..b", "https://a", "a:1", "ä.example"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
