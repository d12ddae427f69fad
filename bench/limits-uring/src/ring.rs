//! The rings that are shared with the kernel, behind calls that are safe: the one module with `unsafe`, since what is
//! submitted to io_uring are pointers.
//!
//! Why it is right:
//!
//! * The ring is made with `IORING_SETUP_DEFER_TASKRUN`: the kernel moves bytes only while this thread is inside of
//!   `io_uring_enter`, which only [`Ring::submit`] calls. That takes `&mut self`, so no reference into any memory here lives then.
//! * Where bytes are received (`pool`) and the queue of its pieces (`shelf`) are allocated once and never freed. Every
//!   [`Piece`] lies within the pool, which is initialized from the beginning: one that is used too late has wrong bytes at worst.
//! * What is sent must stay until it is sent. With `MSG_DONTWAIT` a request is over when `submit` returns: until then
//!   `under_way` owns it. What waits for room is owned by `waiting` until its completion has come.
//! * A [`Ring`] is never dropped ([`Ring::new`] leaks it), so that none of this is freed before the kernel let go of it.
#![allow(unsafe_code)]

use std::{
    alloc::{self, Layout},
    collections::VecDeque,
    io,
    net::TcpListener,
    os::fd::AsRawFd,
    slice,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{
    IoUring, cqueue, opcode, squeue,
    types::{BufRingEntry, Fixed},
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};

const SUBMISSIONS: u32 = 4096;
const COMPLETIONS: u32 = 32_768;
/// Where bytes are received: each buffer is filled from its beginning to its end by one read after the other.
const BUFFERS: u16 = 4;
const BUFFER_BYTES: usize = 256 * 1024;
const POOL_BYTES: usize = BUFFERS as usize * BUFFER_BYTES;
const GROUP: u16 = 0;
/// The queue of buffers begins at a page.
const PAGE_BYTES: usize = 4096;
/// linux/io_uring.h: a buffer may be consumed in parts.
const IOU_PBUF_RING_INC: u16 = 2;

/// What a completion is of: the upper half of its user data. The lower one is a slot, or a place in `under_way`.
mod kind {
    pub(super) const ACCEPT: u64 = 1 << 32;
    pub(super) const RECV: u64 = 2 << 32;
    pub(super) const SEND: u64 = 3 << 32;
    pub(super) const WAITING: u64 = 4 << 32;
    pub(super) const END: u64 = 5 << 32;
}

/// Bytes that were received, in the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    at: usize,
    len: usize,
}

impl Piece {
    /// Its first bytes, at most so many.
    pub(crate) fn before(self, end: usize) -> Self {
        Self { len: self.len.min(end), ..self }
    }

    /// What lies behind so many of its bytes.
    pub(crate) fn behind(self, start: usize) -> Self {
        let start = start.min(self.len);
        Self { at: self.at + start, len: self.len - start }
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection has this slot from now on.
    Accepted(u32),
    Received(u32, Piece),
    /// Nothing more will be received.
    Ended(u32),
    /// What waited for room is sent, or never will be.
    Sent(u32),
}

/// What the kernel did not take at once, and of which slot.
pub(crate) type Short = (u32, Vec<u8>);

#[derive(Debug)]
enum Source {
    Piece(Piece),
    Owned(Vec<u8>),
}

pub(crate) struct Ring {
    uring: IoUring,
    listener: Fixed,
    /// [`POOL_BYTES`] bytes.
    pool: *mut u8,
    /// [`BUFFERS`] entries.
    shelf: *mut BufRingEntry,
    shelf_tail: u16,
    /// How much of each buffer was received into.
    filled: [usize; BUFFERS as usize],
    /// Buffers that are full, and to be given back when what is sent from them is sent.
    full: Vec<u16>,
    /// Slots that receive nothing until buffers were given back.
    dry: Vec<u32>,
    under_way: Vec<(u32, Source)>,
    /// By slot.
    waiting: Vec<Vec<u8>>,
    events: VecDeque<cqueue::Entry>,
    shorts: VecDeque<Short>,
    batch: u64,
}

impl Ring {
    /// Makes a ring with room for so many connections, which accepts on a listener.
    ///
    /// # Errors
    /// The kernel has no io_uring, or one older than Linux 6.12, or does not let us.
    pub(crate) fn new(listener: &TcpListener, slots: u32) -> io::Result<&'static mut Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
        let uring: IoUring = builder.setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?;
        // The last slot is the listener's.
        uring.submitter().register_files_sparse(slots + 1)?;
        uring.submitter().register_files_update(slots, &[listener.as_raw_fd()])?;
        let pool = Box::leak(vec![0; POOL_BYTES].into_boxed_slice()).as_mut_ptr();
        let bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(bytes, PAGE_BYTES).map_err(io::Error::other)?;
        // SAFETY: the layout is not empty. Zeros are an entry: it is made of integers.
        let shelf = unsafe { alloc::alloc_zeroed(layout) }.cast::<BufRingEntry>();
        if shelf.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let submitter = uring.submitter();
        // SAFETY: the address is that of BUFFERS entries, which begin at a page and are never freed.
        unsafe {
            submitter.register_buf_ring_with_flags(shelf as u64, BUFFERS, GROUP, IOU_PBUF_RING_INC)
        }?;
        let mut ring = Self {
            uring,
            listener: Fixed(slots),
            pool,
            shelf,
            shelf_tail: 0,
            filled: [0; BUFFERS as usize],
            full: vec![],
            dry: vec![],
            under_way: vec![],
            waiting: vec![],
            events: VecDeque::new(),
            shorts: VecDeque::new(),
            batch: 0,
        };
        (0..BUFFERS).for_each(|it| ring.provide(it));
        ring.accept()?;
        Ok(Box::leak(Box::new(ring)))
    }

