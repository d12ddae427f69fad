//! Inflates messages: RFC 7692 §7.2.2 on zlib-rs.

use std::fmt;

use bytes::BytesMut;
use zlib_rs::{Inflate, InflateFlush, Status};

use super::{SYNC_TAIL, window::Window};

/// Bytes asked of the inflater at a time: a message that is too big is found out within one of these.
const CHUNK_LEN: usize = 16 << 10;
/// DEFLATE streams (each ends with a BFINAL block) that a message may consist of ...
const STREAMS_MAX: u64 = 4096;
/// ... and one more for each so many compressed bytes. Starting a stream costs as much time as
/// inflating hundreds of bytes, and the shortest stream has two.
const STREAM_LEN_MEAN_MIN: u64 = 256;

/// Why a message can't be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateFault {
    /// Not DEFLATE data, or data goes on behind its end, or the end is missing.
    Bad,
    /// More than `out_len_max` bytes.
    TooBig,
}

/// Inflates the messages of one peer at a time.
///
/// # Blocks with BFINAL set
///
/// RFC 7692 §7.2.1 allows them: "An endpoint MAY use both DEFLATE blocks with the "BFINAL" bit set to
/// 0 and DEFLATE blocks with the "BFINAL" bit set to 1." Implementations differ in what follows one in
/// the same message: some end the connection at the first such block, some throw away what follows,
/// so that a message of two streams arrives cut short, or a broken one as if it were whole. Here:
///
/// * What follows is the next block, from the next byte on ("The next DEFLATE block follows the padded
///   data if any"). It must be DEFLATE, like all else; trailing garbage is [`InflateFault::Bad`].
/// * The window stays: no parameter of the extension ties it to BFINAL, and a peer that empties its
///   own does not point back.
/// * A message may end with the block itself, without the octet `00` of §7.2.3.4. It is whole, and
///   widespread senders that flush with zlib's `Z_FINISH` forget the octet.
/// * Streams are counted, because starting one is dear: 4,096 a message, and one more for each 256
///   compressed bytes.
///
/// ```
/// use taiwa_proto::deflate::Inflater;
/// let mut inflater = Inflater::new(15);
/// let mut out = bytes::BytesMut::new();
/// inflater.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &mut out, 1024).unwrap();
/// inflater.end_message().unwrap();
/// assert_eq!(&out[..], b"Hello");
/// ```
pub struct Inflater {
    stream: Inflate,
    /// What `stream` has in its window, so that it can be started anew after a BFINAL block, or for
    /// another peer. (zlib-rs' own window can't be taken out through its safe interface.)
    window: Window,
    scratch: Box<[u8]>,
    /// `stream` is of no use before it is started anew with `window`.
    is_over: bool,
    /// Compressed bytes of this message.
    fed: u64,
    /// BFINAL blocks in this message.
    streams: u64,
}

impl Inflater {
    /// Makes an inflater with an empty window of `window_bits` (9 to 15; what is outside is brought to
    /// the nearest end, as by [`Window::new`]).
    ///
    /// A peer that points back further than its window is not always found out: what it points to
    /// may still be here.
    pub fn new(window_bits: u8) -> Self {
        Self {
            // zlib-rs' inflaters take the same memory for all windows, and `reset` makes them 15.
            stream: Inflate::new(false, 15),
            window: Window::new(window_bits),
            scratch: vec![0; CHUNK_LEN].into_boxed_slice(),
            is_over: false,
            fed: 0,
            streams: 0,
        }
    }

    /// Inflates the next piece of a message, appending to `out`, which never grows past `out_len_max`
    /// bytes in all, nor makes room for more.
    ///
    /// # Errors
    ///
    /// The message is lost, and the window with it: call [`Inflater::reset`] before the next one.
    pub fn inflate(
        &mut self,
        piece: &[u8],
        out: &mut BytesMut,
        out_len_max: usize,
    ) -> Result<(), InflateFault> {
        let mut rest = piece;
        loop {
            // One byte of room more than allowed, to see that there is one more.
            let room = out_len_max.saturating_sub(out.len());
            let chunk_len = room.saturating_add(1).min(CHUNK_LEN);
            let Some(step) = self.step_on(&mut rest, chunk_len)? else { return Ok(()) };
            let produced = &self.scratch[..step.produced.min(room)];
            append(out, produced, out_len_max);
            self.window.push(produced);
            if room < step.produced {
                return Err(InflateFault::TooBig);
            }
            if !step.is_final && step.produced < chunk_len {
                // Room left over: the input is used up.
                return if rest.is_empty() { Ok(()) } else { Err(InflateFault::Bad) };
            }
        }
    }

