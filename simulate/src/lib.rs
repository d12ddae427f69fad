//! Two connections over a network that is as bad as TCP allows: tiny reads and writes, delays, full
//! buffers, half-closes, resets, silence. Time is a number and chance a seed, so that a run can be had
//! again. A [`Crowd`] is many sessions on the shards of a hub, without a network.
//!
//! ```
//! use taiwa_simulate::{Plan, World};
//! let [client, server] = World::new(Plan::from_seed(7)).run();
//! assert_eq!(client.received, server.sent);
//! assert_eq!(server.received, client.sent);
//! ```

mod dice;
mod network;
mod party;
mod plan;
mod world;
mod crowd;
mod node;
mod fleet;
mod pair;
mod seeds;
pub mod scale;

pub use crowd::{Crowd, Who};
pub use dice::Dice;
pub use fleet::{Fleet, Guest, Load};
pub use network::{Network, Pipe};
pub use pair::Pair;
pub use party::Party;
pub use plan::{Disaster, Plan, Wish};
pub use seeds::{Counts, run_seeds};
pub use world::World;
