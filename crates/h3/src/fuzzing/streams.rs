//! Whole streams: what they say is the same by any pieces, and in bounds.

use bytes::Bytes;

use super::Dice;
use crate::{
    capsule,
    connection::{self, Connection, Role},
    error::Fault,
    request::{Bounds, Event, Receiving},
    webtransport::{Capsule, Dialect, Direction, Limits, Session, Terms, limits::Credit},
};

/// What came, and how it ended; `Ok` if the stream may end here.
type Judged<T> = (Vec<T>, Result<(), Fault>);

/// Capsules are the same by any pieces, and each that WebTransport knows is written back as it was.
pub fn capsules(data: &[u8]) {
    let whole = read_capsules(vec![Bytes::copy_from_slice(data)]);
    assert_eq!(read_capsules(Dice::new(data).pieces(data)), whole);
    for found in whole.0 {
        let Ok(Some(known)) = Capsule::read(found.kind.get(), &found.value) else { continue };
        assert!(Capsule::is_known(found.kind.get()));
        let again = read_capsules(vec![known.to_bytes()]);
        let [again] = &again.0[..] else { panic!("one capsule") };
        assert_eq!(again.kind, found.kind);
        assert_eq!(Capsule::read(again.kind.get(), &again.value), Ok(Some(known)));
    }
}

fn read_capsules(pieces: Vec<Bytes>) -> Judged<capsule::Capsule> {
    let mut reader = capsule::Reader::new(Capsule::VALUE_BYTES_MAX);
    let mut read = vec![];
    for mut piece in pieces {
        loop {
            // Odd types stand for those that nobody knows.
            match reader.next(&mut piece, |kind| kind.get() % 8 != 7) {
                Ok(Some(capsule)) => read.push(capsule),
                Ok(None) => break,
                Err(fault) => return (read, Err(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    let end = reader.end();
    (read, end)
}

/// A session takes any capsules: once it has ended nothing more happens, and what it says is no more than what it was told.
pub fn session(data: &[u8]) {
    let [shape, data @ ..] = data else { return };
    let dialects = [Dialect::Draft02, Dialect::Draft07, Dialect::Draft13, Dialect::Draft15];
    let credit =
        (shape & 4 != 0).then_some(Credit { data: 9, bidirectional: 1, unidirectional: 2 });
    let dialect = dialects[usize::from(shape & 3)];
    let credit = credit.filter(|_| dialect.has_flow_control());
    let mut session = Session::new(&Terms { dialect, credit, sessions_max: 1 }, &Limits::default());
    let mut said = session.take_capsules().len();
    let (capsules, _) = read_capsules(vec![Bytes::copy_from_slice(data)]);
    let mut dice = Dice::new(data);
    for (at, capsule) in capsules.iter().enumerate() {
        let had_ended = session.ending().cloned();
        match dice.below(8) {
            0 => drop(session.open(Direction::Bidirectional)),
            1 => drop(session.accept(Direction::Unidirectional)),
            2 => assert!(session.send(7) <= 7),
            3 => drop(session.read(dice.below(100) as u64)),
            4 => session.done(Direction::Unidirectional),
            _ => {}
        }
        let result = session.receive(capsule.kind.get(), &capsule.value);
        if had_ended.is_some() {
            assert!(result.is_err() && session.ending() == had_ended.as_ref());
        }
        assert!(result.is_ok() || session.ending().is_some());
        said += session.take_capsules().len();
        // A capsule of each of the three bounds, at the most, for each that came; and those by which it began.
        assert!(said <= 64 * (at + 3), "{said} bytes after {at} capsules");
    }
}

/// A control stream is judged alike by any pieces, by either role.
pub fn control(data: &[u8]) {
    for role in [Role::Server, Role::Client] {
        let whole = read_control(role, vec![Bytes::copy_from_slice(data)]);
        assert_eq!(read_control(role, Dice::new(data).pieces(data)), whole);
        let settings = whole.0.iter().filter(|it| matches!(it, connection::Event::Settings(_)));
        assert!(settings.count() <= 1);
        let first = whole.0.first();
        assert!(first.is_none_or(|it| matches!(it, connection::Event::Settings(_))));
    }
}

fn read_control(role: Role, pieces: Vec<Bytes>) -> Judged<connection::Event> {
    let (mut connection, mut events) = (Connection::new(role), vec![]);
    for mut piece in pieces {
        loop {
            match connection.receive(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(fault) => return (events, Err(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    (events, Ok(()))
}

/// A request stream is judged alike by any pieces, by either role; the first byte says what its heads turn out to be.
pub fn request(data: &[u8]) {
    let [shape, data @ ..] = data else { return };
    for role in [Role::Server, Role::Client] {
        let whole = read_request(role, *shape, vec![Bytes::copy_from_slice(data)]);
        let cut = read_request(role, *shape, Dice::new(data).pieces(data));
        assert_eq!(cut, whole);
        for event in &whole.0 {
            match event {
                Event::Head(bytes) | Event::Trailers(bytes) => {
                    assert!(bytes.len() <= SECTION_BYTES_MAX);
                }
                Event::Data(bytes) => assert!(!bytes.is_empty()),
                Event::HeadTooLong | Event::WebTransport(_) => {}
            }
        }
    }
}

const SECTION_BYTES_MAX: usize = 64;

/// Reads, and puts DATA together, of which the pieces are no part of what is said.
fn read_request(role: Role, shape: u8, pieces: Vec<Bytes>) -> Judged<Event> {
    let bounds = Bounds { section_bytes_max: SECTION_BYTES_MAX, idle_frames_max: 8 };
    let (mut receiving, mut events) = (Receiving::new(role, bounds), vec![]);
    for mut piece in pieces {
        loop {
            let event = match receiving.next(&mut piece) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(fault) => return (events, Err(fault)),
            };
            match (&event, events.last_mut()) {
                (Event::WebTransport(_), _) => {
                    events.push(event);
                    return (events, Ok(()));
                }
                (Event::Head(head), _) => match head.first().unwrap_or(&shape) ^ shape {
                    it if it & 3 == 0 => receiving.tunnel(),
                    it if it & 3 == 1 && role == Role::Client => receiving.interim(),
                    it if it & 3 == 2 => receiving.content(Some(u64::from(it >> 2))),
                    _ => receiving.content(None),
                },
                (Event::HeadTooLong, _) => receiving.content(None),
                (Event::Data(more), Some(Event::Data(data))) => {
                    *data = [&data[..], more].concat().into();
                    continue;
                }
                _ => {}
            }
            events.push(event);
        }
        assert!(piece.is_empty());
    }
    let end = receiving.end();
    (events, end)
}
