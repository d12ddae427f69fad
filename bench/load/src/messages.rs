//! What clients say and want back: random bytes, text of two kinds, or JSON that is compressed.

use miniz_oxide::{
    DataFormat, MZFlush,
    deflate::{CompressionLevel, core::CompressorOxide, stream::deflate},
    inflate,
};

use crate::{
    handshake::Compression,
    noise::Noise,
    wire::{self, Expected},
};

/// How many bytes lie before the last place at which a message may start.
const STARTS_BYTES: usize = 1 << 16;
/// Compressed messages, of which each connection sends now this one, now that one.
const PACKED: usize = 64;

/// What a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Random bytes.
    Binary,
    /// Words of European languages, each of eight bytes with its space; most have a letter of two bytes.
    Latin,
    /// Characters of three bytes.
    Japanese,
    /// Something like what chats and tickers send.
    Json,
}

const LATIN: [&str; 12] = [
    "straße ", "façade ", "garçon ", "señora ", "jardín ", "Müller ", "fenêtr ", "message ",
    "channel ", "through ", "nächst ", "another ",
];
const JAPANESE: &str =
    "日本語対話通信接続部屋受信送信発行購読世界時間今日明日は、を。のにとでしました";

impl Content {
    fn opcode(self) -> u8 {
        match self {
            Self::Latin | Self::Japanese => wire::TEXT,
            Self::Binary | Self::Json => wire::BINARY,
        }
    }

    /// A message starts and ends at a multiple of so many bytes.
    fn unit(self) -> usize {
        match self {
            Self::Binary | Self::Json => 1,
            Self::Latin => 8,
            Self::Japanese => 3,
        }
    }

    fn fill(self, bytes: usize, noise: &mut Noise) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes + 8);
        let japanese: Vec<char> = JAPANESE.chars().collect();
        while out.len() < bytes {
            let random = noise.next();
            let at = random as usize;
            match self {
                Self::Binary => out.extend(random.to_ne_bytes()),
                Self::Latin => out.extend(LATIN[at % LATIN.len()].bytes()),
                Self::Japanese => {
                    let character = japanese[at % japanese.len()];
                    out.extend(character.encode_utf8(&mut [0; 4]).bytes());
                }
                Self::Json => out.extend(json(64, noise)),
            }
        }
        out
    }
}

/// Messages of one kind and length. Two differ, so that one that comes too late, twice or on the wrong connection does not
/// pass for another.
#[derive(Debug)]
pub(crate) struct Messages {
    content: Content,
    bytes: usize,
    /// A message is a slice of it.
    pool: Vec<u8>,
    packed: Vec<Packed>,
}

/// One of [`Messages`]: where it starts in the pool, or which of the compressed ones it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message(usize);

#[derive(Debug)]
struct Packed {
    /// What goes out.
    compressed: Vec<u8>,
    said: Said,
}

impl Messages {
    /// `bytes` are cut down to whole characters.
    pub(crate) fn new(
        content: Content,
        compression: Compression,
        bytes: usize,
        noise: &mut Noise,
    ) -> Self {
        let bytes = bytes / content.unit() * content.unit();
        if compression == Compression::None {
            let pool = content.fill(STARTS_BYTES + bytes, noise);
            return Self { content, bytes, pool, packed: vec![] };
        }
        let packed = (0..PACKED).map(|_| {
            let message = json(bytes, noise);
            Packed { compressed: compress(&message), said: Said::new(message) }
        });
        Self { content, bytes, packed: packed.collect(), pool: vec![] }
    }

    /// Chooses one.
    pub(crate) fn choose(&self, noise: &mut Noise) -> Message {
        let random = noise.next() as usize;
        let unit = self.content.unit();
        Message(match self.packed.is_empty() {
            true => random % (STARTS_BYTES / unit) * unit,
            false => random % self.packed.len(),
        })
    }

    /// Appends it as a client's frame.
    pub(crate) fn frame(&self, out: &mut Vec<u8>, Message(at): Message, key: [u8; 4]) {
        match self.packed.get(at) {
            Some(it) => wire::compressed(out, self.content.opcode(), &it.compressed, key),
            None => wire::frame(out, self.content.opcode(), &self.pool[at..at + self.bytes], key),
        }
    }

    pub(crate) fn expected(&self, Message(at): Message) -> Expected<'_> {
        if !self.packed.is_empty() {
            return Expected::Compressed;
        }
        let bytes = &self.pool[at..at + self.bytes];
        match self.content.opcode() {
            wire::TEXT => Expected::Text(bytes),
            _ => Expected::Bytes(bytes),
        }
    }

    /// Checks what came back compressed.
    pub(crate) fn check(
        &mut self,
        Message(at): Message,
        compressed: Vec<u8>,
    ) -> Result<(), String> {
        self.packed[at].said.check(compressed)
    }
}

