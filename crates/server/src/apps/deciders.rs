//! [`Deciders`]: the app of a server that is configured, put together from rules and webhooks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use taiwa_core::{
    About, Admission, Answer, App, Asked, Client, Connect, Question, Refusal, RefusalKind,
};
use tracing::warn;

use super::{
    refuse,
    rules::{Rules, RulesSettings},
    webhooks::{Kind, SettingsError, WebhookSettings, Webhooks},
};
use crate::outgoing::Outgoing;

/// What [`Deciders`] consist of.
#[derive(Clone, Debug)]
pub struct DecidersSettings {
    /// The rules, which check tokens.
    pub rules: RulesSettings,
    /// The programs that are asked and told.
    pub webhooks: WebhookSettings,
    /// Whether a token is checked before a webhook is asked, wherever there are keys for it; so by default. A webhook
    /// `connect` is then asked about clients with a good token and about those without any; it is told the user and
    /// can't change it. Fresh tokens, and tokens for channels, are no business of the webhooks then. Otherwise, and where
    /// there are no keys, a webhook gets the token and decides alone.
    pub tokens_first: bool,
}

impl Default for DecidersSettings {
    fn default() -> Self {
        Self {
            rules: RulesSettings::default(),
            webhooks: WebhookSettings::default(),
            tokens_first: true,
        }
    }
}

/// Which events must be told for [`Deciders`] to know what they need; what the settings of a hub are to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The end of sessions ([`Question::Disconnected`]): a webhook wants it, or tokens that may be revoked are taken.
    pub disconnected: bool,
    /// The first subscriber of a channel, and the end of the last one: a webhook wants one of them.
    pub occupied: bool,
}

/// Decides by rules and webhooks. Its clones share everything.
///
/// * `connect`: the token first, where there are keys for it; then the webhook, if there is one; otherwise the rules.
/// * `refresh`: a fresh token by the rules, where there are keys for it; otherwise the webhook, otherwise the rules.
/// * `subscribe`: a token for the channel by the rules, where there are keys for it; otherwise the webhook, otherwise the
///   rules. The hub asks only where the namespace asks the app, or a token is shown.
/// * `publish`, `call`, `tell`: the webhook; without one the rules refuse.
/// * what is over, occupied or vacated: told to the webhooks that there are.
#[derive(Clone, Debug)]
pub struct Deciders {
    rules: Rules,
    webhooks: Arc<Webhooks>,
    /// Those before, which may have something left to tell; the oldest first.
    retired: Arc<Mutex<VecDeque<Arc<Webhooks>>>>,
    tokens_first: bool,
}

/// Webhooks that are kept for what they have left to tell: of more the oldest drop it.
const RETIRED_MAX: usize = 4;

impl Deciders {
    /// Puts them together. It needs a running tokio only if there is a webhook.
    ///
    /// # Errors
    /// See [`SettingsError`].
    ///
    /// # Panics
    /// If there is a webhook and this is called outside of tokio.
    pub fn new(settings: DecidersSettings, outgoing: &Outgoing) -> Result<Self, SettingsError> {
        Ok(Self {
            rules: Rules::new(settings.rules),
            webhooks: Arc::new(Webhooks::new(settings.webhooks, outgoing)?),
            retired: Arc::default(),
            tokens_first: settings.tokens_first,
        })
    }

    /// Makes deciders that take the place of these, with other rules and the same webhooks: see [`Rules::renewed`].
    #[must_use]
    pub fn renewed(&self, rules: RulesSettings, tokens_first: bool) -> Self {
        Self { rules: self.rules.renewed(rules), tokens_first, ..self.clone() }
    }

    /// Exchanges the webhooks. They count on; what those before had to tell they still tell, beside what comes now.
    ///
    /// # Errors
    /// See [`SettingsError`].
    ///
    /// # Panics
    /// As [`Deciders::new`].
    pub fn with_webhooks(
        self,
        settings: WebhookSettings,
        outgoing: &Outgoing,
    ) -> Result<Self, SettingsError> {
        let webhooks = Arc::new(self.webhooks.renewed(settings, outgoing)?);
        {
            let mut retired = self.retired();
            retired.retain(|it| it.waiting() > 0);
            if retired.len() >= RETIRED_MAX
                && let Some(oldest) = retired.pop_front()
            {
                warn!(left = oldest.waiting(), "webhooks of earlier settings were not told all");
            }
            // A shard may still be about to tell it something.
            retired.push_back(self.webhooks.clone());
        }
        Ok(Self { webhooks, ..self })
    }

    fn retired(&self) -> MutexGuard<'_, VecDeque<Arc<Webhooks>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many events wait or are being told.
    pub fn waiting(&self) -> usize {
        self.webhooks.waiting() + self.retired().iter().map(|it| it.waiting()).sum::<usize>()
    }

