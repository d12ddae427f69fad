//! The table of violations: what a client can do wrong over HTTP/3, and the code that answers it.

use taiwa_h3::{error::Code, frame::FrameType, varint::VarInt};

use super::{Outcome, control, frame, get, head, headers, websocket};

/// Frames that bring nothing, of which a server takes so many in a row.
const IDLE_FRAMES_MAX: usize = 1000;

/// What the client does, in this order.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes on its control stream, behind the SETTINGS.
    Control(Vec<u8>),
    /// Ends the control stream.
    EndControl,
    /// Resets the control stream.
    ResetControl,
    /// Opens a stream in its own direction.
    Uni(Vec<u8>),
    /// The same, and ends it.
    UniEnd(Vec<u8>),
    /// Opens a request stream.
    Bidi(Vec<u8>),
    /// The same, and ends it.
    BidiEnd(Vec<u8>),
    /// Sends a datagram.
    Datagram(Vec<u8>),
}

/// A rule and how to break it; or one that looks broken and is not.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What is done.
    pub what: String,
    /// The clause that says what comes of it.
    pub clause: &'static str,
    /// Whether the client has a control stream with SETTINGS of its own at first.
    pub has_control: bool,
    /// What it does.
    pub acts: Vec<Act>,
    /// What comes of it; of a request stream the last one that was opened.
    pub outcome: Outcome,
}

/// Collects rows.
#[derive(Default)]
struct Table(Vec<Violation>);

impl Table {
    fn row(
        &mut self,
        what: impl Into<String>,
        clause: &'static str,
        outcome: Outcome,
        acts: impl IntoIterator<Item = Act>,
    ) -> &mut Violation {
        let (what, acts) = (what.into(), acts.into_iter().collect());
        self.0.push(Violation { what, clause, has_control: true, acts, outcome });
        self.0.last_mut().expect("pushed the line before")
    }

    /// A request that ends behind `bytes`.
    fn request(
        &mut self,
        what: impl Into<String>,
        clause: &'static str,
        outcome: Outcome,
        bytes: Vec<u8>,
    ) {
        self.row(what, clause, outcome, [Act::BidiEnd(bytes)]);
    }
}

/// Returns all rows.
pub fn table() -> Vec<Violation> {
    let mut table = Table::default();
    critical_streams(&mut table);
    settings(&mut table);
    control_frames(&mut table);
    qpack(&mut table);
    sequences(&mut table);
    malformed(&mut table);
    targets(&mut table);
    too_large(&mut table);
    datagrams(&mut table);
    tolerated(&mut table);
    table.0
}

/// What a connection is closed with.
const fn closes(code: Code) -> Outcome {
    Outcome::Closes(code)
}

const MALFORMED: Outcome = Outcome::Resets(Code::MESSAGE_ERROR);
const OK: Outcome = Outcome::Answers(200);

/// The client's types of streams: control, push, and those of QPACK.
const CONTROL: u8 = 0;
const PUSH: u8 = 1;
const ENCODER: u8 = 2;
const DECODER: u8 = 3;

fn numbers(numbers: &[u64]) -> Vec<u8> {
    let mut out = vec![];
    numbers.iter().for_each(|it| VarInt::new(*it).expect("below 2^62").write(&mut out));
    out
}

fn critical_streams(table: &mut Table) {
    let creation = closes(Code::STREAM_CREATION_ERROR);
    table.row("second control stream", "RFC 9114 §6.2.1", creation, [Act::Uni(control())]);
    table.row("push of a client", "RFC 9114 §6.2.2", creation, [Act::Uni(vec![PUSH, 0])]);
    for (name, kind) in [("encoder", ENCODER), ("decoder", DECODER)] {
        let what = format!("second {name} stream");
        let twice = [Act::Uni(vec![kind]), Act::Uni(vec![kind])];
        table.row(what, "RFC 9204 §4.2", creation, twice);
        let what = format!("{name} stream ends");
        let end = closes(Code::CLOSED_CRITICAL_STREAM);
        table.row(what, "RFC 9204 §4.2", end, [Act::UniEnd(vec![kind])]);
    }
    let end = closes(Code::CLOSED_CRITICAL_STREAM);
    table.row("control stream ends", "RFC 9114 §6.2.1", end, [Act::EndControl]);
    table.row("control stream is reset", "RFC 9114 §6.2.1", end, [Act::ResetControl]);
    let missing = closes(Code::MISSING_SETTINGS);
    for (name, first) in [("GOAWAY", frame(7, &[0])), ("reserved frame", frame(0x21, b"x"))] {
        let bytes = [&[CONTROL][..], &first].concat();
        let what = format!("{name} before SETTINGS");
        table.row(what, "RFC 9114 §6.2.1", missing, [Act::Uni(bytes)]).has_control = false;
    }
}

