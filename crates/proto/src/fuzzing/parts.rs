//! The same bytes read whole, in parts, and by turns: the messages must be the same.

use super::Dice;
use crate::{
    Fault, Filled, Input, Intake, Kind, Limits, Pool, Role,
    deflate::{Direction, Params},
    reader::{Found, Reader},
};

/// Bytes of a message that is read whole. In parts there is no limit, so what is longer ends the comparison.
const MESSAGE_LEN_MAX: usize = 1 << 20;
/// Bytes that are inflated, whatever comes, before a run is given up.
const TOTAL_MAX: usize = 4 << 20;
/// What one part may have: all of a read, or what is inflated at a time.
const PART_LEN_MAX: usize = 64 << 10;

/// Reads the bytes behind the first three (role, compression, windows) three times: whole; in parts, some of
/// them straight into a buffer; and by turns, where the rest of a message whose parts came out is thrown
/// away. What comes out of each is what came out of the first.
pub fn parts(data: &[u8]) {
    let [role, deflate, bits, wire @ ..] = data else { return };
    let role = if role & 1 == 0 { Role::Server } else { Role::Client };
    let params = Params {
        server_no_context_takeover: deflate & 1 != 0,
        client_no_context_takeover: deflate & 1 != 0,
        server_max_window_bits: 9 + (bits & 15) % 7,
        client_max_window_bits: 9 + (bits & 15) % 7,
    };
    let direction = (deflate & 2 != 0).then(|| params.incoming(role));
    let whole = Run::new(role, direction).through(wire, Dice::new(data), Plan::Whole);
    let parted = Run::new(role, direction).through(wire, Dice::new(data), Plan::Parts);
    let turned = Run::new(role, direction).through(wire, Dice::new(data), Plan::ByTurns);
    let is_short = whole.fault == Some(Fault::MessageTooBig) || parted.gave_up || turned.gave_up;
    for run in [&parted, &turned] {
        for (expected, message) in whole.messages.iter().zip(&run.messages) {
            assert!(message.is_none() || message == expected, "{message:?} for {expected:?}");
        }
        let controls = whole.controls.len().min(run.controls.len());
        assert_eq!(whole.controls[..controls], run.controls[..controls]);
        if !is_short {
            // A message that is being thrown away counts from its beginning.
            let begun = usize::from(run.messages.last() == Some(&None));
            assert!((0..=begun).contains(&(run.messages.len() - whole.messages.len())));
            assert_eq!(run.controls.len(), whole.controls.len());
            assert_eq!(run.fault.is_some(), whole.fault.is_some());
        }
    }
    // Which rule is found broken first depends on how much is inflated in one go.
    if direction.is_none() && !is_short {
        assert_eq!((parted.fault, turned.fault), (whole.fault, whole.fault));
    }
}

/// When a run asks for parts.
#[derive(Clone, Copy, PartialEq)]
enum Plan {
    Whole,
    Parts,
    ByTurns,
}

struct Run {
    reader: Reader,
    pool: Pool,
    /// `None` for a message whose rest was thrown away.
    messages: Vec<Option<(Kind, Vec<u8>)>>,
    controls: Vec<(u8, Vec<u8>)>,
    /// The message whose parts come out.
    current: Option<(Kind, Vec<u8>)>,
    total: usize,
    gave_up: bool,
    fault: Option<Fault>,
}

impl Run {
    fn new(role: Role, direction: Option<Direction>) -> Self {
        Self {
            reader: Reader::new(role, direction),
            pool: Pool::new(|_| ()),
            messages: vec![],
            controls: vec![],
            current: None,
            total: 0,
            gave_up: false,
            fault: None,
        }
    }

    fn through(mut self, wire: &[u8], mut dice: Dice, plan: Plan) -> Self {
        if plan == Plan::Parts {
            self.reader.take_in(Intake::Parts);
        }
        for piece in dice.pieces(wire) {
            if plan == Plan::ByTurns {
                self.turn(&mut dice);
            }
            let read = self.read(piece, plan, &mut dice);
            self.gave_up |= TOTAL_MAX < self.total;
            if let Err(fault) = read {
                self.fault = Some(fault);
            }
            if self.gave_up || self.fault.is_some() {
                break;
            }
        }
        self
    }

    fn turn(&mut self, dice: &mut Dice) {
        match dice.below(3) {
            0 => self.reader.take_in(Intake::Parts),
            1 => {
                self.reader.take_in(Intake::Whole);
                if self.current.take().is_some() {
                    self.messages.push(None);
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, piece: &[u8], plan: Plan, dice: &mut Dice) -> Result<(), Fault> {
        let mut piece = piece.to_vec();
        let mut straight = 0;
        if plan != Plan::Whole
            && dice.below(2) == 0
            && self.current.is_some()
            && let Some(room) = self.reader.part_room()
        {
            straight = piece.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.fill(&mut piece[..straight])?;
        }
        let limits = Limits {
            message_bytes_max: MESSAGE_LEN_MAX,
            fragments_max: u32::MAX,
            ..Limits::default()
        };
        let mut input = Input::new(&mut piece[straight..]);
        // Borrowed apart, for what is found borrows from the input alone.
        let Self { reader, pool, messages, controls, current, total, .. } = self;
        while let Some(found) = reader.read(&mut input, &limits, pool)? {
            match found {
                Found::Message(payload) => {
                    *total += payload.as_slice().len();
                    assert!(current.is_none(), "whole inside of parts");
                    messages.push(Some((payload.kind(), payload.as_slice().to_vec())));
                }
                Found::Part(part) => {
                    *total += part.as_slice().len();
                    assert!(part.is_last || !part.as_slice().is_empty(), "nothing is no part");
                    assert!(part.as_slice().len() <= PART_LEN_MAX.max(*total));
                    let (kind, bytes) = current.get_or_insert((part.kind, vec![]));
                    assert_eq!(*kind, part.kind);
                    bytes.extend_from_slice(part.as_slice());
                    if part.is_last {
                        messages.push(current.take());
                    }
                }
                Found::Ping(payload) => controls.push((9, payload.to_vec())),
                Found::Pong(payload) => controls.push((10, payload.to_vec())),
                Found::Close(code, _) => controls.push((8, code.get().to_be_bytes().to_vec())),
            }
            if TOTAL_MAX < *total {
                return Ok(());
            }
        }
        assert!(input.is_empty(), "a reader takes in every byte");
        Ok(())
    }

    /// Reads bytes straight to where they are wanted.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        let filled = self.reader.fill_part(bytes)?;
        let (_, current) = self.current.as_mut().expect("its first part came by itself");
        current.extend_from_slice(bytes);
        self.total += bytes.len();
        if filled == Filled::Last {
            self.messages.push(self.current.take());
        }
        Ok(())
    }
}
