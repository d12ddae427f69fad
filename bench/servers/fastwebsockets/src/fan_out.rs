//! Sends what one connection says to all, from the task of the one who said it: each connection's writing half in one
//! list, each frame with a borrowed payload.

use std::{convert::Infallible, sync::Arc};

use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite,
    upgrade::UpgradeFut,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{io::WriteHalf, sync::Mutex};

pub(crate) type Members = Arc<Mutex<Vec<WebSocketWrite<WriteHalf<TokioIo<Upgraded>>>>>>;

pub(crate) async fn join(upgraded: UpgradeFut, members: Members) -> Result<(), WebSocketError> {
    let (reader, writer) = upgraded.await?.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    members.lock().await.push(writer);
    loop {
        // Nobody pings in this benchmark, and a closed connection ends.
        let mut unanswered = |_| async { Ok::<(), Infallible>(()) };
        let frame = reader.read_frame(&mut unanswered).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                for member in members.lock().await.iter_mut() {
                    let payload = Payload::Borrowed(&frame.payload);
                    member.write_frame(Frame::new(true, frame.opcode, None, payload)).await?;
                }
            }
            _ => {}
        }
    }
}
