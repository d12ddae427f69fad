//! Replays `fuzz/corpus` on stable, and throws dice at each fuzz target besides.

use std::{fs, path::Path};

use taiwa_socketio::fuzzing;

/// Random inputs a target, always the same ones.
const RANDOM_INPUTS: u32 = 20_000;

/// Xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// Says which input it was when a target panics.
struct Culprit<'a>(&'a str, &'a [u8]);

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails:\n{:?}", self.0, self.1);
        }
    }
}

#[track_caller]
fn check(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files = fs::read_dir(folder).unwrap().map(|it| fs::read(it.unwrap().path()).unwrap());
    let files: Vec<Vec<u8>> = files.collect();
    assert!(files.len() > 3, "{name}: {}", files.len());
    let try_one = |input: &[u8]| {
        let _culprit = Culprit(name, input);
        target(input);
    };
    files.iter().for_each(|it| try_one(it));
    let mut dice = Dice(0x7a69_7761);
    for _ in 0..RANDOM_INPUTS {
        let mut input = files[dice.below(files.len())].clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(input.len());
            match dice.below(4) {
                0 if !input.is_empty() => input[at] = dice.below(256) as u8,
                1 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
                2 => input.insert(at, dice.below(256) as u8),
                _ => input.truncate(at),
            }
        }
        try_one(&input);
    }
}

#[test]
fn bodies_survive_the_way_there_and_back() {
    check("socketio_body", fuzzing::socketio_body);
}

#[test]
fn packets_survive_the_way_there_and_back() {
    check("socketio_text", fuzzing::socketio_text);
}

#[test]
fn packets_in_messagepack_survive_the_way_there_and_back() {
    check("socketio_msgpack", fuzzing::socketio_msgpack);
}

#[test]
fn streams_survive_the_way_there_and_back() {
    check("socketio_framed", fuzzing::socketio_framed);
}