fn settings(table: &mut Table) {
    let mut row = |what: &str, clause, code, payload: &[u8]| {
        let bytes = [&[CONTROL][..], &frame(4, payload)].concat();
        table.row(what, clause, closes(code), [Act::Uni(bytes)]).has_control = false;
    };
    for id in [0, 2, 3, 4, 5] {
        let what = format!("setting {id:#x} of HTTP/2");
        row(&what, "RFC 9114 §7.2.4.1", Code::SETTINGS_ERROR, &numbers(&[id, 1]));
    }
    let twice = numbers(&[6, 1000, 6, 1000]);
    row("setting comes twice", "RFC 9114 §7.2.4", Code::SETTINGS_ERROR, &twice);
    let two = numbers(&[8, 2]);
    row("SETTINGS_ENABLE_CONNECT_PROTOCOL of 2", "RFC 8441 §3", Code::SETTINGS_ERROR, &two);
    let two = numbers(&[0x33, 2]);
    row("SETTINGS_H3_DATAGRAM of 2", "RFC 9297 §2.1.1", Code::SETTINGS_ERROR, &two);
    row("SETTINGS end within a setting", "RFC 9114 §7.1", Code::FRAME_ERROR, &numbers(&[6]));
    let many: Vec<u64> = (0..200).flat_map(|it| [0x1000 + it, it]).collect();
    row("200 settings", "RFC 9114 §10.5", Code::EXCESSIVE_LOAD, &numbers(&many));
    let announced = [&[CONTROL, 4][..], &numbers(&[1 << 61])].concat();
    let outcome = closes(Code::EXCESSIVE_LOAD);
    let acts = [Act::Uni(announced)];
    table.row("SETTINGS of 2^61 bytes", "RFC 9114 §10.5", outcome, acts).has_control = false;
}

fn control_frames(table: &mut Table) {
    let mut row = |what: &str, clause, code, frames: &[Vec<u8>]| {
        table.row(what, clause, closes(code), [Act::Control(frames.concat())]);
    };
    row("second SETTINGS", "RFC 9114 §7.2.4", Code::FRAME_UNEXPECTED, &[frame(4, &[])]);
    for kind in [0, 1, 5] {
        let what = format!("frame {kind:#x} on the control stream");
        row(&what, "RFC 9114 §7.2", Code::FRAME_UNEXPECTED, &[frame(kind, &[0, 0])]);
    }
    for kind in [2, 6, 8, 9] {
        let what = format!("frame {kind:#x} of HTTP/2 on the control stream");
        row(&what, "RFC 9114 §7.2.8", Code::FRAME_UNEXPECTED, &[frame(kind, &[0; 8])]);
    }
    let raised = [frame(7, &[4]), frame(7, &[8])];
    row("GOAWAY with a larger identifier", "RFC 9114 §5.2", Code::ID_ERROR, &raised);
    let long = [frame(7, &[4, 4])];
    row("GOAWAY with a byte behind it", "RFC 9114 §7.1", Code::FRAME_ERROR, &long);
    row("GOAWAY without a number", "RFC 9114 §7.1", Code::FRAME_ERROR, &[frame(7, &[])]);
    let reduced = [frame(13, &[8]), frame(13, &[4])];
    row("MAX_PUSH_ID is reduced", "RFC 9114 §7.2.7", Code::ID_ERROR, &reduced);
    row("CANCEL_PUSH of no push", "RFC 9114 §7.2.3", Code::ID_ERROR, &[frame(3, &[0])]);
}

