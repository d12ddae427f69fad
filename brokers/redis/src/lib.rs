//! Nodes of a cluster that meet in Redis: Streams for history, publish and subscribe between nodes, hashes for presence.
//!
//! [`connect`] makes a node; it has all four of the traits by which nodes meet. What is kept under which keys, what each call
//! costs, and what happens when something fails, stands in the README beside this crate. Redis 6.2 or later is needed, or
//! what speaks like it.
//!
//! ```no_run
//! # async fn example() -> Result<(), taiwa_redis::Error> {
//! let settings = taiwa_redis::Settings::parse("redis://localhost")?;
//! let redis = taiwa_redis::connect(settings).await?;
//! let cluster = taiwa_core::Cluster::of(&redis);
//! # drop(cluster);
//! # Ok(())
//! # }
//! ```

mod settings;
mod error;
mod node;
mod broker;
mod presence;
mod sessions;
mod registry;
mod ask;
mod work;
mod answers;
mod net;
mod flow;
mod lost;
mod mend;
mod hearing;
mod peers;
mod dial;
mod tap;
mod keys;
mod scripts;
mod said;
mod reply;

pub use error::Error;
pub use node::{Redis, connect};
pub use settings::{Address, BadUrl, Settings, Tls};
