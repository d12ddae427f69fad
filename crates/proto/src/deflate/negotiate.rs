//! Offers and answers of permessage-deflate (RFC 7692 §5, §7.1).

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::{Deflate, Params};
use crate::handshake::extensions::Extension;

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// Answers a client's offers, as a server: takes the first one that we can serve, and returns what is agreed
/// and the value for `Sec-WebSocket-Extensions`. A bad or unknown offer is declined, never an error.
///
/// Extensions of other names are passed over. `server_max_window_bits` is answered only when offered,
/// though §7.1.2.1 allows more: some clients fail at parameters that they did not name. Contexts that
/// `config` does not keep are answered with `*_no_context_takeover` always.
pub fn accept(config: &Deflate, offers: &[Extension]) -> Option<(Params, String)> {
    offers.iter().filter(|it| it.name == NAME).find_map(|offer| {
        let params = accepted(config, &Named::read(offer, Author::Client)?)?;
        Some((params.0, params.1.to_string()))
    })
}

fn accepted(config: &Deflate, offer: &Named) -> Option<(Params, Named)> {
    let ours = config.window_bits.clamp(9, 15);
    let server_bits = match offer.server_max_window_bits {
        Bits::Value(bits) => {
            // §7.1.2.1: "A server declines an extension negotiation offer with this parameter if the
            // server doesn't support it." zlib's compressors have no window of 8 bits.
            if bits < 9 {
                return None;
            }
            // ... accepts by answering "the same or smaller value as the offer".
            Bits::Value(bits.min(ours))
        }
        _ => Bits::Absent,
    };
    // Smaller saves us memory only for a window that is kept.
    let asked = if config.keep_peer_context { config.peer_window_bits.clamp(9, 15) } else { 15 };
    let client_bits = match offer.client_max_window_bits {
        // §7.1.2.2: without the parameter in the offer, "the corresponding extension negotiation
        // response to the offer MUST NOT include" it.
        Bits::Absent => Bits::Absent,
        Bits::NoValue if asked == 15 => Bits::Absent,
        Bits::NoValue => Bits::Value(asked),
        // "... the same or smaller value as the offer".
        Bits::Value(bits) => Bits::Value(bits.min(asked)),
    };
    let answer = Named {
        server_no_context_takeover: offer.server_no_context_takeover || !config.keep_our_context,
        // In an offer it is a hint that the client will not take over its context in any case (§7.1.1.2).
        client_no_context_takeover: offer.client_no_context_takeover || !config.keep_peer_context,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
    };
    Some((answer.params(), answer))
}

/// Returns a client's value of `Sec-WebSocket-Extensions` that offers what `config` wants.
///
/// ```
/// use taiwa_proto::{
///     deflate::{Deflate, negotiate},
///     handshake::extensions::parse_extensions,
/// };
/// let offer = negotiate::offer(&Deflate::default());
/// let offers = parse_extensions([offer.as_bytes()]).unwrap();
/// let (ours, answer) = negotiate::accept(&Deflate::default(), &offers).unwrap();
/// let answer = parse_extensions([answer.as_bytes()]).unwrap();
/// assert_eq!(negotiate::agreed(&Deflate::default(), &answer[0]), Some(ours));
/// ```
///
/// What a server might not be able to grant stands in a first offer; a second one does without.
/// `client_max_window_bits` always goes along, without a value: a server that needs our window to be
/// small can say so.
pub fn offer(config: &Deflate) -> String {
    let wanted = wanted(config);
    let mut line = wanted.to_string();
    let fallback =
        Named { server_no_context_takeover: false, server_max_window_bits: Bits::Absent, ..wanted };
    if fallback != wanted {
        let _ = write!(line, ", {fallback}");
    }
    line
}

fn wanted(config: &Deflate) -> Named {
    let peer_bits = config.peer_window_bits.clamp(9, 15);
    Named {
        server_no_context_takeover: !config.keep_peer_context,
        client_no_context_takeover: !config.keep_our_context,
        server_max_window_bits: if config.keep_peer_context && peer_bits < 15 {
            Bits::Value(peer_bits)
        } else {
            Bits::Absent
        },
        client_max_window_bits: Bits::NoValue,
    }
}

