//! From the settings to whoever checks tokens and makes requests.

use std::{collections::BTreeSet, fs, time::Duration};

use taiwa_server::{
    api,
    apps::webhooks::{SigningSecret, WebhookLimits, WebhookSettings, WebhookUrls},
    auth::{AuthLimits, AuthSettings, JwksSettings, KeySource, Secret},
    outgoing::OutgoingLimits,
};

use super::Fault;
use crate::{
    config::{
        settings::{ApiKey, Jwt, Settings},
        values::Url,
    },
    connect::NEVER,
};

impl Settings {
    /// Returns what tokens are checked against. It reads the files with keys.
    ///
    /// # Errors
    /// A file can't be read.
    pub(crate) fn auth(&self) -> Result<AuthSettings, Fault> {
        let jwt = &self.auth.jwt;
        Ok(AuthSettings {
            keys: jwt.sources()?.into_iter().map(|it| it.1).collect(),
            audiences: jwt.audiences.clone(),
            issuers: jwt.issuers.clone(),
            leeway: jwt.leeway.0.unwrap_or_default(),
            expiry_required: jwt.expiry_required,
            limits: self.token_limits(),
        })
    }

    pub(crate) fn token_limits(&self) -> AuthLimits {
        let limits = &self.limits.auth;
        AuthLimits {
            token_bytes_max: limits.token_max.0,
            channels_max: limits.channels_max,
            keys_max: limits.keys_max,
            tries_max: limits.tries_max,
            waiting_max: limits.waiting_max,
            revoked_tokens_max: limits.revoked_tokens_max,
            revoked_users_max: limits.revoked_users_max,
            ..AuthLimits::default()
        }
    }

    /// Returns the bounds of the requests that the server makes.
    pub(crate) fn outgoing(&self) -> OutgoingLimits {
        OutgoingLimits {
            requests_max: self.limits.outgoing.requests_max,
            idle_connections_max: self.limits.outgoing.idle_connections_max,
            connect_max: self.times.connect_timeout.0.unwrap_or(NEVER),
            idle_max: self.times.idle_timeout.0.unwrap_or(NEVER),
        }
    }
}

/// Who may use the HTTP API.
impl Settings {
    /// Returns the keys of the API. It reads the files with secrets.
    ///
    /// # Errors
    /// A file can't be read, a key is none, or two have the same secret: which rights it has would be a matter of luck.
    pub(crate) fn api_keys(&self) -> Result<Vec<api::Key>, Fault> {
        let mut seen = BTreeSet::new();
        let mut first = |secret: &str| seen.insert(secret.to_owned());
        let mut keys = Vec::new();
        for (number, secret) in self.api.keys.iter().enumerate() {
            let path = format!("api.keys[{number}]");
            keys.push(api::Key::new(&path, secret.reveal()).map_err(at(&path))?);
            // Twice in this list it has the same rights.
            first(secret.reveal());
        }
        for (number, key) in self.api.key.iter().enumerate() {
            let path = format!("api.key[{number}]");
            let (field, secret) = key.secret(&path)?;
            let made = api::Key::new(&path, &secret).map_err(at(&field))?;
            if !first(&secret) {
                return Err((field, "another key has the same secret".into()));
            }
            keys.push(key.limited(made, &path)?);
        }
        Ok(keys)
    }
}

impl ApiKey {
    /// Returns its secret, and the path of the setting that has it.
    fn secret(&self, path: &str) -> Result<(String, String), Fault> {
        match (&self.secret, &self.secret_file) {
            (Some(secret), None) => Ok((format!("{path}.secret"), secret.reveal().to_owned())),
            (None, Some(file)) => {
                let field = format!("{path}.secret_file");
                match fs::read_to_string(file) {
                    Ok(text) => Ok((field, text.trim_end_matches(['\r', '\n']).to_owned())),
                    Err(error) => Err((field, format!("can't read {}: {error}", file.display()))),
                }
            }
            _ => Err((path.to_owned(), "a key has either a secret or a secret_file".into())),
        }
    }

