//! Tests of a connection: endings, answers, times, memory.

use super::*;
use crate::{
    Message, Misuse,
    limits::{Keepalive, Limits},
    reader::tests::frame,
};

const SECOND: Duration = Duration::from_secs(1);

struct Peer {
    conn: Connection,
    pool: Pool,
    now: Instant,
}

impl Peer {
    fn new(role: Role, config: Config) -> Self {
        let now = Instant::now();
        let conn = Connection::new(role, Arc::new(config), None, now);
        Self { conn, pool: Pool::new(|it| it.fill(0)), now }
    }

    fn server() -> Self {
        Self::new(Role::Server, Config::default())
    }

    fn receive(&mut self, wire: &[u8]) -> Vec<String> {
        let mut bytes = wire.to_vec();
        let mut input = Input::new(&mut bytes);
        let mut events = vec![];
        while let Some(event) = self.conn.receive(&mut input, self.now, &mut self.pool) {
            events.push(match event {
                Event::Message(it) => String::from_utf8_lossy(it.as_slice()).into_owned(),
                Event::Ping(it) => format!("ping {}", String::from_utf8_lossy(&it)),
                Event::Pong(it) => format!("pong {}", String::from_utf8_lossy(&it)),
                Event::Part(_) => panic!("parts were not asked for"),
            });
        }
        assert!(input.is_empty());
        events
    }

    /// Writes at most `n` bytes of the outbox.
    fn write(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![];
        while out.len() < n && !self.conn.outbox().is_empty() {
            let first = self.conn.outbox().first();
            let take = first.len().min(n - out.len());
            out.extend_from_slice(&first[..take]);
            self.conn.wrote(take, self.now, &mut self.pool);
        }
        out
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.conn.timeout(self.now, &mut self.pool);
    }

    fn closed(&self) -> Closed {
        match self.conn.step() {
            Step::End(End::Closed(it)) => it,
            it => panic!("{it:?}"),
        }
    }
}

#[test]
fn a_server_echoes_a_close_and_ends_at_once() {
    let mut server = Peer::server();
    assert_eq!(server.receive(&frame(0x88, b"\x0f\xa1bye")), [""; 0]);
    assert_eq!(server.conn.step(), Step::Transfer);
    assert_eq!(server.write(usize::MAX), b"\x88\x05\x0f\xa1bye");
    assert_eq!(server.conn.step(), Step::ShutDown);
    server.conn.shut_down();
    let expected = Closed { code: 4001.into(), reason: "bye".into(), by: Side::Peer, clean: true };
    assert_eq!(server.closed(), expected);
}

#[test]
fn an_empty_close_is_answered_by_an_empty_close() {
    let mut server = Peer::server();
    server.receive(&frame(0x88, b""));
    assert_eq!(server.write(usize::MAX), [0x88, 0]);
    server.conn.shut_down();
    assert_eq!(server.closed().code, CloseCode::NO_STATUS);
}

#[test]
fn a_client_waits_for_the_server_to_close_the_transport() {
    let mut client = Peer::new(Role::Client, Config::default());
    client.conn.close(CloseCode::NORMAL, "done", client.now, &mut client.pool).unwrap();
    assert_eq!(client.write(usize::MAX).len(), 2 + 4 + 2 + 4);
    assert_eq!(client.receive(b"\x81\x04late\x88\x02\x03\xe8"), ["late"]);
    assert_eq!(client.conn.step(), Step::ShutDown);
    client.conn.shut_down();
    assert_eq!(client.conn.step(), Step::Discard);
    client.conn.end_of_input();
    let closed = client.closed();
    assert_eq!((closed.code, closed.by, closed.clean), (CloseCode::NORMAL, Side::Us, true));
}

#[test]
fn a_fault_is_answered_flushed_and_then_told_and_the_rest_is_thrown_away() {
    let mut server = Peer::server();
    let wire = [frame(0x81, b"good"), vec![0x83, 0x80, 0, 0, 0, 0], frame(0x81, b"no")].concat();
    assert_eq!(server.receive(&wire), ["good"]);
    assert_eq!(server.conn.step(), Step::Transfer);
    assert_eq!(server.receive(&frame(0x89, b"still here?")), [""; 0]);
    assert_eq!(server.write(usize::MAX), [0x88, 2, 3, 234]);
    assert_eq!(server.conn.step(), Step::ShutDown);
    server.conn.shut_down();
    assert_eq!(server.conn.step(), Step::Discard);
    server.receive(&[0xff; 1000]);
    server.conn.end_of_input();
    assert_eq!(server.conn.step(), Step::End(End::Fault(Fault::ReservedOpcode)));
}

