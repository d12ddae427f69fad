//! Frames that many connections of one thread send, held once for all their outboxes.
//!
//! Who hears the same hears it in the same order: what a connection still has to write is a stretch of frames in a row, not a copy
//! of them. The bytes of a stretch are joined once, for all connections that write the same one.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

/// Frames of one row.
const FRAMES_MAX: usize = 32;
/// Bytes of one row, and of a frame in it.
const BYTES_MAX: usize = 64 << 10;

/// Frames behind each other.
struct Row {
    frames: [OnceLock<Bytes>; FRAMES_MAX],
    /// The first stretch of several frames that was written whole.
    joined: OnceLock<Joined>,
}

struct Joined {
    from: u8,
    to: u8,
    bytes: Bytes,
}

/// The row to which a thread appends.
#[derive(Default)]
pub(crate) struct Runs {
    row: Option<Arc<Row>>,
    used: u8,
    bytes: usize,
}

/// A stretch of a row, of which the first bytes are gone.
#[derive(Clone)]
pub(crate) struct Run {
    row: Arc<Row>,
    from: u8,
    to: u8,
    /// Bytes of the first frame that are gone.
    gone: u32,
}

impl Runs {
    /// Makes a stretch of one frame; `None` if it is too large for a row.
    pub(crate) fn append(&mut self, frame: &Bytes) -> Option<Run> {
        if BYTES_MAX < frame.len() || frame.is_empty() {
            return None;
        }
        if let Some(at) = self.find(frame) {
            let row = self.row.as_ref()?;
            return Some(Run { row: Arc::clone(row), from: at, to: at + 1, gone: 0 });
        }
        let is_full = usize::from(self.used) == FRAMES_MAX || BYTES_MAX < self.bytes + frame.len();
        if is_full {
            self.end();
        }
        let row = self.row.get_or_insert_with(|| {
            Arc::new(Row { frames: Default::default(), joined: OnceLock::new() })
        });
        let at = self.used;
        row.frames[usize::from(at)].set(frame.clone()).expect("each place is used once");
        self.used += 1;
        self.bytes += frame.len();
        Some(Run { row: Arc::clone(row), from: at, to: at + 1, gone: 0 })
    }

    /// Finds a frame, the newest first: mostly it is that one.
    fn find(&self, frame: &Bytes) -> Option<u8> {
        let frames = &self.row.as_ref()?.frames;
        let is_it = |at: &u8| {
            let it = frames[usize::from(*at)].get();
            it.is_some_and(|it| it.as_ptr() == frame.as_ptr() && it.len() == frame.len())
        };
        (0..self.used).rev().find(is_it)
    }

    /// Begins a new row with the next frame.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }
}

impl Run {
    /// Takes a stretch in that lies right behind this one; returns whether it does.
    pub(crate) fn take_in(&mut self, next: &Self) -> bool {
        let follows = Arc::ptr_eq(&self.row, &next.row) && self.to == next.from && next.gone == 0;
        if follows {
            self.to = next.to;
        }
        follows
    }

    /// Borrows its bytes, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let joined = (self.gone == 0 && 1 < self.to - self.from).then(|| self.joined()).flatten();
        let frames = (self.from..self.to).enumerate().map(|(at, place)| {
            let frame = &self.frame(place)[..];
            if at == 0 { &frame[self.gone as usize..] } else { frame }
        });
        let frames = joined.is_none().then_some(frames);
        joined.into_iter().chain(frames.into_iter().flatten())
    }

    /// Borrows the first of the pieces.
    pub(crate) fn first(&self) -> &[u8] {
        let is_joined = self.gone == 0 && 1 < self.to - self.from;
        let joined = if is_joined { self.joined() } else { None };
        joined.unwrap_or_else(|| &self.frame(self.from)[self.gone as usize..])
    }

    /// Returns the bytes in one piece, if it is the stretch of which that exists.
    fn joined(&self) -> Option<&[u8]> {
        let joined = self.row.joined.get_or_init(|| {
            let mut bytes = Vec::new();
            (self.from..self.to).for_each(|it| bytes.extend_from_slice(self.frame(it)));
            Joined { from: self.from, to: self.to, bytes: bytes.into() }
        });
        (joined.from == self.from && joined.to == self.to).then_some(&joined.bytes)
    }

    fn frame(&self, place: u8) -> &Bytes {
        self.row.frames[usize::from(place)].get().expect("it was set before a stretch had it")
    }

    /// Forgets the first `n` bytes; returns how many of them it did not have. It is empty then.
    pub(crate) fn consume(&mut self, mut n: usize) -> Result<(), usize> {
        while self.from < self.to {
            let left = self.frame(self.from).len() - self.gone as usize;
            if n < left {
                self.gone += n as u32;
                return Ok(());
            }
            n -= left;
            (self.from, self.gone) = (self.from + 1, 0);
        }
        Err(n)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("frames", &(self.from..self.to))
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(run: &Run) -> Vec<u8> {
        run.pieces().flatten().copied().collect()
    }

    #[test]
    fn frames_in_a_row_are_one_stretch_and_joined_once() {
        let mut runs = Runs::default();
        let frames = [b"one".as_slice(), b"two", b"three"].map(Bytes::from_static);
        let mut stretch = || {
            let mut all = runs.append(&frames[0]).unwrap();
            assert!(frames[1..].iter().all(|it| all.take_in(&runs.append(it).unwrap())));
            all
        };
        let (one, other) = (stretch(), stretch());
        assert_eq!((bytes(&one), one.pieces().count()), (b"onetwothree".to_vec(), 1));
        assert_eq!(one.pieces().next().unwrap().as_ptr(), other.pieces().next().unwrap().as_ptr());
        let short = runs.append(&frames[1]).unwrap();
        assert_eq!((bytes(&short), short.clone().take_in(&short)), (b"two".to_vec(), false));
        let mut two = short.clone();
        assert!(two.take_in(&runs.append(&frames[2]).unwrap()));
        assert_eq!((bytes(&two), two.pieces().count()), (b"twothree".to_vec(), 2));
    }

    #[test]
    fn what_is_written_is_gone() {
        let mut runs = Runs::default();
        let mut all = runs.append(&Bytes::from_static(b"ab")).unwrap();
        assert!(all.take_in(&runs.append(&Bytes::from_static(b"cde")).unwrap()));
        for n in 0..5 {
            let mut run = all.clone();
            assert_eq!(run.consume(n), Ok(()));
            assert_eq!(bytes(&run), b"abcde"[n..], "{n}");
        }
        assert_eq!(all.consume(9), Err(4));
        assert_eq!(bytes(&all), b"");
    }

    #[test]
    fn a_row_has_an_end() {
        let mut runs = Runs::default();
        assert!(runs.append(&vec![0; BYTES_MAX + 1].into()).is_none());
        let mut first = runs.append(&vec![1; BYTES_MAX / 2].into()).unwrap();
        assert!(first.take_in(&runs.append(&vec![2; BYTES_MAX / 2].into()).unwrap()));
        assert!(!first.take_in(&runs.append(&Bytes::from_static(b"x")).unwrap()));
        let mut of_many = (0..FRAMES_MAX as u8 + 1).map(|it| vec![it]).map(Bytes::from);
        runs.end();
        let mut row = runs.append(&of_many.next().unwrap()).unwrap();
        let taken = of_many.map(|it| row.take_in(&runs.append(&it).unwrap()));
        assert_eq!(taken.filter(|it| !it).count(), 1);
    }
}
