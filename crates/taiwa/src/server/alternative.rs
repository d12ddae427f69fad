//! [`Alternative`]: tells clients that came by TCP that HTTP/3 is there (`Alt-Svc`, RFC 7838).

use std::sync::RwLock;

use http::{
    HeaderMap, HeaderValue,
    header::{ALT_SVC, Entry},
};

use super::{connection::Ends, h3::Http3};

/// What is told, and to whom.
#[derive(Default)]
pub(super) struct Alternative {
    announced: Option<(Option<u16>, u64)>,
    /// Ports at which HTTP/3 is served by now.
    ports: RwLock<Vec<u16>>,
}

impl Alternative {
    pub(super) fn new(http3: Option<&Http3>) -> Self {
        let announced = http3.filter(|it| it.announced_for.as_secs() > 0);
        let announced = announced.map(|it| (it.announced_port, it.announced_for.as_secs()));
        Self { announced, ports: RwLock::default() }
    }

    /// Takes note of a port at which HTTP/3 is served.
    pub(super) fn add(&self, port: u16) {
        if let Ok(mut ports) = self.ports.write() {
            ports.push(port);
        }
    }

    /// Takes note that a port is served no more.
    pub(super) fn remove(&self, port: u16) {
        if let Ok(mut ports) = self.ports.write() {
            ports.retain(|it| *it != port);
        }
    }

    /// Adds the header to a response, unless it has one.
    ///
    /// RFC 7838 §2.1: "Clients MUST have reasonable assurances that the alternative service is under control of and valid for the
    /// whole origin", which TLS gives; without it nothing is told.
    pub(super) fn tell(&self, ends: &Ends, headers: &mut HeaderMap) {
        let Some((announced, seconds)) = self.announced else { return };
        let Some(port) = ends.local.tcp().map(|it| it.port()) else { return };
        // One UDP socket that was given serves the listeners of TCP, whatever its port.
        let served = match self.ports.read() {
            Ok(ports) if ports.contains(&port) => Some(port),
            Ok(ports) => ports.first().copied(),
            Err(_) => None,
        };
        if let (true, Some(served)) = (ends.is_tls, served)
            && let Entry::Vacant(entry) = headers.entry(ALT_SVC)
        {
            let port = announced.unwrap_or(served);
            let value = HeaderValue::try_from(format!("h3=\":{port}\"; ma={seconds}"));
            entry.insert(value.expect("digits and punctuation"));
        }
    }
}