/// Reads a server's answer to [`offer`], as a client. `None`: the answer is not one that RFC 7692 §7.1 allows
/// to our offer, so the handshake fails.
///
/// A server may ask for a window of 8 bits from us, which our compressor does not have: agreed, and
/// [`Params::outgoing`] tells to send uncompressed.
pub fn agreed(config: &Deflate, answer: &Extension) -> Option<Params> {
    // Whatever is legal in an answer fits to one of our offers: both name `client_max_window_bits`
    // without a value, the second asks for nothing else, and the server may add the other three
    // parameters unasked (§7.1.1.1, §7.1.1.2, §7.1.2.1).
    if answer.name != NAME {
        return None;
    }
    let mut params = Named::read(answer, Author::Server)?.params();
    // §7.1.1.2: our offer was the hint that we don't take over our context, also if "the corresponding
    // extension negotiation response" does not say so.
    params.client_no_context_takeover |= !config.keep_our_context;
    Some(params)
}

/// Who wrote the parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    Absent,
    NoValue,
    Value(u8),
}

/// The parameters of one offer or answer, each by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Bits,
    client_max_window_bits: Bits,
}

impl Named {
    /// Reads the parameters; `None` if one is unknown, doubled or has a value that it must not have:
    /// then §7.1 has a server decline the offer, and a client fail the connection.
    fn read(extension: &Extension, author: Author) -> Option<Self> {
        let mut named = Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: Bits::Absent,
            client_max_window_bits: Bits::Absent,
        };
        for (name, value) in &extension.params {
            match (name.as_str(), value.as_deref()) {
                (SERVER_NO_CONTEXT_TAKEOVER, None) if !named.server_no_context_takeover => {
                    named.server_no_context_takeover = true;
                }
                (CLIENT_NO_CONTEXT_TAKEOVER, None) if !named.client_no_context_takeover => {
                    named.client_no_context_takeover = true;
                }
                (SERVER_MAX_WINDOW_BITS, Some(value))
                    if named.server_max_window_bits == Bits::Absent =>
                {
                    named.server_max_window_bits = Bits::Value(window_bits(value)?);
                }
                (CLIENT_MAX_WINDOW_BITS, Some(value))
                    if named.client_max_window_bits == Bits::Absent =>
                {
                    named.client_max_window_bits = Bits::Value(window_bits(value)?);
                }
                // §7.1.2.2: only in an offer the parameter "may have no value".
                (CLIENT_MAX_WINDOW_BITS, None)
                    if named.client_max_window_bits == Bits::Absent && author == Author::Client =>
                {
                    named.client_max_window_bits = Bits::NoValue;
                }
                _ => return None,
            }
        }
        Some(named)
    }

    /// Returns what holds if these are the parameters of the answer.
    fn params(&self) -> Params {
        let value = |bits| match bits {
            Bits::Value(bits) => bits,
            // §7.1.2: a window that nobody limits has 32,768 bytes.
            Bits::Absent | Bits::NoValue => 15,
        };
        Params {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: value(self.server_max_window_bits),
            client_max_window_bits: value(self.client_max_window_bits),
        }
    }
}

/// §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [ones @ b'8'..=b'9'] => Some(ones - b'0'),
        [b'1', ones @ b'0'..=b'5'] => Some(10 + ones - b'0'),
        _ => None,
    }
}

impl std::fmt::Display for Named {
    /// Writes the extension with its parameters as `Sec-WebSocket-Extensions` has them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            write!(f, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.client_no_context_takeover {
            write!(f, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        for (name, bits) in [
            (SERVER_MAX_WINDOW_BITS, self.server_max_window_bits),
            (CLIENT_MAX_WINDOW_BITS, self.client_max_window_bits),
        ] {
            match bits {
                Bits::Absent => {}
                Bits::NoValue => write!(f, "; {name}")?,
                Bits::Value(bits) => write!(f, "; {name}={bits}")?,
            }
        }
        Ok(())
    }
}
