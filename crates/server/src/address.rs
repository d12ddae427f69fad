//! By which name a later request finds its conversation: signed, so that nobody makes one up.

use aws_lc_rs::{constant_time, hmac};
use taiwa_core::NodeId;
use taiwa_hub::slab::Key;

/// Hexadecimal digits of a node, a shard, a conversation.
const NAME: usize = 16 + 4 + 16;
/// With the signature.
const LEN: usize = NAME + 32;

/// Writes an address.
pub(crate) fn write(secret: &[u8; 32], node: NodeId, shard: u16, talk: Key) -> String {
    let name = format!("{node}{shard:04x}{:016x}", talk.bits());
    let signature = sign(secret, name.as_bytes());
    signature.iter().fold(name, |text, byte| text + &format!("{byte:02x}"))
}

/// Reads an address; `None` if it was not written with this secret.
pub(crate) fn read(secret: &[u8; 32], address: &str) -> Option<(NodeId, u16, Key)> {
    let digits = address.bytes().all(|it| it.is_ascii_hexdigit());
    let (name, signature) = (address.len() == LEN && digits).then(|| address.split_at(NAME))?;
    let signature = u128::from_str_radix(signature, 16).ok()?.to_be_bytes();
    constant_time::verify_slices_are_equal(&sign(secret, name.as_bytes()), &signature).ok()?;
    let (node, name) = name.split_at(16);
    let (shard, talk) = name.split_at(4);
    let talk = Key::from_bits(u64::from_str_radix(talk, 16).ok()?)?;
    Some((node.parse().ok()?, u16::from_str_radix(shard, 16).ok()?, talk))
}

/// Half of an HMAC of SHA-256: nobody guesses 128 bits.
fn sign(secret: &[u8; 32], name: &[u8]) -> [u8; 16] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), name);
    *tag.as_ref().first_chunk().expect("a tag has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_by_whoever_has_the_secret_and_by_nobody_else() {
        let talk = Key::from_bits(7 << 32 | 5).unwrap();
        let node = NodeId(0xf00d);
        let address = write(&[1; 32], node, 3, talk);
        assert_eq!(address.len(), LEN);
        assert_eq!(read(&[1; 32], &address), Some((node, 3, talk)));
        assert_eq!(read(&[2; 32], &address), None);
        for at in 0..LEN {
            let mut forged = address.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(read(&[1; 32], std::str::from_utf8(&forged).unwrap()), None, "{at}");
        }
        for nonsense in ["", "対", &"f".repeat(LEN), &"+".repeat(LEN)] {
            assert_eq!(read(&[1; 32], nonsense), None, "{nonsense}");
        }
    }
}
