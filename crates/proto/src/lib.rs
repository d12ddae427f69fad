//! WebSocket without I/O: RFC 6455 and RFC 7692 for both roles.
//!
//! No socket, clock, runtime or random source is inside: bytes, times and randomness are arguments. For runtimes and
//! transports of your own; on tokio there is the crate `taiwa`, which stands on this one and names most of its types.
//!
//! | module | |
//! |---|---|
//! | [`handshake`], [`h1`] | the opening handshake (RFC 6455 §4), and heads of HTTP/1.1 as bytes (RFC 9112) |
//! | [`connection`] | one connection behind it: all of the below, the closing handshake, [`Step`] by step |
//! | [`reader`], [`writer`], [`outbox`] | bytes in, messages out; messages in, bytes out |
//! | [`message`], [`prepared`], [`close`] | what is said: to one, to many, at the end |
//! | [`deflate`] | permessage-deflate (RFC 7692): negotiation and codec |
//! | [`limits`], [`keepalive`] | bounds in bytes, counts and time, each with a default and one consequence |
//! | [`fault`] | what the peer did wrong ([`Fault`], [`Deadline`]), and what the caller did ([`Misuse`]) |
//! | [`header`], [`mask`], [`utf8`], [`pool`], [`stats`] | parts of frames; what connections share; counters |
//!
//! A connection from the first byte to the last, without a socket:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Instant};
//!
//! use taiwa_proto::{
//!     CloseCode, Config, Connection, End, Event, Input, Limits, Pool, Role, Step,
//!     h1::{HeadReader, parse_request, parse_response, write_request, write_response},
//!     handshake::{Opening, Wish, parse_uri},
//! };
//!
//! let (now, limits, config) = (Instant::now(), Limits::default(), Arc::new(Config::default()));
//! let mut pool = Pool::new(|bytes| bytes.fill(7)); // a real one asks the operating system
//!
//! // The client asks, the server agrees.
//! let uri = parse_uri("ws://chat.example/room")?;
//! let (request, pending) = Wish::new(&uri, pool.random()).request()?;
//! let (mut asked, mut answered) = (Vec::new(), Vec::new()); // in place of a socket
//! write_request(&request, &mut asked);
//! let mut heads = HeadReader::new();
//! let head = heads.feed(&asked, &limits)?.expect("all of it is here");
//! let (response, agreed) = Opening::read(&parse_request(&head)?)?.accept(None, None);
//! write_response(&response, b"", &mut answered);
//! let head = heads.feed(&answered, &limits)?.expect("all of it is here");
//! pending.verify(&parse_response(&head)?)?;
//! let mut server = Connection::new(Role::Server, config.clone(), agreed.deflate.clone(), now);
//! let mut client = Connection::new(Role::Client, config, agreed.deflate, now);
//!
//! /// What a loop around a socket does: writes the outbox of one end, reads at the other.
//! fn carry(from: &mut Connection, to: &mut Connection, now: Instant, pool: &mut Pool) {
//!     while !from.outbox().is_empty() {
//!         let mut bytes = from.outbox().first().to_vec();
//!         from.wrote(bytes.len(), now, pool);
//!         let mut input = Input::new(&mut bytes);
//!         while let Some(event) = to.receive(&mut input, now, pool) {
//!             let Event::Message(payload) = event else { continue };
//!             assert_eq!(payload.into_message().as_text(), Some("対話"));
//!         }
//!     }
//! }
//!
//! client.send(&"対話".into(), now, &mut pool)?;
//! client.close(CloseCode::NORMAL, "done", now, &mut pool)?;
//! carry(&mut client, &mut server, now, &mut pool);
//! carry(&mut server, &mut client, now, &mut pool); // its own Close frame
//! assert!(matches!(server.step(), Step::ShutDown)); // of the transport's write side
//! server.shut_down();
//! client.end_of_input();
//! client.shut_down();
//! let Step::End(End::Closed(closed)) = client.step() else { panic!("{:?}", client.step()) };
//! assert!(closed.clean && closed.code == CloseCode::NORMAL);
//! # Ok(()) }
//! ```

pub mod limits;
pub mod fault;
pub mod close;
pub mod message;
pub mod header;
pub mod mask;
pub mod utf8;
pub mod pool;
mod spares;
pub mod outbox;
mod run;
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
