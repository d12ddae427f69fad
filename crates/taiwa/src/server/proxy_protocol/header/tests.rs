//! Headers as the specification has them, and broken ones.

use super::*;

const MAX: usize = 16 << 10;

fn proxied(source: &str, destination: &str) -> Header {
    let addr = |it: &str| match it.strip_prefix("unix:") {
        Some("") => Addr::Unix(None),
        Some(path) => PathBuf::from(path).into(),
        None => it.parse::<SocketAddr>().unwrap().into(),
    };
    Header::Proxied { source: addr(source), destination: addr(destination) }
}

/// Checks a header alone, with bytes behind it, and cut off at every place.
#[track_caller]
fn check(bytes: &[u8], expected: Result<Header, HeaderFault>) {
    match expected {
        Err(fault) => assert_eq!(parse(bytes, MAX), Err(fault), "{}", bytes.escape_ascii()),
        Ok(expected) => {
            let expected = Ok(Some((expected, bytes.len())));
            assert_eq!(parse(bytes, MAX), expected, "{}", bytes.escape_ascii());
            for more in [&b"GET / HTTP/1.1\r\n"[..], b"\r\n", b"\0", bytes] {
                assert_eq!(parse(&[bytes, more].concat(), MAX), expected);
            }
            for len in 0..bytes.len() {
                assert_eq!(parse(&bytes[..len], MAX), Ok(None), "the first {len} bytes");
            }
        }
    }
}

#[test]
fn lines_of_version_1_are_read() {
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for (line, expected) in [
        // The specification's example, and its longest lines.
        (
            "TCP4 192.168.0.1 192.168.0.11 56324 443",
            proxied("192.168.0.1:56324", "192.168.0.11:443"),
        ),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            proxied("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        (
            &format!("TCP6 {full} {full} 65535 65535"),
            proxied(&format!("[{full}]:65535"), &format!("[{full}]:65535")),
        ),
        ("TCP6 2001:DB8::1 ::1 1 0", proxied("[2001:db8::1]:1", "[::1]:0")),
        ("TCP6 ::ffff:1.2.3.4 :: 1 2", proxied("[::ffff:1.2.3.4]:1", "[::]:2")),
        ("UNKNOWN", Header::Transport),
        ("UNKNOWN ", Header::Transport),
        ("UNKNOWN any words at all", Header::Transport),
        (&format!("UNKNOWN {full} {full} 65535 65535"), Header::Transport),
    ] {
        check(format!("PROXY {line}\r\n").as_bytes(), Ok(expected));
    }
}

#[test]
fn lines_that_are_not_exactly_of_version_1_are_faults() {
    for line in [
        "",
        "TCP4",
        "TCP4 192.168.0.1 192.168.0.11 56324",
        "TCP4 192.168.0.1 192.168.0.11 56324 443 ",
        "TCP4 192.168.0.1 192.168.0.11 56324 443 1",
        "TCP4  192.168.0.1 192.168.0.11 56324 443",
        "TCP4\t192.168.0.1 192.168.0.11 56324 443",
        "TCP4 192.168.0.01 192.168.0.11 56324 443",
        "TCP4 192.168.0.256 192.168.0.11 56324 443",
        "TCP4 192.168.1 192.168.0.11 56324 443",
        "TCP4 192.168.0.1 192.168.0.11 056324 443",
        "TCP4 192.168.0.1 192.168.0.11 00 443",
        "TCP4 192.168.0.1 192.168.0.11 65536 443",
        "TCP4 192.168.0.1 192.168.0.11 +1 443",
        "TCP4 192.168.0.1 192.168.0.11 -1 443",
        "TCP4 192.168.0.1 192.168.0.11 1 ",
        "TCP4 ::1 ::1 56324 443",
        "TCP4 localhost localhost 56324 443",
        "TCP6 192.168.0.1 192.168.0.11 56324 443",
        "TCP6 1::2::3 ::1 56324 443",
        "TCP6 12345::1 ::1 56324 443",
        "TCP6 [::1] ::1 56324 443",
        "TCP6 ::1%1 ::1 56324 443",
        "UDP4 192.168.0.1 192.168.0.11 56324 443",
        "tcp4 192.168.0.1 192.168.0.11 56324 443",
        "UNKNOWNS",
        "TCP4 192.168.0.1 192.168.0.11 56324 443\n",
        "TCP4 192.168.0.1 192.168.0.11 56324 443\r",
    ] {
        check(format!("PROXY {line}\r\n").as_bytes(), Err(HeaderFault::Line));
    }
    check(b"PROXY TCP4 \xff\r\n", Err(HeaderFault::Line));
    check(b"PROXYTCP4 1.1.1.1 1.1.1.1 1 1\r\n", Err(HeaderFault::Line));
    // Whoever ends a line otherwise has not ended it: it grows to the limit.
    let endless = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    check(endless.as_bytes(), Err(HeaderFault::TooLong));
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    check(longest.as_bytes(), Ok(Header::Transport));
    let bare = format!("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n{}", "x".repeat(100));
    check(bare.as_bytes(), Err(HeaderFault::TooLong));
}

