//! The two directions of what carries one WebSocket: bytes of a connection, or a stream of one that is shared.

use bytes::{Bytes, BytesMut};
use taiwa_h3::net;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::told;

const READ_BYTES: usize = 16 * 1024;

/// A connection of TCP, with TLS or without.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

pub(super) enum SendHalf {
    Alone(WriteHalf<Box<dyn Transport>>),
    Http2(h2::SendStream<Bytes>),
    Http3(Box<net::SendHalf>),
}

impl SendHalf {
    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        match self {
            Self::Alone(it) => {
                it.write_all(&bytes).await.map_err(told)?;
                it.flush().await.map_err(told)
            }
            // It waits in the crate until there is room: no more than is outstanding.
            Self::Http2(it) => it.send_data(bytes.into(), false).map_err(told),
            Self::Http3(it) => it.send_data(bytes.into()).await.map_err(told),
        }
    }
}

pub(super) enum ReceiveHalf {
    Alone(ReadHalf<Box<dyn Transport>>, BytesMut),
    Http2(h2::RecvStream),
    Http3(Box<net::RecvHalf>),
}

impl ReceiveHalf {
    /// Waits for bytes; there are none only at the end.
    pub(super) async fn receive(&mut self) -> Result<Bytes, String> {
        match self {
            Self::Alone(it, buffer) => {
                buffer.reserve(READ_BYTES);
                it.read_buf(buffer).await.map_err(told)?;
                Ok(buffer.split().freeze())
            }
            Self::Http2(it) => loop {
                let Some(bytes) = it.data().await else { return Ok(Bytes::new()) };
                let bytes = bytes.map_err(told)?;
                it.flow_control().release_capacity(bytes.len()).map_err(told)?;
                if !bytes.is_empty() {
                    return Ok(bytes);
                }
            },
            Self::Http3(it) => Ok(it.recv_data().await.map_err(told)?.unwrap_or_default()),
        }
    }
}
