//! The configuration of `taiwa serve`, and `taiwa config`.

pub(crate) mod apply;
pub(crate) mod flags;
mod keys;
pub(crate) mod load;
pub(crate) mod reload;
mod sense;
pub(crate) mod settings;
pub(crate) mod tree;
pub(crate) mod values;
pub(crate) mod verbs;
mod write;
