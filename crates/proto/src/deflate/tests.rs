//! Messages through the compressor and the inflater, and bytes that others wrote.

use bytes::BytesMut;

use super::*;

mod hostile;
mod vectors;

const LIMIT: usize = 1 << 20;

/// Inflates one message, handed over in `pieces`.
fn inflated(inflater: &mut Inflater, pieces: &[&[u8]]) -> Result<Vec<u8>, InflateFault> {
    let mut out = BytesMut::new();
    for piece in pieces {
        inflater.inflate(piece, &mut out, LIMIT)?;
    }
    inflater.end_message()?;
    Ok(out.to_vec())
}

fn compressed(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = b"in front".to_vec();
    deflater.compress(payload, true, &mut out);
    assert!(out.starts_with(b"in front"), "what was in `out` stays");
    out.split_off(8)
}

/// xorshift64: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Compressible text with long and short matches, near and far.
    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(len + 64);
        while text.len() < len {
            let id = self.below(5000);
            text.extend_from_slice(
                format!("{{\"id\":{id},\"name\":\"taiwa {}\"}},", id % 7).as_bytes(),
            );
        }
        text.truncate(len);
        text
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        match self.below(3) {
            0 => self.bytes(len),
            1 => vec![b'x'; len],
            _ => self.text(len),
        }
    }
}

const SIZES: [usize; 18] = [
    0,
    1,
    2,
    15,
    125,
    126,
    127,
    513,
    4095,
    4096,
    14_500,
    16_383,
    16_384,
    16_385,
    32_768,
    65_536,
    65_537,
    200 << 10,
];

