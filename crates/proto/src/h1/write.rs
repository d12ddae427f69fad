//! From the types of the `http` crate to the bytes of a head.

use std::io::Write as _;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode, Version};

/// Appends a request's head to `out`, its target as the URI is written. The `http` types keep CR and LF
/// out of every part. The body is left to the caller.
pub fn write_request<B>(request: &Request<B>, out: &mut Vec<u8>) {
    let (method, uri, version) = (request.method(), request.uri(), version(request.version()));
    write!(out, "{method} {uri} {version}\r\n").expect("memory takes all bytes");
    for (name, value) in request.headers() {
        write_header(name.as_str(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a response with its body to `out`. `Content-Length` is written as it is, whatever the
/// response's headers say of it; a status that has no body (1xx, 204, 304) gets none.
pub fn write_response<B>(response: &Response<B>, body: &[u8], out: &mut Vec<u8>) {
    if has_body(response.status()) {
        write_response_head(response, Some(body.len() as u64), out);
        out.extend_from_slice(body);
    } else {
        write_response_head(response, None, out);
    }
}

/// Appends a response's head alone to `out`: for a body that follows later, or for HEAD.
///
/// With a `body_len`, it alone counts: `Content-Length` and `Transfer-Encoding` among the headers are
/// left out. With `None` they are written as the caller set them, unless the status forbids both.
pub fn write_response_head<B>(response: &Response<B>, body_len: Option<u64>, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("");
    write!(out, "{} {} {reason}\r\n", version(response.version()), status.as_str())
        .expect("memory takes all bytes");
    // RFC 9110 §8.6, RFC 9112 §6.1: neither of them "in any response with a status code of 1xx
    // (Informational) or 204 (No Content)".
    let no_framing =
        body_len.is_some() || status.is_informational() || status == StatusCode::NO_CONTENT;
    for (name, value) in response.headers() {
        if !(no_framing && (name == CONTENT_LENGTH || name == TRANSFER_ENCODING)) {
            write_header(name.as_str(), value.as_bytes(), out);
        }
    }
    if let Some(len) = body_len {
        write!(out, "Content-Length: {len}\r\n").expect("memory takes all bytes");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes names as RFCs do, `Sec-WebSocket-Key`: they are the same in any case (RFC 9110 §5.1), yet a
/// careless peer may compare letters.
fn write_header(name: &str, value: &[u8], out: &mut Vec<u8>) {
    for (index, word) in name.split('-').enumerate() {
        if index > 0 {
            out.push(b'-');
        }
        let start = out.len();
        out.extend_from_slice(if word == "websocket" { b"webSocket" } else { word.as_bytes() });
        out[start..].iter_mut().take(1).for_each(|first| first.make_ascii_uppercase());
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// RFC 9112 §6.3: these responses end with their head.
fn has_body(status: StatusCode) -> bool {
    !(status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED)
}
