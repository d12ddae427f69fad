//! Runs the fuzzers' entry points over seeds and mutations of them, the same ones each time.

const REQUEST: &[u8] =
    b"\0\x30GET /chat?a=b HTTP/1.1\r\nHost: chat.example:81\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b/c\r\nOrigin: http://chat.example\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n\x81\x80";
const RESPONSE: &[u8] = b"\0\x30HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: +vtgcmMWVvKZ5hBUdHbjYiUgSFI=\r\n\
    Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: permessage-deflate; \
    server_no_context_takeover; client_no_context_takeover\r\n\r\n";
const OFFER: &[u8] =
    b"Sec-WebSocket-Extensions: x, permessage-deflate; server_max_window_bits=\"10\"";

type Target = fn(&[u8]);

const SEEDS: [(Target, &[u8]); 8] = [
    (super::extensions, b"permessage-deflate; a=\"1\\0\"; b ; c = d, foo"),
    (super::subprotocols, b"v2.json, v1.json,ZWS2.0/NULL"),
    (super::origin, b"https://[::1]:8443"),
    (super::uri, b"ws://user:pa%20ss@chat.example:8000/room \xc3\xa9?x={1}&y=\"2\""),
    (super::uri, b"wss://[::1]:443?q"),
    (super::request, REQUEST),
    (super::response, RESPONSE),
    (super::offer, OFFER),
];

/// Xorshift: the same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn mutated(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const BYTES: &[u8] = b"\0\t\n\r \"#%,-/0:;=?@A[\\]a{\x7f\x80\xff";
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(4) {
            0 if at < bytes.len() => bytes[at] = BYTES[numbers.below(BYTES.len())],
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, BYTES[numbers.below(BYTES.len())]),
            _ => {
                let end = at + numbers.below(bytes.len() - at + 1);
                let copy = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

#[test]
fn no_mutation_of_a_seed_panics_or_breaks_a_round_trip() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for (target, seed) in SEEDS {
        target(seed);
        for _ in 0..3000 {
            target(&mutated(seed, &mut numbers));
        }
    }
}

#[test]
fn no_prefix_of_a_seed_panics() {
    for (target, seed) in SEEDS {
        for end in 0..=seed.len() {
            target(&seed[..end]);
        }
    }
}
