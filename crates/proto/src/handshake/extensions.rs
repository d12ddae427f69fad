//! `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

/// One extension with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The token.
    pub name: String,
    /// Parameters in order; quoted values without their quotes.
    pub params: Vec<(String, Option<String>)>,
}
