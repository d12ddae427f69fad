//! A peer that sends bytes, and what a connection makes of them.

use futures_util::{FutureExt, SinkExt, StreamExt, stream::FusedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{
    super::{End, frame},
    lib::{
        WebSocketStream,
        tungstenite::{
            Message,
            protocol::{Role, WebSocketConfig},
        },
    },
    told,
};

pub(crate) fn role(end: End) -> Role {
    match end {
        End::Client => Role::Client,
        End::Server => Role::Server,
    }
}

/// Takes the mask off what a client wrote, and the key out: it is random.
pub(crate) fn unmasked(end: End, wire: &[u8]) -> Vec<u8> {
    if end == End::Server {
        return wire.to_vec();
    }
    let (mut out, mut rest) = (Vec::new(), wire);
    while let [first, second, ..] = rest {
        let (start, len) = match second & 0x7f {
            126 => (8, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => panic!("no script sends as much"),
            len => (6, usize::from(len)),
        };
        let key = &rest[start - 4..start];
        out.extend([*first, *second]);
        out.extend(rest[start..start + len].iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
        rest = &rest[start + len..];
    }
    out
}

/// Everything the peer gets until the transport ends.
pub(crate) async fn rest(end: End, mut peer: DuplexStream) -> String {
    let mut wire = Vec::new();
    peer.read_to_end(&mut wire).await.expect("memory can be read");
    format!("wire {:?}", unmasked(end, &wire))
}

/// Sends `wire` in pieces, then the end of the transport; tells all that comes out.
pub(crate) async fn receive(end: End, wire: &[u8], pieces: usize) -> Vec<String> {
    let (io, mut peer) = duplex(1 << 20);
    let mut stream = WebSocketStream::from_raw_socket(io, role(end), None).await;
    let mut told = Vec::new();
    for piece in wire.chunks(pieces) {
        peer.write_all(piece).await.expect("there is room");
        // A fault may be found before all of its frame is here.
        while !stream.is_terminated()
            && let Some(next) = stream.next().now_or_never()
        {
            tell(next, &mut told);
        }
    }
    peer.shutdown().await.expect("it is open");
    for _ in 0..3 {
        tell(stream.next().await, &mut told);
    }
    told.push(format!("is terminated: {}", stream.is_terminated()));
    told.push(told::result(stream.send(Message::text("late")).await));
    told.push(told::result(stream.close(None).await));
    told.push(told::result(SinkExt::close(&mut stream).await));
    drop(stream);
    told.push(rest(end, peer).await);
    told
}

type Next = Option<Result<Message, super::lib::tungstenite::Error>>;

pub(crate) fn tell(next: Next, told: &mut Vec<String>) {
    told.push(match next {
        None => "end".into(),
        Some(Ok(it)) => told::message(&it),
        Some(Err(it)) => told::error(&it),
    });
}

/// What passes limits, and what does not quite.
pub(crate) async fn limits() -> Vec<String> {
    let defaults = WebSocketConfig::default();
    let mut told = vec![format!("{defaults:?}")];
    let small = defaults.max_message_size(Some(10)).max_frame_size(Some(8));
    let lax = defaults.accept_unmasked_frames(true).max_frame_size(None).max_message_size(None);
    for (config, frames) in [
        (small, vec![(0x82, 8)]),
        (small, vec![(0x82, 9)]),
        (small, vec![(0x02, 8), (0x80, 2)]),
        (small, vec![(0x02, 8), (0x80, 3)]),
        (small, vec![(0x02, 8), (0x00, 2), (0x80, 1)]),
        (small, vec![(0x89, 9)]),
        (lax, vec![(0x82, 1000)]),
    ] {
        for end in [End::Client, End::Server] {
            let (io, mut peer) = duplex(1 << 20);
            let part = frame(end, 0x81, b"part");
            let role = role(end);
            let stream = WebSocketStream::from_partially_read(io, part, role, Some(config));
            let mut stream = stream.await;
            told.push(format!("{:?}", stream.get_config()));
            for (first, len) in &frames {
                let bytes = frame(end, *first, &vec![b'x'; *len]);
                peer.write_all(&bytes).await.expect("there is room");
            }
            if end == End::Server && config.accept_unmasked_frames {
                peer.write_all(&frame(End::Client, 0x81, b"plain")).await.expect("there is room");
            }
            peer.shutdown().await.expect("it is open");
            for _ in 0..5 {
                tell(stream.next().await, &mut told);
            }
            told.push(
                rest(end, {
                    drop(stream);
                    peer
                })
                .await,
            );
        }
    }
    told
}
