//! Conversations on a shard.
