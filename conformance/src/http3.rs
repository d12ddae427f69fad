//! HTTP/3 byte by byte: a QUIC client that keeps no rule, a server to meet it, and the table of what it does wrong.

mod client;
mod server;
pub mod violations;

pub use client::{Outcome, RawQuic, Stream};
pub use server::{Certificate, LONG, Server};

use http::Request;
use taiwa_h3::{
    Protocol,
    frame::{self, FrameType},
    head,
    qpack::SectionWriter,
    settings::Settings,
    streams::StreamType,
};

/// Type, length, payload.
pub fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    frame::write(FrameType::new(kind).expect("below 2^62"), payload, &mut out);
    out
}

/// A HEADERS frame with these field lines, right or not.
pub fn headers(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![];
    let mut writer = SectionWriter::new(&mut section);
    lines.iter().for_each(|(name, value)| writer.line(name.as_bytes(), value.as_bytes()));
    frame(FrameType::HEADERS.get(), &section)
}

/// A HEADERS frame with this request.
pub fn head<B>(request: &Request<B>) -> Vec<u8> {
    let mut section = vec![];
    head::write_request(request, &mut section).expect("a request that can be written");
    frame(FrameType::HEADERS.get(), &section)
}

/// A request that is right.
pub fn get() -> Request<()> {
    Request::get("https://localhost/").body(()).expect("right")
}

/// A request for a WebSocket that is right.
pub fn websocket(path: &str) -> Request<()> {
    let request = Request::connect(format!("https://localhost{path}"));
    let request = request.extension(Protocol::WEBSOCKET).header("sec-websocket-version", "13");
    request.body(()).expect("right")
}

/// The beginning of a control stream that is right: its type, and SETTINGS.
pub fn control() -> Vec<u8> {
    let mut out = vec![];
    StreamType::CONTROL.write(&mut out);
    Settings::default().write(&mut out);
    out
}