    /// Gives a key these rights.
    fn limited(&self, mut key: api::Key, path: &str) -> Result<api::Key, Fault> {
        if !self.commands.is_empty() {
            let names = self.commands.iter().map(String::as_str);
            key = key.commands(names).map_err(at(&format!("{path}.commands")))?;
        }
        let mut prefixes = Vec::new();
        for (number, channel) in self.channels.iter().enumerate() {
            prefixes.push(channel.strip_suffix('*').ok_or_else(|| {
                let field = format!("{path}.channels[{number}]");
                (field, "channels are written as the beginning of a name and *".to_owned())
            })?);
        }
        match prefixes.is_empty() {
            true => Ok(key),
            false => key.channels(prefixes).map_err(at(path)),
        }
    }
}

/// Who is asked and told.
impl Settings {
    /// Returns the settings of webhooks.
    ///
    /// # Errors
    /// A secret is too short.
    pub(crate) fn webhooks(&self) -> Result<WebhookSettings, Fault> {
        let webhooks = &self.webhooks;
        let mut secrets = Vec::new();
        for (number, secret) in webhooks.secrets.iter().enumerate() {
            let key = format!("webhooks.secrets[{number}]");
            secrets.push(SigningSecret::parse(secret.reveal()).map_err(at(&key))?);
        }
        let text = |url: &Option<Url>| url.as_ref().map(ToString::to_string);
        let url = &webhooks.url;
        Ok(WebhookSettings {
            urls: WebhookUrls {
                connect: text(&url.connect),
                refresh: text(&url.refresh),
                subscribe: text(&url.subscribe),
                publish: text(&url.publish),
                call: text(&url.call),
                tell: text(&url.tell),
                disconnect: text(&url.disconnect),
                occupied: text(&url.occupied),
                vacated: text(&url.vacated),
            },
            secrets,
            source: Some(webhooks.source.as_str().into()),
            limits: WebhookLimits {
                deadline: webhooks.timeout.0.unwrap_or(DAY),
                questions_max: webhooks.questions_max,
                requests_max: webhooks.requests_max,
                answer_bytes_max: webhooks.answer_max.0,
                queue_max: webhooks.queue_max,
                queue_bytes_max: webhooks.queue_bytes_max.0,
                retries_max: webhooks.retries_max,
                pause_min: webhooks.pause_min.0.unwrap_or_default(),
                pause_max: webhooks.pause_max.0.unwrap_or_default(),
                batch_max: webhooks.batch_max,
                batch_bytes_max: webhooks.batch_bytes_max.0,
            },
        })
    }
}

/// The longest that a webhook may take.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn at<E: std::fmt::Display>(key: &str) -> impl Fn(E) -> Fault {
    move |error| (key.to_owned(), error.to_string())
}

impl Jwt {
    /// Returns whether tokens are taken.
    pub(crate) fn has_keys(&self) -> bool {
        let Self { secrets, public_keys, jwks_files, jwks_urls, .. } = self;
        !(secrets.is_empty()
            && public_keys.is_empty()
            && jwks_files.is_empty()
            && jwks_urls.is_empty())
    }

    /// Returns where keys come from, each with the path of its setting.
    ///
    /// # Errors
    /// A file can't be read.
    pub(crate) fn sources(&self) -> Result<Vec<(String, KeySource)>, Fault> {
        let mut sources = Vec::new();
        for (number, secret) in self.secrets.iter().enumerate() {
            let key = format!("auth.jwt.secrets[{number}]");
            sources.push((key, KeySource::secret(secret.reveal())));
        }
        for (number, path) in self.public_keys.iter().enumerate() {
            let key = format!("auth.jwt.public_keys[{number}]");
            match fs::read_to_string(path) {
                Ok(pem) => sources.push((key, KeySource::Pem(pem))),
                Err(error) => return Err((key, format!("can't read {}: {error}", path.display()))),
            }
        }
        for (number, path) in self.jwks_files.iter().enumerate() {
            let key = format!("auth.jwt.jwks_files[{number}]");
            match fs::read(path) {
                Ok(json) => sources.push((key, KeySource::Jwks(Secret::new(json)))),
                Err(error) => return Err((key, format!("can't read {}: {error}", path.display()))),
            }
        }
        for (number, url) in self.jwks_urls.iter().enumerate() {
            let key = format!("auth.jwt.jwks_urls[{number}]");
            let mut settings = JwksSettings::new(url.to_string());
            settings.cached_for = self.jwks_ttl.0.unwrap_or(NEVER);
            sources.push((key, KeySource::JwksUrl(settings)));
        }
        Ok(sources)
    }
}