    /// Returns the rules, to hear of revocations.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns the webhooks, for their counts.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// Returns which events the hub must tell.
    pub fn told(&self) -> Told {
        let has = |kind| self.webhooks.has(kind);
        Told {
            disconnected: has(Kind::Disconnect) || self.rules.verifies_connections(),
            occupied: has(Kind::Occupied) || has(Kind::Vacated),
        }
    }

    /// Waits until everything is told to webhooks, but no longer than this, and returns how much is left.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future ends the waiting alone.
    pub async fn drained(&self, deadline: Duration) -> usize {
        let retired: Vec<_> = self.retired().iter().cloned().collect();
        let until = Instant::now() + deadline.min(Duration::from_secs(24 * 60 * 60));
        let mut left = 0;
        for webhooks in retired.iter().chain([&self.webhooks]) {
            left += webhooks.drained(until.saturating_duration_since(Instant::now())).await;
        }
        left
    }

    fn by_token(&self, shown: bool, has_keys: bool) -> bool {
        shown && has_keys && self.tokens_first
    }

    fn connect(&self, who: Arc<Client>, connect: Box<Connect>) -> Asked {
        if !self.webhooks.has(Kind::Connect) {
            return self.rules.ask(Question::Connect { who, connect });
        }
        if !self.by_token(connect.token.is_some(), self.rules.verifies_connections()) {
            return self.ask_webhook(who, connect, None);
        }
        let first = Question::Connect { who: who.clone(), connect: connect.clone() };
        let deciders = self.clone();
        let then = move |answer| match answer {
            Ok(Answer::Admission(known)) => deciders.ask_webhook(who, connect, Some(*known)),
            other => Asked::Now(other),
        };
        match self.rules.ask(first) {
            Asked::Now(answer) => then(answer),
            Asked::Later(later) => Asked::Later(Box::pin(async move {
                match then(later.await) {
                    Asked::Now(answer) => answer,
                    Asked::Later(later) => later.await,
                }
            })),
        }
    }

    /// Asks the webhook about a client, of whom a good token may say something already.
    fn ask_webhook(
        &self,
        who: Arc<Client>,
        mut connect: Box<Connect>,
        known: Option<Admission>,
    ) -> Asked {
        let session = who.session;
        let who = match &known {
            None => who,
            Some(known) => {
                connect.token = None;
                Arc::new(Client {
                    user: known.user.clone(),
                    about: About::new(known.info.clone(), known.meta.clone()),
                    ..Client::clone(&who)
                })
            }
        };
        let rules = self.rules.clone();
        let finish = move |answer| {
            let admission = match (answer, known) {
                (Ok(Answer::Admission(said)), None) => Ok(*said),
                (Ok(Answer::Admission(said)), Some(known)) => merged(known, *said),
                (other, _) => {
                    rules.forget(session);
                    return other;
                }
            };
            let mut admission = admission.inspect_err(|_| rules.forget(session))?;
            rules.add_personal(&mut admission);
            Ok(Answer::Admission(Box::new(admission)))
        };
        match self.webhooks.ask(Question::Connect { who, connect }) {
            Ok(Asked::Now(answer)) => Asked::Now(finish(answer)),
            Ok(Asked::Later(later)) => Asked::Later(Box::pin(async move { finish(later.await) })),
            Err(_) => refuse(RefusalKind::Unavailable, "there is nobody to ask"),
        }
    }
}

impl App for Deciders {
    fn ask(&self, question: Question) -> Asked {
        let by_token = match &question {
            Question::Refresh { token, .. } => {
                self.by_token(token.is_some(), self.rules.verifies_connections())
            }
            Question::Subscribe { token, .. } => {
                self.by_token(token.is_some(), self.rules.verifies_subscriptions())
            }
            _ => false,
        };
        match question {
            Question::Connect { who, connect } => self.connect(who, connect),
            question if by_token => self.rules.ask(question),
            question => {
                if let Question::Disconnected { who, .. } = &question {
                    self.rules.forget(who.session);
                }
                self.webhooks.ask(question).unwrap_or_else(|question| self.rules.ask(question))
            }
        }
    }
}

/// Adds what the webhook says to what the token says. Who it is, is the token's business; the earlier end counts.
fn merged(known: Admission, said: Admission) -> Result<Admission, Refusal> {
    if said.user.is_some() && said.user != known.user {
        warn!(webhook = Kind::Connect.name(), "it names another user than the client's token");
        return Err(Refusal::new(RefusalKind::Unavailable, "the app gave no answer that fits"));
    }
    let mut channels = said.channels;
    for (channel, authorization) in known.channels {
        if !channels.iter().any(|(it, _)| *it == channel) {
            channels.push((channel, authorization));
        }
    }
    Ok(Admission {
        user: known.user,
        info: said.info.or(known.info),
        data: said.data.or(known.data),
        channels,
        expires: [known.expires, said.expires].into_iter().flatten().min(),
        client_refreshes: known.expires.is_some() || said.client_refreshes,
        meta: said.meta.or(known.meta),
    })
}

#[cfg(test)]
mod tests;
