//! Sessions whose first message says for which conversation they are.

use bytes::BytesMut;
use taiwa::{
    Config,
    webtransport::{BidirectionalStream, Session},
};
use taiwa_core::{Framing, Message, Unframed};
use tokio::time::timeout;

use super::next_message;
use crate::meet::{Open, Stranger};

/// Added to a status of HTTP, it is the code with which a session that was let in already is refused.
const REFUSED: u32 = 4000;

/// The stream of a session, and what has arrived on it.
type Stream = (BidirectionalStream, BytesMut);

/// Lets a session introduce itself by its first message, and returns where it leads and its stream with what arrived behind that.
/// Otherwise the session is closed: with 4408 if nothing came in time, with the code of a broken frame, or in the words
/// of the dialect with 4000 and the status that a request would get.
///
/// Cancel-safe: nobody was joined.
pub(super) async fn hear(
    stranger: Stranger,
    session: &Session,
    framing: &dyn Framing,
    config: &Config,
) -> Option<(Open, Stream)> {
    // A request says no more, either.
    let bytes_max = config.limits.handshake_bytes_max;
    let heard = first(session, framing, bytes_max);
    let heard = match config.deadlines.handshake {
        Some(within) => timeout(within, heard).await,
        None => Ok(heard.await),
    };
    match heard {
        Ok(Ok(Some((first, stream)))) => match stranger.introduce(&first).await {
            Ok(open) => return Some((open, stream)),
            Err(shut) => {
                let (parts, body) = shut.into_parts();
                let reason = String::from_utf8_lossy(&body);
                session.close(REFUSED + u32::from(parts.status.as_u16()), reason.trim_end());
            }
        },
        Ok(Ok(None)) => {}
        Ok(Err(Unframed { code, reason })) => session.close(code.into(), reason),
        Err(_late) => session.close(4408, "nobody was introduced"),
    }
    None
}

/// Reads the first message on the first stream; `None` if the session or the stream ends without one.
async fn first(
    session: &Session,
    framing: &dyn Framing,
    bytes_max: usize,
) -> Result<Option<(Message, Stream)>, Unframed> {
    let Some(mut stream) = session.accept_bi().await else { return Ok(None) };
    let mut arrived = BytesMut::new();
    let first = next_message(framing, bytes_max, &mut stream, &mut arrived).await?;
    Ok(first.map(|it| (it, (stream, arrived))))
}
