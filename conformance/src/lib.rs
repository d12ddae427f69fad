//! What the suites share: frames byte by byte, the table of violations, raw peers, a child process.
#![allow(clippy::missing_panics_doc, reason = "a test that fails panics")]

pub mod ends;
pub mod frames;
pub mod h2;
pub mod house;
pub mod http3;
pub mod process;
pub mod raw;
pub mod violations;

pub use ends::Ends;
pub use frames::Sender;

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
