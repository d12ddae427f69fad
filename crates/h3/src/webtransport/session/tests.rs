//! A session, capsule by capsule.

use super::*;
use crate::{
    varint::VarInt,
    webtransport::{
        dialect::Dialect::{self, Draft02, Draft13, Draft15},
        limits::Credit,
    },
};

const BIDI: Direction = Direction::Bidirectional;
const UNI: Direction = Direction::Unidirectional;

fn session(dialect: Dialect, credit: Option<[u64; 3]>) -> Session {
    let credit =
        credit.map(|it| Credit { data: it[0], bidirectional: it[1], unidirectional: it[2] });
    let limits = Limits {
        session_window: 100,
        streams_bidirectional_max: 4,
        streams_unidirectional_max: 4,
        ..Limits::default()
    };
    Session::new(&Terms { dialect, credit, sessions_max: 1 }, &limits)
}

/// Hands a capsule in, as the peer writes it.
fn receive(session: &mut Session, capsule: &Capsule) -> Result<Option<Event>, Fault> {
    let bytes = capsule.to_bytes();
    let (kind, kind_len) = VarInt::read(&bytes).expect("a type");
    let (_, len_len) = VarInt::read(&bytes[kind_len..]).expect("a length");
    session.receive(kind.get(), &bytes[kind_len + len_len..])
}

/// Takes the capsules out, and reads them.
fn said(session: &mut Session) -> Vec<Capsule> {
    let bytes = session.take_capsules();
    let (mut rest, mut said) = (&bytes[..], vec![]);
    while let Some((kind, kind_len)) = VarInt::read(rest) {
        let (len, len_len) = VarInt::read(&rest[kind_len..]).expect("a length");
        let value = &rest[kind_len + len_len..][..len.get() as usize];
        said.push(Capsule::read(kind.get(), value).expect("right").expect("known"));
        rest = &rest[kind_len + len_len + value.len()..];
    }
    assert!(rest.is_empty());
    said
}

#[test]
fn peers_that_wait_for_capsules_are_given_them_at_once_and_others_are_not() {
    let first = [Capsule::MaxData(100), Capsule::MaxStreams(BIDI, 4), Capsule::MaxStreams(UNI, 4)];
    assert_eq!(said(&mut session(Draft13, None)), first);
    assert_eq!(said(&mut session(Draft15, Some([0, 0, 0]))), first);
    assert_eq!(said(&mut session(Draft02, None)), []);
}

#[test]
fn a_session_is_closed_with_code_and_reason_by_either_side() {
    let mut ours = session(Draft02, None);
    let mut theirs = session(Draft02, None);
    assert!(ours.close(7, "enough"));
    let close = said(&mut ours);
    assert_eq!(close, [Capsule::Close(7, "enough".into())]);
    assert_eq!(receive(&mut theirs, &close[0]), Ok(Some(Event::Ended)));
    assert_eq!(ours.ending(), Some(&Ending::ByUs(7, "enough".into())));
    assert_eq!(theirs.ending(), Some(&Ending::ByPeer(7, "enough".into())));
    assert!(!ours.close(8, "") && !theirs.close(8, ""), "it is told once");
    assert_eq!(said(&mut theirs), []);
}

#[test]
fn a_stream_that_just_ends_closes_with_0_and_nothing() {
    let mut session = session(Draft02, None);
    session.finished();
    assert_eq!(session.ending(), Some(&Ending::ByPeer(0, String::new())));
    session.end(Ending::Lost);
    assert_eq!(session.ending(), Some(&Ending::ByPeer(0, String::new())), "the first one stays");
}

#[test]
fn nothing_may_follow_the_close() {
    let mut session = session(Draft02, None);
    receive(&mut session, &Capsule::Close(0, String::new())).expect("right");
    let fault = receive(&mut session, &Capsule::Drain).expect_err("behind the close");
    assert_eq!(fault.code, Code::MESSAGE_ERROR);
}

#[test]
fn a_wish_to_end_is_told_once() {
    let mut session = session(Draft02, None);
    assert_eq!(receive(&mut session, &Capsule::Drain), Ok(Some(Event::Draining)));
    assert!(session.is_draining());
    assert_eq!(receive(&mut session, &Capsule::Drain), Ok(None));
    session.drain();
    assert_eq!(said(&mut session), [Capsule::Drain]);
}

