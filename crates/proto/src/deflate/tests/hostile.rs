//! Bytes that no honest peer sends.

use super::*;

#[track_caller]
fn check_bad(pieces: &[&[u8]]) {
    let mut inflater = Inflater::new(15);
    assert_eq!(inflated(&mut inflater, pieces), Err(InflateFault::Bad), "{pieces:02x?}");
    // The inflater is as good as new after a reset.
    inflater.reset();
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflated(&mut inflater, &[&hello]).as_deref(), Ok(&b"Hello"[..]), "{pieces:02x?}");
}

#[test]
fn a_message_cut_short_is_refused() {
    let mut random = Random(29);
    let payload = random.text(500);
    let level_6 = Deflate { level: 6, ..Deflate::default() };
    let messages = [
        // A block with fixed codes, one with its own, one that is stored (whose first octet alone
        // would be an empty message).
        vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        compressed(&mut Deflater::new(&level_6, 15), &payload),
        [&[0x00, 0x08, 0x00, 0xf7, 0xff][..], b"Heyhello", &[0x00]].concat(),
        // The same, final.
        vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        compressed(&mut Deflater::new(&Deflate::default(), 15), &payload),
    ];
    for message in &messages {
        for len in 1..message.len() {
            if message[..len] != [0] {
                check_bad(&[&message[..len]]);
            }
        }
    }
}

#[test]
fn a_tail_that_was_not_removed_is_refused() {
    // RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
    check_bad(&[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff]]);
}

#[test]
fn garbage_behind_a_final_block_is_refused() {
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for garbage in
        [&b"\xff"[..], b"\x07", b"\x00\x00", b"\xde\xad\xbe\xef", b"trailing", &[0; 4], &[0; 5]]
    {
        check_bad(&[&hello, garbage]);
        check_bad(&[&[&hello[..], garbage].concat()]);
        // Behind the octet of §7.2.3.4, too.
        check_bad(&[&hello, &[0], garbage]);
    }
}

#[test]
fn what_deflate_forbids_is_refused() {
    for message in [
        // Block type 3.
        &[0x06][..],
        // A stored block whose lengths differ.
        &[0x00, 0x05, 0x00, 0xfa, 0xfe],
        // Points back to before the first byte (RFC 7692 §7.2.3.2's second message alone).
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        // Text.
        b"{\"hello\":\"world\"}",
    ] {
        check_bad(&[message]);
    }
}

/// S7 of the list of what went wrong elsewhere: the limit holds within the last call, too.
#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = compressed(
        &mut Deflater::new(&Deflate { level: 9, ..Deflate::default() }, 15),
        &vec![0; 32 << 20],
    );
    assert!(bomb.len() < 40_000, "1 : 1000, but {} bytes", bomb.len());
    for limit in [0, 1, 16_383, 16_384, 16_385, 100_000, 1 << 20] {
        for piece_len in [1, 700, bomb.len()] {
            let mut inflater = Inflater::new(15);
            let mut out = BytesMut::new();
            let fault =
                bomb.chunks(piece_len).find_map(|it| inflater.inflate(it, &mut out, limit).err());
            assert_eq!(fault, Some(InflateFault::TooBig), "limit {limit}, pieces of {piece_len}");
            assert!(
                out.len() <= limit && limit - out.len() <= 16 << 10,
                "{} of {limit}",
                out.len()
            );
            assert!(out.capacity() <= limit.max(64), "{} for {limit}", out.capacity());
        }
    }
}

#[test]
fn the_limit_is_exact_and_counts_what_was_there_before() {
    for len in [1, 5, 16_383, 16_384, 16_385, 50_000] {
        let payload = Random(31).text(len);
        let bytes = compressed(&mut Deflater::new(&Deflate::default(), 15), &payload);
        for before in [0, 1, 1000] {
            let mut out = BytesMut::from(&vec![b'-'; before][..]);
            let mut inflater = Inflater::new(15);
            assert_eq!(inflater.inflate(&bytes, &mut out, before + len), Ok(()));
            assert_eq!(inflater.end_message(), Ok(()));
            assert!(out[before..] == payload);

            let mut out = BytesMut::from(&vec![b'-'; before][..]);
            let fault = Inflater::new(15).inflate(&bytes, &mut out, before + len - 1);
            assert_eq!(fault, Err(InflateFault::TooBig), "{len} bytes after {before}");
            assert!(out.len() < before + len);
        }
    }
}

#[test]
fn streams_that_say_nothing_are_counted() {
    let nothing = |n: usize| [3, 0].repeat(n);
    assert_eq!(inflated(&mut Inflater::new(15), &[&nothing(4096)]), Ok(Vec::new()));
    check_bad(&[&nothing(5000)]);
    let pieces: Vec<Vec<u8>> = (0..5000).map(|_| nothing(1)).collect();
    check_bad(&pieces.iter().map(|it| &it[..]).collect::<Vec<_>>());
    // Each message has its own count.
    let mut inflater = Inflater::new(15);
    for _ in 0..3 {
        assert_eq!(inflated(&mut inflater, &[&nothing(4000)]), Ok(Vec::new()));
    }
}

#[test]
fn random_bytes_make_no_panic_and_pass_no_limit() {
    let mut random = Random(37);
    let mut inflater = Inflater::new(12);
    let (mut whole, mut bad, mut too_big) = (0, 0, 0);
    for _ in 0..10_000 {
        let len = random.below(200);
        let message = random.bytes(len);
        match bounded(&mut inflater, &message, &mut random) {
            Ok(()) => whole += 1,
            Err(InflateFault::Bad) => bad += 1,
            Err(InflateFault::TooBig) => too_big += 1,
        }
    }
    assert!(0 < whole && 5000 < bad, "{whole} whole, {bad} bad, {too_big} too big");
}

#[test]
fn broken_messages_make_no_panic_and_pass_no_limit() {
    let mut random = Random(41);
    let mut inflater = Inflater::new(12);
    let mut deflater = Deflater::new(&Deflate { level: 6, ..Deflate::default() }, 12);
    let (mut whole, mut bad, mut too_big) = (0, 0, 0);
    for _ in 0..10_000 {
        let len = random.below(3000);
        let payload = random.text(len);
        deflater.reset();
        let mut message = compressed(&mut deflater, &payload);
        for _ in 0..=random.below(3) {
            let at = random.below(message.len());
            message[at] ^= 1 << random.below(8);
        }
        match bounded(&mut inflater, &message, &mut random) {
            Ok(()) => whole += 1,
            Err(InflateFault::Bad) => bad += 1,
            Err(InflateFault::TooBig) => too_big += 1,
        }
    }
    assert!(0 < whole && 0 < bad && 0 < too_big, "{whole} whole, {bad} bad, {too_big} too big");
}

/// Inflates `message` in random pieces with a limit of 2,000 bytes; resets after a fault.
fn bounded(
    inflater: &mut Inflater,
    message: &[u8],
    random: &mut Random,
) -> Result<(), InflateFault> {
    let mut out = BytesMut::new();
    let mut rest = message;
    let mut result = Ok(());
    while !rest.is_empty() && result.is_ok() {
        let (piece, tail) = rest.split_at(1 + random.below(rest.len()));
        result = inflater.inflate(piece, &mut out, 2000);
        rest = tail;
    }
    let result = result.and_then(|()| inflater.end_message());
    assert!(out.len() <= 2000 && out.capacity() <= 2000);
    if result.is_err() {
        inflater.reset();
    }
    result
}
