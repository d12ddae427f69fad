//! Requests and answers on their way from node to node.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A part of a request or an answer. The number ties them; the node that asks chose it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Part<'a> {
    /// The head of a request.
    Ask {
        id: u64,
        method: &'a str,
        uri: &'a str,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
        peer: Option<SocketAddr>,
        /// So many bytes of a body follow.
        body: u64,
    },
    /// More of its body.
    AskBody(u64, &'a [u8]),
    /// The request is there; the answer may take its time.
    Taken(u64),
    /// The head of an answer.
    Answer {
        id: u64,
        status: u16,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
    },
    /// More of its body.
    Body(u64, &'a [u8]),
    /// The end of the answer.
    End(u64),
    /// Nobody waits for the answer any more.
    Cancel(u64),
}

impl Part<'_> {
    pub(super) fn write(&self) -> Option<Bytes> {
        postcard::to_extend(self, vec![super::FORWARD]).ok().map(Bytes::from)
    }

    pub(super) fn read(letter: &[u8]) -> Option<Part<'_>> {
        postcard::from_bytes(letter).ok()
    }
}
