//! Nonsense made out of scenes: a dialect may answer it as it likes, but not panic, and not do what no dialect may.

use std::time::Instant;

use super::{
    script::{Block, Kind, blocks, escaped},
    stage::{Blame, Stage},
};
use crate::Dialect;

/// How long one client talks nonsense.
const STEPS: usize = 64;

/// What breaks texts: signs of several syntaxes, and characters of several lengths.
const SIGNS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\n",
    "\r\n",
    "\0",
    "0",
    "-1",
    "9007199254740993",
    "18446744073709551616",
    "1e999",
    "null",
    "true",
    "%",
    "%00",
    "%ff",
    "&",
    "=",
    "?",
    "/",
    " ",
    "~",
    "対",
    "\u{1f980}",
    "\u{feff}",
    "\u{1e}",
];

/// Lets a client say, a hub answer and time pass in an order that `seed` decides, made of the inputs of scenes, a part of
/// which is spoilt first. Replies fit their questions; everything else may come at any time.
///
/// # Errors
///
/// What the dialect did that none may, with all inputs up to there as a scene, or that the scenes can't be read. A panic
/// is left to the caller.
pub fn shake(dialect: &dyn Dialect, scenes: &str, seed: u64, start: Instant) -> Result<(), String> {
    let mut all = blocks(scenes)?;
    all.retain(Block::is_input);
    let is_opening =
        |it: &&Block| it.mark == '>' && it.kind == Kind::Control && it.text.trim_end() != "left";
    let openings: Vec<&Block> = all.iter().filter(is_opening).collect();
    if openings.is_empty() {
        return Err("no client comes in".into());
    }
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut stage = Stage::new(dialect, start);
    let mut story = String::new();
    for _ in 0..STEPS {
        let mut block = if stage.is_over() && !dice.once_in(8) {
            (*dice.choose(&openings)).clone()
        } else {
            next(&stage, &all, &mut dice)
        };
        if block.mark == '>' && dice.once_in(3) {
            spoil(&mut block, &mut dice);
        }
        story += &format!("{}\n", told(&block));
        if let Err(Blame::Dialect(fault)) = stage.step(&block) {
            return Err(format!("seed {seed}: {fault}\nbehind\n{story}"));
        }
    }
    Ok(())
}

/// Chooses an input: an answer to something that was asked, if there is one, or anything.
fn next(stage: &Stage<'_>, all: &[Block], dice: &mut Dice) -> Block {
    let mut block = dice.choose(all).clone();
    let outstanding = stage.ledger.outstanding();
    if outstanding.is_empty() || !dice.once_in(2) {
        return block;
    }
    let (token, reply) = *dice.choose(&outstanding);
    let refused = dice.once_in(6);
    let behind = |it: &Block| {
        let (token, rest) = it.text.split_once(' ')?;
        let verb = rest.split([' ', '\n']).next()?;
        let fits = verb == if refused { "refused" } else { reply };
        (it.mark == '!' && token.parse::<u64>().is_ok() && fits).then(|| rest.to_owned())
    };
    let answers: Vec<String> = all.iter().filter_map(behind).collect();
    let answer = match answers.is_empty() {
        true if refused => "refused Unavailable \"not now\"".to_owned(),
        true => reply.to_owned(),
        false => dice.choose(&answers).clone(),
    };
    (block.mark, block.line, block.kind) = ('!', 0, Kind::AsItStands);
    block.text = format!("{token} {answer}");
    block
}

/// Changes what a client says, in a few places.
fn spoil(block: &mut Block, dice: &mut Dice) {
    let digits = matches!(block.kind, Kind::Hexadecimal);
    for _ in 0..=dice.below(3) {
        let text = &block.text;
        let mut place = || text.floor_char_boundary(dice.below(text.len() + 1));
        let (a, b) = (place(), place());
        let (a, b) = (a.min(b), a.max(b));
        block.text = match dice.below(4) {
            0 => format!("{}{}", &text[..a], &text[b..]),
            1 => format!("{}{}", &text[..b], &text[a..]),
            2 => text[..a].to_owned(),
            _ if digits => format!("{}{:02x}{}", &text[..a], dice.below(256), &text[a..]),
            _ => format!("{}{}{}", &text[..a], dice.choose(SIGNS), &text[a..]),
        };
        // Twice as long each time would be long soon.
        let end = block.text.floor_char_boundary(8192);
        block.text.truncate(end);
    }
}

/// Writes a block as a line of a scene.
fn told(block: &Block) -> String {
    let (kind, text) = match block.kind {
        Kind::AsItStands if block.mark == '>' && block.text.contains(char::is_control) => {
            ("*", escaped(&block.text))
        }
        Kind::AsItStands => ("", block.text.clone()),
        Kind::Escaped => ("*", block.text.clone()),
        Kind::Hexadecimal => ("x", block.text.clone()),
        Kind::Ascii => ("b", block.text.clone()),
        Kind::Control => (":", block.text.clone()),
    };
    let line = if block.line == 0 { String::new() } else { block.line.to_string() };
    let text = text.replace('\n', &format!("\n{}| ", block.mark));
    format!("{}{line}{kind} {text}", block.mark)
}

/// Xorshift: decides the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
