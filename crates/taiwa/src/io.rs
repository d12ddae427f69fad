//! The transport under a connection: anything that reads and writes bytes.

use tokio::io::{AsyncRead, AsyncWrite};

/// What a transport must be.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A transport of whatever type.
pub(crate) type BoxIo = Box<dyn Io>;
