//! What a connection still has to write.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

use crate::pool::Pool;

/// Bytes up to which frames are copied together, so that many small ones are one slice.
const OWN_LEN_MAX: usize = 64 << 10;

/// Bytes in the order in which they go out. Empty, it holds no memory. Whether there is room for more asks
/// [`Connection::has_room`](crate::Connection::has_room).
#[derive(Debug, Default)]
pub struct Outbox {
    /// Bytes copied together; the first `written` are gone.
    front: Vec<u8>,
    written: usize,
    rest: VecDeque<Segment>,
    len: usize,
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(it) => it,
            Self::Shared(it) => it,
        }
    }
}

impl Outbox {
    /// Returns how many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `slices` from the front for one vectored write and returns how many it used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let front = &self.front[self.written..];
        let fronts = (!front.is_empty()).then_some(front).into_iter();
        let all = fronts.chain(self.rest.iter().map(Segment::as_slice));
        let mut used = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// Borrows the first run of bytes, for transports without vectored writes. Empty only when the
    /// outbox is.
    pub fn first(&self) -> &[u8] {
        match (&self.front[self.written..], self.rest.front()) {
            ([], Some(it)) => it.as_slice(),
            (front, _) => front,
        }
    }

    /// Hands out the end to `write` to, as bytes that are copied together.
    pub(crate) fn append(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        let end = match self.rest.back_mut() {
            None if self.front.len() < OWN_LEN_MAX => &mut self.front,
            Some(Segment::Own(it)) if it.len() < OWN_LEN_MAX => it,
            _ => {
                self.rest.push_back(Segment::Own(Vec::new()));
                match self.rest.back_mut() {
                    Some(Segment::Own(it)) => it,
                    _ => unreachable!("pushed the line before"),
                }
            }
        };
        if end.capacity() == 0 {
            *end = pool.buffer();
        }
        let before = end.len();
        write(end);
        self.len += end.len() - before;
    }

    /// Adds bytes that are not copied.
    pub(crate) fn append_shared(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.rest.push_back(Segment::Shared(bytes));
    }

    /// Forgets the first `n` bytes.
    pub(crate) fn consume(&mut self, mut n: usize, pool: &mut Pool) {
        self.len = self.len.checked_sub(n).expect("no more is written than waits");
        let front_left = self.front.len() - self.written;
        if n < front_left {
            self.written += n;
            return;
        }
        n -= front_left;
        self.written = 0;
        pool.give_back(std::mem::take(&mut self.front));
        while let Some(mut segment) = self.rest.pop_front() {
            let segment_len = segment.as_slice().len();
            if segment_len <= n {
                n -= segment_len;
                if let Segment::Own(it) = segment {
                    pool.give_back(it);
                }
                continue;
            }
            match &mut segment {
                Segment::Own(it) => {
                    (self.front, self.written) = (std::mem::take(it), n);
                }
                Segment::Shared(it) => {
                    bytes::Buf::advance(it, n);
                    self.rest.push_front(segment);
                }
            }
            break;
        }
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.consume(self.len, pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, pool: &mut Pool, step: usize) -> Vec<u8> {
        let mut out = vec![];
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let used = outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..used].iter().flat_map(|it| it.to_vec()).collect();
            assert!(bytes.starts_with(outbox.first()) && !outbox.first().is_empty());
            let n = step.min(bytes.len());
            out.extend_from_slice(&bytes[..n]);
            outbox.consume(n, pool);
        }
        out
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        for step in [1, 2, 7, 1000, usize::MAX] {
            let mut pool = Pool::new(|_| ());
            let mut outbox = Outbox::default();
            let mut expected = vec![];
            for i in 0..50_u8 {
                if i % 7 == 3 {
                    let shared = vec![i; 300];
                    expected.extend_from_slice(&shared);
                    outbox.append_shared(shared.into());
                } else {
                    let own = vec![i; usize::from(i)];
                    expected.extend_from_slice(&own);
                    outbox.append(&mut pool, |it| it.extend_from_slice(&own));
                }
                assert_eq!(outbox.len(), expected.len());
            }
            assert_eq!(drain(&mut outbox, &mut pool, step), expected, "by {step}");
        }
    }

    #[test]
    fn an_empty_outbox_holds_no_memory() {
        let mut pool = Pool::new(|_| ());
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.append(&mut pool, |it| it.extend_from_slice(&[1; 70_000]));
            outbox.append_shared(Bytes::from_static(b"shared"));
            outbox.append(&mut pool, |it| it.extend_from_slice(b"own"));
        }
        outbox.clear(&mut pool);
        assert_eq!((outbox.front.capacity(), outbox.rest.capacity()), (0, 0));
    }
}