    /// Inflates the next piece of a message, appending to `out` until it has `out_len_max` bytes, and
    /// returns how much of the piece was taken. A full `out` says that there may be more: call it again
    /// with the rest of the piece, even if that is empty, and with room.
    ///
    /// # Errors
    ///
    /// As [`Inflater::inflate`].
    pub fn inflate_some(
        &mut self,
        piece: &[u8],
        out: &mut BytesMut,
        out_len_max: usize,
    ) -> Result<usize, InflateFault> {
        let mut rest = piece;
        while out.len() < out_len_max {
            let chunk_len = (out_len_max - out.len()).min(CHUNK_LEN);
            let Some(step) = self.step_on(&mut rest, chunk_len)? else { break };
            let produced = &self.scratch[..step.produced];
            out.extend_from_slice(produced);
            self.window.push(produced);
            if !step.is_final && step.produced < chunk_len {
                if !rest.is_empty() {
                    return Err(InflateFault::Bad);
                }
                break;
            }
        }
        Ok(piece.len() - rest.len())
    }

    /// Takes one step into a piece, starting a new stream behind a BFINAL block. `None`: that block was
    /// the last thing in the piece, and the end of the message may follow.
    fn step_on(
        &mut self,
        rest: &mut &[u8],
        chunk_len: usize,
    ) -> Result<Option<Step>, InflateFault> {
        if self.is_over {
            if rest.is_empty() {
                return Ok(None);
            }
            self.restart();
        }
        let step = self.step(rest, chunk_len, InflateFlush::NoFlush)?;
        self.fed += step.consumed as u64;
        *rest = &rest[step.consumed..];
        if step.is_final {
            self.is_over = true;
            self.streams += 1;
            if STREAMS_MAX + self.fed / STREAM_LEN_MEAN_MIN < self.streams {
                return Err(InflateFault::Bad);
            }
        }
        Ok(Some(step))
    }

    /// Ends a message: checks that it is whole. All its output came out of [`Inflater::inflate`]
    /// already. The window stays for the next message.
    ///
    /// # Errors
    ///
    /// [`InflateFault::Bad`] if blocks are cut short. Then as [`Inflater::inflate`].
    pub fn end_message(&mut self) -> Result<(), InflateFault> {
        let fed = std::mem::take(&mut self.fed);
        self.streams = 0;
        // §7.2.3.6 wants the octet `00` in an empty message. One without any octet can't mean anything
        // else, and senders that end a fragmented message with an empty frame make it.
        if fed == 0 || self.is_over {
            return Ok(());
        }
        // §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the
        // message." They are the rest of a block of no bytes whose header was the last of the payload.
        // Anything else and the payload was cut short. To tell, a fifth byte is offered, and
        // the inflater asked to stop at the end of the block: it must not have taken the fifth.
        let mut tail = [0; SYNC_TAIL.len() + 1];
        tail[..SYNC_TAIL.len()].copy_from_slice(&SYNC_TAIL);
        let step = self.step(&tail, SYNC_TAIL.len(), InflateFlush::Block)?;
        // (If that block was a final one, the first step of the next message says so.)
        if step.consumed == SYNC_TAIL.len() && step.produced == 0 {
            Ok(())
        } else {
            Err(InflateFault::Bad)
        }
    }

    /// Empties the window and forgets an unfinished message.
    pub fn reset(&mut self) {
        self.window.forget();
        self.forget_message();
    }

    /// Goes on with the window of another peer, between two messages.
    pub fn put_window(&mut self, window: Window) {
        self.window = window;
        self.forget_message();
    }

    /// Takes out the window of the peer whose message was the last, and leaves an empty one.
    pub fn take_window(&mut self) -> Window {
        self.forget_message();
        std::mem::replace(&mut self.window, Window::new(15))
    }

    fn forget_message(&mut self) {
        self.is_over = true;
        self.fed = 0;
        self.streams = 0;
    }

    fn restart(&mut self) {
        self.stream.reset(false);
        for part in self.window.parts() {
            if !part.is_empty() {
                self.stream
                    .set_dictionary(part)
                    .expect("a stream without a header takes a dictionary at any time");
            }
        }
        self.is_over = false;
    }

    fn step(
        &mut self,
        input: &[u8],
        chunk_len: usize,
        flush: InflateFlush,
    ) -> Result<Step, InflateFault> {
        let (total_in, total_out) = (self.stream.total_in(), self.stream.total_out());
        let status = self
            .stream
            .decompress(input, &mut self.scratch[..chunk_len], flush)
            .map_err(|_| InflateFault::Bad)?;
        Ok(Step {
            consumed: (self.stream.total_in() - total_in) as usize,
            produced: (self.stream.total_out() - total_out) as usize,
            is_final: status == Status::StreamEnd,
        })
    }
}

/// What one call of zlib-rs did.
struct Step {
    consumed: usize,
    produced: usize,
    /// A block with BFINAL set ended.
    is_final: bool,
}

/// Appends without making room for more than `out_len_max` bytes, where doubling would.
fn append(out: &mut BytesMut, bytes: &[u8], out_len_max: usize) {
    let len = out.len() + bytes.len();
    if out.capacity() < len && out_len_max < 2 * out.capacity() {
        let mut exact = BytesMut::with_capacity(out_len_max);
        exact.extend_from_slice(out);
        *out = exact;
    }
    out.extend_from_slice(bytes);
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("window", &self.window).finish_non_exhaustive()
    }
}
