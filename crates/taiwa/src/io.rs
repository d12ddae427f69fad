//! The transport under a connection: anything that reads and writes bytes.

use std::any::Any;

use tokio::io::{AsyncRead, AsyncWrite};

/// What a transport must be.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Borrows it as what it is, to ask which type that is. Call it on the `dyn Io` itself: its box is an `Io`, too.
    fn as_any(&self) -> &dyn Any;

    /// Takes it as what it is.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A transport of whatever type.
pub(crate) type BoxIo = Box<dyn Io>;

/// Takes a transport as the type it is; gives it back if it is another.
pub(crate) fn downcast<T: Io>(io: BoxIo) -> Result<Box<T>, BoxIo> {
    if Io::as_any(&*io).is::<T>() {
        Ok(Io::into_any(io).downcast().expect("asked the line before"))
    } else {
        Err(io)
    }
}
