//! Buffers of large messages that have gone, kept a while for the next ones.
//!
//! An allocator gives a large buffer back to the operating system, which hands out each page of the next one anew and full of
//! zeros: for a message of 16 MiB that is a third of the time that its echo takes.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

/// Bytes from which on a buffer is kept. Allocators keep smaller ones themselves.
const LEN_MIN: usize = 128 << 10;
/// Bytes of all that are kept: the oldest ones are given up for a new one.
const BYTES_MAX: usize = 32 << 20;
/// How long one is kept that nobody needs.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The buffers that one thread keeps, the oldest first.
#[derive(Default)]
pub(crate) struct Spares {
    kept: Vec<Spare>,
    bytes: usize,
}

struct Spare {
    buffer: Vec<u8>,
    /// When the clock was first looked at since it came.
    since: Option<Instant>,
}

impl Spares {
    /// Takes out a buffer for `len` bytes that has at most twice the room: what is received may be held for long.
    pub(crate) fn take(&mut self, len: u64) -> Option<BytesMut> {
        let fits = |it: &Spare| {
            let capacity = it.buffer.capacity() as u64;
            len <= capacity && capacity <= len.saturating_mul(2)
        };
        let at = self.kept.iter().rposition(fits)?;
        let Spare { buffer, .. } = self.kept.remove(at);
        self.bytes -= buffer.capacity();
        Some(BytesMut::from(Bytes::from(buffer)))
    }

    /// Keeps the buffer of bytes that are of no more use, if it is large and nobody else has it.
    pub(crate) fn give(&mut self, mut bytes: Bytes) {
        if !bytes.is_unique() {
            return;
        }
        // What is left of them is not to be moved to the front.
        let len = bytes.len();
        bytes::Buf::advance(&mut bytes, len);
        let buffer = Vec::from(bytes);
        if (LEN_MIN..=BYTES_MAX).contains(&buffer.capacity()) {
            self.bytes += buffer.capacity();
            self.kept.push(Spare { buffer, since: None });
            let mut oldest = 0;
            while BYTES_MAX < self.bytes {
                self.bytes -= self.kept[oldest].buffer.capacity();
                oldest += 1;
            }
            self.kept.drain(..oldest);
        }
    }

    /// Tells whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Gives up what nobody has needed for [`KEPT_FOR`]; returns when to call it again, if anything is left.
    pub(crate) fn age(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        self.kept.retain_mut(|it| {
            let until = *it.since.get_or_insert(now) + KEPT_FOR;
            let stays = now < until;
            if stays {
                next = next.into_iter().chain([until]).min();
            } else {
                self.bytes -= it.buffer.capacity();
            }
            stays
        });
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn buffer_of(len: usize) -> Bytes {
        vec![7; len].into()
    }

    #[test]
    fn a_buffer_comes_back_to_who_needs_about_as_much() {
        let mut spares = Spares::default();
        let bytes = buffer_of(MIB);
        let place = bytes.as_ptr();
        spares.give(bytes);
        assert!(spares.take(MIB as u64 + 1).is_none(), "too small");
        assert!(spares.take(MIB as u64 / 2 - 1).is_none(), "too large to be held for so little");
        let buffer = spares.take(MIB as u64 / 2).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.len(), buffer.capacity()), (place, 0, MIB));
        assert!(spares.take(MIB as u64).is_none(), "given once");
        assert_eq!(spares.bytes, 0);
    }

    #[test]
    fn it_is_kept_whole_though_only_its_end_is_given_back() {
        let mut spares = Spares::default();
        let whole = buffer_of(MIB);
        let mut end = whole.clone();
        bytes::Buf::advance(&mut end, MIB - 3);
        drop(whole);
        spares.give(end);
        assert_eq!(spares.take(MIB as u64).unwrap().capacity(), MIB);
    }

    #[test]
    fn what_others_have_or_is_small_is_not_kept() {
        let mut spares = Spares::default();
        let shared = buffer_of(MIB);
        spares.give(shared.clone());
        spares.give(buffer_of(LEN_MIN - 1));
        spares.give(buffer_of(BYTES_MAX + 1));
        spares.give(Bytes::from_static(&[0; 2 * LEN_MIN]));
        spares.give(Bytes::from_owner(vec![0; MIB]));
        assert_eq!((spares.kept.len(), spares.bytes), (0, 0));
        assert_eq!(shared.len(), MIB);
    }

    #[test]
    fn the_oldest_are_given_up_for_a_new_one() {
        let mut spares = Spares::default();
        for len in [8 * MIB, 9 * MIB, 10 * MIB, 7 * MIB] {
            spares.give(buffer_of(len));
        }
        let kept: Vec<usize> = spares.kept.iter().map(|it| it.buffer.capacity() / MIB).collect();
        assert_eq!((kept, spares.bytes), (vec![9, 10, 7], 26 * MIB));
    }

    #[test]
    fn what_nobody_needs_for_a_second_is_given_up() {
        let mut spares = Spares::default();
        let begin = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(spares.age(begin), None);
        spares.give(buffer_of(MIB));
        assert_eq!(spares.age(begin), Some(begin + KEPT_FOR));
        spares.give(buffer_of(2 * MIB));
        assert_eq!(spares.age(begin + ms(400)), Some(begin + KEPT_FOR));
        assert_eq!(spares.age(begin + KEPT_FOR), Some(begin + ms(1_400)));
        assert_eq!(spares.bytes, 2 * MIB);
        assert_eq!(spares.age(begin + ms(1_400)), None);
        assert_eq!((spares.kept.len(), spares.bytes), (0, 0));
    }
}
