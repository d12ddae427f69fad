//! The table of violations: what a peer can do wrong, and the close code that answers it.

use taiwa_proto::{Config, Fault, Limits, Role, deflate::Deflate};

use crate::frames::{Sender, deflated};

/// Bytes that a message may have in these tests.
pub const MESSAGE_BYTES_MAX: usize = 1000;
/// Frames that a message may have in these tests.
pub const FRAGMENTS_MAX: u32 = 16;

/// Limits for which the table is written.
pub fn config() -> Config {
    let limits = Limits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        fragments_max: FRAGMENTS_MAX,
        ..Limits::default()
    };
    let deflate = Deflate { keep_peer_context: true, ..Deflate::default() };
    Config { limits, deflate: Some(deflate), ..Config::default() }
}

/// A rule and how to break it.
pub struct Violation {
    /// What is done.
    pub what: String,
    /// The clause that is broken.
    pub clause: &'static str,
    /// With permessage-deflate agreed on.
    pub deflate: bool,
    /// Who breaks it; `None`: either role can.
    pub only: Option<Role>,
    /// The bytes, as that role would write them.
    pub wire: Box<dyn Fn(Sender) -> Vec<u8>>,
    /// What is found.
    pub fault: Fault,
    /// What the Close frame says.
    pub code: u16,
}

/// Collects rows.
#[derive(Default)]
struct Table {
    rows: Vec<Violation>,
    deflate: bool,
}

impl Table {
    fn row(
        &mut self,
        what: impl Into<String>,
        clause: &'static str,
        (fault, code): (Fault, u16),
        wire: impl Fn(Sender) -> Vec<u8> + 'static,
    ) -> &mut Violation {
        let (what, wire) = (what.into(), Box::new(wire));
        let deflate = self.deflate;
        self.rows.push(Violation { what, clause, deflate, only: None, wire, fault, code });
        self.rows.last_mut().expect("pushed the line before")
    }
}

/// Returns the whole table.
pub fn table() -> Vec<Violation> {
    let mut table = Table::default();
    headers(&mut table);
    sequences(&mut table);
    closes(&mut table);
    texts(&mut table);
    limits(&mut table);
    table.deflate = true;
    compressed(&mut table);
    table.rows
}

fn headers(table: &mut Table) {
    let clause = "§5.2: \"MUST be 0 unless an extension is negotiated\"";
    for (name, bit) in [("RSV1", 0x40), ("RSV2", 0x20), ("RSV3", 0x10), ("all three", 0x70)] {
        let found = (Fault::ReservedBit, 1002);
        table.row(format!("{name} on text"), clause, found, move |it| it.frame(0x81 | bit, b"x"));
        table.row(format!("{name} on ping"), clause, found, move |it| it.frame(0x89 | bit, b"x"));
    }
    for opcode in (3..8).chain(11..16) {
        let clause =
            "§5.2: \"If an unknown opcode is received, the receiving endpoint MUST _Fail\"";
        let found = (Fault::ReservedOpcode, 1002);
        table.row(format!("opcode {opcode}"), clause, found, move |it| {
            it.frame(0x80 | opcode, b"x")
        });
    }
    for first in [0x81, 0x82, 0x88, 0x89] {
        let clause = "§5.1: \"The server MUST close the connection upon receiving a frame that is not masked\"";
        let row =
            table.row(format!("unmasked {first:#x}"), clause, (Fault::Unmasked, 1002), move |it| {
                it.wrongly_masked(first)
            });
        row.only = Some(Role::Client);
        let clause = "§5.1: \"A client MUST close a connection if it detects a masked frame\"";
        let row =
            table.row(format!("masked {first:#x}"), clause, (Fault::Masked, 1002), move |it| {
                it.wrongly_masked(first)
            });
        row.only = Some(Role::Server);
    }
    let clause = "§5.2: \"the minimal number of bytes MUST be used to encode the length\"";
    let found = (Fault::LengthNotMinimal, 1002);
    table.row("125 in 16 bits", clause, found, |it| it.head(0x82, 126, &[0, 125]));
    table.row("0 in 64 bits", clause, found, |it| it.head(0x82, 127, &[0; 8]));
    table.row("65535 in 64 bits", clause, found, |it| {
        it.head(0x82, 127, &[0, 0, 0, 0, 0, 0, 255, 255])
    });
    let clause = "§5.2: \"the most significant bit MUST be 0\"";
    let found = (Fault::LengthTopBit, 1002);
    table.row("length 2^63", clause, found, |it| it.head(0x82, 127, &[128, 0, 0, 0, 0, 0, 0, 0]));
    table.row("length 2^64 - 1", clause, found, |it| it.head(0x82, 127, &[255; 8]));
    for (name, opcode) in [("close", 8), ("ping", 9), ("pong", 10)] {
        let clause = "§5.5: \"All control frames MUST have a payload length of 125 bytes or less\"";
        let found = (Fault::ControlTooLong, 1002);
        table.row(format!("{name} of 126 bytes"), clause, found, move |it| {
            it.frame(0x80 | opcode, &[b'x'; 126])
        });
        table.row(format!("{name} of 2^62 bytes"), clause, found, move |it| {
            it.head(0x80 | opcode, 127, &(1_u64 << 62).to_be_bytes())
        });
        let clause = "§5.5: \"and MUST NOT be fragmented\"";
        let found = (Fault::ControlFragmented, 1002);
        table.row(format!("{name} without FIN"), clause, found, move |it| it.frame(opcode, b""));
    }
}

