//! Channels and who listens to them. Knows no dialect, no socket and no runtime.

pub mod history;
pub mod rate;
pub mod wildcard;
pub mod idempotency;
pub mod tags;
pub mod dense;
pub mod seeded;
pub mod slab;
pub mod wheel;

#[cfg(test)]
mod dice;
