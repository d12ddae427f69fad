//! The rules of request streams, one test a clause.

use super::*;
use crate::error::Scope;

const BOUNDS: Bounds = Bounds { section_bytes_max: 64, idle_frames_max: 5 };
const BOTH: [Role; 2] = [Role::Client, Role::Server];

fn whole(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    frame::write(FrameType::new(kind).expect("fits"), payload, &mut out);
    out
}

fn head() -> Vec<u8> {
    whole(1, b"head")
}

fn data(bytes: &str) -> Vec<u8> {
    whole(0, bytes.as_bytes())
}

/// What heads are said to be, one after the other.
#[derive(Clone, Copy)]
enum Say {
    Interim,
    Content(Option<u64>),
    Tunnel,
}

/// Reads a stream that has these frames and then ends, in one piece and byte by byte.
#[track_caller]
fn read(role: Role, says: &[Say], frames: &[Vec<u8>]) -> Result<Vec<Event>, Fault> {
    let bytes = frames.concat();
    let in_steps = |step: usize| {
        let mut receiving = Receiving::new(role, BOUNDS);
        let mut says = says.iter();
        let mut events: Vec<Event> = vec![];
        for piece in bytes.chunks(step) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(event) = receiving.next(&mut piece)? {
                if let Event::Head(_) = event {
                    match says.next().expect("each head is said to be something") {
                        Say::Interim => receiving.interim(),
                        Say::Content(bytes) => receiving.content(*bytes),
                        Say::Tunnel => receiving.tunnel(),
                    }
                }
                match (events.last_mut(), event) {
                    (Some(Event::Data(before)), Event::Data(more)) => {
                        *before = [&before[..], &more[..]].concat().into();
                    }
                    (_, event) => events.push(event),
                }
            }
        }
        receiving.end()?;
        Ok(events)
    };
    let read = in_steps(bytes.len().max(1));
    assert_eq!(in_steps(1), read, "the network's cuts change nothing");
    read
}

#[track_caller]
fn check_fault(role: Role, says: &[Say], frames: &[Vec<u8>], scope: Scope, code: Code) {
    let fault = read(role, says, frames).expect_err("a fault");
    assert_eq!((fault.scope, fault.code), (scope, code), "{fault}");
}

#[track_caller]
fn check_unexpected(role: Role, says: &[Say], frames: &[Vec<u8>]) {
    check_fault(role, says, frames, Scope::Connection, Code::FRAME_UNEXPECTED);
}

const PLAIN: &[Say] = &[Say::Content(None)];

#[test]
fn a_message_is_a_head_content_and_trailers() {
    for role in BOTH {
        let frames = [head(), data("con"), data("tent"), whole(1, b"last")];
        let expected = [
            Event::Head(Bytes::from_static(b"head")),
            Event::Data(Bytes::from_static(b"content")),
            Event::Trailers(Bytes::from_static(b"last")),
        ];
        assert_eq!(read(role, PLAIN, &frames).as_deref(), Ok(&expected[..]));
    }
}

#[test]
fn interim_responses_come_before_the_response() {
    let frames = [head(), head(), head(), data("x")];
    let says = [Say::Interim, Say::Interim, Say::Content(None)];
    assert_eq!(read(Role::Client, &says, &frames).map(|it| it.len()), Ok(4));
    check_unexpected(Role::Client, &says, &[head(), data("x")]);
}

#[test]
fn data_before_headers_and_anything_behind_trailers_is_unexpected() {
    for role in BOTH {
        check_unexpected(role, PLAIN, &[data("x")]);
        check_unexpected(role, PLAIN, &[head(), data("x"), head(), data("x")]);
        check_unexpected(role, PLAIN, &[head(), data("x"), head(), head()]);
    }
}

#[test]
fn a_tunnel_has_data_alone() {
    for role in BOTH {
        let frames = [head(), data("a"), whole(0x21, b"ignored"), data("b")];
        let events = read(role, &[Say::Tunnel], &frames).expect("right");
        assert_eq!(events[1..], [Event::Data(Bytes::from_static(b"ab"))]);
        check_unexpected(role, &[Say::Tunnel], &[head(), data("a"), head()]);
        check_unexpected(role, &[Say::Tunnel], &[head(), whole(4, b"")]);
    }
}

#[test]
fn frames_of_the_control_stream_and_of_http_2_are_unexpected() {
    for role in BOTH {
        for kind in [0x03, 0x04, 0x07, 0x0d, 0x02, 0x06, 0x08, 0x09] {
            check_unexpected(role, PLAIN, &[whole(kind, b"\x00"), head()]);
            check_unexpected(role, PLAIN, &[head(), whole(kind, b"\x00")]);
        }
    }
}

