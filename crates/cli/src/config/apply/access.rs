//! From the settings to whoever checks tokens and makes requests.

use std::fs;

use taiwa_server::{
    auth::{AuthLimits, AuthSettings, JwksSettings, KeySource, Secret},
    outgoing::{OutgoingLimits, Trust},
};

use super::Fault;
use crate::{
    config::settings::{Jwt, Settings},
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

    /// Returns whom these requests trust.
    ///
    /// # Errors
    /// The file can't be read, or has no certificates.
    pub(crate) fn trust(&self) -> Result<Trust, Fault> {
        let Some(path) = &self.webhooks.ca else { return Ok(Trust::Platform) };
        let key = || "webhooks.ca".to_owned();
        let pem = fs::read(path)
            .map_err(|error| (key(), format!("can't read {}: {error}", path.display())))?;
        Trust::from_pem(&pem).map_err(|error| (key(), error.to_string()))
    }
}

impl Jwt {
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