#[test]
fn a_peer_that_sends_for_ever_after_a_fault_is_left_at_the_close_deadline() {
    let mut server = Peer::server();
    server.receive(&[0x83, 0x80]);
    server.write(usize::MAX);
    server.conn.shut_down();
    server.after(4 * SECOND);
    server.receive(&[0xff; 1000]);
    assert_eq!(server.conn.step(), Step::Discard);
    server.after(SECOND);
    assert_eq!(server.conn.step(), Step::End(End::Fault(Fault::ReservedOpcode)));
}

#[test]
fn nothing_is_sent_after_close_and_misuse_harms_nothing() {
    let mut server = Peer::server();
    let (now, pool) = (server.now, &mut server.pool);
    let conn = &mut server.conn;
    assert_eq!(conn.ping(&[0; 126], now, pool), Err(Misuse::ControlTooLong));
    let bad = CloseCode::new(1005);
    assert_eq!(conn.close(bad, "x", now, pool), Err(Misuse::CloseCode(bad)));
    assert_eq!(
        conn.close(CloseCode::NORMAL, &"x".repeat(124), now, pool),
        Err(Misuse::ReasonTooLong)
    );
    assert!(conn.is_open() && conn.outbox().is_empty());
    conn.close(CloseCode::NORMAL, "", now, pool).unwrap();
    assert_eq!(conn.send(&"x".into(), now, pool), Err(Misuse::Closing));
    assert_eq!(conn.close(CloseCode::NORMAL, "", now, pool), Err(Misuse::Closing));
    assert_eq!(server.receive(&frame(0x89, b"x")), ["ping x"]);
    assert_eq!(server.write(usize::MAX), [0x88, 2, 3, 232], "no pong behind the close");
}

#[test]
fn of_pings_that_nobody_reads_the_answers_to_the_newest_wins() {
    let mut server = Peer::server();
    for i in 0..100_000_u32 {
        server.receive(&frame(0x89, &i.to_be_bytes()));
    }
    assert_eq!(server.conn.outbox().len(), 16 * 6);
    let out = server.write(usize::MAX);
    let answered: Vec<u32> = out
        .chunks(6)
        .map(|it| {
            assert_eq!(it[..2], [0x8a, 4]);
            u32::from_be_bytes(it[2..].try_into().unwrap())
        })
        .collect();
    let expected: Vec<u32> = (0..16).chain([99_999]).collect();
    assert_eq!(answered, expected);
}

#[test]
fn pings_are_answered_although_the_outbox_is_never_empty() {
    let mut server = Peer::server();
    let send = |server: &mut Peer| {
        server.conn.send(&"more".into(), server.now, &mut server.pool).unwrap();
    };
    send(&mut server);
    for i in 0..100 {
        server.receive(&frame(0x89, &[i; 4]));
        send(&mut server);
        // One message and one Pong of two that wait, but for the last message.
        assert_eq!(server.write(12), [b"\x81\x04more\x8a\x04", &[i; 4][..]].concat());
    }
    // Of more than 16 at once the newest has its answer behind the first ones, before messages that come later.
    for i in 0..20 {
        server.receive(&frame(0x89, &[i; 4]));
    }
    send(&mut server);
    assert_eq!(server.write(6 + 16 * 6).len(), 6 + 16 * 6);
    send(&mut server);
    let rest = [b"\x81\x04more\x8a\x04", &[19; 4][..], b"\x81\x04more"].concat();
    assert_eq!(server.write(usize::MAX), rest);
}

