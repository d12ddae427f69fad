//! `Alt-Svc` (RFC 7838 §3): where else an origin is served over HTTP/3, and what of that is remembered.

use std::{fmt, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{AGE, ALT_SVC},
};
use tokio::time::Instant;

/// RFC 7838 §3.1: "it is considered fresh for 24 hours from generation".
const FRESH_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// However long a server wants it to be believed.
const FRESH_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where an origin is served over HTTP/3: a host in small letters, IPv6 without brackets, and a port of UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Alternative {
    pub(in crate::client) host: String,
    pub(in crate::client) port: u16,
}

impl Alternative {
    /// Returns what a request says that is made there (RFC 7838 §5).
    pub(in crate::client) fn alt_used(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// One alternative of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Offer {
    pub(in crate::client) at: Alternative,
    pub(in crate::client) fresh_for: Duration,
    /// It holds in other networks, too.
    pub(in crate::client) persists: bool,
}

/// Reads the header of a response from `host`: the alternatives that are HTTP/3, the best first, and none if what was said before
/// counts no longer. `None` if the header is not there, or is nonsense.
pub(in crate::client) fn read_alt_svc(headers: &HeaderMap, host: &str) -> Option<Vec<Offer>> {
    let age = headers.get(AGE).and_then(|it| it.to_str().ok()?.trim().parse().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    let mut found = None;
    for line in headers.get_all(ALT_SVC) {
        let mut offers = read_value(line.to_str().ok()?, host)?;
        offers.iter_mut().for_each(|it| it.fresh_for = it.fresh_for.saturating_sub(age));
        found.get_or_insert_with(Vec::new).append(&mut offers);
    }
    found
}

/// Reads one line of the header; `None` if it is nonsense.
pub(in crate::client) fn read_value(line: &str, host: &str) -> Option<Vec<Offer>> {
    let line = line.trim();
    // RFC 7838 §3: "clear" is case-sensitive.
    if line == "clear" {
        return Some(Vec::new());
    }
    let mut offers = Vec::new();
    for text in split_quoted(line, ',').map(str::trim).filter(|it| !it.is_empty()) {
        let mut parts = split_quoted(text, ';');
        let (protocol, authority) = parts.next()?.trim().split_once('=')?;
        let authority = authority.strip_prefix('"')?.strip_suffix('"')?;
        // Other protocols are none that we speak elsewhere than at the origin.
        if protocol == "h3" {
            offers.extend(read_offer(authority, parts, host));
        }
    }
    (!line.is_empty()).then_some(offers)
}

/// Reads one alternative: `":443"; ma=86400`.
fn read_offer<'a>(
    authority: &str,
    parameters: impl Iterator<Item = &'a str>,
    host: &str,
) -> Option<Offer> {
    let (name, port) = authority.rsplit_once(':')?;
    let name = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    // What stands in an authority goes into `Alt-Used` and to the resolver: nothing else.
    let is_host = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_' | b':');
    if !name.bytes().all(is_host) {
        return None;
    }
    let host = if name.is_empty() { host } else { name }.to_ascii_lowercase();
    let port = port.parse().ok().filter(|it| *it != 0)?;
    let (mut fresh_for, mut persists) = (FRESH_FOR, false);
    for parameter in parameters {
        let (name, value) = parameter.trim().split_once('=')?;
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("ma") {
            fresh_for = Duration::from_secs(value.parse().ok()?);
        } else if name.eq_ignore_ascii_case("persist") {
            // RFC 7838 §3.1: "Clients MUST ignore "persist" parameters with values other than "1"."
            persists = value == "1";
        }
    }
    Some(Offer { at: Alternative { host, port }, fresh_for: fresh_for.min(FRESH_MAX), persists })
}

/// Splits at a separator that stands in no quoted string.
fn split_quoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |it| {
        is_quoted ^= it == '"';
        it == separator && !is_quoted
    })
}

/// What is remembered of an origin's alternatives.
#[derive(Default)]
pub(in crate::client) struct Alternatives(Vec<Remembered>);

struct Remembered {
    at: Alternative,
    until: Instant,
    persists: bool,
    /// Until when it is not tried.
    missed: Option<Instant>,
}

/// What there is to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Choice {
    Nothing,
    Try(Alternative),
    /// This one could not be reached, and is tried again after that time.
    Missed(Alternative, Duration),
}

impl Alternatives {
    /// Takes what a response says, instead of all that was said before: at most `max`, the best.
    pub(in crate::client) fn learn(&mut self, offers: Vec<Offer>, max: usize, now: Instant) {
        let before = std::mem::take(&mut self.0);
        for Offer { at, fresh_for, persists } in offers {
            // Half of the clock is far enough.
            let Some(until) = now.checked_add(fresh_for) else { continue };
            if self.0.len() < max && !self.0.iter().any(|it| it.at == at) {
                let missed = before.iter().find(|it| it.at == at).and_then(|it| it.missed);
                self.0.push(Remembered { at, until, persists, missed });
            }
        }
    }

    /// Returns the first that is fresh and was not missed lately.
    pub(in crate::client) fn choose(&mut self, now: Instant) -> Choice {
        self.0.retain(|it| now < it.until);
        let mut choice = Choice::Nothing;
        for it in &self.0 {
            match it.missed.filter(|missed| now < *missed) {
                None => return Choice::Try(it.at.clone()),
                Some(missed) if choice == Choice::Nothing => {
                    choice = Choice::Missed(it.at.clone(), missed - now);
                }
                Some(_) => {}
            }
        }
        choice
    }

    /// Takes note that one could not be reached, or serves the origin no longer.
    pub(in crate::client) fn miss(&mut self, at: &Alternative, within: Duration, now: Instant) {
        if let Some(it) = self.0.iter_mut().find(|it| it.at == *at) {
            it.missed = now.checked_add(within);
        }
    }

    /// Forgets what held in a network that we have left.
    ///
    /// RFC 7838 §3.1: "By default, cached alternative services will be cleared when the client detects a network change."
    pub(in crate::client) fn leave_network(&mut self) {
        self.0.retain(|it| it.persists);
        self.0.iter_mut().for_each(|it| it.missed = None);
    }
}

#[cfg(test)]
mod tests;
