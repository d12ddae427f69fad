//! Entry points for fuzzers: each takes any bytes, calls what stands beside it and asserts what must hold. Public for
//! `fuzz/` and the replay of its corpus, and for nobody else.

use bytes::{Bytes, BytesMut};

use taiwa_core::{Framing, Message, Messages, Unframed};

use crate::wire::{
    Assembly, Bounds, Frame, Framed, Packet, Reply, Revision, Said, session_addressee,
};

const BOUNDS: Bounds = Bounds { attachments_max: 10, bytes_max: 1 << 20 };

/// A body that is read, written for a poll and read again has the same messages. The first byte chooses how it is read.
pub fn socketio_body(data: &[u8]) {
    let Some((how, body)) = data.split_first() else { return };
    let revision = if how & 1 == 0 { Revision::V4 } else { Revision::V3 };
    let body = Bytes::copy_from_slice(body);
    let Ok(frames) = revision.payload(&body, how & 2 != 0, 100) else { return };
    let messages = |frames: Vec<Frame>| -> Vec<Message> {
        let message = |it| if let Frame::Message(it) = it { Some(it) } else { None };
        frames.into_iter().filter_map(message).collect()
    };
    let first = messages(frames);
    if first.is_empty() {
        return;
    }
    let wrapped: Vec<Message> = first.iter().cloned().map(|it| revision.message(it)).collect();
    let takes_binary = how & 4 != 0;
    let polled = revision.poll(takes_binary)(&wrapped);
    let is_binary = polled.content_type == "application/octet-stream";
    let again = revision.payload(&polled.body, is_binary, 100).expect("it was written by us");
    assert_eq!(messages(again), first);
}

/// A stream of WebTransport gives the same messages whether it comes at once or in pieces, whose length is the first byte; written
/// and read again they are the same.
pub fn socketio_framed(data: &[u8]) {
    const FRAMED: Framed = Framed { payload_bytes_max: 4096 };
    let Some((step, stream)) = data.split_first() else { return };
    let read = |step: usize| {
        let (mut arrived, mut messages) = (BytesMut::new(), vec![]);
        for piece in stream.chunks(step.max(1)) {
            arrived.extend_from_slice(piece);
            loop {
                match FRAMED.read(&mut arrived, 0, 1 << 20) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(fault) => return (messages, Some(fault)),
                }
            }
            assert!(arrived.len() < 4096 + 9, "more waits than a message");
        }
        (messages, None)
    };
    let (messages, fault) = read(usize::from(*step));
    assert_eq!(read(stream.len()), (messages.clone(), fault), "in pieces of {step} bytes");
    if let Some(first) = messages.first() {
        let _ = session_addressee(first);
    }
    let mut written = BytesMut::new();
    messages.iter().for_each(|it| FRAMED.write(it, &mut written));
    for message in messages {
        // What published parsers read in the place of no bytes.
        let nothing = Message::Binary(Bytes::new());
        let expected = if message == nothing { Message::Text("b".into()) } else { message };
        assert_eq!(FRAMED.read(&mut written, 0, 1 << 20), Ok::<_, Unframed>(Some(expected)));
    }
    assert!(written.is_empty());
}

/// A packet of the text parser that is read, written and read again is the same. What stands behind a line feed is
/// an attachment.
pub fn socketio_text(data: &[u8]) {
    let mut parts = data.split(|it| *it == b'\n');
    let text = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    if std::str::from_utf8(&text).is_err() {
        return;
    }
    let attached = parts.map(|it| Message::Binary(Bytes::copy_from_slice(it)));
    let Some(packet) = assembled(std::iter::once(Message::Text(text)).chain(attached)) else {
        return;
    };
    let Some(written) = written(&packet, |reply| reply.text(Revision::V4, &packet.namespace))
    else {
        return;
    };
    let without_type = written.as_slice().iter().map(|it| match it {
        Message::Text(text) => Message::Text(text.slice(1..)),
        binary @ Message::Binary(_) => binary.clone(),
    });
    let again = assembled(without_type).expect("it was written by us");
    assert_eq!(again, packet);
}

/// A packet in MessagePack that is read, written and read again is the same.
pub fn socketio_msgpack(data: &[u8]) {
    let read = |bytes: Bytes| Packet::msgpack(&Message::Binary(bytes), BOUNDS);
    let Ok(packet) = read(Bytes::copy_from_slice(data)) else { return };
    let write =
        |reply: &Reply<'_>| Messages::One(Message::Binary(reply.msgpack(&packet.namespace)));
    let Some(Messages::One(message)) = written(&packet, write) else { return };
    let again = read(message.as_bytes().clone()).expect("it was written by us");
    assert_eq!(again, packet);
}

fn assembled(messages: impl Iterator<Item = Message>) -> Option<Packet> {
    let mut assembly = Assembly::default();
    for message in messages {
        if let Some(packet) = assembly.take(message, BOUNDS).ok()? {
            return Some(packet);
        }
    }
    None
}

/// Writes what a client has said as if it were said to it, if that can be.
fn written(packet: &Packet, write: impl Fn(&Reply<'_>) -> Messages) -> Option<Messages> {
    Some(match &packet.said {
        Said::Event { id, name, args, .. } => {
            let name = std::str::from_utf8(name).expect("it was read as text");
            write(&Reply::Event { id: *id, name, args, offset: None })
        }
        Said::Ack { id, args, .. } => write(&Reply::Ack { id: *id, args }),
        Said::Connect(_) | Said::Disconnect => return None,
    })
}
