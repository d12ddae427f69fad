//! Who decides: the apps behind [`App`]. Built-in rules, HTTP webhooks and Rust closures, and what puts them together.
//!
//! [`Deciders`] is the app of a server that is configured: tokens and rules first, then whichever webhook is there.
//! [`Closures`](closures::Closures) is the app of a server that is part of a Rust program.
//!
//! ```
//! use taiwa_core::{App, Answer, Asked, Connect, Question};
//! use taiwa_server::{
//!     apps::{Deciders, DecidersSettings, rules::RulesSettings},
//!     outgoing::{Outgoing, OutgoingLimits, Trust},
//! };
//!
//! # let who = taiwa_server::apps::example_client();
//! let settings = DecidersSettings {
//!     rules: RulesSettings { anonymous: true, ..RulesSettings::default() },
//!     ..DecidersSettings::default()
//! };
//! let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
//! let deciders = Deciders::new(settings, &outgoing)?;
//! let question = Question::Connect { who, connect: Box::new(Connect::default()) };
//! let Asked::Now(Ok(Answer::Admission(admission))) = deciders.ask(question) else { panic!() };
//! assert_eq!(admission.user, None);
//! # Ok::<(), taiwa_server::apps::webhooks::SettingsError>(())
//! ```

mod deciders;
pub mod rules;
pub mod webhooks;
pub mod closures;

use std::{sync::Arc, time::Duration};

use taiwa_core::{Answer, Asked, Client, Refusal, RefusalKind, SessionId};

pub use deciders::{Deciders, DecidersSettings, Told};

#[cfg(doc)]
use taiwa_core::App;

/// Rights that end later than this never end: no clock of ours could tell.
const EXPIRES_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn bounded(expires: Option<Duration>) -> Option<Duration> {
    expires.filter(|it| *it <= EXPIRES_MAX)
}

fn refuse(kind: RefusalKind, text: &str) -> Asked {
    Asked::Now(Err(Refusal::new(kind, text)))
}

fn noted() -> Asked {
    Asked::Now(Ok(Answer::Noted))
}

/// Makes a client for examples and tests: session 1 of the dialect `plain`, from nowhere.
#[doc(hidden)]
pub fn example_client() -> Arc<Client> {
    Arc::new(Client {
        session: SessionId(1),
        user: None,
        about: None,
        address: None,
        dialect: "plain",
    })
}

#[cfg(test)]
mod tests;
