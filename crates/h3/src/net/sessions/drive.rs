//! The stream of a session's request: capsules in, capsules out, and its end.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::{Seat, inner::Inner};
use crate::{
    capsule::Reader,
    connection::Role,
    error::{Code, Fault},
    net::{Error, RecvHalf, RequestStream, SendHalf},
    varint::VarInt,
    webtransport::{Capsule, Ending, code},
};

/// How long the peer has to take our close, and to end its side.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// How long a server leaves the connection of a session that it has closed alone, once the client has ended its side in response.
///
/// Chromium tells its page of a close a moment after it has answered. If an acknowledgement or the end of the connection
/// reaches it in that moment, then the page hears of a lost connection, without code and reason: hence no packet of ours until it
/// is over, which would acknowledge, too, and no reset before the close, since two packets of the client are acknowledged at once and
/// one is not (RFC 9000 §13.2.2). Longer than a browser on a busy machine needs, shorter than who ends a server notices.
pub(super) const HEARD_WITHIN: Duration = Duration::from_millis(300);

/// Runs until the session has ended and its stream, too. The seat is free then.
pub(super) async fn drive(inner: Arc<Inner>, request: RequestStream, seat: Seat) {
    let (mut send, mut receive) = request.split();
    let mut reader = Reader::new(Capsule::VALUE_BYTES_MAX);
    let mut came_behind = false;
    while inner.ending().is_none() {
        tokio::select! {
            biased;
            capsules = poll_fn(|cx| inner.poll_capsules(cx)) => {
                // The end is told first, so that the program need not wait for a peer that does not read.
                if inner.ending().is_some() {
                    let _ = timeout(CLOSE_WITHIN, say(&mut send, capsules)).await;
                    break;
                }
                tokio::select! {
                    said = say(&mut send, capsules) => if let Err(error) = said {
                        inner.end(ending_of(&error));
                    },
                    _ = poll_fn(|cx| inner.poll_closed(cx)) => {}
                }
            }
            data = receive.recv_data() => came_behind = take(&inner, &mut reader, data),
        }
    }
    // What was said is over; what comes now is how it ends.
    match inner.ending() {
        Some(Ending::ByUs(..)) => {
            let ended = timeout(CLOSE_WITHIN, async {
                let rest = poll_fn(|cx| inner.poll_capsules(cx)).await;
                say(&mut send, rest).await?;
                send.finish().await?;
                drained(&mut receive).await
            })
            .await;
            // A next session need not wait.
            drop(seat);
            if matches!(ended, Ok(Ok(()))) && receive.shared().role == Role::Server {
                sleep(HEARD_WITHIN).await;
            }
            receive.stop(code::SESSION_GONE);
            inner.reset_rest();
            return;
        }
        Some(Ending::ByPeer(..)) => {
            // Draft 16 §6: "The recipient MUST either close or reset the stream in response."
            if !came_behind {
                let _ = timeout(CLOSE_WITHIN, send.finish()).await;
                let behind = timeout(CLOSE_WITHIN, behind(&mut receive)).await;
                came_behind = matches!(behind, Ok(Some(_)));
            }
            if came_behind {
                // "If any additional stream data is received on the CONNECT stream after receiving a WT_CLOSE_SESSION capsule, the
                // stream MUST be reset with code H3_MESSAGE_ERROR."
                send.reset(Code::MESSAGE_ERROR);
                receive.stop(Code::MESSAGE_ERROR);
            }
        }
        Some(Ending::Broken(code)) => {
            send.reset(code);
            receive.stop(code);
        }
        Some(Ending::Lost) | None => {}
    }
    drop(seat);
}

async fn say(send: &mut SendHalf, capsules: Vec<u8>) -> Result<(), Error> {
    if capsules.is_empty() { Ok(()) } else { send.send_data(Bytes::from(capsules)).await }
}

/// Takes what came on the stream. Tells whether a capsule came behind the one that closed the session.
fn take(inner: &Inner, reader: &mut Reader, data: Result<Option<Bytes>, Error>) -> bool {
    match data {
        Ok(Some(mut bytes)) => {
            if let Err(fault) = capsules(inner, reader, &mut bytes) {
                let came_behind = inner.ending().is_some_and(|it| matches!(it, Ending::ByPeer(..)));
                inner.broken(fault.code);
                return came_behind;
            }
        }
        Ok(None) => match reader.end() {
            Ok(()) => inner.finished(),
            Err(fault) => inner.broken(fault.code),
        },
        Err(error) => inner.end(ending_of(&error)),
    }
    false
}

fn capsules(inner: &Inner, reader: &mut Reader, bytes: &mut Bytes) -> Result<(), Fault> {
    let is_known = |kind: VarInt| Capsule::is_known(kind.get());
    while let Some(capsule) = reader.next(bytes, is_known)? {
        inner.capsule(capsule.kind.get(), &capsule.value)?;
    }
    Ok(())
}

fn ending_of(error: &Error) -> Ending {
    match error {
        Error::Reset(code) => Ending::Broken(*code),
        Error::Fault(fault) => Ending::Broken(fault.code),
        _ => Ending::Lost,
    }
}

/// Waits for the end of the peer's side.
async fn drained(receive: &mut RecvHalf) -> Result<(), Error> {
    while receive.recv_data().await?.is_some() {}
    Ok(())
}

/// Waits for what comes behind a close: nothing should.
async fn behind(receive: &mut RecvHalf) -> Option<Bytes> {
    receive.recv_data().await.ok().flatten()
}
