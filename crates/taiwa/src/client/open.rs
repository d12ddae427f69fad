//! The client's opening handshake over a connected transport.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use taiwa_proto::{
    Limits,
    h1::{HeadReader, parse_response, write_request},
    handshake::{Agreed, HandshakeFault, Wish},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::chunks::decode_chunks;
use crate::{error::Error, io::BoxIo, tls::handshake_error};

/// Interim responses (1xx) that are passed over.
const INTERIM_MAX: usize = 8;
/// How long the body of a refusal may take. It is worth little, so it must not cost much.
const BODY_WITHIN: Duration = Duration::from_secs(2);

/// What a server answers.
pub(super) enum Answer {
    Agreed(Agreement),
    /// Another status than 101, and what was read behind its head.
    Refused(Response<()>, BytesMut),
}

/// What a successful handshake gives.
pub(super) struct Agreement {
    pub(super) agreed: Agreed,
    pub(super) response: Response<()>,
    /// Bytes behind the response: the first frames.
    pub(super) leftover: BytesMut,
}

/// Sends the request and reads the response.
pub(super) async fn shake_hands(
    io: &mut BoxIo,
    wish: Wish<'_>,
    limits: &Limits,
) -> Result<Answer, Error> {
    let (request, pending) = wish.request().map_err(Error::Request)?;
    let mut bytes = Vec::new();
    write_request(&request, &mut bytes);
    // With TLS 1.3 a server that dislikes our certificate says so after its handshake.
    io.write_all(&bytes).await.map_err(handshake_error)?;
    io.flush().await.map_err(handshake_error)?;

    let (response, leftover) = read_response(io, limits).await?;
    match pending.verify(&response) {
        Ok(agreed) => Ok(Answer::Agreed(Agreement { agreed, response, leftover })),
        Err(HandshakeFault::Refused(_)) => Ok(Answer::Refused(response, leftover)),
        Err(fault) => Err(Error::Handshake(fault)),
    }
}

/// Bytes of a read of a head, at least.
const HEAD_LEN: usize = 512;

/// Reads the head of the final response. What was read behind it comes along.
pub(super) async fn read_response(
    io: &mut BoxIo,
    limits: &Limits,
) -> Result<(Response<()>, BytesMut), Error> {
    let mut reader = HeadReader::new();
    let mut unread = BytesMut::new();
    for _ in 0..=INTERIM_MAX {
        let response = loop {
            // Otherwise it would be read 64 bytes at a time.
            unread.reserve(HEAD_LEN);
            if unread.is_empty() && io.read_buf(&mut unread).await.map_err(handshake_error)? == 0 {
                return Err(Error::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let read = std::mem::take(&mut unread);
            if let Some(head) = reader.feed(&read, limits).map_err(Error::Http)? {
                unread = BytesMut::from(head.leftover);
                break parse_response(&head).map_err(Error::Http)?;
            }
        };
        // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior to a
        // final response". 101 is final in that the protocol changes behind it.
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS || !status.is_informational() {
            return Ok((response, unread));
        }
    }
    Err(Error::Handshake(HandshakeFault::Refused(StatusCode::CONTINUE)))
}

/// Reads the body of a refusal: all of it, or what came until the limit, the end or the time.
pub(super) async fn read_body(
    io: &mut BoxIo,
    response: &Response<()>,
    mut body: BytesMut,
    limits: &Limits,
) -> Bytes {
    let headers = response.headers();
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Bytes::new();
    }
    let len: Option<usize> = headers
        .get(CONTENT_LENGTH)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| it.trim().parse().ok());
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let len_max = limits.handshake_bytes_max.min(if chunked {
        usize::MAX
    } else {
        len.unwrap_or(usize::MAX)
    });
    let whole = async {
        while body.len() < len_max && !(chunked && decode_chunks(&body).1) {
            match io.read_buf(&mut body).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    // Late or not: what came by then is what there is.
    let _ = timeout(BODY_WITHIN, whole).await;
    body.truncate(len_max);
    if chunked { decode_chunks(&body).0 } else { body.freeze() }
}
