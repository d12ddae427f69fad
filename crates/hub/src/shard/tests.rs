//! Shards that talk to each other.