fn qpack(table: &mut Table) {
    let encoder = closes(Code::QPACK_ENCODER_STREAM_ERROR);
    let decoder = closes(Code::QPACK_DECODER_STREAM_ERROR);
    let rows: [(&str, &str, Outcome, &[u8]); 7] = [
        ("dynamic table capacity over 0", "RFC 9204 §4.3.1", encoder, &[ENCODER, 0x3f, 0x01]),
        ("insert with a name of the table", "RFC 9204 §3.2.2", encoder, &[ENCODER, 0xc1, 1, b'/']),
        ("insert with a name of its own", "RFC 9204 §3.2.2", encoder, &[ENCODER, 0x41, b'a', 0]),
        ("duplicate of nothing", "RFC 9204 §2.2.3", encoder, &[ENCODER, 0x00]),
        ("section acknowledged", "RFC 9204 §4.4.1", decoder, &[DECODER, 0x80]),
        ("insert count raised by 0", "RFC 9204 §4.4.3", decoder, &[DECODER, 0x00]),
        ("insert count raised by 1", "RFC 9204 §4.4.3", decoder, &[DECODER, 0x01]),
    ];
    for (what, clause, outcome, bytes) in rows {
        table.row(what, clause, outcome, [Act::Uni(bytes.to_vec())]);
    }
    let endless = [&[DECODER, 0x7f][..], &[0x80; 20]].concat();
    table.row("cancellation without end", "RFC 9204 §7.4", decoder, [Act::Uni(endless)]);
    let failed = closes(Code::QPACK_DECOMPRESSION_FAILED);
    let rows: [(&str, &str, &[u8]); 13] = [
        ("section that requires inserts", "RFC 9204 §4.5.1.1", &[2, 0, 0x80]),
        ("negative Base", "RFC 9204 §4.5.1.2", &[0, 0x80]),
        ("indexed line of the dynamic table", "RFC 9204 §2.2.3", &[0, 0, 0x80]),
        ("indexed line behind the Base", "RFC 9204 §2.2.3", &[0, 0, 0x10]),
        ("name of the dynamic table", "RFC 9204 §2.2.3", &[0, 0, 0x40, 0]),
        ("name behind the Base", "RFC 9204 §2.2.3", &[0, 0, 0x00, 0]),
        ("entry 99 of the static table", "RFC 9204 §3.1", &[0, 0, 0xff, 36]),
        ("section without a prefix", "RFC 9204 §2.2", &[]),
        ("section that ends within a line", "RFC 9204 §2.2", &[0, 0, 0x51, 9, b'/']),
        ("string with EOS", "RFC 7541 §5.2", &[0, 0, 0x51, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("string with padding of eight bits", "RFC 7541 §5.2", &[0, 0, 0x51, 0x82, 0x07, 0xff]),
        ("string padded with zeros", "RFC 7541 §5.2", &[0, 0, 0x51, 0x81, 0x00]),
        (
            "integer over 62 bits",
            "RFC 9204 §4.1.1",
            &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ),
    ];
    for (what, clause, section) in rows {
        table.request(what, clause, failed, frame(1, section));
    }
}

/// Frames in an order that no message has.
fn sequences(table: &mut Table) {
    let unexpected = closes(Code::FRAME_UNEXPECTED);
    let (get, trailers) = (head(&get()), headers(&[("a", "b")]));
    let mut row = |what: &str, clause, frames: &[&[u8]]| {
        table.request(what, clause, unexpected, frames.concat());
    };
    row("DATA before HEADERS", "RFC 9114 §4.1", &[&frame(0, b"x"), &get]);
    row("DATA behind trailers", "RFC 9114 §4.1", &[&get, &trailers, &frame(0, b"x")]);
    row("HEADERS behind trailers", "RFC 9114 §4.1", &[&get, &trailers, &trailers]);
    for kind in [3, 4, 7, 13] {
        let what = format!("frame {kind:#x} of the control stream");
        row(&what, "RFC 9114 §7.2", &[&frame(kind, &[0])]);
        row(&format!("{what} behind a head"), "RFC 9114 §7.2", &[&get, &frame(kind, &[0])]);
    }
    row("PUSH_PROMISE of a client", "RFC 9114 §7.2.5", &[&get, &frame(5, &[0, 0, 0])]);
    for kind in [2, 6, 8, 9] {
        row(
            &format!("frame {kind:#x} of HTTP/2"),
            "RFC 9114 §7.2.8",
            &[&get, &frame(kind, &[0; 8])],
        );
    }
    let tunnel = head(&websocket("/"));
    row("HEADERS in a tunnel", "RFC 9114 §4.4", &[&tunnel, &frame(0, b"x"), &trailers]);
    let cut = closes(Code::FRAME_ERROR);
    let clause = "RFC 9114 §7.1";
    table.request("stream ends within HEADERS", clause, cut, get[..get.len() - 1].to_vec());
    table.request("stream ends within DATA", clause, cut, [&get[..], &[0, 5, b'x']].concat());
    table.request("stream ends within a length", clause, cut, [&get[..], &[0, 0x40]].concat());
    let incomplete = Outcome::Resets(Code::REQUEST_INCOMPLETE);
    table.request("stream ends without a request", "RFC 9114 §4.1", incomplete, vec![]);
    let idle = frame(0x21, &[]).repeat(IDLE_FRAMES_MAX + 1);
    let load = closes(Code::EXCESSIVE_LOAD);
    table.request("unknown frames without end", "RFC 9114 §10.5", load, idle);
    let idle = frame(0, &[]).repeat(IDLE_FRAMES_MAX + 1);
    table.request("empty DATA without end", "RFC 9114 §10.5", load, [&get[..], &idle].concat());
    let announced = [&get[..], &[0x41, 0]].concat();
    table.request("WT_STREAM behind a head", "draft-ietf-webtrans-http3 §4.3", cut, announced);
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];

/// Field lines that no message has.
fn malformed(table: &mut Table) {
    let mut row = |what: &str, clause, lines: &[(&str, &str)]| {
        table.request(what, clause, MALFORMED, headers(&[&GET, lines].concat()));
    };
    row("field name in upper case", "RFC 9114 §4.2", &[("Accept", "x")]);
    for name in ["", "a b", "a:", "naïve", "a\0"] {
        row(&format!("field name {name:?}"), "RFC 9114 §10.3", &[(name, "x")]);
    }
    for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b"] {
        row(&format!("field value {value:?}"), "RFC 9114 §10.3", &[("a", value)]);
    }
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        row(&format!("field {name}"), "RFC 9114 §4.2", &[(name, "x")]);
    }
    row("te that is not trailers", "RFC 9114 §4.2", &[("te", "gzip")]);
    row("pseudo-header field behind others", "RFC 9114 §4.3", &[("a", "b"), (":protocol", "x")]);
    row("pseudo-header field twice", "RFC 9114 §4.3.1", &[(":path", "/")]);
    row("pseudo-header field of a response", "RFC 9114 §4.3", &[(":status", "200")]);
    row("pseudo-header field that is unknown", "RFC 9114 §4.3", &[(":x", "y")]);
    row("Host that differs", "RFC 9114 §4.3.1", &[("host", "elsewhere")]);
    row("two Hosts", "RFC 9110 §7.2", &[("host", "localhost"), ("host", "localhost")]);
    let trailers = headers(&[(":path", "/")]);
    let bytes = [&head(&get())[..], &trailers].concat();
    table.request("pseudo-header field in trailers", "RFC 9114 §4.3", MALFORMED, bytes);
    for (what, length) in [("more", "1"), ("less", "9"), ("and no number of", "x")] {
        let head = headers(&[&GET[..], &[("content-length", length)]].concat());
        let bytes = [&head[..], &frame(0, b"four")].concat();
        table.request(
            format!("{what} content than announced"),
            "RFC 9114 §4.1.2",
            MALFORMED,
            bytes,
        );
    }
}