#[test]
fn ten_pings_get_ten_pongs() {
    let mut server = Peer::server();
    server.receive(&frame(0x89, b"x").repeat(10));
    assert_eq!(server.write(usize::MAX), b"\x8a\x01x".repeat(10));
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let config = Config { keepalive: Some(Default::default()), ..Config::default() };
    let mut server = Peer::new(Role::Server, config);
    server.after(19 * SECOND);
    assert!(server.conn.outbox().is_empty());
    server.receive(&frame(0x81, b"x"));
    server.after(19 * SECOND);
    assert!(server.conn.outbox().is_empty());
    server.after(SECOND);
    assert_eq!(server.write(usize::MAX), [0x89, 0]);
    server.after(19 * SECOND);
    assert!(server.conn.outbox().is_empty());
    server.receive(&frame(0x8a, b""));
    server.after(20 * SECOND);
    assert_eq!(server.write(usize::MAX), [0x89, 0]);
    assert_eq!(server.conn.deadline(), Some(server.now + 20 * SECOND));
    server.after(20 * SECOND);
    assert_eq!(server.write(usize::MAX), [0x88, 2, 3, 243]);
    server.conn.shut_down();
    server.after(5 * SECOND);
    assert_eq!(server.conn.step(), Step::End(End::Late(Deadline::Pong)));
}

#[test]
fn an_unfinished_message_is_given_up_however_slowly_it_drips() {
    let mut server = Peer::server();
    let wire = frame(0x82, &[0; 100]);
    for byte in &wire[..59] {
        server.receive(&[*byte]);
        server.after(SECOND);
        assert_eq!(server.conn.step(), Step::Transfer);
    }
    server.receive(&wire[59..60]);
    server.after(SECOND);
    assert_eq!(server.write(usize::MAX), [0x88, 2, 3, 240]);
}

#[test]
fn what_is_known_to_be_text_is_sent_as_any_message() {
    for message in
        [Message::from("対話"), Message::from(&[0xff; 3][..]), Message::from("x".repeat(70_000))]
    {
        let [mut one, mut other] = [Peer::server(), Peer::server()];
        one.conn.send(&message, one.now, &mut one.pool).unwrap();
        let (kind, bytes) = (message.kind(), message.into_bytes());
        other.conn.send_checked(kind, &bytes, other.now, &mut other.pool).unwrap();
        let wire = one.write(usize::MAX);
        assert!(bytes.len() < wire.len() && wire.ends_with(&bytes));
        assert_eq!(other.write(usize::MAX), wire);
    }
}

#[test]
fn a_message_begins_its_time_when_it_begins() {
    let mut server = Peer::server();
    for _ in 0..10 {
        // The end of one message and the beginning of the next, every 30 seconds.
        let wire = frame(0x82, &[0; 100]);
        server.receive(&wire[..50]);
        server.after(30 * SECOND);
        assert_eq!(server.receive(&wire[50..]).len(), 1);
    }
    assert_eq!(server.conn.step(), Step::Transfer);
    let wire = frame(0x82, &[0; 100]);
    server.receive(&wire[..50]);
    for _ in 0..10 {
        server.after(30 * SECOND);
        let (end, begin) = (&wire[50..], &wire[..50]);
        server.receive(&[end, begin].concat());
        assert_eq!(server.conn.step(), Step::Transfer);
    }
}

#[test]
fn a_reader_that_pauses_does_not_blame_the_peer() {
    let config = Config { keepalive: Some(Default::default()), ..Config::default() };
    let mut server = Peer::new(Role::Server, config);
    let wire = frame(0x82, &[0; 100]);
    server.receive(&wire[..50]);
    server.conn.pause(server.now);
    server.after(1000 * SECOND);
    assert_eq!((server.conn.step(), server.conn.outbox().len()), (Step::Transfer, 0));
    assert_eq!(server.conn.deadline(), None);
    assert_eq!(server.receive(&wire[50..]).len(), 1);
    server.after(SECOND);
    assert_eq!((server.conn.step(), server.conn.outbox().len()), (Step::Transfer, 0));
}

#[test]
fn a_reader_that_comes_back_does_not_blame_the_peer() {
    let wire = frame(0x82, &[0; 100]);
    for arrived in [50, wire.len()] {
        let config = Config { keepalive: Some(Default::default()), ..Config::default() };
        let mut server = Peer::new(Role::Server, config);
        let messages = server.receive(&wire[..arrived]).len();
        let (since, due) = (server.now, server.conn.deadline().unwrap());
        server.now += 1000 * SECOND;
        server.conn.was_away(since, server.now);
        assert_eq!(server.conn.deadline(), Some(due + 1000 * SECOND));
        server.after(SECOND);
        assert_eq!((server.conn.step(), server.conn.outbox().len()), (Step::Transfer, 0));
        assert_eq!(messages + server.receive(&wire[arrived..]).len(), 1);
    }
}

