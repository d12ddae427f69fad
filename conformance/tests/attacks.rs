//! Attacks on memory and time, against the binary in a process of its own: what the kernel says it
//! took, what the attacker got, and that everybody else is still served.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use taiwa_conformance::{
    Ends, Sender,
    frames::deflated,
    process::Process,
    raw::{Raw, RawClient},
};
use taiwa_proto::{Config, Role};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What a connection may take beyond its message.
const BESIDES: usize = 256 * KIB;
const US: Sender = Sender(Role::Client);

/// One row of the table.
struct Attack {
    args: &'static [&'static str],
    connections: usize,
    /// What is allowed for a message: `--message-max`, or less where less is sent.
    message: usize,
    /// Processor time of the server in a debug build; a quadratic one would need minutes.
    cpu_max: Duration,
}

impl Attack {
    /// Runs `act` with all connections open, and measures.
    #[track_caller]
    fn run(&self, name: &str, act: impl FnOnce(&Process) -> Vec<Raw>) {
        let server = Process::serve(self.args);
        // Threads, lazily made tables and the first buffers are no growth.
        for _ in 0..3 {
            server.echoes();
        }
        let (resident, cpu) = (server.resident(), server.cpu());
        let raws = act(&server);
        let (grown, cpu) = (server.resident_max().saturating_sub(resident), server.cpu() - cpu);
        server.echoes();
        drop(raws);
        let each = grown / self.connections;
        eprintln!("{name}: {} KiB a connection, {cpu:?} of processor time", each / KIB);
        assert!(each <= self.message + BESIDES, "{name}: {each} bytes a connection");
        assert!(cpu <= self.cpu_max, "{name}: {cpu:?} of processor time");
    }

    fn open(&self, server: &Process, path: &str, deflate: bool) -> Vec<Raw> {
        let connect = |_| RawClient::connect(server.addr(), path, deflate);
        (0..self.connections).map(connect).collect()
    }
}

/// The server says `code` and shuts down.
#[track_caller]
fn closed_with(raw: &mut Raw, code: u16, within: Duration) {
    let written = raw.read_to_end(within).expect("the server ends it");
    assert_eq!(written, Sender(Role::Server).close(code, b""));
}

/// The server drops the connection, whatever it said before.
#[track_caller]
fn dropped(raw: &mut Raw, within: Duration) {
    let start = Instant::now();
    let _ = raw.read_to_end(within);
    assert!(start.elapsed() < within, "still open");
}