#[test]
fn what_begins_otherwise_is_no_header_at_the_first_byte_that_shows_it() {
    for bytes in [
        &b"G"[..],
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"PRO0",
        b"proxy TCP4",
        b"\x16\x03\x01\x02\x00",
        b"\r\n\r\n\0\r\nQUIX",
        b"\r\n\r\nGET",
        b"\0",
    ] {
        check(bytes, Err(HeaderFault::Missing));
    }
}

/// A header of version 2.
fn binary(version_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE_2, &[version_command, family], &len, payload].concat()
}

const INET: [u8; 12] = [192, 168, 0, 1, 192, 168, 0, 11, 0xdc, 0x04, 0x01, 0xbb];

fn inet() -> Header {
    proxied("192.168.0.1:56324", "192.168.0.11:443")
}

/// A field of version 2.
fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

#[test]
fn headers_of_version_2_are_read() {
    check(&binary(0x21, 0x11, &INET), Ok(inet()));
    let mut inet6 = [0; 36];
    (inet6[15], inet6[31], inet6[33], inet6[35]) = (1, 2, 3, 4);
    check(&binary(0x21, 0x21, &inet6), Ok(proxied("[::1]:3", "[::2]:4")));
    let mut unix = [0; 216];
    unix[..6].copy_from_slice(b"/a.b c");
    // Behind the zero that ends the path there may be anything.
    unix[108..116].copy_from_slice(b"/run\0old");
    check(&binary(0x21, 0x31, &unix), Ok(proxied("unix:/a.b c", "unix:/run")));
    let mut full = [b'x'; 216];
    full[108] = 0;
    let path = format!("unix:{}", "x".repeat(108));
    check(&binary(0x21, 0x31, &full), Ok(proxied(&path, "unix:")));
    // LOCAL: "discard the protocol block including the family which is ignored".
    for family in [0, 0x11, 0x21, 0x31, 0x12, 0xff] {
        for payload in [&[][..], &INET, &[1, 2, 3]] {
            check(&binary(0x20, family, payload), Ok(Header::Transport));
        }
    }
    // UNSPEC and datagrams.
    for family in [0x00, 0x01, 0x10, 0x30] {
        check(&binary(0x21, family, &[7; 5]), Ok(Header::Transport));
    }
    check(&binary(0x21, 0x12, &INET), Ok(Header::Transport));
    check(&binary(0x21, 0x22, &inet6), Ok(Header::Transport));
    check(&binary(0x21, 0x32, &unix), Ok(Header::Transport));
}

#[test]
fn broken_headers_of_version_2_are_faults() {
    for (version_command, family, payload, fault) in [
        (0x11, 0x11, &INET[..], HeaderFault::Version),
        (0x31, 0x11, &INET, HeaderFault::Version),
        (0x22, 0x11, &INET, HeaderFault::Command),
        (0x2f, 0x11, &INET, HeaderFault::Command),
        (0x21, 0x13, &INET, HeaderFault::Family),
        (0x21, 0x41, &INET, HeaderFault::Family),
        (0x21, 0xff, &INET, HeaderFault::Family),
        (0x21, 0x11, &INET[..11], HeaderFault::Length),
        (0x21, 0x11, &[], HeaderFault::Length),
        (0x21, 0x12, &INET[..11], HeaderFault::Length),
        (0x21, 0x21, &INET, HeaderFault::Length),
        (0x21, 0x31, &INET, HeaderFault::Length),
    ] {
        check(&binary(version_command, family, payload), Err(fault));
    }
}

