//! [`Rules`]: the app that is built in. Tokens say who a client is and what it may hear; nothing is called.

mod bearers;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use taiwa_core::{
    Admission, Answer, App, Asked, Authorization, Channel, Client, Payload, Question, Refusal,
    RefusalKind, Secret, SessionId, User,
};
use tracing::debug;

use super::{bounded, noted, refuse};
use crate::auth::{
    Grant, Info, Refusal as TokenRefusal, Subscriber, SubscriptionGrant, Verdict, Verifier,
};
use bearers::Bearers;
pub use bearers::RevokedSessions;

/// What [`Rules`] decide by.
#[derive(Clone, Debug)]
pub struct RulesSettings {
    /// Checks the tokens of connections. Without it every one is refused.
    pub connections: Option<Verifier>,
    /// Checks the tokens of subscriptions. Without it [`RulesSettings::connections`] does.
    pub subscriptions: Option<Verifier>,
    /// Lets in those who bring no token, as nobody in particular. They are refused by default. A token without `sub`
    /// lets its bearer in as nobody in particular too: whoever signed it wanted that.
    pub anonymous: bool,
    /// Subscribes each user to a channel of its own: this prefix and the user. With `personal:#` that of `ada` is
    /// `personal:#ada`, which the right `named` lets nobody else hear. A user with a comma, which there separates users,
    /// and one that makes no name of a channel, gets none. Without a prefix, the default, nobody does.
    pub personal_prefix: Option<Box<str>>,
    /// Sessions whose token is remembered so that its revocation ends them, 1,048,576 by default. Of those beyond it a
    /// revocation is noticed no sooner than when their token expires.
    pub bearers_max: usize,
}

impl Default for RulesSettings {
    fn default() -> Self {
        Self {
            connections: None,
            subscriptions: None,
            anonymous: false,
            personal_prefix: None,
            bearers_max: 1 << 20,
        }
    }
}

/// Decides by tokens. Its clones share everything.
///
/// It answers at once where the keys are here, and later where they must be fetched. What a token can't say is refused:
/// publications for which a namespace asks the app as [`RefusalKind::Forbidden`], calls as [`RefusalKind::NotFound`].
/// Of a token's `override` only `join_leave` counts; the rest is the namespace's business.
///
/// ```
/// use taiwa_core::{App, Asked, Connect, Question, RefusalKind};
/// use taiwa_server::apps::rules::{Rules, RulesSettings};
///
/// # let who = taiwa_server::apps::example_client();
/// let rules = Rules::new(RulesSettings::default());
/// let Asked::Now(Err(refusal)) = rules.ask(Question::Connect { who, connect: Box::default() })
/// else {
///     panic!("nobody is let in unless the settings say how")
/// };
/// assert_eq!(refusal.kind, RefusalKind::Unauthorized);
/// ```
#[derive(Clone, Debug)]
pub struct Rules {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Option<Verifier>,
    subscriptions: Option<Verifier>,
    anonymous: bool,
    personal_prefix: Option<Box<str>>,
    bearers: Arc<Bearers>,
}

impl Rules {
    /// Makes rules.
    pub fn new(settings: RulesSettings) -> Self {
        let bearers = Arc::new(Bearers::new(settings.bearers_max));
        Self::with(settings, bearers)
    }

    /// Makes rules that take the place of these: sessions that came with a token are known to them, too. Those who are in
    /// stay, whatever the new ones say. Verifiers that share what is revoked are made by [`Verifier::renewed`].
    #[must_use]
    pub fn renewed(&self, settings: RulesSettings) -> Self {
        self.inner.bearers.set_sessions_max(settings.bearers_max);
        Self::with(settings, self.inner.bearers.clone())
    }