#[test]
fn what_is_held_is_seen_by_the_measurement() {
    let server = Process::serve(&["--message-max", "64MiB"]);
    server.echoes();
    let (resident, cpu) = (server.resident(), server.cpu());
    let mut raw = RawClient::connect(server.addr(), "/echo", false);
    let frame = US.frame(0x82, &vec![7; 32 * MIB]);
    raw.write(&frame[..30 * MIB]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.resident_max() < resident + 28 * MIB || server.cpu() == cpu {
        assert!(Instant::now() < deadline, "{} {:?}", server.resident_max(), server.cpu());
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_million_pings_whose_answers_nobody_reads_cost_no_memory() {
    let attack = Attack {
        args: &["--message-max", "64KiB", "--write-timeout", "off"],
        connections: 20,
        message: 0,
        cpu_max: Duration::from_secs(30),
    };
    attack.run("pings", |server| {
        let mut raws = attack.open(server, "/echo", false);
        let pings = US.frame(0x89, &[b'x'; 125]).repeat(1_000_000 / 20);
        for raw in &mut raws {
            let written = raw.write_until_stalled(&pings, Duration::from_secs(2));
            assert_eq!(written, pings.len(), "the newest wins, so nobody has to wait");
        }
        raws
    });
}

#[test]
fn tiny_and_empty_fragments_cost_their_bytes_and_end_at_the_limit() {
    for (name, rest) in [("fragments of one byte", b"x".as_slice()), ("empty fragments", b"")] {
        let attack = Attack {
            args: &["--message-max", "64KiB"],
            connections: 50,
            message: 0,
            cpu_max: Duration::from_secs(10),
        };
        attack.run(name, |server| {
            let mut raws = attack.open(server, "/echo", false);
            // 4096 in all are allowed.
            let fragments = [US.frame(1, b"x"), US.frame(0, rest).repeat(4095)].concat();
            raws.iter_mut().for_each(|it| it.write(&fragments));
            raws.iter_mut().for_each(|it| it.write(&US.frame(0, rest)));
            raws.iter_mut().for_each(|it| closed_with(it, 1008, Duration::from_secs(10)));
            raws
        });
    }
}

#[test]
fn text_in_a_million_fragments_costs_linear_time() {
    let attack = Attack {
        args: &["--message-max", "4MiB", "--fragments-max", "4000000000"],
        connections: 1,
        // Read, joined, and echoed.
        message: 12 * MIB,
        cpu_max: Duration::from_secs(20),
    };
    attack.run("a million fragments", |server| {
        let mut raws = attack.open(server, "/echo", false);
        let mut wire = US.frame(1, b"");
        let character = "対".as_bytes();
        for i in 0..1_000_000 {
            wire.extend(US.frame(0, &character[i % 3..=i % 3]));
        }
        // The last character is cut short.
        wire.extend(US.frame(0x80, b""));
        raws[0].write(&wire);
        closed_with(&mut raws[0], 1007, Duration::from_secs(20));
        raws
    });
}

#[test]
fn memory_grows_with_what_arrives_and_not_with_what_is_announced() {
    let attack = Attack {
        args: &["--message-max", "64MiB"],
        connections: 50,
        message: 0,
        cpu_max: Duration::from_secs(5),
    };
    attack.run("64 MiB announced", |server| {
        let mut raws = attack.open(server, "/echo", false);
        let announced = US.head(0x82, 127, &(64_u64 << 20).to_be_bytes());
        raws.iter_mut().for_each(|it| it.write(&[&announced[..], b"ten bytes."].concat()));
        sleep(Duration::from_millis(300));
        raws
    });
    attack.run("2^62 announced", |server| {
        let mut raws = attack.open(server, "/echo", false);
        let announced = US.head(0x82, 127, &(1_u64 << 62).to_be_bytes());
        raws.iter_mut().for_each(|it| it.write(&announced));
        raws.iter_mut().for_each(|it| closed_with(it, 1009, Duration::from_secs(5)));
        raws
    });
}

#[test]
fn a_message_that_is_kept_keeps_none_of_the_bytes_around_it() {
    // A thousand messages of one byte in one read, each of which somebody might keep for long.
    let mut server = Ends::new(Role::Server, Config::default(), None);
    let fragmented = [US.frame(2, b"x"), US.frame(0x80, b"y")].concat();
    server.receive(&[US.frame(0x82, b"x").repeat(1000), fragmented].concat());
    assert_eq!(server.messages.len(), 1001);
    for message in server.messages {
        let len = message.as_bytes().len();
        let kept = message.into_bytes().try_into_mut().expect("nobody shares it").capacity();
        assert!(kept <= 2 * len + 64, "{kept} bytes kept for {len}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let attack = Attack {
        args: &["--message-max", "256KiB"],
        connections: 32,
        message: 256 * KIB,
        cpu_max: Duration::from_secs(10),
    };
    let bomb = deflated(&vec![0; 20 * MIB]);
    assert!(bomb.len() * 900 < 20 * MIB);
    attack.run("bombs", |server| {
        let mut raws = attack.open(server, "/echo", true);
        raws.iter_mut().for_each(|it| it.write(&US.frame(0xc2, &bomb)));
        raws.iter_mut().for_each(|it| closed_with(it, 1009, Duration::from_secs(10)));
        raws
    });
}

#[test]
fn heads_that_are_too_long_or_have_too_many_lines_are_refused() {
    let attack =
        Attack { args: &[], connections: 50, message: 0, cpu_max: Duration::from_secs(10) };
    let request = "GET /echo HTTP/1.1\r\nHost: x\r\n";
    let long = format!("{request}X: {}\r\n\r\n", "x".repeat(17 << 10));
    let endless = format!("{request}X: {}", "x".repeat(100 << 10));
    let many = format!("{request}{}\r\n", "X: y\r\n".repeat(150));
    for (name, head) in [("long heads", long), ("endless heads", endless), ("many lines", many)] {
        attack.run(name, |server| {
            let knock = |_| RawClient::knock(server.addr());
            let mut raws: Vec<_> = (0..attack.connections).map(knock).collect();
            for raw in &mut raws {
                raw.write_until_stalled(head.as_bytes(), Duration::from_millis(200));
                let answer = raw.read_head();
                assert!(answer.starts_with("HTTP/1.1 431 "), "{name}: {answer}");
            }
            raws
        });
    }
    attack.run("heads byte by byte", |server| {
        let mut raws: Vec<_> = (0..4).map(|_| RawClient::knock(server.addr())).collect();
        for byte in format!("{request}X: {}", "x".repeat(16 << 10)).bytes() {
            raws.iter_mut()
                .for_each(|it| _ = it.write_until_stalled(&[byte], Duration::from_secs(1)));
        }
        for raw in &mut raws {
            assert!(raw.read_head().starts_with("HTTP/1.1 431 "));
        }
        raws
    });
}

#[test]
fn handshakes_that_are_never_finished_are_dropped_in_time() {
    let attack = Attack {
        args: &["--handshake-timeout", "1s"],
        connections: 50,
        message: 0,
        cpu_max: Duration::from_secs(5),
    };
    let halves = ["", "GET /echo HT", "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"];
    for half in halves {
        attack.run("half handshakes", |server| {
            let knock = |_| RawClient::knock(server.addr());
            let mut raws: Vec<_> = (0..attack.connections).map(knock).collect();
            raws.iter_mut().for_each(|it| it.write(half.as_bytes()));
            let start = Instant::now();
            for raw in &mut raws {
                let answer = raw.read_to_end(Duration::from_secs(4)).expect("the server ends it");
                assert!(half.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{answer:x?}");
            }
            assert!(start.elapsed() < Duration::from_secs(4));
            raws
        });
    }
}

#[test]
fn who_sends_and_never_reads_is_held_up_and_then_dropped() {
    let attack = Attack {
        args: &["--message-max", "64KiB", "--outbox-max", "64KiB", "--write-timeout", "2s"],
        connections: 20,
        message: 64 * KIB,
        cpu_max: Duration::from_secs(20),
    };
    attack.run("slow readers", |server| {
        let mut raws = attack.open(server, "/echo", false);
        let flood = US.frame(0x82, &[7; 16 * KIB]).repeat(1024);
        for raw in &mut raws {
            let written = raw.write_until_stalled(&flood, Duration::from_millis(100));
            assert!(written < flood.len(), "16 MiB wait somewhere");
        }
        sleep(Duration::from_millis(2500));
        raws.iter_mut().for_each(|it| dropped(it, Duration::from_secs(5)));
        raws
    });
}

#[test]
fn a_message_that_drips_is_given_up_in_time() {
    let attack = Attack {
        args: &["--message-timeout", "1s"],
        connections: 30,
        message: 0,
        cpu_max: Duration::from_secs(5),
    };
    attack.run("drips", |server| {
        let mut raws = attack.open(server, "/echo", false);
        let frame = US.frame(0x82, &[7; 100]);
        let start = Instant::now();
        for byte in frame.iter().take(8) {
            raws.iter_mut()
                .for_each(|it| _ = it.write_until_stalled(&[*byte], Duration::from_secs(1)));
            sleep(Duration::from_millis(150));
        }
        raws.iter_mut().for_each(|it| closed_with(it, 1008, Duration::from_secs(3)));
        assert!(start.elapsed() < Duration::from_secs(5));
        raws
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_the_others_hear_everything() {
    let attack = Attack {
        args: &["--message-max", "64KiB", "--outbox-max", "64KiB", "--queue-max", "128KiB"],
        connections: 20,
        message: 64 * KIB,
        cpu_max: Duration::from_secs(30),
    };
    attack.run("slow subscribers", |server| {
        let mut raws = attack.open(server, "/room", false);
        let mut reader = RawClient::connect(server.addr(), "/room", false);
        let mut speaker = RawClient::connect(server.addr(), "/room", false);
        // Past what the kernel keeps for each of those who don't read. The reader is waited for, so that
        // it never falls behind.
        for i in 0..200_u32 {
            let said = [&i.to_be_bytes()[..], &[7; 32 * KIB]].concat();
            speaker.write(&US.frame(0x82, &said));
            assert_eq!(reader.read_message(Duration::from_secs(5)), said);
        }
        raws.iter_mut().for_each(|it| dropped(it, Duration::from_secs(10)));
        raws
    });
}
