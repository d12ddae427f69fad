//! The shards of a house, in one thread, with a clock that is only a number.

mod house;
mod rights;
mod saying;
mod history;
mod presence;
mod slow;
mod kept;
mod patterns;
mod served;
mod links;
mod calls;
mod expiry;
mod orders;
mod limits;
mod memory;
mod model;
mod adopt;