/// Also a random and compressible mix through one inflater, messages sent twice, empty ones between.
#[test]
fn messages_of_all_sizes_come_back_at_every_level_and_window() {
    let mut random = Random(0x7461_6977_6100_0001);
    for window_bits in 9..=15 {
        for (level, memory_level) in [(1, 5), (6, 8), (1, 1), (9, 9)] {
            for no_context_takeover in [true, false] {
                let config = Deflate { level, memory_level, ..Deflate::default() };
                let mut deflater = Deflater::new(&config, window_bits);
                let mut inflater = Inflater::new(window_bits);
                for len in SIZES {
                    let payload = random.payload(len);
                    for _ in 0..2 {
                        if no_context_takeover {
                            deflater.reset();
                            inflater.reset();
                        }
                        let bytes = compressed(&mut deflater, &payload);
                        let back = inflated(&mut inflater, &[&bytes]).unwrap();
                        assert!(
                            back == payload,
                            "{len} bytes, window {window_bits}, level {level}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn output_that_just_fills_a_chunk_comes_back() {
    // The length of what does not compress grows byte by byte with the input's.
    let mut random = Random(3);
    let payload = random.bytes(15_700);
    let mut deflater = Deflater::new(&Deflate::default(), 15);
    let mut inflater = Inflater::new(15);
    let mut lens = Vec::new();
    for len in 15_300..15_700 {
        let bytes = compressed(&mut deflater, &payload[..len]);
        lens.push(bytes.len() + SYNC_TAIL.len());
        assert!(inflated(&mut inflater, &[&bytes]).unwrap() == payload[..len], "{len} bytes");
        deflater.reset();
        inflater.reset();
    }
    // zlib flushes once more when the first flush just fits.
    assert!(
        lens.contains(&(16 << 10)) || lens.iter().filter(|it| **it == (16 << 10) + 5).count() == 2,
        "{lens:?}"
    );
}

#[test]
fn what_does_not_compress_grows_little() {
    let mut random = Random(5);
    for len in [128, 1000, 16_384, 100_000] {
        let bytes = compressed(&mut Deflater::new(&Deflate::default(), 12), &random.bytes(len));
        assert!(bytes.len() <= len + len / 8 + 16, "{len} bytes became {}", bytes.len());
    }
}

#[test]
fn repetition_costs_less_with_the_window_of_the_message_before() {
    let payload = Random(7).text(1000);
    let mut deflater = Deflater::new(&Deflate::default(), 12);
    let first = compressed(&mut deflater, &payload).len();
    let second = compressed(&mut deflater, &payload).len();
    assert!(second < first / 4, "{first}, then {second}");
    deflater.reset();
    assert_eq!(compressed(&mut deflater, &payload).len(), first);
}

#[test]
fn a_smaller_window_is_kept_to() {
    // 600 bytes that don't compress, twice: only a window of more than 9 bits sees the repetition.
    let mut random = Random(11);
    let once = random.bytes(600);
    let payload = [&once[..], &random.bytes(400), &once].concat();
    for (window_bits, sees) in [(9, false), (10, false), (11, true), (15, true)] {
        let config = Deflate { level: 6, ..Deflate::default() };
        let len = compressed(&mut Deflater::new(&config, window_bits), &payload).len();
        assert_eq!(len < 1100, sees, "window of {window_bits} bits: {len} bytes");
    }
}

#[test]
fn fragments_come_back_and_each_can_be_read_at_once() {
    let mut random = Random(13);
    let mut deflater = Deflater::new(&Deflate::default(), 12);
    let mut inflater = Inflater::new(12);
    for lens in
        [&[5, 5][..], &[0, 0], &[0, 700], &[700, 0], &[1, 0, 2], &[40_000, 1, 0, 0, 9, 16_384]]
    {
        let (mut said, mut out) = (Vec::new(), BytesMut::new());
        for (at, &len) in lens.iter().enumerate() {
            let payload = random.text(len);
            said.extend_from_slice(&payload);
            let mut fragment = Vec::new();
            deflater.compress(&payload, at + 1 == lens.len(), &mut fragment);
            inflater.inflate(&fragment, &mut out, LIMIT).unwrap();
            assert!(out == said, "fragment {at} of {lens:?}");
        }
        inflater.end_message().unwrap();
        assert!(out == said, "{lens:?}");
    }
}

#[test]
fn an_empty_message_is_one_octet() {
    let mut deflater = Deflater::new(&Deflate::default(), 15);
    for _ in 0..3 {
        assert_eq!(compressed(&mut deflater, b""), [0]);
    }
    compressed(&mut deflater, b"something");
    assert_eq!(compressed(&mut deflater, b""), [0]);
}

#[test]
fn it_does_not_matter_where_the_input_is_split() {
    let payload = Random(17).text(3000);
    let bytes =
        compressed(&mut Deflater::new(&Deflate { level: 6, ..Deflate::default() }, 15), &payload);
    let mut inflater = Inflater::new(15);
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert!(inflated(&mut inflater, &[head, tail]).unwrap() == payload, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert!(inflated(&mut inflater, &single).unwrap() == payload);
}

#[test]
fn values_out_of_range_make_a_working_compressor() {
    for (level, window_bits, memory_level) in [(0, 0, 0), (255, 255, 255), (0, 8, 10)] {
        let config = Deflate { level, window_bits, memory_level, ..Deflate::default() };
        let bytes = compressed(&mut Deflater::new(&config, window_bits), b"Hello");
        assert_eq!(inflated(&mut Inflater::new(window_bits), &[&bytes]).unwrap(), b"Hello");
    }
}

#[test]
fn peers_that_keep_their_windows_share_an_inflater() {
    let mut random = Random(19);
    let mut shared = Shared::default();
    let mut peers: Vec<_> = [9, 12, 15, 8]
        .map(|bits| (Deflater::new(&Deflate::default(), bits), Window::new(bits)))
        .into_iter()
        .collect();
    for round in 0..60 {
        for (peer, (deflater, window)) in peers.iter_mut().enumerate() {
            let len = [0, 40, 700, 5000, 70_000][random.below(5)];
            let payload = random.text(len);
            let bytes = compressed(deflater, &payload);
            let mut inflater = shared.take_inflater();
            inflater.put_window(std::mem::replace(window, Window::new(15)));
            let back = inflated(&mut inflater, &[&bytes]).unwrap();
            assert!(back == payload, "peer {peer}, round {round}");
            *window = inflater.take_window();
            shared.give_inflater(inflater);
        }
    }
    assert_eq!(peers.iter().map(|it| it.1.len()).collect::<Vec<_>>(), [512, 4096, 32_768, 512]);
}

#[test]
fn an_inflater_that_is_given_back_forgets_all() {
    let mut shared = Shared::default();
    let mut inflater = shared.take_inflater();
    inflated(&mut inflater, &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]]).unwrap();
    inflater.inflate(&[0xf2, 0x48], &mut BytesMut::new(), LIMIT).unwrap();
    shared.give_inflater(inflater);
    let mut inflater = shared.take_inflater();
    // Points back to a message that this peer did not send.
    let fault = inflated(&mut inflater, &[&[0xf2, 0x00, 0x11, 0x00, 0x00]]);
    assert_eq!(fault, Err(InflateFault::Bad));
}

#[test]
fn what_is_shared_stays_few() {
    let mut shared = Shared::default();
    let out: Vec<_> = (0..20).map(|_| shared.take_inflater()).collect();
    out.into_iter().for_each(|it| shared.give_inflater(it));
    for level in 1..=9 {
        for window_bits in 9..=15 {
            let config = Deflate { level, ..Deflate::default() };
            let bytes = compressed(shared.deflater(&config, window_bits), b"Hello");
            assert_eq!(inflated(&mut Inflater::new(15), &[&bytes]).unwrap(), b"Hello");
        }
    }
    assert_eq!(format!("{shared:?}"), "Shared { inflaters: 4, deflaters: 8 }");
}

#[test]
fn a_lent_compressor_starts_with_an_empty_window() {
    let mut shared = Shared::default();
    let config = Deflate::default();
    let payload = Random(23).text(2000);
    let first = compressed(shared.deflater(&config, 12), &payload);
    compressed(shared.deflater(&config, 9), &payload);
    assert_eq!(compressed(shared.deflater(&config, 12), &payload), first);
}

#[test]
fn each_role_has_its_direction() {
    let params = Params {
        server_no_context_takeover: true,
        client_no_context_takeover: false,
        server_max_window_bits: 10,
        client_max_window_bits: 8,
    };
    let servers = Direction { window_bits: 10, no_context_takeover: true };
    let clients = Direction { window_bits: 8, no_context_takeover: false };
    assert_eq!(params.outgoing(Role::Server), Some(servers));
    assert_eq!(params.incoming(Role::Client), servers);
    assert_eq!(params.incoming(Role::Server), clients);
    // A window that our compressor doesn't have.
    assert_eq!(params.outgoing(Role::Client), None);
}
