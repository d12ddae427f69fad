//! Replays `fuzz/corpus` on stable, and throws dice at each fuzz target besides.

use std::{fs, path::Path, path::PathBuf, time::Instant};

use taiwa_proto::fuzzing;

/// Random inputs a target, made from `seed()`.
const RANDOM_INPUTS: u64 = 20_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// Decimal, from the environment, to replay what a failure printed.
fn seed() -> u64 {
    let default = 0x7a69_7761;
    std::env::var("TAIWA_FUZZ_SEED").map_or(default, |it| it.parse().expect("a decimal number"))
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    /// One of the corpus with a few bytes changed, or nothing but dice.
    fn input(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match self.below(4) {
            0 => (0..self.below(200)).map(|_| self.next() as u8).collect(),
            _ => files[self.below(files.len())].clone(),
        };
        for _ in 0..self.below(5) {
            let at = self.below(input.len());
            match self.below(4) {
                0 if !input.is_empty() => input[at] = self.next() as u8,
                1 if !input.is_empty() => input[at] ^= 1 << self.below(8),
                2 => input.insert(at, self.next() as u8),
                3 => input.truncate(at),
                _ => {}
            }
        }
        input
    }
}

/// Says which input it was when a target panics.
struct Culprit<'a>(&'a str, &'a [u8]);

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails, seed {}:\n{:?}", self.0, seed(), self.1);
        }
    }
}

#[track_caller]
fn check(target: &str, run: impl Fn(&[u8])) {
    let folder = corpus().join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|it| panic!("{}: {it}", folder.display()))
        .map(|it| it.expect("a folder that can be listed").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no files", folder.display());
    let files: Vec<_> = paths.iter().map(|it| fs::read(it).expect("a file")).collect();
    for (path, bytes) in paths.iter().zip(&files) {
        let name = path.display().to_string();
        let _culprit = Culprit(&name, bytes);
        run(bytes);
    }
    let mut dice = Dice(seed());
    let small: Vec<_> = files.into_iter().filter(|it| it.len() < 4096).collect();
    for _ in 0..RANDOM_INPUTS {
        let input = dice.input(&small);
        let _culprit = Culprit(target, &input);
        run(&input);
    }
}

macro_rules! targets {
    ($($test:ident $name:ident $(($now:expr))?),* $(,)?) => {
        $(#[test]
        fn $test() {
            check(stringify!($name), |data| fuzzing::$name(data $(, $now)?));
        })*

        #[test]
        fn every_target_has_a_corpus_and_every_corpus_a_target() {
            let mut expected = vec![$(stringify!($name)),*];
            expected.sort();
            let list = fs::read_dir(corpus()).expect("the corpus");
            // A dialect, or another crate, replays those of its own name, and of what begins with it and `_`.
            let rooms = [corpus().join("../../dialects"), corpus().join("../../crates")];
            let mut folders: Vec<_> = list
                .map(|it| it.expect("an entry").file_name().into_string().expect("a name"))
                .filter(|it| {
                    let owner = it.split('_').next().expect("a name");
                    rooms.iter().all(|room| !room.join(owner).exists())
                })
                .collect();
            folders.sort();
            assert_eq!(folders, expected);
            let manifest = corpus().join("../Cargo.toml");
            let manifest = fs::read_to_string(manifest).expect("fuzz/Cargo.toml");
            for target in expected {
                assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            }
        }
    };
}

targets! {
    connections_hold_whatever_comes connection(Instant::now()),
    parts_are_the_message_that_is_read_whole parts,
    headers_are_read_as_they_are_written header,
    text_is_judged_alike_by_any_pieces utf8,
    anything_inflates_or_is_refused_in_bounds inflate,
    what_is_compressed_inflates_to_the_same deflate_round_trip,
    close_payloads_are_right_or_refused close_payload,
    requests_read_alike_by_any_pieces handshake_request,
    responses_read_alike_by_any_pieces handshake_response,
    offers_are_answered_whatever_the_headers offer,
    extensions_are_read_as_they_are_written extensions,
    subprotocols_are_read_as_they_are_written subprotocols,
    origins_are_read_as_they_are_written origin,
    what_we_ask_for_we_accept_at_any_uri uri,
}
