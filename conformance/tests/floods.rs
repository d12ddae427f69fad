//! Attacks over HTTP/2, against the binary in a process of its own: what the kernel says it took, how the attacker ends, and
//! that everybody else is still served.

use std::time::Duration;

use taiwa_conformance::{
    Sender,
    h2::{
        CONNECT, Frame, GET, Http2, field, fields,
        flag::{END_HEADERS, END_STREAM},
        frame,
        kind::{CONTINUATION, DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS},
    },
    process::Process,
};
use taiwa_proto::Role;

const MIB: usize = 1 << 20;
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;
const STALL: Duration = Duration::from_secs(2);

/// Runs `act` against a server, and measures what it takes: bytes beyond what it had, and time of the processor in a debug build.
#[track_caller]
fn costs<T>(name: &str, args: &[&str], bytes_max: usize, act: impl FnOnce(&Process) -> T) {
    let server = Process::serve(args);
    // Threads, lazily made tables and the first buffers are no growth.
    for _ in 0..3 {
        server.echoes();
    }
    let (resident, cpu) = (server.resident(), server.cpu());
    let kept = act(&server);
    let (grown, cpu) = (server.resident_max().saturating_sub(resident), server.cpu() - cpu);
    server.echoes();
    drop(kept);
    eprintln!("{name}: {} KiB, {cpu:?} of processor time", grown >> 10);
    assert!(grown <= bytes_max, "{name}: {grown} bytes");
    assert!(cpu <= Duration::from_secs(15), "{name}: {cpu:?} of processor time");
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(GET))
}

/// The server said GOAWAY with this code, or cut the connection while it was flooded.
#[track_caller]
fn ended(client: &mut Http2, code: u32) {
    let said = client.goaway();
    assert!(said.is_none_or(|it| it == code), "{said:?}");
}

#[test]
fn rapid_reset_ends_the_connection() {
    costs("rapid reset", &[], 16 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        let resets = (0..100_000_u32).flat_map(|n| {
            let stream = 2 * n + 1;
            [get(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        let resets: Vec<u8> = resets.collect();
        client.flood(&resets, resets.len(), STALL);
        assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    });
}

#[test]
fn an_hpack_bomb_is_not_unpacked() {
    costs("HPACK bomb", &[], 16 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        // A field of 4,000 bytes goes into the table once (RFC 7541 §6.2.1), and is named by one byte each time.
        let mut bomb = fields(GET);
        bomb.extend([0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'b'; 4000]);
        bomb.resize(bomb.len() + 12_000, 0xbe);
        client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
        let answer = client.until(|it| it.stream == 1 || it.kind == GOAWAY).unwrap();
        assert!(is_refused(&answer), "{answer:?}");
    });
}

/// Status 431, a reset or a GOAWAY.
fn is_refused(answer: &Frame) -> bool {
    // `:status` is the eighth entry of the static table; 431 stands there as a literal.
    let is_431 = answer.kind == HEADERS && answer.payload.starts_with(&[0x48]);
    is_431 || answer.code().is_some_and(|it| it != 0)
}

#[test]
fn a_head_without_end_is_cut_off() {
    costs("CONTINUATION without end", &[], 16 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        client.write(&frame(HEADERS, 0, 1, &fields(GET)));
        let more = frame(CONTINUATION, 0, 1, &field("x", &"x".repeat(100)).repeat(100));
        client.flood(&more, 64 * MIB, STALL);
        ended(&mut client, ENHANCE_YOUR_CALM);

        let mut client = Http2::connect(server.addr());
        client.write(&frame(HEADERS, 0, 1, &fields(GET)));
        client.flood(&frame(CONTINUATION, 0, 1, &[]), 8 * MIB, STALL);
        ended(&mut client, ENHANCE_YOUR_CALM);
    });
}

#[test]
fn empty_frames_of_data_end_the_connection() {
    costs("empty DATA", &[], 16 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        client.open(1);
        client.flood(&frame(DATA, 0, 1, &[]), 8 * MIB, STALL);
        assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    });
}

#[test]
fn small_frames_that_nobody_reads_cost_their_window() {
    let args = ["--write-timeout", "off", "--outbox-max", "64KiB"];
    costs("DATA of one byte on 50 streams", &args, 48 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        for n in 0..50 {
            client.open(2 * n + 1);
        }
        // A text of 60,000 bytes, whose echo nobody takes, in frames of a byte each.
        let message = Sender(Role::Client).frame(0x82, &[7; 60_000]);
        for n in 0..50 {
            let bytes = message.iter().flat_map(|it| frame(DATA, 0, 2 * n + 1, &[*it]));
            assert!(client.write(&bytes.collect::<Vec<u8>>()), "stream {n}");
        }
        assert!(client.is_alive());
        client
    });
}

#[test]
fn a_client_without_credit_gets_its_answers_reset_after_a_while() {
    costs("zero windows", &["--write-timeout", "1s"], 32 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        // RFC 9113 §6.5.2: SETTINGS_INITIAL_WINDOW_SIZE.
        client.write(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
        for n in 0..200 {
            client.write(&get(2 * n + 1));
        }
        let mut resets = 0;
        while resets < 200 {
            let reset = client.until(|it| it.kind == RST_STREAM).expect("the connection stays");
            assert_eq!(reset.code(), Some(8), "CANCEL");
            resets += 1;
        }
        assert!(client.is_alive());
    });
}

#[test]
fn streams_without_end_are_as_many_as_may_be() {
    costs("streams without end", &[], 32 * MIB, |server| {
        let mut client = Http2::connect(server.addr());
        for n in 0..1000 {
            let list = if n % 2 == 0 { CONNECT } else { GET };
            client.write(&frame(HEADERS, END_HEADERS, 2 * n + 1, &fields(list)));
        }
        client.write(&frame(PING, 0, 0, b"12345678"));
        let mut refused = 0;
        loop {
            let frame = client.until(|it| it.kind == RST_STREAM || it.kind == PING).unwrap();
            match frame.code() {
                Some(code) if frame.kind == RST_STREAM => {
                    assert_eq!(code, REFUSED_STREAM);
                    refused += 1;
                }
                _ => break,
            }
        }
        // Requests for the page may be answered before their end.
        assert!((300..=744).contains(&refused), "{refused} were refused");
        client
    });
}

#[test]
fn answers_to_settings_and_pings_that_nobody_reads_do_not_pile_up() {
    for (name, flood) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
        ("PING", frame(PING, 0, 0, b"12345678")),
    ] {
        costs(name, &["--write-timeout", "2s"], 16 * MIB, |server| {
            let mut client = Http2::connect(server.addr());
            let written = client.flood(&flood.repeat(1000), 64 * MIB, STALL);
            assert!(written < 64 * MIB, "the server stops reading who does not read");
            client
        });
    }
}