fn sequences(table: &mut Table) {
    let clause = "§5.4: \"A fragmented message consists of a single frame with the FIN bit clear\"";
    let found = (Fault::UnexpectedContinuation, 1002);
    table.row("continuation first", clause, found, |it| it.frame(0x80, b"x"));
    table.row("continuation without FIN first", clause, found, |it| it.frame(0, b"x"));
    table.row("continuation behind a finished message", clause, found, |it| {
        [it.frame(0x89, b""), it.frame(0x80, b"x")].concat()
    });
    let clause = "§5.4: \"The fragments of one message MUST NOT be interleaved\"";
    let found = (Fault::ExpectedContinuation, 1002);
    table.row("text inside text", clause, found, |it| {
        [it.frame(1, b"x"), it.frame(0x81, b"y")].concat()
    });
    table.row("binary inside text", clause, found, |it| {
        [it.frame(1, b"x"), it.frame(0, b"x"), it.frame(0x82, b"y")].concat()
    });
    table.row("text without FIN inside binary", clause, found, |it| {
        [it.frame(2, b"x"), it.frame(0x89, b"ping"), it.frame(1, b"y")].concat()
    });
}

fn closes(table: &mut Table) {
    let clause = "§5.5.1: \"the first two bytes of the body MUST be a 2-byte unsigned integer\"";
    let found = (Fault::CloseTooShort, 1002);
    table.row("close of one byte", clause, found, |it| it.frame(0x88, &[3]));
    for code in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let clause =
            "§7.4.1: \"MUST NOT be set as a status code in a Close control frame by an endpoint\"";
        let found = (Fault::CloseCode(code.into()), 1002);
        table.row(format!("close code {code}"), clause, found, move |it| it.close(code, b""));
    }
    let clause = "§5.5.1: \"the body MAY contain UTF-8-encoded data\", §8.1";
    let found = (Fault::CloseReasonNotUtf8, 1007);
    table.row("bad byte in a reason", clause, found, |it| it.close(1000, b"x\xffx"));
    table.row("reason cut in a character", clause, found, |it| {
        it.close(1000, &"対".as_bytes()[..2])
    });
}

