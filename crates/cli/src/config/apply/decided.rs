//! From the settings to who decides, and from there to who decides by other settings.

use std::{fmt, fs};

use taiwa_server::{
    apps::{Deciders, DecidersSettings, rules::RulesSettings},
    auth::{AuthCounts, Verifier},
    outgoing::{Outgoing, OutgoingLimits, Trust},
};

use super::{Fault, access::at};
use crate::config::settings::{self, Settings};

/// Who decides, and what of it goes on when the settings change.
#[derive(Clone)]
pub(crate) struct Decided {
    pub(crate) deciders: Deciders,
    requests: Requests,
    /// The last one there was: it knows what has been revoked, also while there are no keys.
    verifier: Option<Verifier>,
    webhooks: settings::Webhooks,
}

/// What makes requests, and of what it was made.
#[derive(Clone)]
struct Requests {
    outgoing: Outgoing,
    limits: OutgoingLimits,
    /// The file of `webhooks.ca`.
    trusted: Option<Vec<u8>>,
}

impl fmt::Debug for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decided").field(&self.deciders).finish()
    }
}

impl Decided {
    /// Returns how many tokens were taken and refused so far.
    pub(crate) fn token_counts(&self) -> AuthCounts {
        self.verifier.as_ref().map(Verifier::counts).unwrap_or_default()
    }

    /// Returns whether there were ever keys for tokens, and so revocations that someone may wait for.
    pub(crate) fn knows_tokens(&self) -> bool {
        self.verifier.is_some()
    }
}

impl Settings {
    /// Returns who decides. Clients without a token are let in if `anonymous` says so.
    ///
    /// # Errors
    /// A file can't be read, or what is set can't be used; which settings check themselves is told by
    /// [`sense`](crate::config) before.
    pub(crate) fn decided(&self, anonymous: bool) -> Result<Decided, Fault> {
        let requests = Requests::new(self)?;
        let verifier = self.verifier(&requests, None)?;
        let settings = DecidersSettings {
            rules: self.rules(verifier.clone(), anonymous),
            webhooks: self.webhooks()?,
            tokens_first: self.auth.tokens_first,
        };
        let deciders = Deciders::new(settings, &requests.outgoing).map_err(at("webhooks"))?;
        Ok(Decided { deciders, requests, verifier, webhooks: self.webhooks.clone() })
    }

    /// Returns who decides in the place of those before: what was revoked stays so, and webhooks tell what they have.
    ///
    /// # Errors
    /// As [`decided`](Self::decided); those before decide on.
    pub(crate) fn decided_after(
        &self,
        before: &Decided,
        anonymous: bool,
    ) -> Result<Decided, Fault> {
        let others = Requests::new(self)?;
        let same =
            others.limits == before.requests.limits && others.trusted == before.requests.trusted;
        let requests = if same { before.requests.clone() } else { others };
        let verifier = self.verifier(&requests, before.verifier.as_ref())?;
        let webhooks = (!same || self.webhooks != before.webhooks).then(|| self.webhooks());
        let rules = self.rules(verifier.clone(), anonymous);
        let mut deciders = before.deciders.renewed(rules, self.auth.tokens_first);
        if let Some(webhooks) = webhooks {
            let made = deciders.with_webhooks(webhooks?, &requests.outgoing);
            deciders = made.map_err(at("webhooks"))?;
        }
        let verifier = verifier.or_else(|| before.verifier.clone());
        Ok(Decided { deciders, requests, verifier, webhooks: self.webhooks.clone() })
    }

    fn verifier(
        &self,
        requests: &Requests,
        before: Option<&Verifier>,
    ) -> Result<Option<Verifier>, Fault> {
        let auth = self.auth()?;
        if auth.keys.is_empty() {
            return Ok(None);
        }
        let made = match before {
            Some(before) => before.renewed(auth, &requests.outgoing),
            None => Verifier::new(auth, &requests.outgoing),
        };
        made.map(Some).map_err(at("auth.jwt"))
    }

    fn rules(&self, connections: Option<Verifier>, anonymous: bool) -> RulesSettings {
        RulesSettings {
            connections,
            subscriptions: None,
            anonymous,
            personal_prefix: self.auth.personal_prefix.as_deref().map(Into::into),
            bearers_max: self.limits.auth.bearers_max,
        }
    }

    /// Returns whom the server's requests trust.
    ///
    /// # Errors
    /// The file can't be read, or has no certificates.
    pub(crate) fn trust(&self) -> Result<Trust, Fault> {
        match self.trusted()? {
            None => Ok(Trust::Platform),
            Some(pem) => Trust::from_pem(&pem).map_err(at("webhooks.ca")),
        }
    }

    fn trusted(&self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(path) = &self.webhooks.ca else { return Ok(None) };
        let unread = |error| format!("can't read {}: {error}", path.display());
        fs::read(path).map(Some).map_err(unread).map_err(at("webhooks.ca"))
    }
}

impl Requests {
    fn new(settings: &Settings) -> Result<Self, Fault> {
        let limits = settings.outgoing();
        let outgoing = Outgoing::new(&settings.trust()?, &limits);
        Ok(Self { outgoing, limits, trusted: settings.trusted()? })
    }
}
