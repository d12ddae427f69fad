//! Heads of HTTP/1.1 messages (RFC 9112), read and written without I/O.
//!
//! Reading is strict where two readers could disagree about where a head ends or what it says, since
//! request smuggling lives on such disagreement: a line ends in CR LF and nothing else, lines are never
//! folded, and no space stands before a colon.

mod fault;
mod parse;
mod reader;
mod write;

pub use fault::H1Fault;
pub use parse::{parse_request, parse_response};
pub use reader::{Head, HeadReader};
pub use write::{write_request, write_response, write_response_head};

#[cfg(test)]
mod tests;
