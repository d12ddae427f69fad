//! Who a client is, by the token that it brings: JSON Web Tokens (RFC 7519) with the claims that Centrifugo's users
//! know, checked against keys from the configuration or from a URL, and revoked before their time.
//!
//! It runs on tokio outside the shards, which never wait. [`Verifier::verify_connection`] and
//! [`Verifier::verify_subscription`] answer at once where the keys are here; where one must be fetched first they say
//! [`Verdict::Undecided`], and the call of the same name with `fetching_` in front waits for it.
//!
//! ```
//! use std::time::SystemTime;
//! use taiwa_server::{
//!     auth::{AuthSettings, KeySource, Refusal, Verdict, Verifier},
//!     outgoing::{Outgoing, OutgoingLimits, Trust},
//! };
//!
//! let settings = AuthSettings {
//!     keys: vec![KeySource::secret("a secret of at least thirty-two bytes")],
//!     ..AuthSettings::default()
//! };
//! let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
//! let verifier = Verifier::new(settings, &outgoing)?;
//! match verifier.verify_connection("what a client sent", SystemTime::now()) {
//!     Verdict::Refused(Refusal::Invalid(_)) => {}
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), taiwa_server::auth::SettingsError>(())
//! ```

mod settings;
mod verifier;
mod grant;
mod refusal;
mod revocation;
mod counts;
mod jwks;
mod keys;
mod token;
mod claims;
mod wire;

pub use counts::AuthCounts;
pub use grant::{Grant, Info, Overrides, ServerSide, Stamp, SubscriptionGrant};
pub use jwks::JwksCounts;
pub use refusal::{Flaw, Refusal};
pub use revocation::{Revocation, RevocationError, Revocations};
pub use settings::{AuthLimits, AuthSettings, JwksSettings, KeySource, Secret, SettingsError};
pub use verifier::{Subscriber, Verdict, Verifier};

#[cfg(test)]
mod tests;
