//! The HTTP API and the admin listener, in front of a hub of two shards.

mod probe;
mod asking;
mod commands;
mod refusals;
mod batches;
mod admin;
mod document;
mod page;
mod replaced;
