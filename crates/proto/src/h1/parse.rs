//! From a head to the types of the `http` crate.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use super::{H1Fault, Head};

/// Reads a request. The target may be in origin, absolute, authority (CONNECT) or asterisk (OPTIONS)
/// form (RFC 9112 §3.2). `Host` and the length of a body are left to the caller.
///
/// # Errors
///
/// [`H1Fault::StartLine`], [`H1Fault::Target`], [`H1Fault::Version`] or [`H1Fault::Header`].
pub fn parse_request(head: &Head<'_>) -> Result<Request<()>, H1Fault> {
    // One copy, of which all values are parts.
    let bytes = Bytes::copy_from_slice(&head.bytes);
    let mut lines = vec![httparse::EMPTY_HEADER; head.headers];
    let mut parsed = httparse::Request::new(&mut lines);
    whole(parsed.parse(&bytes), head)?;

    let mut request = Request::new(());
    *request.method_mut() = parsed
        .method
        .and_then(|it| Method::from_bytes(it.as_bytes()).ok())
        .ok_or(H1Fault::StartLine)?;
    *request.uri_mut() = target(request.method(), parsed.path.ok_or(H1Fault::StartLine)?)?;
    *request.version_mut() = version(parsed.version)?;
    read_headers(parsed.headers, &bytes, request.headers_mut())?;
    Ok(request)
}

/// Reads a response.
///
/// # Errors
///
/// [`H1Fault::StartLine`], [`H1Fault::Version`] or [`H1Fault::Header`].
pub fn parse_response(head: &Head<'_>) -> Result<Response<()>, H1Fault> {
    let bytes = Bytes::copy_from_slice(&head.bytes);
    let mut lines = vec![httparse::EMPTY_HEADER; head.headers];
    let mut parsed = httparse::Response::new(&mut lines);
    whole(parsed.parse(&bytes), head)?;

    let mut response = Response::new(());
    *response.status_mut() =
        parsed.code.and_then(|it| StatusCode::from_u16(it).ok()).ok_or(H1Fault::StartLine)?;
    *response.version_mut() = version(parsed.version)?;
    read_headers(parsed.headers, &bytes, response.headers_mut())?;
    Ok(response)
}

/// Checks that the parser found the head's end where [`HeadReader`](super::HeadReader) did.
fn whole(parsed: httparse::Result<usize>, head: &Head<'_>) -> Result<(), H1Fault> {
    match parsed {
        Ok(httparse::Status::Complete(len)) if len == head.bytes.len() => Ok(()),
        Ok(_) => Err(H1Fault::Header),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => Err(H1Fault::Header),
        Err(httparse::Error::TooManyHeaders) => Err(H1Fault::TooManyHeaders),
        Err(httparse::Error::Version) if names_a_version(&head.bytes) => Err(H1Fault::Version),
        Err(_) => Err(H1Fault::StartLine),
    }
}

/// Says whether the first line has `HTTP/` where a version belongs, first or third: a version that we
/// don't speak, and not a line of some other protocol.
fn names_a_version(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or(head);
    line.split(|&byte| byte == b' ')
        .step_by(2)
        .take(2)
        .any(|word| word.starts_with(b"HTTP/") && word != b"HTTP/1.1" && word != b"HTTP/1.0")
}

fn target(method: &Method, path: &str) -> Result<Uri, H1Fault> {
    // RFC 9112 §3.2 knows no target with a fragment; `Uri` would drop it in silence.
    if path.contains('#') {
        return Err(H1Fault::Target);
    }
    let uri: Uri = path.parse().map_err(|_| H1Fault::Target)?;
    let is_allowed = match (uri.scheme().is_some(), uri.authority().is_some()) {
        _ if *method == Method::CONNECT => uri.scheme().is_none() && uri.authority().is_some(),
        (true, true) => true,
        (false, false) => path.starts_with('/') || (path == "*" && *method == Method::OPTIONS),
        _ => false,
    };
    if is_allowed { Ok(uri) } else { Err(H1Fault::Target) }
}

fn version(minor: Option<u8>) -> Result<Version, H1Fault> {
    match minor {
        Some(1) => Ok(Version::HTTP_11),
        Some(0) => Ok(Version::HTTP_10),
        _ => Err(H1Fault::Version),
    }
}

fn read_headers(
    lines: &[httparse::Header<'_>],
    bytes: &Bytes,
    headers: &mut HeaderMap,
) -> Result<(), H1Fault> {
    headers.try_reserve(lines.len()).map_err(|_| H1Fault::TooManyHeaders)?;
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| H1Fault::Header)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value))
            .map_err(|_| H1Fault::Header)?;
        headers.try_append(name, value).map_err(|_| H1Fault::TooManyHeaders)?;
    }
    Ok(())
}
