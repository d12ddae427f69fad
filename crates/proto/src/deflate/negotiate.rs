//! Offers and answers of permessage-deflate (RFC 7692 §5, §7.1).

use super::{Deflate, Params};
use crate::handshake::extensions::Extension;

/// Server: takes the first offer that we can serve; returns what is agreed and the value for
/// `Sec-WebSocket-Extensions`. A bad or unknown offer is declined, never an error.
pub fn accept(config: &Deflate, offers: &[Extension]) -> Option<(Params, String)> {
    let _ = (config, offers);
    todo!()
}

/// Client: the value of `Sec-WebSocket-Extensions` that offers what `config` wants.
pub fn offer(config: &Deflate) -> String {
    let _ = config;
    todo!()
}

/// Client: reads the server's answer to [`offer`]. `None`: the answer is not one that RFC 7692 allows
/// to our offer, so the handshake fails.
pub fn agreed(config: &Deflate, answer: &Extension) -> Option<Params> {
    let _ = (config, answer);
    todo!()
}
