//! Nodes of a cluster that meet in redis.
