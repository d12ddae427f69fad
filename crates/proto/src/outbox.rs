//! What a connection still has to write.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

use crate::{pool::Pool, run::Run};

/// Bytes up to which frames are copied together, so that many small ones are one slice.
const OWN_LEN_MAX: usize = 64 << 10;
/// Room for so many segments is kept for other connections.
const SEGMENTS_KEPT: usize = 64;

/// Bytes in the order in which they go out. Empty, it holds no memory. Whether there is room for more asks
/// [`Connection::has_room`](crate::Connection::has_room).
#[derive(Debug, Default)]
pub struct Outbox {
    /// Here, since it is mostly all there is.
    first: First,
    rest: Option<Box<Rest>>,
    len: usize,
}

/// What goes out first.
#[derive(Debug)]
enum First {
    /// Bytes copied together; none of them if nothing waits, or a segment of the rest is first.
    Own(Vec<u8>),
    /// Frames that others send, too: what a subscriber mostly has.
    Run(Run),
}

/// What few connections have: a write that the transport did not take whole, or several segments.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Of the bytes of [`First::Own`] so many are gone.
    written: usize,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared(Bytes),
    Run(Run),
}

impl Default for First {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Rest {
    /// Tells whether it is worth keeping for the next connection that needs one.
    pub(crate) fn is_small(&self) -> bool {
        self.segments.capacity() <= SEGMENTS_KEPT
    }
}

impl Segment {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (whole, run) = match self {
            Self::Own(it) => (Some(&it[..]), None),
            Self::Shared(it) => (Some(&it[..]), None),
            Self::Run(it) => (None, Some(it.pieces())),
        };
        whole.into_iter().chain(run.into_iter().flatten())
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
        let mut used = 0;
        for (slice, bytes) in slices.iter_mut().zip(self.pieces()) {
            *slice = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// Borrows the first run of bytes, for transports without vectored writes. Empty only when the
    /// outbox is.
    pub fn first(&self) -> &[u8] {
        // Mostly all that waits is in one of these.
        match &self.first {
            First::Own(own) if self.written() < own.len() => &own[self.written()..],
            First::Run(run) => run.first(),
            First::Own(_) => self.pieces().next().unwrap_or_default(),
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (own, run) = match &self.first {
            First::Own(own) => (Some(&own[self.written()..]).filter(|it| !it.is_empty()), None),
            First::Run(run) => (None, Some(run.pieces())),
        };
        let segments = self.rest.iter().flat_map(|it| &it.segments);
        own.into_iter().chain(run.into_iter().flatten()).chain(segments.flat_map(Segment::pieces))
    }

    fn written(&self) -> usize {
        self.rest.as_ref().map_or(0, |it| it.written)
    }

    fn last(&self) -> Option<&Segment> {
        self.rest.as_ref()?.segments.back()
    }

    fn last_mut(&mut self) -> Option<&mut Segment> {
        self.rest.as_mut()?.segments.back_mut()
    }

    fn push(&mut self, segment: Segment, pool: &mut Pool) {
        self.rest.get_or_insert_with(|| pool.rest()).segments.push_back(segment);
    }

    /// Hands out the end to `write` to, as bytes that are copied together.
    pub(crate) fn append(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        let has_room = match (self.last(), &self.first) {
            (Some(Segment::Own(it)), _) | (None, First::Own(it)) => it.len() < OWN_LEN_MAX,
            _ => false,
        };
        if !has_room {
            self.push(Segment::Own(Vec::new()), pool);
        }
        let last = self.rest.as_mut().and_then(|it| it.segments.back_mut());
        let end = match (last, &mut self.first) {
            (Some(Segment::Own(it)), _) | (None, First::Own(it)) => it,
            _ => unreachable!("pushed the line before"),
        };
        if end.capacity() == 0 {
            *end = pool.buffer();
        }
        let before = end.len();
        write(end);
        self.len += end.len() - before;
    }

    /// Adds bytes that are not copied.
    pub(crate) fn append_shared(&mut self, bytes: Bytes, pool: &mut Pool) {
        self.len += bytes.len();
        self.push(Segment::Shared(bytes), pool);
    }

    /// Adds a frame that others send, too.
    pub(crate) fn append_run(&mut self, run: Run, len: usize, pool: &mut Pool) {
        self.len += len;
        let is_taken_in = match self.last_mut() {
            Some(Segment::Run(it)) => it.take_in(&run),
            Some(_) => false,
            None => match &mut self.first {
                First::Run(it) => it.take_in(&run),
                First::Own(it) if it.is_empty() => {
                    self.first = First::Run(run);
                    return;
                }
                First::Own(_) => false,
            },
        };
        if !is_taken_in {
            self.push(Segment::Run(run), pool);
        }
    }

    /// Copies frames that others send, too: who does not read is not to hold what is said to all.
    pub(crate) fn unshare(&mut self, pool: &mut Pool) {
        let len = self.len;
        let is_run = |it: &Segment| matches!(it, Segment::Run(_));
        let segments = self.rest.as_mut().map(|it| &mut it.segments);
        let behind = match &self.first {
            First::Run(_) => segments.map(std::mem::take).unwrap_or_default(),
            First::Own(_) => {
                let Some(segments) = segments else { return };
                let Some(first) = segments.iter().position(is_run) else { return };
                segments.split_off(first)
            }
        };
        let first = match std::mem::take(&mut self.first) {
            First::Run(run) => Some(Segment::Run(run)),
            own => {
                self.first = own;
                None
            }
        };
        for segment in first.into_iter().chain(behind) {
            match segment {
                Segment::Shared(_) => self.push(segment, pool),
                copied => self.append(pool, |out| {
                    copied.pieces().for_each(|it| out.extend_from_slice(it));
                }),
            }
        }
        self.len = len;
    }

    /// Forgets the first `n` bytes.
    pub(crate) fn consume(&mut self, mut n: usize, pool: &mut Pool) {
        self.len = self.len.checked_sub(n).expect("no more is written than waits");
        let written = self.written();
        match &mut self.first {
            First::Own(own) => {
                let left = own.len() - written;
                if n < left {
                    if n > 0 {
                        self.rest.get_or_insert_with(|| pool.rest()).written += n;
                    }
                    return;
                }
                n -= left;
                pool.give_back(std::mem::take(own));
            }
            First::Run(run) => match run.consume(n) {
                Ok(()) => return,
                Err(more) => (self.first, n) = (First::default(), more),
            },
        }
        let Some(rest) = &mut self.rest else { return };
        rest.written = 0;
        while let Some(segment) = rest.segments.pop_front() {
            match segment {
                Segment::Own(it) if it.len() <= n => {
                    n -= it.len();
                    pool.give_back(it);
                }
                Segment::Own(it) => {
                    (self.first, rest.written) = (First::Own(it), n);
                    break;
                }
                Segment::Shared(it) if it.len() <= n => {
                    n -= it.len();
                    pool.spares.give(it);
                }
                Segment::Shared(mut it) => {
                    bytes::Buf::advance(&mut it, n);
                    rest.segments.push_front(Segment::Shared(it));
                    break;
                }
                Segment::Run(mut it) => match it.consume(n) {
                    Ok(()) => {
                        self.first = First::Run(it);
                        break;
                    }
                    Err(more) => n = more,
                },
            }
        }
        if rest.segments.is_empty()
            && rest.written == 0
            && let Some(rest) = self.rest.take()
        {
            pool.give_rest_back(rest);
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

    impl Outbox {
        pub(crate) fn holds_nothing(&self) -> bool {
            matches!(&self.first, First::Own(it) if it.capacity() == 0) && self.rest.is_none()
        }

        fn has_run(&self) -> bool {
            let mut segments = self.rest.iter().flat_map(|it| &it.segments);
            matches!(self.first, First::Run(_)) || segments.any(|it| matches!(it, Segment::Run(_)))
        }
    }

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
            let frames: Vec<Bytes> = (0..50_u8).map(|i| vec![i; 40].into()).collect();
            for i in 0..50_u8 {
                if i % 9 < 4 {
                    let frame = &frames[usize::from(i)];
                    expected.extend_from_slice(frame);
                    let run = pool.runs.append(frame).unwrap();
                    outbox.append_run(run, frame.len(), &mut pool);
                } else if i % 7 == 3 {
                    let shared = vec![i; 300];
                    expected.extend_from_slice(&shared);
                    outbox.append_shared(shared.into(), &mut pool);
                } else {
                    let own = vec![i; usize::from(i)];
                    expected.extend_from_slice(&own);
                    outbox.append(&mut pool, |it| it.extend_from_slice(&own));
                }
                if i % 20 == 13 {
                    outbox.unshare(&mut pool);
                    assert!(!outbox.has_run());
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
            outbox.append_shared(Bytes::from_static(b"shared"), &mut pool);
            outbox.append(&mut pool, |it| it.extend_from_slice(b"own"));
        }
        outbox.clear(&mut pool);
        assert!(outbox.holds_nothing());
        assert!(size_of::<Outbox>() <= 40, "{}", size_of::<Outbox>());
    }
}
