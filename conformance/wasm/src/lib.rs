//! A wasm module that links a whole WebSocket connection, so that its import section tells what
//! `taiwa-proto` needs from the world: nothing. `cargo xtask wasm` builds it and looks.
//!
//! The functions keep Rust's own calling convention: they are linked, not called. Their names are
//! exported so that the linker keeps what they reach.
#![expect(unsafe_code, reason = "a fixed export name counts as unsafe")]

use std::{sync::Arc, time::Instant};

use taiwa_proto::{
    CloseCode, Config, Connection, Event, Input, Message, Misuse, Pool, Role, Step, deflate::Params,
};

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
