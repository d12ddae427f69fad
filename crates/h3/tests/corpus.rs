//! Replays `fuzz/corpus/h3_*` on stable, as it is and with bytes changed.

use std::{fs, path::Path, path::PathBuf};

use taiwa_h3::fuzzing;

/// Changed inputs a target, made from `seed()`.
const CHANGED_INPUTS: u64 = 10_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// Decimal, from the environment, to replay what a failure printed.
fn seed() -> u64 {
    let default = 0x6833_6833;
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

    /// One of the corpus, or two behind each other, with a few bytes changed; or nothing but dice.
    fn input(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match self.below(6) {
            0 => (0..self.below(100)).map(|_| self.next() as u8).collect(),
            1 => [&files[self.below(files.len())][..], &files[self.below(files.len())]].concat(),
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
    let folder = corpus().join(format!("h3_{target}"));
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|it| panic!("{}: {it}", folder.display()))
        .map(|it| it.expect("a folder that can be listed").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no files", folder.display());
    let files: Vec<_> = paths.iter().map(|it| fs::read(it).expect("a file")).collect();
    for (path, bytes) in paths.iter().zip(&files) {
        let _culprit = Culprit(&path.display().to_string(), bytes);
        run(bytes);
    }
    let mut dice = Dice(seed() | 1);
    for _ in 0..CHANGED_INPUTS {
        let input = dice.input(&files);
        let _culprit = Culprit(target, &input);
        run(&input);
    }
}

macro_rules! targets {
    ($($test:ident $name:ident),* $(,)?) => {
        $(#[test]
        fn $test() {
            check(stringify!($name), fuzzing::$name);
        })*

        #[test]
        fn every_target_has_a_corpus_and_every_corpus_a_target() {
            let mut expected = vec![$(concat!("h3_", stringify!($name))),*];
            expected.sort();
            let list = fs::read_dir(corpus()).expect("the corpus");
            let mut folders: Vec<_> = list
                .map(|it| it.expect("an entry").file_name().into_string().expect("a name"))
                .filter(|it| it.starts_with("h3_"))
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
    numbers_are_read_the_same_by_any_way varint,
    strings_are_written_back_as_they_were_read huffman,
    sections_read_the_same_when_written_again section,
    qpack_streams_are_judged_alike_by_any_pieces qpack_streams,
    settings_are_read_as_they_are_written settings,
    protocols_are_read_as_they_are_written protocols,
    datagrams_are_read_as_they_are_written datagram,
    capsules_are_the_same_by_any_pieces capsules,
    control_streams_are_judged_alike_by_any_pieces control,
    request_streams_are_judged_alike_by_any_pieces request,
    sessions_say_no_more_than_they_are_told session,
}
