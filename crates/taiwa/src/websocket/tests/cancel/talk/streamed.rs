//! Messages as streams of bytes, each call at every poll.

use std::{future::poll_fn, pin::Pin};

use taiwa_proto::Message;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{HEAD_LEN, Tries, content, head_of};
use crate::{MessageReader, MessageWriter};

/// Reads a message, or leaves it in the middle; returns its number.
pub(super) fn read_streamed(reader: &mut MessageReader<'_>, tries: &mut Tries<'_, '_>) -> u64 {
    let leaves = tries.dice.roll(4) == 0;
    let mut bytes = Vec::new();
    loop {
        let by_chunk = tries.dice.roll(2) == 0;
        let len = 1 + tries.dice.roll(700) as usize;
        let piece = tries.insist(|tries, polls| {
            if by_chunk {
                let chunk = tries.poll(polls, reader.chunk())?.expect("open");
                return Some(chunk.map(|it| it.to_vec()).unwrap_or_default());
            }
            let mut buffer = vec![0; len];
            let n = tries.poll(polls, reader.read(&mut buffer))?.expect("open");
            buffer.truncate(n);
            Some(buffer)
        });
        bytes.extend_from_slice(&piece);
        if HEAD_LEN <= bytes.len() && leaves {
            return head_of(&bytes);
        }
        if piece.is_empty() {
            let number = head_of(&bytes);
            let message = content(number);
            assert_eq!(reader.kind(), message.kind());
            assert!(bytes == message.as_bytes(), "message {number} is damaged");
            return number;
        }
    }
}

/// Writes a message and ends it.
pub(super) fn write_streamed(
    mut writer: MessageWriter<'_>,
    message: &Message,
    tries: &mut Tries<'_, '_>,
) {
    let mut rest = message.as_bytes();
    while !rest.is_empty() {
        let len = rest.len().min(1 + tries.dice.roll(5000) as usize);
        // Dropped, `write` has taken nothing.
        rest = &rest
            [tries.insist(|tries, polls| tries.poll(polls, writer.write_some(&rest[..len])))..];
        if tries.dice.roll(4) == 0 {
            tries.insist(|tries, polls| tries.poll(polls, writer.flush())).expect("open");
        }
    }
    // `finish` takes the writer with it when it is dropped; `shutdown` is the same and does not.
    if tries.dice.roll(2) == 0 {
        tries.insist(|tries, polls| tries.poll(polls, writer.shutdown())).expect("open");
    } else {
        let mut finish = Box::pin(writer.finish());
        tries.insist(|tries, polls| tries.poll(polls, finish.as_mut())).expect("open");
    }
}

impl MessageWriter<'_> {
    /// `AsyncWriteExt::write`, which the method of the same name hides.
    async fn write_some(&mut self, bytes: &[u8]) -> usize {
        poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, bytes)).await.expect("open")
    }
}
