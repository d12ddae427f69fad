//! The driver of a connection: takes its streams and datagrams in, and keeps our control stream.

use std::{future::pending, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Error, RequestStream, connection::Shared, quic_code};
use crate::{
    connection::{Event, Purpose, Role},
    datagram,
    error::{Code, Fault, Scope},
    frame::{self, FrameType},
    head, qpack, request,
    streams::{NumberReader, StreamType},
    varint::VarInt,
};

/// A request with its stream.
pub(super) type Accepted = (Request<()>, RequestStream);

/// Runs until the connection ends, and says why.
pub(super) async fn drive(shared: Arc<Shared>, accepting: mpsc::Sender<Accepted>) -> Error {
    let quic = shared.quic.clone();
    // Dropped before its end, the driver takes the connection along.
    let _ending = Ending(Arc::clone(&shared));
    let error = tokio::select! {
        biased;
        error = quic.closed() => error,
        fault = take_in(&shared, accepting) => {
            shared.fail(fault);
            quic.closed().await
        }
    };
    shared.told(error.into())
}

struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close(Code::NO_ERROR, b"");
        self.0.sessions.closed();
    }
}

/// Takes in what the peer opens, until it breaks a rule.
async fn take_in(shared: &Arc<Shared>, accepting: mpsc::Sender<Accepted>) -> Fault {
    let quic = &shared.quic;
    let mut accepting = Some(accepting);
    // Which request would be the next (RFC 9000 §2.1: those of clients are 0, 4, 8, ...).
    let mut next_request = 0;
    let mut goes_away = shared.goes_away.subscribe();
    let (say_go_away, from) = mpsc::channel(1);
    let mut idle = pin!(end_when_idle(shared));
    let mut tasks = JoinSet::new();
    tasks.spawn(control(Arc::clone(shared), from));
    loop {
        tokio::select! {
            // The end of a connection is `drive`'s to see.
            Ok(recv) = quic.accept_uni() => {
                tasks.spawn(unidirectional(Arc::clone(shared), recv));
            }
            Ok((send, recv)) = quic.accept_bi() => {
                next_request = u64::from(send.id()) + 4;
                let stream = RequestStream::new(shared, send, recv);
                match (&accepting, shared.role) {
                    (_, Role::Client) => drop(tasks.spawn(of_server(stream))),
                    (Some(accepting), _) => {
                        drop(tasks.spawn(request(stream, accepting.clone())));
                    }
                    // RFC 9114 §5.2: "Requests on stream IDs greater than or equal to the identifier" were not processed.
                    (None, _) => stream.abort(Code::REQUEST_REJECTED),
                }
            }
            Ok(datagram) = quic.read_datagram() => {
                match datagram::read(datagram) {
                    Ok((stream, payload)) => shared.sessions.datagram(stream, payload),
                    Err(fault) => return fault,
                }
            }
            Some(ended) = tasks.join_next() => {
                if let Ok(Err(fault)) = ended {
                    return fault;
                }
            }
            () = reaches(&mut goes_away, |it| *it), if accepting.is_some() => {
                accepting = None;
                // The control stream takes one message; it is the only one.
                _ = say_go_away.try_send(next_request);
            }
            () = &mut idle, if shared.role == Role::Server => {}
            else => pending().await,
        }
    }
}

/// Ends the connection when there was no request under way for a while; it has no end itself.
async fn end_when_idle(shared: &Shared) {
    let Some(within) = shared.limits.idle_max else { return pending().await };
    let mut open = shared.open.subscribe();
    loop {
        reaches(&mut open, |it| *it == 0).await;
        tokio::select! {
            () = sleep(within) => {
                shared.close(Code::NO_ERROR, b"idle");
                return pending().await;
            }
            () = reaches(&mut open, |it| *it > 0) => {}
        }
    }
}

/// Waits until a value is as it should be; for ever, if nobody is left who changes it.
pub(super) async fn reaches<T>(value: &mut watch::Receiver<T>, is_right: impl FnMut(&T) -> bool) {
    if value.wait_for(is_right).await.is_err() {
        pending().await
    }
}

/// Keeps our control stream: SETTINGS at its beginning, and GOAWAY when we go away.
async fn control(shared: Arc<Shared>, mut go_away: mpsc::Receiver<u64>) -> Result<(), Fault> {
    // An error is the end of the connection, or STOP_SENDING.
    let Ok(mut stream) = shared.quic.open_uni().await else { return Ok(()) };
    let mut bytes = Vec::new();
    StreamType::CONTROL.write(&mut bytes);
    shared.ours.write(&mut bytes);
    let _ = stream.set_priority(1);
    // Ready when the peer stops the stream, or the connection has ended.
    let mut stopped = pin!(stream.stopped());
    let said = async {
        stream.write_all(&bytes).await?;
        let Some(id) = go_away.recv().await else { return pending().await };
        let id = match shared.role {
            Role::Server => VarInt::new(id).unwrap_or(VarInt::MAX),
            // RFC 9114 §5.2: a client names a push, and there are none.
            Role::Client => VarInt::from_u32(0),
        };
        let mut bytes = Vec::new();
        frame::write_number(FrameType::GOAWAY, id, &mut bytes);
        stream.write_all(&bytes).await?;
        // RFC 9114 §6.2.1: "The sender MUST NOT close the control stream".
        pending::<Result<(), quinn::WriteError>>().await
    };
    let is_stopped = tokio::select! {
        stopped = &mut stopped => matches!(stopped, Ok(Some(_))),
        said = said => matches!(said, Err(quinn::WriteError::Stopped(_))),
    };
    if is_stopped {
        // RFC 9114 §6.2.1: "and the receiver MUST NOT request that the sender close the control stream."
        let rule = "our control stream was stopped";
        return Err(Fault::connection(Code::CLOSED_CRITICAL_STREAM, rule));
    }
    Ok(())
}

