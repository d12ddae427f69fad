//! Masking (RFC 6455 §5.3): one function does and undoes it.

/// Applies `key` to `bytes`, whose first byte meets the key's first: masks them, or unmasks them
/// (RFC 6455 §5.3).
///
/// A plain loop over words: compiled, it runs at the speed of memory.
///
/// ```
/// let mut bytes = *b"Hello";
/// taiwa_proto::mask::apply(&mut bytes, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(bytes, [0x7f, 0x9f, 0x4d, 0x51, 0x58]); // RFC 6455 §5.7
/// ```
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Returns the key for the bytes that follow `done` masked ones.
pub fn rotate(mut key: [u8; 4], done: usize) -> [u8; 4] {
    key.rotate_left(done % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_give_what_the_definition_gives() {
        let key = [0xde, 0xad, 0xbe, 0xef];
        let plain: Vec<u8> = (0..100).collect();
        let defined: Vec<u8> = plain.iter().enumerate().map(|(i, it)| it ^ key[i % 4]).collect();
        for cut in 0..=plain.len() {
            let mut bytes = plain.clone();
            let (front, back) = bytes.split_at_mut(cut);
            apply(front, key);
            apply(back, rotate(key, cut));
            assert_eq!(bytes, defined, "cut at {cut}");
        }
    }
}