#[test]
fn a_peer_that_does_not_read_is_given_up_and_one_that_reads_slowly_is_not() {
    let mut server = Peer::server();
    server.conn.send(&vec![0_u8; 1000].into(), server.now, &mut server.pool).unwrap();
    for _ in 0..10 {
        server.after(29 * SECOND);
        assert_eq!(server.write(1).len(), 1);
    }
    server.after(30 * SECOND);
    assert_eq!(server.conn.step(), Step::End(End::Late(Deadline::Write)));
    assert!(server.conn.outbox().is_empty());
}

#[test]
fn a_close_that_is_not_answered_ends_at_its_deadline() {
    let mut server = Peer::server();
    server.conn.close(CloseCode::GOING_AWAY, "", server.now, &mut server.pool).unwrap();
    server.write(usize::MAX);
    assert_eq!(server.conn.deadline(), Some(server.now + 5 * SECOND));
    server.after(5 * SECOND);
    assert_eq!(server.conn.step(), Step::End(End::Late(Deadline::Close)));
}

#[test]
fn the_end_of_the_input_without_a_close_is_a_loss() {
    let mut server = Peer::server();
    server.receive(&frame(0x02, b"unfinished"));
    server.conn.end_of_input();
    assert_eq!(server.conn.step(), Step::End(End::Lost));
}

#[test]
fn a_peer_that_shuts_down_behind_its_close_still_gets_the_answer() {
    let mut server = Peer::server();
    server.receive(&frame(0x88, b"\x03\xe8"));
    server.conn.end_of_input();
    assert_eq!(server.conn.step(), Step::Transfer);
    assert_eq!(server.write(usize::MAX), [0x88, 2, 3, 232]);
    assert_eq!(server.conn.step(), Step::ShutDown);
    server.conn.shut_down();
    assert!(server.closed().clean);
}

#[test]
fn an_outbox_over_its_limit_has_no_room_until_it_is_written() {
    let limits = Limits { outbox_bytes_max: 1000, ..Limits::default() };
    let mut server = Peer::new(Role::Server, Config { limits, ..Config::default() });
    server.conn.send(&vec![0_u8; 999].into(), server.now, &mut server.pool).unwrap();
    assert!(!server.conn.has_room());
    server.write(10);
    assert!(server.conn.has_room());
}

#[test]
fn text_in_tiny_fragments_costs_linear_work() {
    // 4 MiB of text in fragments of one byte: a quadratic check would take minutes.
    let limits =
        Limits { message_bytes_max: 4 << 20, fragments_max: u32::MAX, ..Limits::default() };
    let mut server = Peer::new(Role::Server, Config { limits, ..Config::default() });
    let text = "話".repeat((4 << 20) / 3);
    let mut wire = frame(0x01, b"");
    for byte in text.as_bytes() {
        wire.extend_from_slice(&[0x00, 0x81, 0, 0, 0, 0, *byte]);
    }
    wire.extend_from_slice(&frame(0x80, b""));
    assert_eq!(server.receive(&wire), [text]);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 240, "{}", size_of::<Connection>());
    // While a Ping is not answered.
    assert!(size_of::<Pings>() <= 56, "{}", size_of::<Pings>());
}

#[test]
fn what_a_busy_connection_needs_is_given_back_when_it_is_idle() {
    let keepalive = Some(Keepalive { ping_after: SECOND, pong_within: SECOND });
    let mut server = Peer::new(Role::Server, Config { keepalive, ..Config::default() });
    server.after(SECOND);
    assert_eq!(server.write(usize::MAX), [0x89, 0]);
    assert!(server.conn.clocks.is_amiss() && server.conn.pings.is_some());
    server.receive(&frame(0x8a, b""));
    assert_eq!(server.conn.stats().round_trip, Some(Duration::ZERO));
    let text = frame(0x81, b"text");
    server.receive(&text[..7]);
    assert!(server.conn.clocks.is_amiss());
    server.receive(&text[7..]);
    server.receive(&frame(0x89, b"?"));
    assert!(server.conn.pings.is_some());
    server.conn.send(&vec![0_u8; 5000].into(), server.now, &mut server.pool).unwrap();
    assert_eq!(server.write(usize::MAX).len(), 3 + 4 + 5000);
    server.conn.pause(server.now);
    assert!(server.conn.clocks.is_amiss());
    server.conn.resume(server.now);
    assert!(!server.conn.clocks.is_amiss() && server.conn.pings.is_none());
    assert!(server.conn.outbox().holds_nothing());
}

