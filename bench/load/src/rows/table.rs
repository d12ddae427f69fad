//! The rows, in the order in which they are measured.

use bench_order::Over;

use super::{Carried, Kind, Row};
use crate::{engine::Way, handshake::Compression, messages::Content};

const ALWAYS: usize = usize::MAX;
/// Rounds of a row that takes long, or whose figures lie close together.
const SOME: usize = 3;

const fn binary(message_bytes: usize, outstanding: usize) -> Kind {
    let (content, compression) = (Content::Binary, Compression::None);
    Kind::Echo { content, message_bytes, outstanding, compression }
}

const fn text(content: Content) -> Kind {
    let (outstanding, compression) = (16, Compression::None);
    Kind::Echo { content, message_bytes: 1024, outstanding, compression }
}

const fn over(over: Over, what: Carried, lines: usize) -> Kind {
    Kind::Carried { over, what, lines }
}

pub(crate) const ROWS: [Row; 54] = [
    Row {
        name: "echo-16",
        told: "echo of 16 B, 64 connections",
        kind: binary(16, 1),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16k",
        told: "echo of 16 KiB, 64 connections",
        kind: binary(16 << 10, 1),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16-c1000",
        told: "echo of 16 B, 1,000 connections",
        kind: binary(16, 1),
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "echo-16-x16",
        told: "echo of 16 B, 64 connections, 16 outstanding on each",
        kind: binary(16, 16),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-1k-x16",
        told: "echo of 1 KiB, 64 connections, 16 outstanding on each",
        kind: binary(1 << 10, 16),
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "echo-16k-x16",
        told: "echo of 16 KiB, 64 connections, 16 outstanding on each",
        kind: binary(16 << 10, 16),
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "echo-latin-x16",
        told: "echo of 1 KiB of text, European, 64 connections, 16 outstanding on each",
        kind: text(Content::Latin),
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "echo-japanese-x16",
        told: "echo of 1 KiB of text, Japanese, 64 connections, 16 outstanding on each",
        kind: text(Content::Japanese),
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "echo-deflate",
        told: "echo of 512 B of JSON, compressed, 64 connections",
        kind: Kind::Echo {
            content: Content::Json,
            message_bytes: 512,
            outstanding: 1,
            compression: Compression::Deflate,
        },
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "echo-1m",
        told: "echo of 1 MiB, 4 connections",
        kind: binary(1 << 20, 1),
        connections: 4,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16m",
        told: "echo of 16 MiB, 2 connections",
        kind: binary(16 << 20, 1),
        connections: 2,
        rounds_max: SOME,
    },
    Row {
        name: "handshakes",
        told: "open and close, 64 at once",
        kind: Kind::Handshakes,
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "idle",
        told: "10,000 idle connections",
        kind: Kind::Idle,
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "fan-out",
        told: "512 B to 1,000 connections",
        kind: Kind::FanOut { message_bytes: 512, compression: Compression::None },
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-deflate",
        told: "512 B to 1,000 connections, compressed",
        kind: Kind::FanOut { message_bytes: 512, compression: Compression::Deflate },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "take-1g",
        told: "one message of 1 GiB, received; rate in MiB",
        kind: Kind::Take,
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "give-1g",
        told: "one message of 1 GiB, sent; rate in MiB",
        kind: Kind::Give,
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "publish-64-1k",
        told: "64 B published to 1,000 subscribers",
        kind: Kind::Publish { message_bytes: 64, burst: 1 },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-64-1k-x16",
        told: "64 B published to 1,000 subscribers, 16 at once",
        kind: Kind::Publish { message_bytes: 64, burst: 16 },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-64-10k",
        told: "64 B published to 10,000 subscribers",
        kind: Kind::Publish { message_bytes: 64, burst: 1 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-64-10k-x16",
        told: "64 B published to 10,000 subscribers, 16 at once",
        kind: Kind::Publish { message_bytes: 64, burst: 16 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-1k",
        told: "published to 1,000 subscribers",
        kind: Kind::Publish { message_bytes: 512, burst: 1 },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-1k-x16",
        told: "published to 1,000 subscribers, 16 at once",
        kind: Kind::Publish { message_bytes: 512, burst: 16 },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-10k",
        told: "published to 10,000 subscribers",
        kind: Kind::Publish { message_bytes: 512, burst: 1 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-10k-x16",
        told: "published to 10,000 subscribers, 16 at once",
        kind: Kind::Publish { message_bytes: 512, burst: 16 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "resume",
        told: "10,000 sessions cut at once come back and miss nothing",
        kind: Kind::Resume,
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "sessions-1",
        told: "10,000 sessions in one channel",
        kind: Kind::Sessions { channels: 1 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "sessions",
        told: "10,000 sessions in two channels each",
        kind: Kind::Sessions { channels: 2 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "newcomers",
        told: "a newcomer's wait while 15,000 sessions end at once",
        kind: Kind::Newcomers,
        connections: 15_000,
        rounds_max: SOME,
    },
    Row {
        name: "socketio-websocket",
        told: "Socket.IO: open by WebSocket, be let in, leave; 64 at once",
        kind: Kind::SocketIo(Way::WebSocket),
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "socketio-upgrade",
        told: "Socket.IO: open by polls, be let in, change to a WebSocket, leave; 64 at once",
        kind: Kind::SocketIo(Way::Upgrade),
        connections: 64,
        rounds_max: SOME,
    },
    Row {
        name: "two-shards-echo",
        told: "echo of 16 B, 128 connections, load and server on as many cores as there are shards",
        kind: Kind::ShardsEcho,
        connections: 128,
        rounds_max: ALWAYS,
    },
    Row {
        name: "two-shards-publish",
        told: "64 B published to 1,000 subscribers, load and server on as many cores as there are shards",
        kind: Kind::ShardsPublish,
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "slow-reader",
        told: "64 MiB published to one who reads nothing",
        kind: Kind::SlowReader,
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "across-1",
        told: "one node to another, 1 subscriber, nothing is kept; rate in publications",
        kind: Kind::Across { kept: false, per_second: 1000 },
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "across-100",
        told: "one node to another, 100 subscribers, nothing is kept; rate in publications",
        kind: Kind::Across { kept: false, per_second: 200 },
        connections: 100,
        rounds_max: SOME,
    },
    Row {
        name: "across-kept-1",
        told: "one node to another, 1 subscriber, kept for who comes back; rate in publications",
        kind: Kind::Across { kept: true, per_second: 1000 },
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "across-kept-100",
        told: "one node to another, 100 subscribers, kept for who comes back; rate in publications",
        kind: Kind::Across { kept: true, per_second: 200 },
        connections: 100,
        rounds_max: SOME,
    },
    Row {
        name: "echo-16-h1c",
        told: "echo of 16 B over HTTP/1.1 in the clear, 64 WebSockets, a connection each",
        kind: over(Over::Http1Clear, Carried::Echo { message_bytes: 16 }, 64),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16-h2c",
        told: "echo of 16 B over HTTP/2 in the clear, 64 WebSockets, on 4 connections",
        kind: over(Over::Http2Clear, Carried::Echo { message_bytes: 16 }, 4),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16-h1",
        told: "echo of 16 B over HTTP/1.1 and TLS, 64 WebSockets, a connection each",
        kind: over(Over::Http1, Carried::Echo { message_bytes: 16 }, 64),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16-h2",
        told: "echo of 16 B over HTTP/2 and TLS, 64 WebSockets, on 4 connections",
        kind: over(Over::Http2, Carried::Echo { message_bytes: 16 }, 4),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16-h3",
        told: "echo of 16 B over HTTP/3, 64 WebSockets, on 4 connections",
        kind: over(Over::Http3, Carried::Echo { message_bytes: 16 }, 4),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-h1c",
        told: "512 B over HTTP/1.1 in the clear to 1,000 WebSockets, a connection each",
        kind: over(Over::Http1Clear, Carried::FanOut { message_bytes: 512 }, 1000),
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-h2c",
        told: "512 B over HTTP/2 in the clear to 1,000 WebSockets, on 10 connections",
        kind: over(Over::Http2Clear, Carried::FanOut { message_bytes: 512 }, 10),
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-h1",
        told: "512 B over HTTP/1.1 and TLS to 1,000 WebSockets, a connection each",
        kind: over(Over::Http1, Carried::FanOut { message_bytes: 512 }, 1000),
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-h2",
        told: "512 B over HTTP/2 and TLS to 1,000 WebSockets, on 10 connections",
        kind: over(Over::Http2, Carried::FanOut { message_bytes: 512 }, 10),
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-h3",
        told: "512 B over HTTP/3 to 1,000 WebSockets, on 10 connections",
        kind: over(Over::Http3, Carried::FanOut { message_bytes: 512 }, 10),
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "idle-h1",
        told: "10,000 idle WebSockets over HTTP/1.1 and TLS, a connection each",
        kind: over(Over::Http1, Carried::Idle, 10_000),
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "idle-h2",
        told: "10,000 idle WebSockets over HTTP/2 and TLS, on 100 connections",
        kind: over(Over::Http2, Carried::Idle, 100),
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "idle-h3",
        told: "10,000 idle WebSockets over HTTP/3, on 100 connections",
        kind: over(Over::Http3, Carried::Idle, 100),
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "handshakes-h1",
        told: "open and close over HTTP/1.1 and TLS, 64 at once",
        kind: over(Over::Http1, Carried::Handshakes, 64),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "datagrams-echo",
        told: "echo of datagrams of 100 B, 64 sessions of WebTransport",
        kind: over(Over::WebTransport, Carried::DatagramsEchoed, 64),
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "datagrams-take",
        told: "datagrams of 1,000 B to the server, 4 sessions of WebTransport",
        kind: over(Over::WebTransport, Carried::DatagramsTaken, 4),
        connections: 4,
        rounds_max: ALWAYS,
    },
];