    fn with(settings: RulesSettings, bearers: Arc<Bearers>) -> Self {
        let subscriptions = settings.subscriptions.or_else(|| settings.connections.clone());
        let inner = Inner {
            connections: settings.connections,
            subscriptions,
            anonymous: settings.anonymous,
            personal_prefix: settings.personal_prefix,
            bearers,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns whether there are keys for the tokens of connections.
    pub fn verifies_connections(&self) -> bool {
        self.inner.connections.is_some()
    }

    /// Returns what checks the tokens of connections, to revoke some; its clones share them.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.inner.connections.as_ref()
    }

    /// Returns whether there are keys for the tokens of subscriptions.
    pub fn verifies_subscriptions(&self) -> bool {
        self.inner.subscriptions.is_some()
    }

    /// Tells from now on which sessions a revocation hits; `None` if no tokens are taken. The rules must be told of
    /// [`Question::Disconnected`] to forget a session; of what is not told they forget what has expired, once
    /// [`RulesSettings::bearers_max`] is reached.
    pub fn revoked_sessions(&self) -> Option<RevokedSessions> {
        let verifier = self.inner.connections.clone()?;
        Some(RevokedSessions::new(self.inner.clone(), verifier))
    }

    /// Returns how many sessions are remembered with their token, and of how many there was no room for it.
    pub fn bearers(&self) -> (usize, u64) {
        self.inner.bearers.counts()
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.inner.bearers.forget(session);
    }

    /// Adds the user's own channel, unless it is there already or there is to be none.
    pub(super) fn add_personal(&self, admission: &mut Admission) {
        let (Some(prefix), Some(user)) = (&self.inner.personal_prefix, &admission.user) else {
            return;
        };
        let name = format!("{prefix}{}", user.as_str());
        match Channel::parse(&name).filter(|_| !user.as_str().contains(',')) {
            None => debug!("a user's name makes no personal channel"),
            Some(channel) if admission.channels.iter().any(|(it, _)| *it == channel) => {}
            Some(channel) => admission.channels.push((channel, Authorization::default())),
        }
    }

    fn connect(&self, session: SessionId, token: Option<Secret>) -> Asked {
        let verifier = match (token.is_some(), &self.inner.connections) {
            (false, _) if self.inner.anonymous => {
                return Asked::Now(Ok(Answer::Admission(Box::default())));
            }
            (false, _) => return refuse(RefusalKind::Unauthorized, "a token is needed"),
            (true, None) => return refuse(RefusalKind::Unauthorized, "tokens are not taken here"),
            (true, Some(verifier)) => verifier.clone(),
        };
        let rules = self.clone();
        let token = token.unwrap_or_else(|| "".into());
        verified(verifier, token, move |verifier, grant, now| {
            let until = grant.expires_at;
            rules.inner.bearers.remember(session, &grant.stamp, until, seconds(now));
            // Revoked between the check and the line above, it would have been missed by both.
            if verifier.revocations().hits(&grant.stamp, seconds(now)) {
                rules.inner.bearers.forget(session);
                return Err(refusal_of_connection(TokenRefusal::Revoked));
            }
            let mut admission = admission(grant, now)?;
            rules.add_personal(&mut admission);
            Ok(Answer::Admission(Box::new(admission)))
        })
    }

    fn refresh(&self, who: &Arc<Client>, token: Option<Secret>) -> Asked {
        let Some(token) = token else {
            return refuse(RefusalKind::Expired, "a fresh token is needed");
        };
        let Some(verifier) = self.inner.connections.clone() else {
            return refuse(RefusalKind::Unauthorized, "tokens are not taken here");
        };
        let (rules, who) = (self.clone(), who.clone());
        verified(verifier, token, move |_, grant, now| {
            if grant.user != who.user.as_ref().map_or("", User::as_str) {
                return Err(refusal_of_connection(TokenRefusal::Foreign));
            }
            let until = grant.expires_at;
            rules.inner.bearers.remember(who.session, &grant.stamp, until, seconds(now));
            Ok(Answer::Admission(Box::new(admission(grant, now)?)))
        })
    }

    fn subscribe(&self, who: &Arc<Client>, channel: Channel, token: Option<Secret>) -> Asked {
        let Some(token) = token else {
            return refuse(RefusalKind::Forbidden, "a token for the channel is needed");
        };
        let Some(verifier) = self.inner.subscriptions.clone() else {
            return refuse(RefusalKind::Forbidden, "tokens are not taken here");
        };
        let (now, who) = (SystemTime::now(), who.clone());
        let client = who.session.to_string();
        let answer = move |result: Result<SubscriptionGrant, TokenRefusal>, now| {
            let grant = result.map_err(refusal_of_subscription)?;
            Ok(Answer::Authorization(Box::new(authorization(grant, now))))
        };
        let user = who.user.as_ref().map_or("", User::as_str);
        let subscriber = Subscriber { user, client: &client, channel: channel.as_str() };
        match verifier.verify_subscription(&token, &subscriber, now) {
            Verdict::Granted(grant) => Asked::Now(answer(Ok(grant), now)),
            Verdict::Refused(refusal) => Asked::Now(answer(Err(refusal), now)),
            Verdict::Undecided => Asked::Later(Box::pin(async move {
                let user = who.user.as_ref().map_or("", User::as_str);
                let subscriber = Subscriber { user, client: &client, channel: channel.as_str() };
                let result = verifier.fetching_subscription(&token, &subscriber, now).await;
                answer(result, SystemTime::now())
            })),
        }
    }
}

impl App for Rules {
    fn ask(&self, question: Question) -> Asked {
        match question {
            Question::Connect { who, connect } => self.connect(who.session, connect.token),
            Question::Refresh { who, token } => self.refresh(&who, token),
            Question::Subscribe { who, channel, token, .. } => self.subscribe(&who, channel, token),
            Question::Publish { .. } => refuse(RefusalKind::Forbidden, "this is not allowed"),
            Question::Call { .. } => refuse(RefusalKind::NotFound, "there is no such method"),
            Question::Tell { .. } => refuse(RefusalKind::NotFound, "there is nobody to tell it"),
            Question::Disconnected { who, .. } => {
                self.forget(who.session);
                noted()
            }
            Question::Occupied(_) | Question::Vacated(_) => noted(),
            _ => refuse(RefusalKind::NotAvailable, "this is not decided here"),
        }
    }
}

/// Verifies a connection's token, at once if that can be.
fn verified(
    verifier: Verifier,
    token: Secret,
    granted: impl FnOnce(&Verifier, Grant, SystemTime) -> Result<Answer, Refusal> + Send + 'static,
) -> Asked {
    let now = SystemTime::now();
    match verifier.verify_connection(&token, now) {
        Verdict::Granted(grant) => Asked::Now(granted(&verifier, grant, now)),
        Verdict::Refused(refusal) => Asked::Now(Err(refusal_of_connection(refusal))),
        Verdict::Undecided => Asked::Later(Box::pin(async move {
            let grant = verifier.fetching_connection(&token, now).await;
            let grant = grant.map_err(refusal_of_connection)?;
            granted(&verifier, grant, SystemTime::now())
        })),
    }
}

fn refusal_of_connection(refusal: TokenRefusal) -> Refusal {
    refusal_of(refusal, RefusalKind::Unauthorized)
}

/// Who it is was shown before; the token only fails to show a right.
fn refusal_of_subscription(refusal: TokenRefusal) -> Refusal {
    refusal_of(refusal, RefusalKind::Forbidden)
}

fn refusal_of(refusal: TokenRefusal, no_good: RefusalKind) -> Refusal {
    if let TokenRefusal::Invalid(flaw) = &refusal {
        debug!("a token is refused: {flaw}");
    }
    let kind = match refusal {
        TokenRefusal::Expired => RefusalKind::Expired,
        TokenRefusal::Unavailable => RefusalKind::Unavailable,
        _ => no_good,
    };
    Refusal::new(kind, &refusal.to_string())
}

fn admission(grant: Grant, now: SystemTime) -> Result<Admission, Refusal> {
    let mut channels = Vec::with_capacity(grant.channels.len());
    for side in grant.channels {
        let Some(channel) = Channel::parse(&side.channel) else {
            let text = "the token names a channel that there can't be";
            return Err(Refusal::new(RefusalKind::BadRequest, text));
        };
        let authorization = Authorization {
            info: side.info.map(json),
            data: side.greeting.map(payload),
            join_leave: side.overrides.join_leave,
            ..Authorization::default()
        };
        channels.push((channel, authorization));
    }
    Ok(Admission {
        user: Some(grant.user).filter(|it| !it.is_empty()).map(|it| User(it.into())),
        info: grant.info.map(json),
        data: None,
        channels,
        expires: left(grant.expires_at, now),
        client_refreshes: true,
        meta: grant.meta,
    })
}

fn authorization(grant: SubscriptionGrant, now: SystemTime) -> Authorization {
    Authorization {
        info: grant.info.map(json),
        data: None,
        expires: left(grant.expires_at, now),
        client_refreshes: true,
        join_leave: grant.overrides.join_leave,
    }
}

/// Returns how long it is until a second since 1970.
fn left(at: Option<u64>, now: SystemTime) -> Option<Duration> {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(at?))?;
    bounded(Some(at.duration_since(now).unwrap_or_default()))
}

/// A time before 1970 is 1970.
fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// What others see is a JSON text; bytes that are none become a string of base64.
fn json(info: Info) -> Bytes {
    match info {
        Info::Json(json) => json,
        Info::Binary(bytes) => format!("\"{}\"", BASE64.encode(bytes)).into(),
    }
}

fn payload(info: Info) -> Payload {
    match info {
        Info::Json(json) => Payload::Json(json),
        Info::Binary(bytes) => Payload::Binary(bytes),
    }
}

#[cfg(test)]
mod tests;
