//! What makes no sense together, although each setting for itself does.

use std::{collections::BTreeMap, fs};

use super::{
    load::Problem,
    settings::{Algorithm, Settings, Who},
    tree::Origin,
};

/// Bytes of a secret of HMAC below which RFC 7518 §3.2 forbids it.
const SECRET_BYTES_MIN: usize = 32;

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
    checking.problems
}

impl Checking<'_> {
    fn blame(&mut self, key: &str, text: impl Into<String>) {
        let origin = self.origins.get(key).cloned();
        self.problems.push(Problem { origin, key: key.into(), text: text.into() });
    }

    fn tls(&mut self, settings: &Settings) {
        match (&settings.tls.cert, &settings.tls.key) {
            (Some(_), None) => self.blame("tls.cert", "a certificate needs its tls.key"),
            (None, Some(_)) => self.blame("tls.key", "a key needs its tls.cert"),
            _ => {}
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
        if settings.listen.is_empty() {
            self.blame("listen", "nobody could connect: name at least one address");
        }
    }

    fn jwt(&mut self, settings: &Settings) {
        use Algorithm::{Hs256, Hs384, Hs512};
        let jwt = &settings.auth.jwt;
        let is_hmac = |it: &Algorithm| matches!(it, Hs256 | Hs384 | Hs512);
        if let Some(secret) = &jwt.secret {
            // RFC 7518 §3.2: "A key of the same size as the hash output (for instance, 256 bits for "HS256") or larger
            // MUST be used with this algorithm."
            if secret.reveal().len() < SECRET_BYTES_MIN {
                self.blame("auth.jwt.secret", "a secret has at least 32 bytes (RFC 7518 §3.2)");
            }
            if !jwt.algorithms.iter().any(is_hmac) {
                self.blame("auth.jwt.secret", "no algorithm of auth.jwt.algorithms uses a secret");
            }
        }
        let public = match (&jwt.public_key, &jwt.jwks_url) {
            (Some(_), _) => Some("auth.jwt.public_key"),
            (None, Some(_)) => Some("auth.jwt.jwks_url"),
            (None, None) => None,
        };
        if let Some(key) = public.filter(|_| jwt.algorithms.iter().all(is_hmac)) {
            self.blame(key, "no algorithm of auth.jwt.algorithms uses a public key");
        }
        if let Some(path) = &jwt.public_key
            && let Err(error) = fs::metadata(path)
        {
            self.blame("auth.jwt.public_key", format!("can't read {}: {error}", path.display()));
        }
    }

    fn namespaces(&mut self, settings: &Settings) {
        for (number, namespace) in settings.namespace.iter().enumerate() {
            let key = |name: &str| format!("namespace[{number}].{name}");
            if namespace.name.contains(':') {
                self.blame(&key("name"), "a name has no colon: it ends at the first one");
            }
            if settings.namespace[..number].iter().any(|it| it.name == namespace.name) {
                self.blame(&key("name"), "there is another namespace with this name");
            }
            if namespace.history_size == 0 && namespace.recover {
                self.blame(&key("recover"), "nothing can be recovered without a history_size");
            }
            if namespace.history_size == 0 && namespace.cache {
                self.blame(&key("cache"), "there is no last publication without a history_size");
            }
            if namespace.join_leave && !namespace.presence {
                self.blame(&key("join_leave"), "who comes and goes is known only with presence");
            }
            let rights = &namespace.rights;
            if rights.subscribe == Who::Subscribers {
                self.blame(&key("rights.subscribe"), "nobody could be the first");
            }
        }
    }

    fn others(&mut self, settings: &Settings) {
        if !settings.api.path.starts_with('/') {
            self.blame("api.path", "a path begins with /");
        }
        if !settings.api.listen.is_empty() && settings.api.keys.is_empty() {
            self.blame("api.listen", "without api.keys there is no API");
        }
    }
}