#[test]
fn a_header_may_be_as_long_as_the_limit() {
    let header = binary(0x21, 0x11, &[&INET[..], &field(4, &[0; 969])].concat());
    assert_eq!(header.len(), 1000);
    assert_eq!(parse(&header, 1000), Ok(Some((inet(), 1000))));
    // Told before the bytes have come.
    assert_eq!(parse(&header[..16], 999), Err(HeaderFault::TooLong));
    let longest = binary(0x20, 0, &[0; 65535]);
    assert_eq!(parse(&longest, usize::MAX), Ok(Some((Header::Transport, 65551))));
    assert_eq!(parse(b"PROXY UNKNOWN", 13), Err(HeaderFault::TooLong));
}

#[test]
fn fields_are_skipped_when_they_fill_their_room() {
    let with = |fields: &[u8]| binary(0x21, 0x11, &[&INET[..], fields].concat());
    let good = [field(0x01, b"h2"), field(0x02, b"a.example"), field(0x04, b""), field(0xff, b"x")];
    check(&with(&good.concat()), Ok(inet()));
    for bad in [&[0x04][..], &[0x04, 0], &[0x04, 0, 1], &[0x04, 0xff, 0xff, 0], &[0x04, 0, 0, 1]] {
        check(&with(bad), Err(HeaderFault::Field));
    }
}

#[test]
fn a_checksum_is_verified() {
    // The check value of CRC-32C.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let fields = |sum: u32| {
        let sum = field(CRC32C, &sum.to_be_bytes());
        [&INET[..], &field(4, b"pad"), &sum, &field(0x02, b"a.example")].concat()
    };
    let sum = crc32c(&binary(0x21, 0x11, &fields(0)));
    let good = binary(0x21, 0x11, &fields(sum));
    check(&good, Ok(inet()));
    check(&binary(0x21, 0x11, &fields(sum ^ 1)), Err(HeaderFault::Checksum));
    for at in 16..28 {
        let mut changed = good.clone();
        changed[at] ^= 0x10;
        check(&changed, Err(HeaderFault::Checksum));
    }
    for short in [&[0; 3][..], &[0; 5]] {
        let fields = [&INET[..], &field(CRC32C, short)].concat();
        check(&binary(0x21, 0x11, &fields), Err(HeaderFault::Field));
    }
    let twice = [&INET[..], &field(CRC32C, &[0; 4]), &field(CRC32C, &[0; 4])].concat();
    check(&binary(0x21, 0x11, &twice), Err(HeaderFault::Field));
}

/// A small generator of our own (xorshift): the same bytes on every machine.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn no_bytes_panic_and_an_answer_once_given_stands() {
    let mut state = 0x7461_6977_6121;
    let mut seeds = vec![
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x20, 0, &[]),
    ];
    for family in [0x11, 0x21, 0x31] {
        let addresses = vec![7; [12, 36, 216][usize::from(family >> 4) - 1]];
        let summed = |sum: u32| {
            let fields = [field(4, b"x"), field(CRC32C, &sum.to_be_bytes())].concat();
            binary(0x21, family, &[&addresses[..], &fields].concat())
        };
        // The sum is right until the bytes are changed.
        seeds.push(summed(crc32c(&summed(0))));
        seeds.push(binary(0x21, family, &[&addresses[..], &field(4, b"x")].concat()));
    }
    let mut answered = 0;
    for round in 0..60_000_usize {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..next(&mut state) % 4 {
            let at = (next(&mut state) % bytes.len() as u64) as usize;
            match next(&mut state) % 3 {
                0 => bytes[at] = next(&mut state) as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b"\r\n 0129:.P\0"[(next(&mut state) % 11) as usize]),
            }
        }
        let max = if round % 5 == 0 { (next(&mut state) % 300) as usize } else { MAX };
        let whole = parse(&bytes, max);
        if let Ok(Some((_, len))) = &whole {
            assert!(*len <= bytes.len() && *len <= max.max(FIXED_2));
            answered += 1;
        }
        // Byte by byte the same answer comes; of two faults either one.
        let early = (1..=bytes.len()).find_map(|len| parse(&bytes[..len], max).transpose());
        let verdict = |it: Option<Result<_, HeaderFault>>| it.map(|it| it.map_err(drop));
        assert_eq!(verdict(early), verdict(whole.transpose()), "{}", bytes.escape_ascii());
    }
    assert!(answered > 6_000, "only {answered} were headers");
}
