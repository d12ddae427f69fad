//! What all connections of one thread borrow for the length of a call: a read buffer and proto's pool.

use std::cell::Cell;

use bytes::BytesMut;
use taiwa_proto::{Message, Pool};

/// Bytes of one read: what a TCP socket usually has ready at most.
pub(crate) const READ_LEN: usize = 64 << 10;
/// Bytes from which on a message keeps a part of the buffer that it was read into: all of that buffer stays in memory as long as
/// it does, which is four times as much at most.
pub(crate) const CUT_LEN_MIN: usize = READ_LEN / 4;
/// Bytes from which on a message is worth taking back.
const LARGE: usize = 128 << 10;

/// The buffer that transports are read into, so that an idle connection needs none of its own, and the
/// pool.
pub(crate) struct Scratch {
    pub(crate) buffer: Box<[u8]>,
    /// What is read behind a message of [`CUT_LEN_MIN`] or more: messages keep parts of it.
    pub(crate) cuttable: BytesMut,
    pub(crate) pool: Pool,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends this thread's scratch. A nested call (a transport that is itself a WebSocket) and a call while
/// the thread ends get one of their own.
pub(crate) fn with_scratch<R>(borrow: impl FnOnce(&mut Scratch) -> R) -> R {
    let lent = SCRATCH.try_with(Cell::take).ok().flatten();
    let mut scratch = lent.unwrap_or_else(|| {
        let buffer = vec![0; READ_LEN].into_boxed_slice();
        Box::new(Scratch { buffer, cuttable: BytesMut::new(), pool: Pool::new(fill) })
    });
    let result = borrow(&mut scratch);
    // A thread that is ending takes nothing back; the scratch is freed then.
    let _ = SCRATCH.try_with(|it| it.set(Some(scratch)));
    result
}

/// Takes back the buffer of a message that was sent, for the next large one.
pub(crate) fn take_back(message: Message) {
    if LARGE <= message.as_bytes().len() {
        with_scratch(|scratch| scratch.pool.take_back(message));
    }
}

fn fill(bytes: &mut [u8]) {
    // RFC 6455 §10.3 wants keys that can't be predicted: without them there is nothing to go on with.
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}