#[test]
fn what_we_send_and_open_waits_for_credit_and_says_so_once() {
    let mut session = session(Draft15, Some([10, 1, 0]));
    said(&mut session);
    assert!(session.open(BIDI) && !session.open(BIDI) && !session.open(BIDI) && !session.open(UNI));
    assert_eq!((session.send(8), session.send(8), session.send(8)), (8, 2, 0));
    let blocked = [
        Capsule::StreamsBlocked(BIDI, 1),
        Capsule::StreamsBlocked(UNI, 0),
        Capsule::DataBlocked(10),
    ];
    assert_eq!(said(&mut session), blocked);
    assert_eq!(receive(&mut session, &Capsule::MaxStreams(UNI, 1)), Ok(Some(Event::Raised)));
    assert_eq!(receive(&mut session, &Capsule::MaxData(15)), Ok(Some(Event::Raised)));
    assert!(session.open(UNI) && !session.open(BIDI));
    session.unopen(UNI);
    assert!(session.open(UNI) && !session.open(UNI));
    assert_eq!(session.send(8), 5);
    session.unsend(2);
    assert_eq!(session.send(8), 2);
    let fault = receive(&mut session, &Capsule::MaxData(15)).expect_err("not raised");
    assert_eq!(fault.code, code::FLOW_CONTROL_ERROR);
    assert_eq!(session.ending(), Some(&Ending::Broken(code::FLOW_CONTROL_ERROR)));
    assert!(!session.open(UNI) && session.send(1) == 0);
}

#[test]
fn without_flow_control_capsules_of_it_are_ignored() {
    let mut session = session(Draft13, None);
    assert_eq!(receive(&mut session, &Capsule::MaxData(0)), Ok(None));
    assert_eq!((session.send(1 << 40), session.open(UNI)), (1 << 40, true));
    said(&mut session);
    session.read(1000).expect("unbounded");
    // A peer that waits nevertheless is not kept waiting.
    assert_eq!(said(&mut session), [Capsule::MaxData(1100)]);
}

#[test]
fn peers_of_older_drafts_hear_no_bounds() {
    let mut session = session(Draft02, None);
    session.read(1000).expect("unbounded");
    assert_eq!(session.accept(BIDI), Ok(true));
    session.done(BIDI);
    assert_eq!(said(&mut session), []);
}

#[test]
fn what_is_read_and_done_with_may_be_used_again() {
    let mut session = session(Draft15, Some([0, 0, 0]));
    said(&mut session);
    session.read(49).expect("allowed");
    assert_eq!(said(&mut session), []);
    session.read(1).expect("allowed");
    assert_eq!(said(&mut session), [Capsule::MaxData(150)]);
    for _ in 0..4 {
        assert_eq!(session.accept(BIDI), Ok(true));
    }
    session.done(BIDI);
    assert_eq!(said(&mut session), []);
    session.done(BIDI);
    assert_eq!(said(&mut session), [Capsule::MaxStreams(BIDI, 6)]);
}

#[test]
fn who_uses_more_than_allowed_loses_the_session() {
    let mut too_many = session(Draft15, Some([0, 0, 0]));
    (0..4).for_each(|_| assert_eq!(too_many.accept(UNI), Ok(true)));
    assert_eq!(too_many.accept(UNI).expect_err("a fifth").code, code::FLOW_CONTROL_ERROR);
    let mut too_much = session(Draft15, Some([0, 0, 0]));
    assert_eq!(too_much.read(101).expect_err("over 100").code, code::FLOW_CONTROL_ERROR);
    for session in [too_many, too_much] {
        assert_eq!(session.ending(), Some(&Ending::Broken(code::FLOW_CONTROL_ERROR)));
    }
}

#[test]
fn without_flow_control_a_stream_too_many_is_refused_alone() {
    let mut session = session(Draft02, None);
    (0..4).for_each(|_| assert_eq!(session.accept(UNI), Ok(true)));
    assert_eq!((session.accept(UNI), session.accept(BIDI)), (Ok(false), Ok(true)));
    session.done(UNI);
    assert_eq!((session.accept(UNI), session.ending()), (Ok(true), None));
}

#[test]
fn what_resets_swallowed_is_granted_again_when_the_peer_waits() {
    let mut session = session(Draft15, Some([0, 0, 0]));
    said(&mut session);
    session.read(10).expect("allowed");
    receive(&mut session, &Capsule::DataBlocked(100)).expect("right");
    assert_eq!(said(&mut session), [], "it may just not have been read yet");
    session.unread();
    assert_eq!(said(&mut session), [Capsule::MaxData(210)]);
}
