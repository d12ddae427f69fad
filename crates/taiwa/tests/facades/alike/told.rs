//! What a library says, in words that do not depend on the library.

use super::lib::tungstenite::{
    Error, Message,
    error::{CapacityError, ProtocolError, SubProtocolError, UrlError},
};

pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::Text(it) => format!("text {:?}", it.as_str()),
        Message::Binary(it) => format!("binary {it:?}"),
        Message::Ping(it) => format!("ping {it:?}"),
        Message::Pong(it) => format!("pong {it:?}"),
        Message::Close(None) => "close".into(),
        Message::Close(Some(it)) => format!("close {:?} {:?}", it.code, it.reason.as_str()),
        Message::Frame(it) => format!("frame {:?} {:?}", it.header().opcode, it.payload()),
    }
}

pub(crate) fn error(error: &Error) -> String {
    match error {
        Error::ConnectionClosed => "connection closed".into(),
        Error::AlreadyClosed => "already closed".into(),
        Error::Io(it) => format!("io {:?}", it.kind()),

        Error::Tls(_) => "tls".into(),
        Error::Capacity(CapacityError::TooManyHeaders) => "too many headers".into(),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("{size} > {max_size}")
        }
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(it)) => match it {
            SubProtocolError::ServerSentSubProtocolNoneRequested => "unasked".into(),
            SubProtocolError::InvalidSubProtocol => "another".into(),
            SubProtocolError::NoSubProtocol => "none".into(),
        },
        // The derived form: the names of variants and what they carry.
        Error::Protocol(it) => format!("protocol {it:?}"),
        Error::WriteBufferFull(it) => match &**it {
            Message::Frame(it) => format!("full {:?} {:?}", it.header().opcode, it.payload()),
            it => format!("full {}", message(it)),
        },
        Error::Utf8(_) => "utf8".into(),
        Error::AttackAttempt => "attack".into(),
        Error::Url(UrlError::UnableToConnect(_)) => "unable to connect".into(),
        Error::Url(it) => format!("url {it:?}"),
        Error::Http(it) => format!("http {} {:?}", it.status(), it.body()),
        Error::HttpFormat(_) => "http format".into(),
    }
}

pub(crate) fn result<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(it) => error(&it),
    }
}
