//! One run for each of many seeds.

use std::{collections::BTreeMap, panic::RefUnwindSafe};

/// How often what happened in all runs.
pub type Counts = BTreeMap<&'static str, u64>;

/// Runs with the seeds from 0 on, 300 of them or as many as `TAIWA_SIMULATE_SEEDS` says, and adds up what happened.
///
/// # Panics
///
/// With the seed of the first run that does, and if the variable is no number.
pub fn run_seeds(run: impl Fn(u64) -> Counts + RefUnwindSafe) -> Counts {
    let seeds = std::env::var("TAIWA_SIMULATE_SEEDS").ok();
    let seeds = seeds.map_or(300, |it| it.parse().expect("TAIWA_SIMULATE_SEEDS is a number"));
    let mut counts = Counts::new();
    for seed in 0..seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        let ran = ran.unwrap_or_else(|_| panic!("seed {seed}"));
        for (what, count) in ran {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    println!("{counts:?}");
    counts
}
