//! `revoke`: what it asks of a [`Verifier`] is done here, past the hub.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    Limits, answer, ask,
    errand::Errand,
    problem::{Code, Problem},
    verbs::Verb,
};
use crate::auth::{RevocationError, Verifier};

/// Tokens that are to be revoked. Times are in seconds since 1970.
pub(super) struct Revoking {
    what: What,
    /// When they are no good anyway, by their `exp`.
    until: Option<u64>,
}

enum What {
    Token(String),
    User(String, Option<u64>),
}

impl Verb for ask::Revoke {
    const NAME: &'static str = "revoke";
    type Answer = answer::Nothing;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let Self { user, token_id, issued_before, until } = self;
        let what = match (user, token_id) {
            (Some(user), None) if user.is_empty() => {
                return Err(Problem::invalid("user", "a user has a name"));
            }
            (None, Some(id)) if id.is_empty() => {
                return Err(Problem::invalid("token_id", "a jti is not empty"));
            }
            (None, Some(_)) if issued_before.is_some() => {
                let wrong = "a single token is revoked whenever it was issued";
                return Err(Problem::invalid("issued_before", wrong));
            }
            (Some(user), None) => What::User(user, issued_before),
            (None, Some(id)) => What::Token(id),
            _ => return Err(Problem::invalid("user", "name exactly one of user and token_id")),
        };
        Ok(Errand::Revoke(Revoking { what, until }))
    }
}

impl Revoking {
    /// Revokes them, wherever tokens are checked.
    pub(super) fn run(self, verifier: Option<&Verifier>, now: SystemTime) -> Result<(), Problem> {
        let none = || Problem::new(Code::NotAvailable, "this server checks no tokens");
        let verifier = verifier.ok_or_else(none)?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        // So much longer than its `exp` says a token is good.
        let until = self.until.map(|it| it.saturating_add(verifier.leeway().as_secs()));
        let revocations = verifier.revocations();
        let (field, done) = match self.what {
            What::Token(id) => ("token_id", revocations.revoke_token(&id, until, now)),
            What::User(user, issued_before) => {
                // `iat` has whole seconds: those of this very second are among the tokens so far.
                let before = issued_before.unwrap_or(now.saturating_add(1));
                ("user", revocations.revoke_user(&user, before, until, now))
            }
        };
        done.map_err(|why| match why {
            RevocationError::Full => Problem::new(Code::Limit, why.to_string()),
            RevocationError::TooLong => Problem::invalid(field, why.to_string()),
        })
    }
}
