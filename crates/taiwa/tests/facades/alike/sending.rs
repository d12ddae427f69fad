//! Programs that send, flush and close in all orders, and what their peers get.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{
    super::{End, frame},
    lib::{
        WebSocketStream,
        tungstenite::{
            Bytes, Message,
            protocol::{
                CloseFrame, WebSocketConfig,
                frame::{
                    Frame,
                    coding::{CloseCode, Data, OpCode},
                },
            },
        },
    },
    receiving::{rest, role, tell},
    told,
};

/// One thing that a program does.
#[derive(Clone, Debug)]
enum Step {
    Feed(Message),
    Send(Message),
    Flush,
    /// The method of the stream.
    Close(Option<CloseFrame>),
    /// The end of the sink.
    CloseSink,
    Next,
    /// The peer sends a frame.
    Peer(u8, &'static [u8]),
    /// The peer goes.
    PeerEnds,
}

fn close(code: u16) -> CloseFrame {
    CloseFrame { code: CloseCode::from(code), reason: "reason".into() }
}

fn programs() -> Vec<Vec<Step>> {
    use Step::{Close, CloseSink, Feed, Flush, Next, Peer, PeerEnds, Send};
    let text = || Message::text("text");
    let ping = || Message::Ping(Bytes::from_static(b"ping"));
    let pong = || Message::Pong(Bytes::from_static(b"pong"));
    let part =
        |data, is_final| Message::Frame(Frame::message("part", OpCode::Data(data), is_final));
    vec![
        vec![Send(text()), Send(Message::binary(vec![0, 255])), Send(Message::text(""))],
        vec![Feed(text()), Feed(text()), Flush],
        vec![Send(Message::binary(vec![7; 300])), Flush, Flush],
        vec![Send(ping()), Send(pong()), Feed(pong()), Feed(ping()), Flush],
        vec![Send(part(Data::Text, false)), Send(ping()), Send(part(Data::Continue, true))],
        vec![Send(Message::Frame(Frame::ping("raw")))],
        // Pings are answered.
        vec![Peer(0x89, b"1"), Next, Flush, Peer(0x89, b"2"), Next, Send(text())],
        vec![Peer(0x89, b"1"), Peer(0x89, b"2"), Next, Next, Send(pong()), Flush],
        vec![Peer(0x89, b"1"), Next, Send(pong())],
        // We close.
        vec![Send(Message::Close(None)), Send(text()), Next, Peer(0x88, b""), Next, PeerEnds, Next],
        vec![Send(Message::Close(Some(close(4000)))), Peer(0x81, b"late"), Next, Flush],
        vec![
            Close(Some(close(1000))),
            Close(None),
            Peer(0x88, &[3, 232]),
            Next,
            Next,
            Send(text()),
        ],
        vec![Close(None), Peer(0x89, b"ping"), Next, Flush, PeerEnds, Next, Next, Flush],
        vec![Close(Some(close(1006)))],
        vec![CloseSink, CloseSink, Flush, Peer(0x88, b""), Next, PeerEnds, Next, CloseSink, Flush],
        vec![Feed(text()), CloseSink, Send(text()), Feed(ping()), PeerEnds, Next, Send(text())],
        // The peer closes.
        vec![Peer(0x88, &[3, 232, b'b']), Next, Send(text()), Flush, PeerEnds, Next, Send(text())],
        vec![Peer(0x88, &[3, 232]), Next, Flush, PeerEnds, Next, Flush, Close(None), CloseSink],
        vec![Peer(0x88, b""), Next, Close(None), PeerEnds, Next],
        vec![Peer(0x88, b""), Next, CloseSink, CloseSink, PeerEnds, Next],
        vec![Peer(0x88, b""), Next, Next, Next, Send(pong())],
        vec![Peer(0x88, &[3, 237]), Next, PeerEnds, Next],
        // The peer goes.
        vec![PeerEnds, Next, Next, Send(text()), Close(None), CloseSink],
        // Faults, and what can be done after them.
        vec![Peer(0x83, b""), Next, Next, Close(Some(close(1002))), Next],
        vec![Peer(0x81, &[0xff]), Next, Send(text()), CloseSink],
    ]
}

async fn perform(end: End, config: Option<WebSocketConfig>, program: &[Step]) -> Vec<String> {
    let (io, mut peer) = duplex(1 << 20);
    let mut stream = WebSocketStream::from_raw_socket(io, role(end), config).await;
    let mut told = vec![format!("{end:?}: {} steps", program.len())];
    for step in program {
        // Nothing waits for long: the peer has said all it says until then.
        let done = match step.clone() {
            Step::Feed(it) => stream.feed(it).now_or_never().map(told::result),
            Step::Send(it) => stream.send(it).now_or_never().map(told::result),
            Step::Flush => stream.flush().now_or_never().map(told::result),
            Step::Close(it) => stream.close(it).now_or_never().map(told::result),
            Step::CloseSink => SinkExt::close(&mut stream).now_or_never().map(told::result),
            Step::Next => stream.next().now_or_never().map(|next| {
                let mut one = Vec::new();
                tell(next, &mut one);
                one.concat()
            }),
            Step::Peer(first, payload) => {
                peer.write_all(&frame(end, first, payload)).await.expect("there is room");
                continue;
            }
            Step::PeerEnds => {
                peer.shutdown().await.expect("it is open");
                continue;
            }
        };
        told.push(done.unwrap_or_else(|| "pending".into()));
    }
    drop(stream);
    told.push(rest(end, peer).await);
    told
}

pub(crate) async fn all() -> Vec<String> {
    let mut told = Vec::new();
    for end in [End::Client, End::Server] {
        for program in programs() {
            told.extend(perform(end, None, &program).await);
            let eager = WebSocketConfig::default().write_buffer_size(0);
            told.extend(perform(end, Some(eager), &program).await);
        }
        told.extend(full(end).await);
        told.extend(blocked(end).await);
        told.extend(into_inner(end).await);
    }
    told
}

/// A write buffer with a limit.
async fn full(end: End) -> Vec<String> {
    let tight = WebSocketConfig::default().write_buffer_size(0).max_write_buffer_size(40);
    let big = Message::text("x".repeat(60));
    let some = Message::text("x".repeat(20));
    let program = [Step::Send(some), Step::Send(big.clone()), Step::Feed(big), Step::Flush];
    perform(end, Some(tight), &program).await
}

/// A peer that does not read, then does.
async fn blocked(end: End) -> Vec<String> {
    let (io, mut peer) = duplex(10);
    let mut stream = WebSocketStream::from_raw_socket(io, role(end), None).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let sent = stream.send(Message::text("x".repeat(20))).now_or_never();
        told.push(sent.map_or_else(|| "pending".into(), told::result));
    }
    let (flushed, got) = tokio::join!(stream.flush(), async {
        let mut got = vec![0; 44 + if end == End::Client { 8 } else { 0 }];
        peer.read_exact(&mut got).await.expect("as many come");
        got.len()
    });
    told.extend([told::result(flushed), format!("{got} bytes")]);
    told
}

/// The transport comes back as it was.
async fn into_inner(end: End) -> Vec<String> {
    let (io, mut peer) = duplex(100);
    let mut stream = WebSocketStream::from_raw_socket(io, role(end), None).await;
    let sent = stream.feed(Message::text("never flushed")).await;
    stream.get_mut().write_all(b"1").await.expect("there is room");
    let mut io = stream.into_inner();
    io.write_all(b"2").await.expect("there is room");
    drop(io);
    let mut got = String::new();
    peer.read_to_string(&mut got).await.expect("text");
    vec![told::result(sent), got]
}
