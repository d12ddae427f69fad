//! Messages that are echoed or sent to many ask for no memory, once the pool has seen some.

use std::{io::IoSlice, sync::Arc, time::Instant};

use allocation_counter::measure;
use taiwa_proto::{
    Config, Connection, Event, Fin, Input, Kind, Pool, Prepared, Role,
    deflate::{Deflate, Params},
};

const MESSAGES: usize = 1000;

fn pool() -> Pool {
    Pool::new(|bytes| bytes.fill(7))
}

fn connection(role: Role, config: &Arc<Config>) -> Connection {
    let params = Params {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    let agreed = config.deflate.as_ref().map(|_| params);
    Connection::new(role, Arc::clone(config), agreed, Instant::now())
}

/// What a client writes that says something `MESSAGES` times.
fn said(kind: Kind, payload: &[u8], config: &Arc<Config>) -> Vec<u8> {
    let (mut client, mut pool) = (connection(Role::Client, config), pool());
    let mut bytes = vec![];
    for _ in 0..MESSAGES {
        client.send_part(kind, payload, Fin::Last, Instant::now(), &mut pool).unwrap();
        write(&mut client, &mut pool, |it| bytes.extend_from_slice(it));
    }
    bytes
}

fn write(conn: &mut Connection, pool: &mut Pool, mut to: impl FnMut(&[u8])) {
    while !conn.outbox().is_empty() {
        let mut slices = [IoSlice::new(&[]); 16];
        let used = conn.outbox().slices(&mut slices);
        let len = slices[..used].iter().map(|it| it.len()).sum();
        slices[..used].iter().for_each(|it| to(it));
        conn.wrote(len, Instant::now(), pool);
    }
}

/// Takes all in, a read of 64 KiB at a time, and answers what came in a read by one write.
fn echo(server: &mut Connection, bytes: &mut [u8], pool: &mut Pool) -> usize {
    let (now, mut echoed) = (Instant::now(), 0);
    for read in bytes.chunks_mut(64 << 10) {
        let mut input = Input::new(read);
        while let Some(event) = server.receive(&mut input, now, pool) {
            let Event::Message(payload) = event else { panic!("{event:?}") };
            let (kind, bytes) = (payload.kind(), payload.as_slice());
            server.send_part(kind, bytes, Fin::Last, now, pool).unwrap();
            echoed += 1;
        }
        write(server, pool, |_| ());
    }
    echoed
}

/// Returns how often memory is asked for while `MESSAGES` are echoed, behind as many.
fn allocations_of_echo(kind: Kind, payload: &[u8], config: &Arc<Config>) -> u64 {
    let (mut server, mut pool) = (connection(Role::Server, config), pool());
    let bytes = said(kind, payload, config);
    let mut once_more = bytes.clone();
    assert_eq!(echo(&mut server, &mut bytes.clone(), &mut pool), MESSAGES);
    let counted = measure(|| assert_eq!(echo(&mut server, &mut once_more, &mut pool), MESSAGES));
    counted.count_total
}

#[test]
fn an_echo_asks_for_no_memory() {
    let config = Arc::new(Config::default());
    let cases: [(Kind, &[u8]); 4] = [
        (Kind::Binary, &[7; 16]),
        (Kind::Text, "対話".as_bytes()),
        (Kind::Text, &[b'x'; 200]),
        (Kind::Binary, &[]),
    ];
    for (kind, payload) in cases {
        let of_reads = said(kind, payload, &config).len().div_ceil(64 << 10) as u64;
        let counted = allocations_of_echo(kind, payload, &config);
        // A message that a read cuts in two is put together in memory of its own.
        let cut = if of_reads == 1 { 0 } else { 4 * of_reads };
        assert!(counted <= cut, "{counted} in {of_reads} reads of {} bytes", payload.len());
    }
}

#[test]
fn a_compressed_echo_asks_for_memory_for_its_inflated_message_alone() {
    let config = Arc::new(Config { deflate: Some(Deflate::default()), ..Config::default() });
    let text = "one and the other, ".repeat(30);
    let counted = allocations_of_echo(Kind::Text, text.as_bytes(), &config);
    assert!(counted <= 5 * MESSAGES as u64, "{counted}");
}

#[test]
fn a_delivery_asks_for_no_memory() {
    let config = Arc::new(Config::default());
    let mut counted_before = None;
    for crowd_len in [10, 1000] {
        let mut pool = pool();
        let mut crowd: Vec<_> = (0..crowd_len).map(|_| connection(Role::Server, &config)).collect();
        let mut publish = |said: String| {
            pool.begin_turn();
            let prepared = Prepared::new(said);
            for conn in &mut crowd {
                conn.send_prepared(&prepared, Instant::now(), &mut pool).unwrap();
            }
            for conn in &mut crowd {
                write(conn, &mut pool, |_| ());
            }
        };
        publish("to begin with".into());
        let said = "to all".to_owned();
        let counted = measure(|| publish(said)).count_total;
        // The message, its frame, and the row of frames of this turn.
        assert!(counted <= 6, "{counted} for one publication");
        let before = *counted_before.get_or_insert(counted);
        assert_eq!(counted, before, "{crowd_len} connections");
    }
}

#[test]
fn allocations_are_seen() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1]))).count_total, 1);
}