#[test]
fn push_promises_are_a_fault_in_either_direction() {
    let promise = whole(5, b"\x00x");
    check_unexpected(Role::Server, PLAIN, &[head(), promise.clone()]);
    let code = Code::ID_ERROR;
    check_fault(Role::Client, PLAIN, &[head(), promise], Scope::Connection, code);
}

#[test]
fn unknown_and_reserved_frames_are_ignored_wherever_they_stand() {
    for role in BOTH {
        let noise = || whole(0x1f * 5 + 0x21, &[9; 3000]);
        let frames = [noise(), head(), noise(), data("a"), noise(), head(), noise()];
        assert_eq!(read(role, PLAIN, &frames).map(|it| it.len()), Ok(3));
    }
}

#[test]
fn frames_that_bring_nothing_are_counted_in_a_row() {
    for noise in [data(""), whole(0x21, b"x")] {
        let five = || [&noise[..]].repeat(5).concat();
        let frames = [head(), five(), data("a"), five(), data("b"), five()];
        assert!(read(Role::Server, PLAIN, &frames).is_ok());
        let frames = [head(), five(), noise.clone()];
        check_fault(Role::Server, PLAIN, &frames, Scope::Connection, Code::EXCESSIVE_LOAD);
    }
}

#[test]
fn a_stream_that_ends_within_a_frame_is_a_frame_error() {
    for role in BOTH {
        for cut in [vec![0x00], b"\x00\x05abc".to_vec(), b"\x21\x01".to_vec()] {
            let frames = [head(), cut];
            check_fault(role, PLAIN, &frames, Scope::Connection, Code::FRAME_ERROR);
        }
    }
}

#[test]
fn a_stream_that_ends_without_a_message_is_incomplete() {
    check_fault(Role::Server, &[], &[], Scope::Stream, Code::REQUEST_INCOMPLETE);
    check_fault(Role::Server, &[], &[whole(0x21, b"")], Scope::Stream, Code::REQUEST_INCOMPLETE);
    check_fault(Role::Client, &[], &[], Scope::Stream, Code::MESSAGE_ERROR);
    check_fault(Role::Client, &[Say::Interim], &[head()], Scope::Stream, Code::MESSAGE_ERROR);
}

#[test]
fn content_has_the_length_that_its_head_tells() {
    for role in BOTH {
        let says = &[Say::Content(Some(5))];
        assert!(read(role, says, &[head(), data("ab"), data("cde"), head()]).is_ok());
        assert!(read(role, &[Say::Content(Some(0))], &[head(), data("")]).is_ok());
        for frames in [vec![head(), data("abcd")], vec![head(), data("abc"), head()], vec![head()]]
        {
            check_fault(role, says, &frames, Scope::Stream, Code::MESSAGE_ERROR);
        }
        let frames = [head(), data("abc"), data("def")];
        check_fault(role, says, &frames, Scope::Stream, Code::MESSAGE_ERROR);
    }
}

#[test]
fn a_head_that_is_too_long_is_told_and_not_kept() {
    let events = read(Role::Server, &[], &[whole(1, &[7; 65])]).expect("told");
    assert_eq!(events, [Event::HeadTooLong]);
    let frames = [head(), whole(1, &[7; 65])];
    check_fault(Role::Server, PLAIN, &frames, Scope::Stream, Code::EXCESSIVE_LOAD);
}

#[test]
fn a_stream_of_webtransport_names_its_session_first() {
    for step in [1, 2, 100] {
        let mut receiving = Receiving::new(Role::Server, BOUNDS);
        let (mut rest, mut session) = (vec![], None);
        for piece in b"\x40\x41\x41\x00rest".chunks(step) {
            let mut piece = Bytes::copy_from_slice(piece);
            if session.is_none() {
                session = receiving.next(&mut piece).expect("right");
            }
            rest.extend_from_slice(&piece);
        }
        assert_eq!(session, Some(Event::WebTransport(VarInt::from_u32(256))));
        assert_eq!(rest, b"rest");
    }
}

#[test]
fn a_stream_of_webtransport_within_a_request_is_a_frame_error() {
    let frames = [head(), whole(0x41, b"")];
    check_fault(Role::Server, PLAIN, &frames, Scope::Connection, Code::FRAME_ERROR);
    let frames = [whole(0x21, b""), whole(0x41, b"")];
    check_fault(Role::Server, PLAIN, &frames, Scope::Connection, Code::FRAME_ERROR);
}