fn texts(table: &mut Table) {
    let clause = "§8.1: \"is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail\"";
    let found = (Fault::TextNotUtf8, 1007);
    let bad: [(&str, &[u8]); 7] = [
        ("a bad byte", b"good \xff bad"),
        ("a lone continuation byte", b"\x80"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong zero", b"\xe0\x80\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        ("a character cut short", b"\xe5\xaf"),
    ];
    for (name, text) in bad {
        table.row(format!("text with {name}"), clause, found, move |it| it.frame(0x81, text));
        let (front, back) = text.split_at(text.len() / 2);
        table.row(format!("text with {name} over two fragments"), clause, found, move |it| {
            [it.frame(1, front), it.frame(0x89, b""), it.frame(0x80, back)].concat()
        });
    }
    // The frame is never finished: who waits for its end waits for ever.
    table.row("a bad byte in an unfinished frame", clause, found, |it| {
        let frame = it.frame(0x81, &[b"good \xff".as_slice(), &[b'x'; 500]].concat());
        frame[..frame.len() - 400].to_vec()
    });
    table.row("a bad byte in an unfinished message", clause, found, |it| {
        [it.frame(1, "対".as_bytes()), it.frame(0, b"\xf5")].concat()
    });
}

fn limits(table: &mut Table) {
    let clause = "§7.4.1: \"1009 indicates that an endpoint is terminating the connection because it has received a message that is too big\"";
    let found = (Fault::MessageTooBig, 1009);
    table.row("a frame over the limit", clause, found, |it| {
        it.frame(0x82, &[0; MESSAGE_BYTES_MAX + 1])
    });
    table.row("a frame announced over the limit", clause, found, |it| {
        it.head(0x82, 126, &[255, 255])
    });
    table.row("2^62 announced", clause, found, |it| {
        it.head(0x81, 127, &(1_u64 << 62).to_be_bytes())
    });
    table.row("2^63 - 1 announced in a second fragment", clause, found, |it| {
        let announced = it.head(0, 127, &(u64::MAX >> 1).to_be_bytes());
        [it.frame(2, b"x"), announced].concat()
    });
    table.row("fragments over the limit together", clause, found, |it| {
        [it.frame(1, &[b'x'; MESSAGE_BYTES_MAX]), it.frame(0, b"x")].concat()
    });
    let clause = "§10.4: \"MUST protect themselves against exceeding those limits\"";
    let found = (Fault::TooManyFragments, 1008);
    table.row("too many fragments", clause, found, |it| {
        [it.frame(2, b"x"), it.frame(0, b"x").repeat(FRAGMENTS_MAX as usize)].concat()
    });
    table.row("too many empty fragments", clause, found, |it| {
        [it.frame(1, b""), it.frame(0, b"").repeat(FRAGMENTS_MAX as usize)].concat()
    });
}

fn compressed(table: &mut Table) {
    let clause = "RFC 7692 §6: \"MUST NOT set the \\\"Per-Message Compressed\\\" bit of control frames and non-first fragments\"";
    let found = (Fault::ReservedBit, 1002);
    for (name, opcode) in [("ping", 9), ("pong", 10), ("close", 8)] {
        table.row(format!("RSV1 on {name}"), clause, found, move |it| it.frame(0xc0 | opcode, b""));
    }
    table.row("RSV1 on a continuation", clause, found, |it| {
        [it.frame(0x41, &deflated(b"x")), it.frame(0xc0, b"")].concat()
    });
    table.row("RSV2 with deflate", "RFC 6455 §5.2", found, |it| it.frame(0xa1, b"x"));
    let clause = "RFC 7692 §7.2.2: \"Decompress the resulting data using DEFLATE\"";
    let found = (Fault::BadDeflate, 1007);
    table.row("a reserved type of block", clause, found, |it| it.frame(0xc2, &[0xff; 20]));
    table.row("a stored block with a wrong length", clause, found, |it| {
        it.frame(0xc2, &[0, 5, 0, 5, 0, b'x', b'x', b'x', b'x', b'x'])
    });
    table.row("a reference before the beginning", clause, found, |it| {
        it.frame(0xc2, &[0x0b, 0x00, 0x42, 0x00])
    });
    table.row("data cut short", clause, found, |it| {
        let whole = deflated(&(0..=255).collect::<Vec<u8>>());
        it.frame(0xc2, &whole[..whole.len() - 20])
    });
    table.row("garbage behind the final block", clause, found, |it| {
        it.frame(0xc2, &[0x03, 0x00, 0xff, 0xff, 0xff])
    });
    let clause = "RFC 6455 §8.1 after inflating (RFC 7692 §6.2)";
    let found = (Fault::TextNotUtf8, 1007);
    table.row("bad text inflated", clause, found, |it| it.frame(0xc1, &deflated(b"x\xffx")));
    table.row("text inflated that is cut short", clause, found, |it| {
        it.frame(0xc1, &deflated(&"対".as_bytes()[..2]))
    });
    let clause = "§7.4.1, and RFC 7692 §8: the limit is that of the inflated size";
    let found = (Fault::MessageTooBig, 1009);
    table.row("one byte over the limit inflated", clause, found, |it| {
        it.frame(0xc2, &deflated(&[0; MESSAGE_BYTES_MAX + 1]))
    });
    table.row("a bomb", clause, found, |it| it.frame(0xc2, &deflated(&vec![0; 900_000])));
    table.row("a bomb in an unfinished fragment", clause, found, |it| {
        it.frame(0x42, &deflated(&vec![0; 100_000]))
    });
}
