//! Channels and who listens to them. Knows no dialect, no socket and no runtime.

pub mod settings;
pub mod outlet;
pub mod order;
pub mod letter;
pub mod far;
mod shard;
mod wire;
pub mod fossil;
pub mod history;
pub mod idempotency;
pub mod rate;
pub mod tags;
pub mod wildcard;
pub mod dense;
pub mod seeded;
mod few;
pub mod slab;
pub mod wheel;

#[cfg(test)]
mod dice;

pub use letter::Letter;
pub use order::{Answers, ClientAnswer, Counters, Done, Info, Order, SessionInfo, Which, Whom};
pub use outlet::{Arrival, Encoded, OrderId, Outlet, Seat, Ticket};
pub use settings::{Limits, Namespace, Settings};
pub use shard::{Now, SHARDS_MAX, Shard};
