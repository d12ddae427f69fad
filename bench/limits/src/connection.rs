//! One connection: 16 bytes, and a buffer only while there is something to keep.

use std::{mem, os::fd::OwnedFd};

use bench_limits::{
    frames::{self, Header},
    handshake,
};
use rustix::{
    buffer::spare_capacity,
    event::epoll,
    io::Errno,
    net::{self, RecvFlags, SendFlags},
};

/// Buffers of large frames that were sent: the next one needs no fresh memory from the system.
#[derive(Default)]
pub(crate) struct Spare(Vec<Vec<u8>>);

/// More are given back to the system.
const SPARE_MAX: usize = 8;
/// Smaller buffers come from the allocator fast enough.
const SPARE_BYTES_MIN: usize = 128 * 1024;

impl Spare {
    /// Returns a buffer that has room for exactly so many bytes.
    fn lend(&mut self, bytes: usize) -> Vec<u8> {
        let fits = self.0.iter().position(|it| it.capacity() == bytes);
        fits.map_or_else(|| Vec::with_capacity(bytes), |it| self.0.swap_remove(it))
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE_MAX && buffer.capacity() >= SPARE_BYTES_MIN {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

pub(crate) struct Connection {
    socket: OwnedFd,
    is_open: bool,
    /// The last frame was large, so the next one may be.
    expects_large: bool,
    kept: Option<Box<Kept>>,
}

/// What is not over.
#[derive(Default)]
struct Kept {
    /// A frame, or a request, of which a part has come.
    part: Vec<u8>,
    /// As many bytes of it are unmasked.
    plain: usize,
    unsent: Vec<u8>,
    sent: usize,
}

/// What one read brought.
pub(crate) enum Taken {
    Nothing,
    End,
    /// The server's frames lie at the beginning of the buffer, up to `end`.
    Frames {
        end: usize,
        closes: bool,
    },
    /// One frame of the server, from here on.
    Large(Vec<u8>, usize),
    Handshake(String),
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, is_open: false, expects_large: false, kept: None }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Tells whether the next read had better take little more than a header, so that the rest comes into a buffer of its own
    /// at once.
    pub(crate) fn expects_large(&self) -> bool {
        self.expects_large
    }

    /// Reads once: into the buffer of all, or into its own if a part of a frame has come.
    pub(crate) fn take(&mut self, read: &mut Vec<u8>, spare: &mut Spare) -> Taken {
        let begun = self.kept.as_deref_mut().filter(|it| !it.part.is_empty());
        let large = begun.as_ref().is_some_and(|it| it.part.capacity() > it.part.len());
        let into = match begun {
            Some(kept) if large => &mut kept.part,
            _ => {
                read.clear();
                &mut *read
            }
        };
        match net::recv(&self.socket, spare_capacity(into), RecvFlags::empty()) {
            Ok((_, 0)) => return Taken::End,
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Taken::Nothing,
            Err(_) => return Taken::End,
        }
        if large {
            return self.go_on();
        }
        if let Some(kept) = &mut self.kept
            && !kept.part.is_empty()
        {
            // What came before goes to the front: at most a few bytes, once in a while.
            read.splice(0..0, mem::take(&mut kept.part));
        }
        if !self.is_open {
            return self.answer(read, spare);
        }
        let turned = frames::turn(read);
        self.keep(&read[turned.rest..], spare);
        match turned.end {
            0 => Taken::Nothing,
            end => {
                self.expects_large = false;
                Taken::Frames { end, closes: turned.closes }
            }
        }
    }

    fn answer(&mut self, read: &[u8], spare: &mut Spare) -> Taken {
        let Some((answer, taken)) = handshake::answer(read) else {
            self.keep(read, spare);
            return Taken::Nothing;
        };
        self.is_open = true;
        // Clients here say nothing before they are let in.
        self.keep(&read[taken..], spare);
        Taken::Handshake(answer)
    }

    /// Keeps what has come of a frame; if its length is known, in a buffer that has room for exactly all of it.
    fn keep(&mut self, rest: &[u8], spare: &mut Spare) {
        if rest.is_empty() {
            if self.kept.as_ref().is_some_and(|it| it.unsent.is_empty()) {
                self.kept = None;
            }
            return;
        }
        let whole = match self.is_open {
            true => Header::read(rest).map(|it| it.bytes + it.payload),
            false => None,
        };
        let kept = self.kept.get_or_insert_default();
        kept.plain = 0;
        kept.part = spare.lend(whole.unwrap_or(rest.len()));
        kept.part.extend_from_slice(rest);
    }

    /// Unmasks what has come of a large frame; hands it out when it is whole.
    fn go_on(&mut self) -> Taken {
        let Some(kept) = &mut self.kept else { return Taken::Nothing };
        let Some(header) = Header::read(&kept.part) else { return Taken::Nothing };
        let whole = header.bytes + header.payload;
        // In steps of four bytes, so that the key begins with its first one.
        let end = match kept.part.len() {
            len if len >= whole => whole,
            len => header.bytes + (len.saturating_sub(header.bytes) & !3),
        };
        let start = header.bytes.max(kept.plain);
        frames::unmask(&mut kept.part[start..end], header.key);
        kept.plain = end;
        if kept.part.len() < whole {
            return Taken::Nothing;
        }
        let mut bytes = mem::take(&mut kept.part);
        kept.plain = 0;
        if kept.unsent.is_empty() {
            self.kept = None;
        }
        self.expects_large = whole >= SPARE_BYTES_MIN;
        bytes[1] &= 0x7f;
        bytes.copy_within(0..header.bytes - 4, 4);
        Taken::Large(bytes, 4)
    }

    /// Sends, and keeps what the kernel does not take.
    pub(crate) fn send(&mut self, id: usize, epoll: &OwnedFd, bytes: &[u8]) {
        let waits = self.kept.as_ref().is_some_and(|it| !it.unsent.is_empty());
        let sent = if waits { 0 } else { self.try_send(bytes) };
        if sent < bytes.len() {
            self.kept.get_or_insert_default().unsent.extend_from_slice(&bytes[sent..]);
            self.wait_for_room(id, epoll, true);
        }
    }

    /// Sends what it may keep as it is.
    pub(crate) fn send_owned(
        &mut self,
        id: usize,
        epoll: &OwnedFd,
        (bytes, start): (Vec<u8>, usize),
        spare: &mut Spare,
    ) {
        if self.kept.as_ref().is_some_and(|it| !it.unsent.is_empty()) {
            self.send(id, epoll, &bytes[start..]);
            return spare.give_back(bytes);
        }
        let sent = start + self.try_send(&bytes[start..]);
        if sent == bytes.len() {
            return spare.give_back(bytes);
        }
        let kept = self.kept.get_or_insert_default();
        (kept.unsent, kept.sent) = (bytes, sent);
        self.wait_for_room(id, epoll, true);
    }

    fn try_send(&self, bytes: &[u8]) -> usize {
        // One that is gone is told so by the next read.
        net::send(&self.socket, bytes, SendFlags::NOSIGNAL).unwrap_or(0)
    }

    pub(crate) fn flush(&mut self, id: usize, epoll: &OwnedFd, spare: &mut Spare) {
        let Some(kept) = &self.kept else { return };
        let sent = kept.sent + self.try_send(&kept.unsent[kept.sent..]);
        let Some(kept) = &mut self.kept else { return };
        kept.sent = sent;
        if sent == kept.unsent.len() {
            spare.give_back(mem::take(&mut kept.unsent));
            kept.sent = 0;
            if kept.part.is_empty() {
                self.kept = None;
            }
            self.wait_for_room(id, epoll, false);
        }
    }

    fn wait_for_room(&self, id: usize, epoll: &OwnedFd, waits: bool) {
        let mut interest = epoll::EventFlags::IN;
        interest.set(epoll::EventFlags::OUT, waits);
        let _ = epoll::modify(epoll, &self.socket, epoll::EventData::new_u64(id as u64), interest);
    }
}