/// Pseudo-header fields that make no request.
fn targets(table: &mut Table) {
    let mut row = |what: String, clause, but: (&str, &str), lines: &[(&'static str, &str)]| {
        let mut lines = lines.to_vec();
        lines.retain(|it| it.0 != but.0);
        if but.1 != "-" {
            lines.push((but.0, but.1));
        }
        table.request(what, clause, MALFORMED, headers(&lines));
    };
    for (name, _) in GET {
        row(format!("request without {name}"), "RFC 9114 §4.3.1", (name, "-"), &GET);
        row(format!("request with an empty {name}"), "RFC 9114 §4.3.1", (name, ""), &GET);
    }
    row("path without a slash".into(), "RFC 9114 §4.3.1", (":path", "x"), &GET);
    row("star without OPTIONS".into(), "RFC 9114 §4.3.1", (":path", "*"), &GET);
    row("authority with a user".into(), "RFC 9114 §4.3.1", (":authority", "a@localhost"), &GET);
    row("method with a space".into(), "RFC 9110 §9.1", (":method", "G T"), &GET);
    row(":protocol without CONNECT".into(), "RFC 8441 §4", (":protocol", "websocket"), &GET);
    row("CONNECT with :path".into(), "RFC 9114 §4.4", (":method", "CONNECT"), &GET);
    let websocket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
    ];
    for name in [":scheme", ":path", ":authority"] {
        let what = format!("extended CONNECT without {name}");
        row(what, "RFC 8441 §4", (name, "-"), &websocket);
    }
    row("protocol of two words".into(), "RFC 8441 §4", (":protocol", "web socket"), &websocket);
}