/// Reads a stream that the peer opened in its own direction, to its end.
async fn unidirectional(shared: Arc<Shared>, mut recv: quinn::RecvStream) -> Result<(), Fault> {
    let mut input = Bytes::new();
    let mut number = NumberReader::default();
    let kind = loop {
        if let Some(kind) = number.next(&mut input) {
            break StreamType::from(kind);
        }
        match recv.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => input = chunk.bytes,
            // RFC 9114 §6.2: "A receiver MUST tolerate unidirectional streams being closed or reset prior to the reception of the
            // unidirectional stream header."
            Ok(None) => return Ok(()),
            Err(error) => return given_up(&shared, &error),
        }
    };
    let purpose = shared.rules().open(kind)?;
    let (mut encoder, mut decoder) = Default::default();
    match purpose {
        Purpose::Unknown => {
            // RFC 9114 §6.2: "Recipients of unknown stream types MUST either abort reading of the stream or discard incoming data
            // without further processing."
            let _ = recv.stop(quic_code(Code::STREAM_CREATION_ERROR));
            return Ok(());
        }
        Purpose::WebTransport => {
            shared.sessions.unidirectional(recv, input);
            return Ok(());
        }
        Purpose::Control | Purpose::QpackEncoder | Purpose::QpackDecoder => {}
    }
    loop {
        critical(&shared, purpose, &mut input, &mut encoder, &mut decoder)?;
        match recv.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => input = chunk.bytes,
            Ok(None) | Err(quinn::ReadError::Reset(_)) => return shared.rules().ended(purpose),
            Err(_) => return Ok(()),
        }
    }
}

/// Takes bytes of a critical stream.
fn critical(
    shared: &Shared,
    purpose: Purpose,
    input: &mut Bytes,
    encoder: &mut qpack::EncoderStream,
    decoder: &mut qpack::DecoderStream,
) -> Result<(), Fault> {
    match purpose {
        Purpose::QpackEncoder => encoder.receive(input)?,
        Purpose::QpackDecoder => decoder.receive(input)?,
        _ => loop {
            let event = shared.rules().receive(input)?;
            match event {
                Some(Event::Settings(settings)) => {
                    shared.peer_settings.send_replace(Some(settings));
                }
                Some(Event::GoAway(id)) => {
                    shared.peer_goes_away.send_replace(Some(id.get()));
                }
                None => break,
            }
        },
    }
    Ok(())
}

/// Counts a stream that the peer reset; the end of the connection is seen elsewhere.
fn given_up(shared: &Shared, error: &quinn::ReadError) -> Result<(), Fault> {
    if let quinn::ReadError::Reset(_) = error {
        shared.count_reset();
    }
    Ok(())
}

/// Reads the head of a request, and hands it on or answers it.
async fn request(
    mut stream: RequestStream,
    accepting: mpsc::Sender<Accepted>,
) -> Result<(), Fault> {
    let within = stream.recv.shared().limits.head_within;
    let Ok(head) = timeout(within, stream.recv.head()).await else {
        stream.abort(Code::REQUEST_REJECTED);
        return Ok(());
    };
    let section = match head {
        Ok(request::Event::Head(section)) => section,
        Ok(request::Event::WebTransport(session)) => {
            stream.into_session(session);
            return Ok(());
        }
        Ok(_) => {
            refuse_too_large(stream).await;
            return Ok(());
        }
        Err(Error::Fault(fault)) if fault.scope == Scope::Connection => return Err(fault),
        // The stream is over, and by whom is known.
        Err(_) => return Ok(()),
    };
    let limits = stream.recv.shared().limits.section;
    let read = head::read_request(&section, &limits)
        .and_then(|request| stream.recv.expect(&request).map(|()| request));
    match read {
        Ok(request) => {
            stream.send.answer_to(&request);
            // Only a connection without an owner has nobody to take it.
            let _ = accepting.send((request, stream)).await;
            Ok(())
        }
        Err(fault) if fault.scope == Scope::Connection => Err(fault),
        Err(fault) if fault.code == Code::EXCESSIVE_LOAD => {
            refuse_too_large(stream).await;
            Ok(())
        }
        // RFC 9114 §4.1.2: "Malformed requests or responses that are detected MUST be treated as a stream error of type
        // H3_MESSAGE_ERROR."
        Err(fault) => {
            stream.abort(fault.code);
            Ok(())
        }
    }
}

/// RFC 9114 §4.2.2: "A server that receives a larger field section than it is willing to handle can send an HTTP 431 (Request Header
/// Fields Too Large) status code".
async fn refuse_too_large(mut stream: RequestStream) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if stream.send_response(&response).await.is_ok() {
        let _ = stream.finish().await;
    }
}

/// Takes a stream that a server opened in both directions.
async fn of_server(mut stream: RequestStream) -> Result<(), Fault> {
    let within = stream.recv.shared().limits.head_within;
    match timeout(within, stream.recv.head()).await {
        Ok(Ok(request::Event::WebTransport(session))) => {
            stream.into_session(session);
            Ok(())
        }
        // RFC 9114 §6.1: "Clients MUST treat receipt of a server-initiated bidirectional stream as a connection error of type
        // H3_STREAM_CREATION_ERROR unless such an extension has been negotiated."
        Ok(Ok(_)) => Err(Fault::connection(
            Code::STREAM_CREATION_ERROR,
            "a server opened a stream that is not WebTransport's",
        )),
        Ok(Err(Error::Fault(fault))) => Err(fault),
        Ok(Err(_)) => Ok(()),
        Err(_late) => {
            stream.abort(Code::REQUEST_CANCELLED);
            Ok(())
        }
    }
}
