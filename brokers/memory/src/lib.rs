//! Nodes of a cluster that meet in memory: several in one process, for tests and simulations.
//!
//! A [`World`] is what they share; [`World::join`] makes a node of it. All happens within the calls: there is no runtime, no
//! thread, no socket. What a call causes is told by the thread that calls, outside of the world's lock, unless another
//! thread is telling that node something already; then that one goes on. A node hears everything in the order in which it happened.
//!
//! ```
//! use std::time::Duration;
//! use taiwa_core::{Broker, Channel, Keep, Statement};
//! use taiwa_memory::World;
//!
//! let world = World::new(1);
//! let node = world.join(taiwa_core::NodeId(7));
//! let keep = Keep { size: 10, ttl: Duration::from_secs(60), epoch_ttl: Duration::from_secs(600) };
//! let statement = Statement {
//!     channel: Channel::parse("news").unwrap(),
//!     body: "hello".into(),
//!     keep,
//!     id: None,
//!     to_patterns: false,
//! };
//! node.publish(statement, Box::new(|it| assert_eq!(it.unwrap().position.unwrap().offset, 1)));
//! ```

mod world;
mod past;
mod member;
mod node;

pub use node::Memory;
pub use world::World;
