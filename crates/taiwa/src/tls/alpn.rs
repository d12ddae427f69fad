//! What both ends can agree on by ALPN (RFC 7301 §6): the versions of HTTP, and what ACME servers ask for.

/// RFC 9112.
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// RFC 9113 §3.2, over TLS.
pub(crate) const HTTP2: &[u8] = b"h2";

/// RFC 9114 §3.1, over QUIC.
pub(crate) const HTTP3: &[u8] = b"h3";

/// RFC 8737 §6.2: no protocol but a question.
pub(crate) const ACME: &[u8] = b"acme-tls/1";
