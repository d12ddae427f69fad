//! The rules of control streams and of SETTINGS, GOAWAY, MAX_PUSH_ID and CANCEL_PUSH, one test a clause.

use super::*;

fn number(kind: FrameType, number: u32) -> Vec<u8> {
    let mut out = vec![];
    frame::write_number(kind, VarInt::from_u32(number), &mut out);
    out
}

fn whole(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    frame::write(FrameType::new(kind).expect("fits"), payload, &mut out);
    out
}

fn settings() -> Vec<u8> {
    let mut out = vec![];
    Settings::default().write(&mut out);
    out
}

/// What a control stream with these frames says, in steps of one byte and in one piece.
#[track_caller]
fn read(role: Role, frames: &[Vec<u8>]) -> Result<Vec<Event>, Fault> {
    let bytes = frames.concat();
    let in_steps = |step| {
        let mut connection = Connection::new(role);
        let mut events = vec![];
        for piece in bytes.chunks(step) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(event) = connection.receive(&mut piece)? {
                events.push(event);
            }
        }
        Ok(events)
    };
    let whole = in_steps(bytes.len());
    assert_eq!(in_steps(1), whole, "the network's cuts change nothing");
    whole
}

#[track_caller]
fn check_fault(role: Role, frames: &[Vec<u8>], code: Code) {
    let fault = read(role, frames).expect_err("a fault");
    assert_eq!((fault.scope, fault.code), (crate::error::Scope::Connection, code), "{fault}");
}

const BOTH: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn settings_are_read_once_and_first() {
    for role in BOTH {
        let events = read(role, &[settings()]).expect("right");
        assert!(matches!(&events[..], [Event::Settings(_)]));
        check_fault(role, &[settings(), settings()], Code::FRAME_UNEXPECTED);
        check_fault(role, &[number(FrameType::GOAWAY, 0), settings()], Code::MISSING_SETTINGS);
        // A reserved frame is "any other frame type", too.
        check_fault(role, &[whole(0x21, b""), settings()], Code::MISSING_SETTINGS);
    }
}

#[test]
fn frames_of_requests_on_the_control_stream_are_unexpected() {
    for role in BOTH {
        for kind in [0x00, 0x01, 0x05] {
            check_fault(role, &[settings(), whole(kind, b"x")], Code::FRAME_UNEXPECTED);
        }
    }
}

#[test]
fn frames_of_http_2_are_unexpected() {
    for role in BOTH {
        for kind in [0x02, 0x06, 0x08, 0x09] {
            check_fault(role, &[settings(), whole(kind, b"")], Code::FRAME_UNEXPECTED);
        }
    }
}

#[test]
fn unknown_reserved_and_priority_frames_are_ignored() {
    let goaway = number(FrameType::GOAWAY, 8);
    for kind in [0x21, 0x1f * 1000 + 0x21, 0xf0700, 0xf0701, 0x3f, (1 << 62) - 1] {
        let long = vec![1; 40_000];
        let events =
            read(Role::Server, &[settings(), whole(kind, &long), whole(kind, b""), goaway.clone()]);
        assert_eq!(events.expect("right")[1..], [Event::GoAway(VarInt::from_u32(8))], "{kind:#x}");
    }
}

#[test]
fn a_request_that_begins_on_the_control_stream_as_webtransport_is_a_frame_error() {
    check_fault(Role::Server, &[settings(), whole(0x41, b"")], Code::FRAME_ERROR);
}

#[test]
fn goaway_may_come_again_with_the_same_or_an_earlier_identifier() {
    let goaway = |id| number(FrameType::GOAWAY, id);
    for role in BOTH {
        let events = read(role, &[settings(), goaway(8), goaway(8), goaway(4)]).expect("right");
        assert_eq!(events.len(), 4);
        check_fault(role, &[settings(), goaway(4), goaway(8)], Code::ID_ERROR);
    }
}

#[test]
fn a_server_names_a_request_in_goaway() {
    for id in [1, 2, 3, 5] {
        check_fault(Role::Client, &[settings(), number(FrameType::GOAWAY, id)], Code::ID_ERROR);
        assert!(read(Role::Server, &[settings(), number(FrameType::GOAWAY, id)]).is_ok());
    }
}

#[test]
fn max_push_id_comes_from_a_client_and_grows() {
    let max = |id| number(FrameType::MAX_PUSH_ID, id);
    assert_eq!(read(Role::Server, &[settings(), max(1), max(1), max(9)]).map(|it| it.len()), Ok(1));
    check_fault(Role::Server, &[settings(), max(9), max(8)], Code::ID_ERROR);
    check_fault(Role::Client, &[settings(), max(1)], Code::FRAME_UNEXPECTED);
}

#[test]
fn cancel_push_of_a_push_that_is_not_there_is_an_id_error() {
    for role in BOTH {
        check_fault(role, &[settings(), number(FrameType::CANCEL_PUSH, 0)], Code::ID_ERROR);
    }
}

#[test]
fn numbers_with_bytes_behind_them_or_too_few_are_a_frame_error() {
    for kind in [0x03, 0x07, 0x0d] {
        for payload in [&b""[..], b"\x40", b"\x01\x01", &[0; 9]] {
            check_fault(Role::Server, &[settings(), whole(kind, payload)], Code::FRAME_ERROR);
        }
    }
}

#[test]
fn settings_without_end_are_refused_before_they_are_read() {
    let mut head = vec![];
    frame::write_head(FrameType::SETTINGS, 1 << 40, &mut head);
    check_fault(Role::Server, &[head], Code::EXCESSIVE_LOAD);
}

#[test]
fn each_critical_stream_is_opened_once() {
    for role in BOTH {
        for kind in [StreamType::CONTROL, StreamType::QPACK_ENCODER, StreamType::QPACK_DECODER] {
            let mut connection = Connection::new(role);
            let purpose = connection.open(kind).expect("the first");
            let fault = connection.open(kind).expect_err("the second");
            assert_eq!(fault.code, Code::STREAM_CREATION_ERROR);
            let fault = connection.ended(purpose).expect_err("it may not end");
            assert_eq!(fault.code, Code::CLOSED_CRITICAL_STREAM);
        }
    }
}

#[test]
fn streams_that_nobody_knows_may_come_and_go() {
    for role in BOTH {
        let mut connection = Connection::new(role);
        for kind in [0x21, 0x40, 0x54, 0x54, 1 << 60] {
            let purpose = connection.open(StreamType::new(kind).expect("fits")).expect("right");
            assert_eq!(purpose == Purpose::WebTransport, kind == 0x54);
            assert_eq!(connection.ended(purpose), Ok(()));
        }
    }
}

#[test]
fn pushes_are_a_fault_in_either_direction() {
    let open = |role| Connection::new(role).open(StreamType::PUSH).expect_err("not allowed").code;
    assert_eq!(open(Role::Server), Code::STREAM_CREATION_ERROR);
    assert_eq!(open(Role::Client), Code::ID_ERROR);
}
