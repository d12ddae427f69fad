//! What a connection still has to write.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

use crate::{pool::Pool, run::Run};

/// Bytes up to which frames are copied together, so that many small ones are one slice.
const OWN_LEN_MAX: usize = 64 << 10;

/// Bytes in the order in which they go out. Empty, it holds no memory. Whether there is room for more asks
/// [`Connection::has_room`](crate::Connection::has_room).
#[derive(Debug, Default)]
pub struct Outbox {
    /// Bytes copied together; the first `written` are gone.
    front: Vec<u8>,
    written: usize,
    /// Behind the front: frames that others send, too. Here, since of a subscriber it is mostly all there is.
    run: Option<Run>,
    rest: VecDeque<Segment>,
    len: usize,
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared(Bytes),
    Run(Run),
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
        self.pieces().next().unwrap_or_default()
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let front = &self.front[self.written..];
        let front = (!front.is_empty()).then_some(front).into_iter();
        let run = self.run.iter().flat_map(Run::pieces);
        front.chain(run).chain(self.rest.iter().flat_map(Segment::pieces))
    }

    /// Hands out the end to `write` to, as bytes that are copied together.
    pub(crate) fn append(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        let end = match self.rest.back_mut() {
            None if self.run.is_none() && self.front.len() < OWN_LEN_MAX => &mut self.front,
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

    /// Adds a frame that others send, too.
    pub(crate) fn append_run(&mut self, run: Run, len: usize) {
        self.len += len;
        let last = match self.rest.back_mut() {
            None => self.run.as_mut(),
            Some(Segment::Run(it)) => Some(it),
            Some(_) => None,
        };
        if last.is_some_and(|it| it.take_in(&run)) {
            return;
        }
        match (&self.run, self.rest.is_empty()) {
            (None, true) => self.run = Some(run),
            _ => self.rest.push_back(Segment::Run(run)),
        }
    }

    /// Copies frames that others send, too: who does not read is not to hold what is said to all.
    pub(crate) fn unshare(&mut self, pool: &mut Pool) {
        let first = match self.run {
            Some(_) => Some(0),
            None => self.rest.iter().position(|it| matches!(it, Segment::Run(_))),
        };
        let Some(first) = first else { return };
        let (len, behind) = (self.len, self.rest.split_off(first));
        for segment in self.run.take().map(Segment::Run).into_iter().chain(behind) {
            match segment {
                Segment::Shared(_) => self.rest.push_back(segment),
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
        let front_left = self.front.len() - self.written;
        if n < front_left {
            self.written += n;
            return;
        }
        n -= front_left;
        self.written = 0;
        pool.give_back(std::mem::take(&mut self.front));
        match self.run.as_mut().map(|it| it.consume(n)) {
            None => {}
            Some(Ok(())) => return,
            Some(Err(more)) => (self.run, n) = (None, more),
        }
        while let Some(segment) = self.rest.pop_front() {
            match segment {
                Segment::Own(it) if it.len() <= n => {
                    n -= it.len();
                    pool.give_back(it);
                }
                Segment::Own(it) => {
                    (self.front, self.written) = (it, n);
                    break;
                }
                Segment::Shared(it) if it.len() <= n => n -= it.len(),
                Segment::Shared(mut it) => {
                    bytes::Buf::advance(&mut it, n);
                    self.rest.push_front(Segment::Shared(it));
                    break;
                }
                Segment::Run(mut it) => match it.consume(n) {
                    Ok(()) => {
                        self.run = Some(it);
                        break;
                    }
                    Err(more) => n = more,
                },
            }
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
            let frames: Vec<Bytes> = (0..50_u8).map(|i| vec![i; 40].into()).collect();
            for i in 0..50_u8 {
                if i % 9 < 4 {
                    let frame = &frames[usize::from(i)];
                    expected.extend_from_slice(frame);
                    outbox.append_run(pool.runs.append(frame).unwrap(), frame.len());
                } else if i % 7 == 3 {
                    let shared = vec![i; 300];
                    expected.extend_from_slice(&shared);
                    outbox.append_shared(shared.into());
                } else {
                    let own = vec![i; usize::from(i)];
                    expected.extend_from_slice(&own);
                    outbox.append(&mut pool, |it| it.extend_from_slice(&own));
                }
                if i % 20 == 13 {
                    outbox.unshare(&mut pool);
                    assert!(outbox.run.is_none());
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
