//! A wasm module that links both opening handshakes and a whole WebSocket connection, so that its import section tells what
//! `taiwa-proto` needs from the world: nothing. `cargo xtask wasm` builds it and looks.
//!
//! The functions keep Rust's own calling convention: they are linked, not called. Their names are
//! exported so that the linker keeps what they reach.
#![expect(unsafe_code, reason = "a fixed export name counts as unsafe")]

use std::{sync::Arc, time::Instant};

use taiwa_proto::{
    CloseCode, Config, Connection, Event, Input, Limits, Message, Misuse, Pool, Role, Step,
    deflate::{Deflate, Params},
    h1::{Head, HeadReader, parse_request, parse_response, write_request, write_response},
    handshake::{Agreed, Arrival, Opening, Origins, Wish, parse_uri},
};

/// Answers a client's opening handshake.
#[unsafe(no_mangle)]
pub fn accept(
    read: &[u8],
    origins: &Origins,
    arrival: Arrival,
    deflate: &Deflate,
    out: &mut Vec<u8>,
) -> Option<Agreed> {
    let mut reader = HeadReader::default();
    let head = reader.feed(read, &Limits::default()).ok()??;
    let opening = Opening::read(&parse_request(&head).ok()?).ok()?;
    opening.permitted_by(origins, arrival).ok()?;
    let (response, agreed) = opening.accept(opening.choose(&["chat"]), Some(deflate));
    write_response(&response, b"", out);
    Some(agreed)
}

/// Asks for an opening handshake and reads the answer.
#[unsafe(no_mangle)]
pub fn ask(url: &str, nonce: [u8; 16], head: &Head<'_>, out: &mut Vec<u8>) -> Option<Agreed> {
    let uri = parse_uri(url).ok()?;
    let (request, pending) = Wish::new(&uri, nonce).request().ok()?;
    write_request(&request, out);
    pending.verify(&parse_response(head).ok()?).ok()
}

/// Opens a connection.
#[unsafe(no_mangle)]
pub fn open(role: Role, config: Config, deflate: Option<Params>, now: Instant) -> Connection {
    Connection::new(role, Arc::new(config), deflate, now)
}

/// Reads what the transport brought and answers each message with itself.
#[unsafe(no_mangle)]
pub fn echo(connection: &mut Connection, read: &mut [u8], now: Instant, pool: &mut Pool) -> Step {
    let mut input = Input::new(read);
    while let Some(event) = connection.receive(&mut input, now, pool) {
        if let Event::Message(payload) = event {
            let _ = connection.send(&payload.into_message(), now, pool);
        }
    }
    connection.step()
}

/// Sends, asks whether the peer lives, says goodbye.
///
/// # Errors
/// As [`Connection::send`].
#[unsafe(no_mangle)]
pub fn speak(
    connection: &mut Connection,
    message: &Message,
    now: Instant,
    pool: &mut Pool,
) -> Result<(), Misuse> {
    connection.send(message, now, pool)?;
    connection.ping(b"are you there", now, pool)?;
    connection.close(CloseCode::NORMAL, "bye", now, pool)
}

/// Lets time pass and the transport move.
#[unsafe(no_mangle)]
pub fn pass(connection: &mut Connection, now: Instant, pool: &mut Pool) -> Option<Instant> {
    connection.timeout(now, pool);
    connection.wrote(1, now, pool);
    connection.end_of_input();
    connection.shut_down();
    connection.deadline()
}
