//! Why a server can't be used.

use std::{fmt, io};

use crate::settings::BadUrl;

/// Why [`connect`](crate::connect) failed. No secret stands in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The URL can't be read.
    Url(BadUrl),
    /// The server can't be reached, or the connection broke.
    Io(io::Error),
    /// Connecting took longer than [`connect_max`](crate::Settings::connect_max).
    Deadline,
    /// The server said no; the text is its own.
    Refused(String),
    /// A setting can't be, or what answered is not a server that this crate can use; the text says why.
    Unusable(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => why.fmt(f),
            Self::Io(why) => write!(f, "the Redis server can't be reached: {why}"),
            Self::Deadline => f.write_str("the Redis server did not answer in time"),
            Self::Refused(why) => write!(f, "the Redis server says no: {why}"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl From<BadUrl> for Error {
    fn from(why: BadUrl) -> Self {
        Self::Url(why)
    }
}

impl From<io::Error> for Error {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}
