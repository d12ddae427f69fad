//! Writes heads and trailers.

use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{HOST, TE},
};

use super::{Protocol, is_connection_specific};
use crate::{error::Misuse, qpack::SectionWriter};

/// Writes the head of a request behind what `out` holds: the payload of its HEADERS frame. Returns its size as the peer counts
/// it (RFC 9114 §4.2.2), in bytes.
///
/// An extended CONNECT has its [`Protocol`] among the extensions. Connection-specific fields are left out (RFC 9114 §4.2), and so
/// is `host`: `:authority` says it. Values that are [sensitive](http::HeaderValue::is_sensitive) go into no table of anybody.
///
/// # Errors
/// [`Misuse`] if the URI lacks an authority, or a scheme where one is needed, or a [`Protocol`] stands with another method than
/// CONNECT; `out` is then as it was.
pub fn write_request<B>(request: &Request<B>, out: &mut Vec<u8>) -> Result<usize, Misuse> {
    let (method, uri) = (request.method(), request.uri());
    let protocol: Option<&Protocol> = request.extensions().get();
    let authority = uri.authority().ok_or(Misuse("a request needs a URI with an authority"))?;
    // RFC 9114 §4.3.1: "The authority MUST NOT include the deprecated userinfo subcomponent".
    let authority = authority.as_str().rsplit('@').next().unwrap_or_default();
    let is_connect = method == Method::CONNECT;
    if protocol.is_some() && !is_connect {
        return Err(Misuse("a protocol is asked for by CONNECT alone"));
    }
    let target = if is_connect && protocol.is_none() {
        None
    } else {
        let scheme = uri.scheme_str().ok_or(Misuse("a request needs a URI with a scheme"))?;
        Some((scheme, path(uri)))
    };
    let mut section = SectionWriter::new(out);
    section.line(b":method", method.as_str().as_bytes());
    if let Some(protocol) = protocol {
        section.line(b":protocol", protocol.as_str().as_bytes());
    }
    if let Some((scheme, path)) = target {
        section.line(b":scheme", scheme.as_bytes());
        section.line(b":authority", authority.as_bytes());
        section.line(b":path", path.as_bytes());
    } else {
        section.line(b":authority", authority.as_bytes());
    }
    Ok(fields(request.headers(), section))
}

/// Writes the head of a response behind what `out` holds, an interim one too: the payload of its HEADERS frame. Returns its size
/// as the peer counts it, in bytes. Connection-specific fields are left out.
///
/// # Errors
/// [`Misuse`] for status 101, which HTTP/3 has not (RFC 9114 §4.5); `out` is then as it was.
pub fn write_response<B>(response: &Response<B>, out: &mut Vec<u8>) -> Result<usize, Misuse> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Misuse("HTTP/3 has no status 101"));
    }
    let mut section = SectionWriter::new(out);
    section.line(b":status", response.status().as_str().as_bytes());
    Ok(fields(response.headers(), section))
}

/// Writes trailers behind what `out` holds: the payload of their HEADERS frame. Returns their size as the peer counts it, in
/// bytes. Connection-specific fields are left out.
pub fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) -> usize {
    fields(trailers, SectionWriter::new(out))
}

fn path(uri: &Uri) -> &str {
    match uri.path_and_query().map_or("", |it| it.as_str()) {
        "" => "/",
        path => path,
    }
}

fn fields(headers: &HeaderMap, mut section: SectionWriter<'_>) -> usize {
    for (name, value) in headers {
        if is_connection_specific(name)
            || name == HOST
            || name == TE && !value.as_bytes().eq_ignore_ascii_case(b"trailers")
        {
            continue;
        }
        if value.is_sensitive() {
            section.never_indexed_line(name.as_str().as_bytes(), value.as_bytes());
        } else {
            section.line(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    section.section_bytes()
}
