//! What makes no sense together, although each setting for itself does.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use taiwa::Certificates;
use taiwa_core::Channel;
use taiwa_server::{
    auth::Verifier,
    outgoing::{Outgoing, Trust},
};

use super::{
    apply::SHARDS_MAX,
    load::Problem,
    settings::{ApiCertificates, Challenge, Issuer, Recovery, Settings, SlowReaders, Tls, Who},
    tree::Origin,
};
use crate::{
    broker,
    tls::{made, names},
};

struct Checking<'a> {
    origins: &'a BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

/// Returns all that makes no sense.
pub(crate) fn check(settings: &Settings, origins: &BTreeMap<String, Origin>) -> Vec<Problem> {
    let mut checking = Checking { origins, problems: Vec::new() };
    checking.tls(settings);
    checking.numbers(settings);
    checking.jwt(settings);
    checking.namespaces(settings);
    checking.others(settings);
    checking.cluster(settings);
    checking.problems
}

impl Checking<'_> {
    fn blame(&mut self, key: &str, text: impl Into<String>) {
        let origin = self.origins.get(key).cloned();
        self.problems.push(Problem { origin, key: key.into(), text: text.into() });
    }

    fn tls(&mut self, settings: &Settings) {
        let tls = &settings.tls;
        match (&tls.cert, &tls.key) {
            (Some(_), None) => self.blame("tls.cert", "a certificate needs its tls.key"),
            (None, Some(_)) => self.blame("tls.key", "a key needs its tls.cert"),
            (Some(cert), Some(key)) => self.pair("tls.cert", cert, key),
            (None, None) => {}
        }
        for (number, it) in tls.certificate.iter().enumerate() {
            self.pair(&format!("tls.certificate[{number}].cert"), &it.cert, &it.key);
        }
        let life = tls.dev_life.0.filter(|it| (made::LIFE_MIN..=made::LIFE_MAX).contains(it));
        if life.is_none() {
            self.blame("tls.dev_life", "this is 3s to 14 days");
        }
        for (number, name) in tls.names.iter().enumerate() {
            if let Err(text) = names::check(name) {
                self.blame(&format!("tls.names[{number}]"), text);
            }
        }
        if tls.issuer != Issuer::Files && !tls.pairs().is_empty() {
            let key = if tls.cert.is_some() { "tls.cert" } else { "tls.certificate" };
            self.blame(key, "files count with tls.issuer = \"files\" alone");
        }
        let asks = settings.api.client_certificates;
        if matches!(asks, ApiCertificates::Required | ApiCertificates::Optional)
            && (tls.client_ca.is_none() || settings.api.listen.is_empty())
        {
            let text = "this counts with tls.client_ca and api.listen alone";
            self.blame("api.client_certificates", text);
        }
        for (key, file) in [("tls.client_ca", &tls.client_ca), ("tls.key_log", &tls.key_log)] {
            if file.is_some() && !tls.is_on() {
                self.blame(key, "this counts with TLS alone");
            }
        }
        if tls.issuer == Issuer::Acme {
            self.acme(tls);
        }
    }

    fn pair(&mut self, at: &str, cert: &Path, key: &Path) {
        if let Err(error) = Certificates::from_files(cert, key) {
            self.blame(at, error.to_string());
        }
    }

    fn acme(&mut self, tls: &Tls) {
        if tls.names.is_empty() {
            self.blame("tls.names", "a certificate must be for a name");
        }
        for (number, name) in tls.names.iter().enumerate() {
            if name.starts_with("*.") || name.parse::<IpAddr>().is_ok() {
                let text = "by these challenges there are certificates for plain names alone";
                self.blame(&format!("tls.names[{number}]"), text);
            }
        }
        if tls.folder.is_none() {
            self.blame("tls.folder", "without one each start would order another certificate");
        }
        let acme = &tls.acme;
        if !acme.terms_agreed {
            self.blame("tls.acme.terms_agreed", "say true if you agree to the terms of service");
        }
        if !acme.directory.to_string().starts_with("https://") {
            self.blame("tls.acme.directory", "this is https");
        }
        if acme.challenge == Challenge::TlsAlpn01 && tls.client_ca.is_some() {
            let text = "the ACME server has no certificate to show with tls-alpn-01; take http-01";
            self.blame("tls.client_ca", text);
        }
        if acme.challenge == Challenge::Http01 && acme.http_listen.is_empty() {
            self.blame("tls.acme.http_listen", "http-01 is answered over plain HTTP");
        }
        if let Err(text) = acme.binding() {
            self.blame("tls.acme.eab_key", text);
        }
        if let Err(text) = acme.trust() {
            self.blame("tls.acme.ca_file", text);
        }
    }

    fn numbers(&mut self, settings: &Settings) {
        let compression = &settings.compression;
        if !(1..=9).contains(&compression.level) {
            self.blame("compression.level", "this is 1 to 9");
        }
        if !(9..=15).contains(&compression.window) {
            self.blame("compression.window", "this is 9 to 15");
        }
        if settings.shards.is_some_and(|it| it > SHARDS_MAX) {
            self.blame("shards", format!("there are at most {SHARDS_MAX}"));
        }
        if settings.listen.is_empty() {
            self.blame("listen", "nobody could connect: name at least one address");
        }
    }

    /// Has each source of keys checked by those who use it, one by one, so that the one at fault can be named.
    fn jwt(&mut self, settings: &Settings) {
        let sources = match settings.auth.jwt.sources() {
            // The system's certificates are read for what needs them alone.
            Ok(sources) if sources.is_empty() => return,
            Ok(sources) => sources,
            Err((key, text)) => return self.blame(&key, text),
        };
        let outgoing = Outgoing::new(&Trust::Platform, &settings.outgoing());
        for (key, source) in sources {
            let one = taiwa_server::auth::AuthSettings {
                keys: vec![source],
                limits: settings.token_limits(),
                ..Default::default()
            };
            if let Err(error) = Verifier::new(one, &outgoing) {
                self.blame(&key, error.to_string());
            }
        }
    }

    fn namespaces(&mut self, settings: &Settings) {
        for (number, namespace) in settings.namespace.iter().enumerate() {
            let key = |name: &str| format!("namespace[{number}].{name}");
            if namespace.name.contains(':') {
                self.blame(&key("name"), "a name has no colon: it ends at the first one");
            }
            let begins_a_name = Channel::parse(&format!("{}:x", namespace.name)).is_some();
            if !begins_a_name {
                self.blame(
                    &key("name"),
                    "no channel's name begins so: it is too long or has control characters",
                );
            }
            if settings.namespace[..number].iter().any(|it| it.name == namespace.name) {
                self.blame(&key("name"), "there is another namespace with this name");
            }
            if namespace.history_size == 0 && namespace.recovery != Recovery::Off {
                self.blame(&key("recovery"), "without a history_size there is nothing to recover");
            }
            if namespace.history_size == 0 && namespace.slow_readers == SlowReaders::Pause {
                let text = "without a history_size all that comes meanwhile is lost";
                self.blame(&key("slow_readers"), text);
            }
            if namespace.join_leave && !namespace.presence {
                self.blame(&key("join_leave"), "who comes and goes is known only with presence");
            }
            if namespace.force_join_leave && !namespace.join_leave {
                self.blame(&key("force_join_leave"), "this needs join_leave");
            }
            if namespace.rights.subscribe == Who::Subscribers {
                self.blame(&key("rights.subscribe"), "nobody could be the first");
            }
        }
    }

    fn others(&mut self, settings: &Settings) {
        for (key, who) in [
            ("rights.patterns", settings.rights.patterns),
            ("rights.call", settings.rights.call),
            ("rights.tell", settings.rights.tell),
        ] {
            if matches!(who, Who::Subscribers | Who::Named | Who::Token) {
                self.blame(key, "there is no channel here; say all, authenticated, app or none");
            }
        }
        if let Err((key, text)) = settings.trust() {
            self.blame(&key, text);
        }
        if let Err((key, text)) = settings.webhooks() {
            self.blame(&key, text);
        }
        // Nobody may be asked again and again without a pause.
        if settings.webhooks.pause_min.0.is_none() {
            self.blame("webhooks.pause_min", "this is a time");
        }
        if !settings.api.path.starts_with('/') {
            self.blame("api.path", "a path begins with /");
        }
        let phoenix = &settings.dialects.phoenix.path;
        if !phoenix.starts_with('/') || phoenix.contains(['*', '?', '#']) {
            self.blame("dialects.phoenix.path", "a path begins with / and has no *, ? or #");
        }
        match settings.api_keys() {
            Err((key, text)) => self.blame(&key, text),
            Ok(keys) if keys.is_empty() && !settings.api.listen.is_empty() => {
                self.blame("api.listen", "without api.keys there is no API");
            }
            Ok(_) => {}
        }
    }

    fn cluster(&mut self, settings: &Settings) {
        if let Some(text) = broker::wrong(settings) {
            self.blame("broker", text);
        }
        let cluster = &settings.cluster;
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        if !(1..=64).contains(&cluster.prefix.len()) || !cluster.prefix.bytes().all(plain) {
            self.blame("cluster.prefix", "this is 1 to 64 letters, digits, - and _");
        }
        if cluster.requests_max == 0 {
            self.blame("cluster.requests_max", "nothing could ever be asked: this is 1 or more");
        }
        for (key, time) in
            [("cluster.deadline", cluster.deadline), ("cluster.silence", cluster.silence)]
        {
            if time.0.is_none() {
                self.blame(key, "this is a time");
            }
        }
    }
}