/// Bombs: what is small as it is sent and large as it is read.
fn too_large(table: &mut Table) {
    let refused = Outcome::Answers(431);
    let indexed = [&[0, 0][..], &[0xc0 | 58; 10_000]].concat();
    let rows = [
        ("10,000 indexed lines in a byte each", indexed),
        ("200 fields of a byte", [&[0, 0][..], &[0x21, b'a', 0].repeat(200)].concat()),
        ("value over the limit", [&[0, 0, 0x51, 0x7f, 0xe1, 0x7f][..], &[b'x'; 16_480]].concat()),
        // A zero byte in each five bits.
        ("Huffman bomb", [&[0, 0, 0x51, 0xff, 0xe1, 0x59][..], &[0; 11_616]].concat()),
    ];
    for (what, section) in rows {
        table.request(what, "RFC 9114 §4.2.2", refused, frame(FrameType::HEADERS.get(), &section));
    }
    let announced = [&[1][..], &numbers(&[1 << 61])].concat();
    let acts = [Act::Bidi([&announced[..], &[0; 1000]].concat())];
    table.row("HEADERS of 2^61 bytes", "RFC 9114 §4.2.2", refused, acts);
}

fn datagrams(table: &mut Table) {
    let wrong = closes(Code::DATAGRAM_ERROR);
    let clause = "RFC 9297 §2.1";
    table.row("datagram without a stream", clause, wrong, [Act::Datagram(vec![])]);
    let large = numbers(&[1 << 60]);
    table.row("datagram of stream 2^62", clause, wrong, [Act::Datagram(large)]);
}

/// What looks wrong and is right: the request behind it is answered.
fn tolerated(table: &mut Table) {
    let ask = || Act::BidiEnd(head(&get()));
    let mut row = |what: &str, clause, act: Act| {
        table.row(what, clause, OK, [act, ask()]);
    };
    row("unknown frame on the control stream", "RFC 9114 §9", Act::Control(frame(0x21, b"xyz")));
    row("PRIORITY_UPDATE", "RFC 9218 §7.2", Act::Control(frame(0xf0700, b"\0u=1")));
    row("GOAWAY of a client", "RFC 9114 §5.2", Act::Control(frame(7, &[3])));
    row("MAX_PUSH_ID of a client", "RFC 9114 §7.2.7", Act::Control(frame(13, &[3])));
    row("stream of unknown type", "RFC 9114 §6.2", Act::Uni(numbers(&[0x21, 7])));
    row("stream that ends before its type", "RFC 9114 §6.2", Act::UniEnd(vec![0x40]));
    row("dynamic table capacity of 0", "RFC 9204 §4.3.1", Act::Uni(vec![ENCODER, 0x20]));
    row("stream cancellation", "RFC 9204 §4.4.2", Act::Uni(vec![DECODER, 0x44]));
    row("datagram of nobody", "RFC 9297 §2.1", Act::Datagram(vec![7, b'x']));
    let ahead = [&frame(0x21, b"x")[..], &head(&get())].concat();
    table.request("unknown frame before a head", "RFC 9114 §9", OK, ahead);
    let behind = [&head(&get())[..], &frame(0x40, b"x"), &frame(0, b"y"), &frame(0x21, b"")];
    table.request("unknown frames around content", "RFC 9114 §9", OK, behind.concat());
    let te = headers(&[&GET[..], &[("te", "trailers")]].concat());
    table.request("te of trailers", "RFC 9114 §4.2", OK, te);
    let mut long = head(&get());
    long.splice(..2, [0x40, 1, 0x80, 0, 0, long[1]]);
    table.request("type and length in more bytes than needed", "RFC 9000 §16", OK, long);
    let acts = [ask()];
    table.row("request before SETTINGS", "RFC 9114 §7.2.4.2", OK, acts).has_control = false;
}
