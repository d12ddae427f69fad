//! Entry points for fuzzers: each takes any bytes, calls a parser and asserts what must hold.
#![expect(clippy::missing_panics_doc, reason = "to panic at what must not be is their purpose")]

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, Request, Response};

use super::extensions::{format_extensions, parse_extensions};
use super::{Grammar, Offer, Opening, Origin, Wish, parse_subprotocols, parse_uri};
use crate::deflate::Deflate;
use crate::h1::{
    H1Fault, HeadReader, parse_request, parse_response, write_request, write_response_head,
};
use crate::limits::Limits;

const NONCE: [u8; 16] = *b"the sample nonce";

/// Reads extensions; what is read and written again reads the same.
pub fn extensions(line: &[u8]) {
    let Ok(list) = parse_extensions([line]) else { return };
    let written = format_extensions(&list);
    assert_eq!(parse_extensions([written.as_bytes()]).as_ref(), Ok(&list));
}

/// Reads subprotocols; what is read and written again reads the same, and leniency only adds.
pub fn subprotocols(line: &[u8]) {
    let lenient = parse_subprotocols([line], Grammar::LenientSubprotocols);
    if let Ok(strict) = parse_subprotocols([line], Grammar::Strict) {
        assert_eq!(lenient.as_ref(), Ok(&strict));
    }
    if let Ok(list) = lenient {
        let written = list.join(", ");
        let again = parse_subprotocols([written.as_bytes()], Grammar::LenientSubprotocols);
        assert_eq!(again.as_ref(), Ok(&list));
    }
}

/// Reads an origin; what is read and written again reads the same.
pub fn origin(text: &[u8]) {
    let Some(origin) = std::str::from_utf8(text).ok().and_then(Origin::parse) else { return };
    assert_eq!(Origin::parse(&origin.to_string()).as_ref(), Some(&origin));
}

/// Opens a WebSocket at any URI: our server accepts what our client asks for, and our client what our
/// server answers.
pub fn uri(text: &[u8]) {
    let Some(uri) = std::str::from_utf8(text).ok().and_then(|it| parse_uri(it).ok()) else {
        return;
    };
    let (subprotocols, deflate) = (["b".to_owned(), "a".to_owned()], Deflate::default());
    let wish =
        Wish { subprotocols: &subprotocols, deflate: Some(&deflate), ..Wish::new(&uri, NONCE) };
    let (request, pending) = wish.request().expect("a URI that was read can be asked for");

    let mut written = Vec::new();
    write_request(&request, &mut written);
    let read = read_request(&written, &[]).expect("our request is well-formed");
    let opening = Opening::read(&read).expect("our server accepts our client");
    let (response, accepted) = opening.accept(opening.choose(&["a", "b"]), Some(&deflate));
    assert_eq!(accepted.subprotocol.as_deref(), Some("b"));

    written.clear();
    write_response_head(&response, None, &mut written);
    let read = read_response(&written, &[]).expect("our response is well-formed");
    assert_eq!(pending.verify(&read), Ok(accepted));
}

/// Reads a request, whole and in pieces; what is read and written again reads the same. Then opens a
/// WebSocket by it.
pub fn request(bytes: &[u8]) {
    let (split, bytes) = take_split(bytes);
    let whole = read_request(bytes, &[]);
    match (&whole, &read_request(bytes, &[split])) {
        (Ok(whole), Ok(split)) => assert_same_request(whole, split),
        (whole, split) => assert_eq!(whole.as_ref().err(), split.as_ref().err()),
    }
    let Ok(request) = whole else { return };
    let mut written = Vec::new();
    write_request(&request, &mut written);
    assert_same_request(&request, &read_request(&written, &[]).expect("it was read once"));

    if let Ok(opening) = Opening::read_by(&request, Grammar::LenientSubprotocols) {
        let asked = opening.subprotocols();
        let (response, agreed) =
            opening.accept(asked.last().map(String::as_str), Some(&Deflate::default()));
        assert_eq!(agreed.subprotocol.as_ref(), asked.last());
        assert_eq!(response.status(), 101);
    }
}

/// Reads a response, whole and in pieces; what is read and written again reads the same. Then checks it
/// as the answer to a handshake.
pub fn response(bytes: &[u8]) {
    let (split, bytes) = take_split(bytes);
    let whole = read_response(bytes, &[]);
    match (&whole, &read_response(bytes, &[split])) {
        (Ok(whole), Ok(split)) => assert_eq!(whole.headers(), split.headers()),
        (whole, split) => assert_eq!(whole.as_ref().err(), split.as_ref().err()),
    }
    let Ok(response) = whole else { return };
    let mut written = Vec::new();
    crate::h1::write_response(&response, b"", &mut written);
    let again = read_response(&written, &[]).expect("it was read once");
    assert_eq!((response.status(), response.version()), (again.status(), again.version()));

    let uri = parse_uri("ws://localhost/").expect("it is one");
    let (subprotocols, deflate) = (["a".to_owned()], Deflate::default());
    let wish =
        Wish { subprotocols: &subprotocols, deflate: Some(&deflate), ..Wish::new(&uri, NONCE) };
    let (_, pending) = wish.request().expect("nothing is wrong with it");
    if let Ok(agreed) = pending.verify(&response) {
        assert!(agreed.subprotocol.is_none_or(|name| name == "a"));
    }
}

/// Reads what an offer of any headers is, one `name: value` per line, and answers it.
pub fn offer(bytes: &[u8]) {
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    head.extend_from_slice(bytes);
    head.extend_from_slice(b"\r\n\r\n");
    let Ok(request) = read_request(&head, &[]) else { return };
    let Ok(offer) = Offer::read(request.headers(), Grammar::Strict) else { return };
    let mut headers = HeaderMap::new();
    offer.answer(None, Some(&Deflate::default()), &mut headers);
    assert!(headers.keys().all(|name| name == SEC_WEBSOCKET_EXTENSIONS) && headers.len() < 2);
}

/// Takes two bytes that say where the rest is split.
fn take_split(bytes: &[u8]) -> (usize, &[u8]) {
    let [high, low, rest @ ..] = bytes else { return (0, bytes) };
    (usize::from(u16::from_be_bytes([*high, *low])) % (rest.len() + 1), rest)
}

fn read_request(bytes: &[u8], splits: &[usize]) -> Result<Request<()>, H1Fault> {
    read(bytes, splits, parse_request)
}

fn read_response(bytes: &[u8], splits: &[usize]) -> Result<Response<()>, H1Fault> {
    read(bytes, splits, parse_response)
}

/// Feeds `bytes` in pieces that end at `splits`. An unfinished head counts as too long.
fn read<T>(
    bytes: &[u8],
    splits: &[usize],
    parse: impl FnOnce(&crate::h1::Head<'_>) -> Result<T, H1Fault>,
) -> Result<T, H1Fault> {
    let limits = Limits { handshake_bytes_max: 1 << 20, ..Limits::default() };
    let (mut reader, mut start) = (HeadReader::new(), 0);
    for end in splits.iter().copied().chain([bytes.len()]) {
        if let Some(head) = reader.feed(&bytes[start..end], &limits)? {
            assert!(bytes[..end].ends_with(head.leftover));
            return parse(&head);
        }
        start = end;
    }
    Err(H1Fault::HeadTooLong)
}

fn assert_same_request(one: &Request<()>, other: &Request<()>) {
    assert_eq!((one.method(), one.uri()), (other.method(), other.uri()));
    assert_eq!((one.version(), one.headers()), (other.version(), other.headers()));
}

#[cfg(test)]
mod tests;