/// What was said, to be compared with what comes compressed.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) message: Vec<u8>,
    /// What was inflated and was right. With each message standing for itself, the same bytes mean the same.
    compressed: Option<Vec<u8>>,
}

impl Said {
    pub(crate) fn new(message: Vec<u8>) -> Self {
        Self { message, compressed: None }
    }

    pub(crate) fn check(&mut self, mut compressed: Vec<u8>) -> Result<(), String> {
        if self.compressed.as_ref() == Some(&compressed) {
            return Ok(());
        }
        let received = compressed.clone();
        // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload"; then an empty
        // last block, so that the inflater knows that it is at the end.
        compressed.extend_from_slice(&[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
        match inflate::decompress_to_vec_with_limit(&compressed, self.message.len()) {
            Ok(inflated) if inflated == self.message => {
                self.compressed = Some(received);
                Ok(())
            }
            Ok(_) => Err("a message came changed".into()),
            Err(why) => Err(format!("a message can't be inflated: {why}")),
        }
    }
}

/// Compresses a message that stands for itself (RFC 7692 §7.2.1).
fn compress(message: &[u8]) -> Vec<u8> {
    let mut compressor = CompressorOxide::default();
    compressor.set_format_and_level(DataFormat::Raw, CompressionLevel::DefaultLevel as u8);
    let mut out = vec![0; message.len() + 64];
    let done = deflate(&mut compressor, message, &mut out, MZFlush::Sync);
    assert_eq!(done.bytes_consumed, message.len(), "there is room for all of it");
    out.truncate(done.bytes_written);
    // "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "the flush is whole");
    out.truncate(out.len() - 4);
    out
}

/// Writes something like the JSON that chats and tickers send: it can be compressed, and no two are alike.
pub(crate) fn json(bytes: usize, noise: &mut Noise) -> Vec<u8> {
    const NAMES: [&str; 4] = ["bid", "ask", "last", "volume"];
    let mut out = format!("{{\"id\":{},\"prices\":[", noise.next());
    while out.len() < bytes {
        let it = noise.next();
        let (price, name) = (it % 1_000_000, NAMES[(it >> 32) as usize % NAMES.len()]);
        out += &format!("{{\"{name}\":{}.{:02}}},", price / 100, price % 100);
    }
    out.truncate(bytes);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_length_that_is_asked_for_and_differs() {
        let mut noise = Noise::new(3);
        let (one, other) = (json(512, &mut noise), json(512, &mut noise));
        assert_eq!((one.len(), other.len()), (512, 512));
        assert_ne!(one, other);
    }

    #[test]
    fn messages_from_different_places_differ() {
        let mut noise = Noise::new(7);
        let messages = Messages::new(Content::Binary, Compression::None, 16, &mut noise);
        let mut seen: Vec<&[u8]> =
            (0..STARTS_BYTES).map(|it| &messages.pool[it..it + 16]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), STARTS_BYTES);
    }

    #[test]
    fn text_is_always_whole_characters() {
        let mut noise = Noise::new(5);
        for (content, bytes) in [(Content::Latin, 1024), (Content::Japanese, 1023)] {
            let messages = Messages::new(content, Compression::None, 1024, &mut noise);
            for _ in 0..1000 {
                let message = messages.choose(&mut noise);
                let Expected::Text(text) = messages.expected(message) else { panic!("no text") };
                assert_eq!(text.len(), bytes);
                assert!(str::from_utf8(text).is_ok());
            }
        }
        assert!(LATIN.iter().all(|it| it.len() == 8), "{LATIN:?}");
    }

    #[test]
    fn what_is_compressed_inflates_to_what_it_was() {
        let mut noise = Noise::new(9);
        let mut messages = Messages::new(Content::Json, Compression::Deflate, 512, &mut noise);
        for at in 0..PACKED {
            let compressed = messages.packed[at].compressed.clone();
            assert!(compressed.len() < 400, "{}", compressed.len());
            assert_eq!(messages.check(Message(at), compressed.clone()), Ok(()));
            assert!(messages.check(Message((at + 1) % PACKED), compressed).is_err());
        }
    }

    #[test]
    fn a_compressed_delivery_counts_if_it_inflates_to_what_was_said() {
        let message = b"what was said ".repeat(20);
        let mut said = Said::new(message.clone());
        let right = compress(&message);
        for wrong in
            [compress(&message[1..]), compress(&message.repeat(2)), right[1..].into(), vec![]]
        {
            assert!(said.check(wrong).is_err());
        }
        assert_eq!(said.check(right.clone()), Ok(()));
        assert_eq!(said.check(right.clone()), Ok(()), "as before");
        assert!(said.check(compress(&message[1..])).is_err(), "not as before");
        let mut next = Said::new(message.repeat(2));
        assert!(next.check(right).is_err(), "the one before");
    }
}
