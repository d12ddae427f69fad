//! [`Room`]: memory for the message at hand, used again for the next one unless somebody keeps it.

use bytes::{Bytes, BytesMut};

/// The memory of one message.
///
/// A conversation is given its message as shared bytes, because some of it may be said to others, or kept. Mostly nothing is:
/// the message was answered, or not understood. So it is looked whether it was let go, and only then is there another one.
#[derive(Default)]
pub(super) struct Room {
    /// Empty, and what leads back to the bytes that were lent.
    rest: BytesMut,
    len: usize,
}

/// Memory of so much more than a message is not lent to it: who keeps the message keeps all of it.
const ROOM_MAX: usize = 4;
/// Larger messages have memory of their own, which nobody holds for them between two.
const MESSAGE_LEN_MAX: usize = 16 << 10;

impl Room {
    /// Returns a copy of a message.
    pub(super) fn lend(&mut self, message: &[u8]) -> Bytes {
        if MESSAGE_LEN_MAX < message.len() {
            return Bytes::copy_from_slice(message);
        }
        // All of it is there again only when nobody has a part of it.
        let needed = message.len().max(LEN_MIN);
        let fits = needed <= self.len && self.len / ROOM_MAX <= needed;
        if !(fits && self.rest.try_reclaim(self.len)) {
            self.len = needed;
            self.rest = BytesMut::with_capacity(self.len);
        }
        self.rest.extend_from_slice(message);
        self.rest.split().freeze()
    }
}

/// What is not worth having less of.
const LEN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_lent_again_once_it_is_let_go() {
        let mut room = Room::default();
        let first = room.lend(b"first");
        let place = first.as_ptr();
        let part = first.slice(1..3);
        drop(first);
        let second = room.lend(b"second");
        assert_ne!(second.as_ptr(), place, "somebody keeps a part of it");
        assert_eq!((&part[..], &second[..]), (&b"ir"[..], &b"second"[..]));
        let place = second.as_ptr();
        drop(second);
        for message in [&b"third"[..], b"", &[b'x'; 64]] {
            let lent = room.lend(message);
            assert_eq!((&lent[..], lent.as_ptr()), (message, place));
        }
    }

    #[test]
    fn who_keeps_a_small_message_does_not_keep_the_memory_of_a_large_one() {
        let mut room = Room::default();
        let large = room.lend(&[0; MESSAGE_LEN_MAX]).as_ptr();
        assert_ne!(room.lend(b"small").as_ptr(), large);
        room.lend(&[0; MESSAGE_LEN_MAX + 1]);
        assert!(room.len <= LEN_MIN);
    }

    #[test]
    fn a_row_of_messages_like_each_other_asks_for_no_memory() {
        let mut room = Room::default();
        drop(room.lend(&[0; 100]));
        let counted = allocation_counter::measure(|| {
            for len in (40..100).chain(60..80) {
                let message = room.lend(&[7; 100][..len]);
                let other = message.clone();
                drop((message, other));
            }
        });
        assert_eq!(counted.count_total, 0);
    }
}
