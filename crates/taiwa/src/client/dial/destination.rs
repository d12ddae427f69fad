//! Where a URL leads: a host and a port, or the path of a unix socket.

use std::path::PathBuf;

use http::Uri;
use percent_encoding::percent_decode_str;
use taiwa_proto::handshake::{HandshakeMisuse, parse_uri};

/// Reads a `ws:`, `wss:`, `ws+unix:` or `wss+unix:` URL: what the request is made of (a `ws` or `wss`
/// URI), and the unix socket to connect to instead of the URI's host.
pub(in crate::client) fn parse_url(url: &str) -> Result<(Uri, Option<PathBuf>), HandshakeMisuse> {
    // RFC 3986 §3.1: "schemes are case-insensitive".
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws+unix" => "ws",
        "wss+unix" => "wss",
        _ => return Ok((parse_uri(url)?, None)),
    };
    let (authority, rest) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').ok_or(HandshakeMisuse::Uri)?),
        None => ("", rest),
    };
    // The socket's path ends at the first colon, as in npm's ws. It knows no escapes: a path that its
    // URLs can say is the same in ours, and `%3A`, `%20`, `%00` say the rest.
    let (socket, target) = rest.split_once(':').unwrap_or((rest, ""));
    // Anything else would become a part of the authority.
    if !(target.is_empty() || target.starts_with(['/', '?'])) || socket.is_empty() {
        return Err(HandshakeMisuse::Uri);
    }
    if socket.contains('#') {
        return Err(HandshakeMisuse::Fragment);
    }
    let localhost = if authority.is_empty() || authority.ends_with('@') { "localhost" } else { "" };
    let uri = parse_uri(&format!("{scheme}://{authority}{localhost}{target}"))?;
    Ok((uri, Some(socket_path(socket)?)))
}

/// The server that a URI names.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Place<'a> {
    pub(in crate::client) is_tls: bool,
    /// A name or an address, IPv6 without brackets.
    pub(in crate::client) host: &'a str,
    pub(in crate::client) port: u16,
}

impl<'a> Place<'a> {
    pub(in crate::client) fn of(uri: &'a Uri) -> Self {
        let is_tls = uri.scheme_str().is_some_and(|it| it.eq_ignore_ascii_case("wss"));
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Self { is_tls, host, port }
    }
}

#[cfg(unix)]
fn socket_path(encoded: &str) -> Result<PathBuf, HandshakeMisuse> {
    use std::os::unix::ffi::OsStringExt;
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn socket_path(encoded: &str) -> Result<PathBuf, HandshakeMisuse> {
    let path = percent_decode_str(encoded).decode_utf8().map_err(|_| HandshakeMisuse::Uri)?;
    Ok(path.into_owned().into())
}
