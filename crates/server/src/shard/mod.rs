//! Shards: threads that each own their connections and share nothing.
//!
//! [`Shards`] has one thread a core. A connection that [`taiwa::Upgrade::accept_raw`] gives out becomes a line of one of
//! them, by [`Post::join`] or `Lines::take_in`, and stays there to its end: polled by that thread's own epoll, read into that
//! thread's one buffer, written once a turn. What lines mean is the affair of an [`Above`], one for each shard; it acts through
//! [`Lines`]. Threads talk by letters, one queue for each shard.
//!
//! An idle line costs about half a KiB of memory, and no task.

mod above;
mod lines;
mod line;
mod post;
mod transport;
mod turn;
mod foreign;
mod shards;

pub use above::{Above, Left, Opening};
pub(crate) use foreign::carry_between;
pub use lines::{Lines, Unsent};
pub(crate) use post::carried;
pub use post::{NotSent, Post};
pub use shards::{Settings, ShardFailure, Shards};
pub use taiwa_hub::slab::Key;