    /// Submits all there is, waits until something happened, and gives back what was received before.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        let is_due = !self.events.is_empty() || !self.shorts.is_empty() || !self.dry.is_empty();
        self.submit(usize::from(!is_due))?;
        for buffer in std::mem::take(&mut self.full) {
            self.provide(buffer);
        }
        for slot in std::mem::take(&mut self.dry) {
            self.receive(slot)?;
        }
        Ok(())
    }

    /// Submits all there is, and takes what is completed.
    ///
    /// # Errors
    /// The kernel refuses what is submitted: nothing can go on.
    pub(crate) fn submit(&mut self, wait: usize) -> io::Result<()> {
        let mut wait = wait;
        loop {
            match self.uring.submitter().submit_and_wait(wait) {
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
            self.take_completions();
            if self.uring.submission().is_empty() {
                break;
            }
            wait = 0;
        }
        self.under_way.clear();
        self.batch += 1;
        Ok(())
    }

    /// A number that changes whenever something was submitted. Of two sends of one connection in one batch the second could
    /// overtake what the kernel did not take of the first.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }

    fn take_completions(&mut self) {
        let mut shorts = vec![];
        for entry in self.uring.completion() {
            match entry.user_data() & !u64::from(u32::MAX) {
                kind::SEND => shorts.push((low(&entry), entry.result())),
                kind::END => {}
                _ => self.events.push_back(entry),
            }
        }
        for (place, result) in shorts {
            // One that is gone is told so by what it receives.
            if result < 0 && result != -Errno::AGAIN.raw_os_error() {
                continue;
            }
            let (slot, source) = &self.under_way[place as usize];
            let bytes = match source {
                Source::Piece(piece) => self.read(*piece),
                Source::Owned(bytes) => bytes,
            };
            let rest = bytes[result.max(0) as usize..].to_vec();
            self.shorts.push_back((*slot, rest));
        }
    }

    /// Returns what the kernel did not take, of whichever send.
    pub(crate) fn short(&mut self) -> Option<Short> {
        self.shorts.pop_front()
    }

    /// Returns what happened next.
    pub(crate) fn next(&mut self) -> io::Result<Option<Event>> {
        while let Some(entry) = self.events.pop_front() {
            let more = cqueue::more(entry.flags());
            let (slot, result) = (low(&entry), entry.result());
            let event = match entry.user_data() & !u64::from(u32::MAX) {
                kind::ACCEPT => {
                    if !more {
                        self.accept()?;
                    }
                    let Ok(slot) = u32::try_from(result) else { continue };
                    self.receive(slot)?;
                    Event::Accepted(slot)
                }
                kind::RECV => match result {
                    1.. => {
                        let piece = self.received(&entry);
                        if !more {
                            self.dry.push(slot);
                        }
                        Event::Received(slot, piece)
                    }
                    it if it == -Errno::NOBUFS.raw_os_error() => {
                        self.dry.push(slot);
                        continue;
                    }
                    _ => Event::Ended(slot),
                },
                _ => {
                    self.waiting[slot as usize] = vec![];
                    Event::Sent(slot)
                }
            };
            return Ok(Some(event));
        }
        Ok(None)
    }

    fn received(&mut self, entry: &cqueue::Entry) -> Piece {
        let buffer = cqueue::buffer_select(entry.flags()).expect("the kernel chose a buffer");
        let (filled, len) = (&mut self.filled[usize::from(buffer)], entry.result() as usize);
        let piece = Piece { at: usize::from(buffer) * BUFFER_BYTES + *filled, len };
        *filled += len;
        assert!(*filled <= BUFFER_BYTES, "more was received than there was room");
        if !cqueue::buffer_more(entry.flags()) {
            self.full.push(buffer);
        }
        piece
    }

    /// Returns what was received.
    pub(crate) fn read(&self, piece: Piece) -> &[u8] {
        // SAFETY: a piece lies within the pool (`received`), which is initialized and never freed; who writes to it borrows us.
        unsafe { slice::from_raw_parts(self.pool.add(piece.at), piece.len) }
    }

    /// The same, to be changed in place.
    pub(crate) fn write(&mut self, piece: Piece) -> &mut [u8] {
        // SAFETY: as above, and nobody else has a reference while we are borrowed.
        unsafe { slice::from_raw_parts_mut(self.pool.add(piece.at), piece.len) }
    }

    /// Sends what was received, as far as there is room.
    pub(crate) fn send(&mut self, slot: u32, piece: Piece) -> io::Result<()> {
        self.send_source(slot, Source::Piece(piece))
    }

    /// Sends bytes, as far as there is room.
    pub(crate) fn send_owned(&mut self, slot: u32, bytes: Vec<u8>) -> io::Result<()> {
        self.send_source(slot, Source::Owned(bytes))
    }

    fn send_source(&mut self, slot: u32, source: Source) -> io::Result<()> {
        if self.uring.submission().is_full() {
            self.submit(0)?;
        }
        let bytes = match &source {
            Source::Piece(piece) => self.read(*piece),
            Source::Owned(bytes) => bytes,
        };
        let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
        // All or nothing to tell: with both flags the kernel completes at once, and without a word if all was taken.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let flags = flags.bits() | RecvFlags::WAITALL.bits();
        let send = opcode::Send::new(Fixed(slot), start, len).flags(flags as i32).build();
        let send = send.flags(squeue::Flags::SKIP_SUCCESS);
        let place = self.under_way.len() as u64;
        self.under_way.push((slot, source));
        // `under_way` owns the bytes until they are sent, or they are the pool's.
        self.push(send.user_data(kind::SEND | place))
    }

    /// Sends bytes when there is room; [`Event::Sent`] tells when that is done.
    pub(crate) fn send_waiting(&mut self, slot: u32, bytes: Vec<u8>) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL.bits() | RecvFlags::WAITALL.bits();
        let send = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32);
        let send = send.flags(flags as i32).build();
        if self.waiting.len() <= slot as usize {
            self.waiting.resize(slot as usize + 1, vec![]);
        }
        let place = &mut self.waiting[slot as usize];
        assert!(place.is_empty(), "one at a time waits for room");
        // It owns the bytes, which do not move with it, until the completion.
        *place = bytes;
        self.push(send.user_data(kind::WAITING | u64::from(slot)))
    }

    /// Ends the sending half of a connection.
    pub(crate) fn shut_down(&mut self, slot: u32) -> io::Result<()> {
        const WRITE: i32 = 1;
        let it = opcode::Shutdown::new(Fixed(slot), WRITE).build();
        self.push(it.flags(squeue::Flags::SKIP_SUCCESS).user_data(kind::END))
    }

    /// Closes a connection of which nothing is received any more.
    pub(crate) fn close(&mut self, slot: u32) -> io::Result<()> {
        let it = opcode::Close::new(Fixed(slot)).build();
        self.push(it.flags(squeue::Flags::SKIP_SUCCESS).user_data(kind::END))
    }

    fn accept(&mut self) -> io::Result<()> {
        let it = opcode::AcceptMulti::new(self.listener).allocate_file_index(true).build();
        self.push(it.user_data(kind::ACCEPT))
    }

    fn receive(&mut self, slot: u32) -> io::Result<()> {
        let it = opcode::RecvMulti::new(Fixed(slot), GROUP).build();
        self.push(it.user_data(kind::RECV | u64::from(slot)))
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        if self.uring.submission().is_full() {
            self.submit(0)?;
        }
        // SAFETY: of all that is pushed only sends have a pointer. Its bytes are the pool's, which is never freed, or owned by
        // `under_way` until `submit` returns, when a send with MSG_DONTWAIT is over, or owned by `waiting` until its
        // completion has come. Receiving is bounded by the entries of `shelf`, which `provide` makes of the pool.
        let pushed = unsafe { self.uring.submission().push(&entry) };
        pushed.map_err(io::Error::other)
    }

    /// Gives a buffer to the kernel.
    fn provide(&mut self, buffer: u16) {
        self.filled[usize::from(buffer)] = 0;
        // SAFETY: the entry is one of the shelf's, to which the kernel writes only inside of `submit`; the buffer lies in the
        // pool. The tail lies in the first entry (linux/io_uring.h), where nothing else of ours is.
        unsafe {
            let entry = &mut *self.shelf.add(usize::from(self.shelf_tail % BUFFERS));
            entry.set_addr(self.pool.add(usize::from(buffer) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
            self.shelf_tail = self.shelf_tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.shelf).cast::<AtomicU16>();
            (*tail).store(self.shelf_tail, Ordering::Release);
        }
    }
}

/// The lower half of what was submitted with a request.
fn low(entry: &cqueue::Entry) -> u32 {
    entry.user_data() as u32
}
