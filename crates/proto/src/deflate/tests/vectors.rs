//! Bytes that others wrote: the examples of RFC 7692 and messages compressed by CPython's zlib.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|it| *it != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Inflates messages (hex) of one peer after each other.
#[track_caller]
fn check(messages: &[(&str, &[u8])]) {
    let mut inflater = Inflater::new(15);
    for (hex, said) in messages {
        assert_eq!(inflated(&mut inflater, &[&bytes(hex)]).as_deref(), Ok(*said), "{hex}");
    }
    // The same, byte by byte, with the window put aside between messages.
    let mut inflater = Inflater::new(15);
    for (hex, said) in messages {
        let window = inflater.take_window();
        inflater.reset();
        inflater.put_window(window);
        let bytes = bytes(hex);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(inflated(&mut inflater, &single).as_deref(), Ok(*said), "{hex} byte by byte");
    }
}

#[test]
fn the_examples_of_rfc_7692_inflate() {
    // §7.2.3.1 and §7.2.3.2: the second message shares the window of the first.
    check(&[("f2 48 cd c9 c9 07 00", b"Hello"), ("f2 00 11 00 00", b"Hello")]);
    // §7.2.3.3: a block without compression.
    check(&[("00 05 00 fa ff 48 65 6c 6c 6f 00", b"Hello")]);
    // §7.2.3.4: a block with BFINAL set to 1.
    check(&[("f3 48 cd c9 c9 07 00 00", b"Hello")]);
    // §7.2.3.5: two blocks in a message.
    check(&[("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", b"Hello")]);
    // §7.2.3.6: an empty message.
    check(&[
        ("00", b""),
        ("f2 48 cd c9 c9 07 00", b"Hello"),
        ("00", b""),
        ("f2 00 11 00 00", b"Hello"),
    ]);
}

#[test]
fn our_compressor_writes_the_examples_of_rfc_7692() {
    let mut deflater = Deflater::new(&Deflate { level: 6, ..Deflate::default() }, 15);
    assert_eq!(compressed(&mut deflater, b"Hello"), bytes("f2 48 cd c9 c9 07 00"));
    assert_eq!(compressed(&mut deflater, b"Hello"), bytes("f2 00 11 00 00"));
}

/// Made by CPython's `zlib.compressobj` (zlib 1.2.13): levels, windows, strategies.
#[test]
fn messages_that_cpython_compressed_inflate() {
    let json = br#"{"channel":"news","data":{"id":17,"text":"taiwa"}}"#;
    let head = "aa564ace48cccb4bcd51b252ca4b2d2f56d2514a492c4954b2aa56ca4c51b23234d7512a49ad28";
    check(&[(&format!("{head}01ca96246696272ad5d60200"), json), ("aa26590700", json)]);
    check(&[(&format!("{head}01ca96246696272ad5d656d3410700"), &json.repeat(3))]);
    // Z_HUFFMAN_ONLY, Z_FIXED.
    check(&[(&format!("{head}51b2522a49cc2c4f54aaad0500"), json)]);
    check(&[(&format!("{head}01ca96246696272ad5d60200"), json)]);
    // Level 0.
    check(&[("000500faff746169776100", b"taiwa")]);
    // Z_FULL_FLUSH inside of a message.
    check(&[("4a4c4aa42a04000000ffff4a4c4aa42a0400", &b"ab".repeat(80))]);
    // A block with codes of its own.
    let squares: Vec<u8> = (0..300).map(|i: usize| ((i * i) >> 3) as u8 & 15).collect();
    check(&[(
        "e4cbd10100111003d1882058f4dfed9d3accfb1e008959d5230e8b03f2620b7a6bb2c3bfcea96d46e3b2102e3c\
         315c9599707be6ff00",
        &squares,
    )]);
}

#[test]
fn a_message_may_end_with_a_final_block() {
    // Z_FINISH, with the octet of §7.2.3.4 behind it and without, and messages after it.
    check(&[("2b49cc2c4f5428019100 00", b"taiwa taiwa"), ("f2 48 cd c9 c9 07 00", b"Hello")]);
    check(&[("2b49cc2c4f5428019100", b"taiwa taiwa"), ("f2 48 cd c9 c9 07 00", b"Hello")]);
    // The last empty block may be final, too: Go's flate.Writer.Close does that.
    check(&[("f2 48 cd c9 c9 07 00 00 00 ff ff 01", b"Hello"), ("f2 00 11 00 00", b"Hello")]);
    check(&[("01", b""), ("03 00", b""), ("01", b"")]);
}

#[test]
fn the_window_survives_a_final_block() {
    check(&[("f3 48 cd c9 c9 07 00 00", b"Hello"), ("f2 00 11 00 00", b"Hello")]);
    check(&[
        ("f2 48 cd c9 c9 07 00", b"Hello"),
        ("2b49cc2c4f5428019100", b"taiwa taiwa"),
        // Distance 16, length 5: over the message between.
        ("02 f3 01 00", b"Hello"),
    ]);
}

#[test]
fn a_message_may_have_several_streams() {
    check(&[("f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00", b"HelloHello")]);
    check(&[("f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00", b"HelloHello")]);
    check(&[("f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00", b"HelloHello")]);
    // The second stream points back into the first.
    check(&[("f3 48 cd c9 c9 07 00 f2 00 11 00 00", b"HelloHello")]);
    let many = format!("{}00", "f3 48 cd c9 c9 07 00".repeat(300));
    check(&[(&many, &b"Hello".repeat(300))]);
}

#[test]
fn a_compressed_message_without_any_octet_is_empty() {
    check(&[
        ("", b""),
        ("f2 48 cd c9 c9 07 00", b"Hello"),
        ("", b""),
        ("f2 00 11 00 00", b"Hello"),
    ]);
}
