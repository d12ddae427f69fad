//! What both yardsticks have in common: frames that are turned in place, and the answer to an opening handshake.

pub mod frames;
pub mod handshake;

/// Connections in the backlog of a listener: as many as the load opens at once.
pub const BACKLOG: i32 = 1024;