/// Sends `messages` from a client to a server that agreed on `params`, and returns the bytes on the wire.
fn compressed_round_trip(params: deflate::Params, messages: &[&str]) -> usize {
    let deflate = deflate::Deflate { message_bytes_min: 10, ..Default::default() };
    let config = Arc::new(Config { deflate: Some(deflate), ..Config::default() });
    let mut client = Peer::new(Role::Client, Config::default());
    let mut server = Peer::new(Role::Server, Config::default());
    client.conn = Connection::new(Role::Client, config.clone(), Some(params), client.now);
    server.conn = Connection::new(Role::Server, config, Some(params), server.now);
    let mut wire_len = 0;
    for message in messages {
        client.conn.send(&(*message).into(), client.now, &mut client.pool).unwrap();
        let wire = client.write(usize::MAX);
        wire_len += wire.len();
        let (front, back) = wire.split_at(wire.len() / 2);
        assert_eq!([server.receive(front), server.receive(back)].concat(), [*message]);
        // And back, in one piece.
        server.conn.send(&(*message).into(), server.now, &mut server.pool).unwrap();
        let wire = server.write(usize::MAX);
        assert_eq!(client.receive(&wire), [*message]);
    }
    wire_len
}

#[test]
fn compressed_messages_arrive_and_a_kept_window_makes_them_smaller() {
    let long = r#"{"symbol":"TAIWA","price":1234.5,"size":100}"#.repeat(20);
    let other = long.replace("TAIWA", "対話");
    let messages = [&long, "short", &other, "", &long];
    let params = |no_context_takeover| deflate::Params {
        server_no_context_takeover: no_context_takeover,
        client_no_context_takeover: no_context_takeover,
        server_max_window_bits: 15,
        client_max_window_bits: 10,
    };
    let fresh = compressed_round_trip(params(true), &messages);
    let kept = compressed_round_trip(params(false), &messages);
    assert!(kept < fresh && fresh < long.len(), "{kept} < {fresh}");
}

#[test]
fn what_does_not_compress_goes_out_plain_unless_the_window_needs_it() {
    let mut noise = 1_u64;
    let random: String = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        char::from(b'0' + (noise >> 58) as u8)
    })
    .take(64)
    .collect();
    let params = |no_context_takeover| deflate::Params {
        server_no_context_takeover: no_context_takeover,
        client_no_context_takeover: no_context_takeover,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    let long = random.repeat(5);
    let messages = [&*random, &long, &random];
    let plain = 2 * (64 + 6) + (320 + 8);
    assert!(compressed_round_trip(params(true), &messages) < plain);
    assert!(compressed_round_trip(params(false), &messages) < plain);
}

#[test]
fn the_buffer_of_a_large_message_that_has_gone_takes_in_the_next_one() {
    let mut server = Peer::server();
    let wire = frame(0x82, &vec![7; 300_000]);
    let (head, rest) = wire.split_at(1000);
    let keeps = |it: &mut Peer| it.pool.age(it.now).is_some();
    for is_first in [true, false] {
        server.receive(head);
        let (buffer, room) = server.conn.spare().expect("a large message");
        let is_whole = buffer.capacity() == 300_000;
        assert_eq!((is_whole, room == rest.len()), (!is_first, !is_first), "grown as it arrives");
        assert!(!keeps(&mut server), "taken");
        let mut bytes = rest.to_vec();
        let mut input = Input::new(&mut bytes);
        let event = server.conn.receive(&mut input, server.now, &mut server.pool);
        let Some(Event::Message(payload)) = event else { panic!("{event:?}") };
        let message = payload.into_message();
        server.conn.send(&message, server.now, &mut server.pool).unwrap();
        if is_first {
            drop(message);
            server.write(usize::MAX);
        } else {
            server.write(usize::MAX);
            assert!(!keeps(&mut server), "somebody else has it");
            server.pool.take_back(message);
        }
        assert!(keeps(&mut server));
    }
    server.now += SECOND;
    assert!(!keeps(&mut server), "nobody needed it for a second");
}
