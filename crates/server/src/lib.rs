//! The real-time server: shards with their connections and conversations, the hub, the doors of the dialects, HTTP.
//! Arguments, files and the environment are the business of whoever calls.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use std::sync::Arc;
//! use taiwa_server::{Anyone, Site, hub::Settings};
//!
//! let site = Site::new(Settings::open(), Arc::new(Anyone)).start()?;
//! let server = taiwa::Server::bind("127.0.0.1:8000").await?;
//! site.serve(server, |_| async { None }).await
//! # }
//! ```

mod site;
mod drain;
mod meet;
mod webtransport;
mod reach;
mod service;
mod doors;
mod cors;
mod body;
mod certificate;
mod host;
mod cluster;
mod control;
mod emit;
pub mod shard;

pub mod auth;
pub mod apps;
pub mod api;
pub mod admin;
pub mod outgoing;
mod anyone;
mod address;
mod front;
mod addresses;
mod page;
mod random;
pub mod trace;
mod watch;

pub use anyone::Anyone;
pub use body::SiteBody;
pub use control::Control;
pub use emit::Emit;
pub use host::{HostLimits, Row, Snapshot, Tally};
pub use service::SiteService;
pub use site::{Running, Site};
pub use taiwa_core as core;
pub use taiwa_hub as hub;

/// Paths that begin so are no channels.
const RESERVED: &str = "/.taiwa/";
