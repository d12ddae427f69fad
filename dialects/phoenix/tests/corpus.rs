//! Replays `fuzz/corpus/phoenix` on stable, as it is and with bytes changed.

use std::{fs, path::Path};

use taiwa_phoenix::fuzzing;

/// How often each file is changed.
const CHANGES: u64 = 500;

#[test]
fn what_is_read_is_read_again_once_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/phoenix");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 15, "{}", paths.len());
    for path in paths {
        let seed = fs::read(&path).unwrap();
        fuzzing::messages(&seed);
        for number in 0..CHANGES {
            let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |end: usize| {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                (dice >> 11) as usize % end.max(1)
            };
            let mut input = seed.clone();
            for _ in 0..=next(3) {
                let at = next(input.len());
                match next(3) {
                    0 => input[at] = next(256) as u8,
                    1 => input.insert(at, b"\"\\,[]{}\n0"[next(9)]),
                    _ => input.truncate(at.max(1)),
                }
            }
            fuzzing::messages(&input);
        }
    }
}
