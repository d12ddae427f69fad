//! WebSocket without I/O: RFC 6455 and RFC 7692 for both roles.
//!
//! No socket, clock, runtime or random source is inside: bytes, time and randomness are arguments.

pub mod limits;
pub mod fault;
pub mod close;
pub mod message;
pub mod header;
pub mod mask;
pub mod utf8;
pub mod pool;
pub mod outbox;
pub mod reader;
pub mod prepared;
pub mod stats;
pub mod writer;
pub mod keepalive;
pub mod connection;
pub mod deflate;
pub mod handshake;
pub mod h1;
#[doc(hidden)]
pub mod fuzzing;

pub use close::{CloseCode, Closed, Side};
pub use connection::{Connection, End, Event, Step};
pub use fault::{Deadline, Fault, Misuse};
pub use limits::{Config, Deadlines, Keepalive, Limits, Role};
pub use message::{Kind, Message, Utf8Bytes};
pub use pool::Pool;
pub use prepared::Prepared;
pub use reader::{Filled, InPlace, Input, Intake, Part, Payload};
pub use stats::{Stats, Traffic};
pub use writer::Fin;
