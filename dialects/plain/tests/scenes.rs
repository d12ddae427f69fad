//! Plays the transcripts of `scenes/`, as they are and shaken.

use std::{fs, path::Path, time::Instant};

use taiwa_core::scenes::{play, shake};
use taiwa_plain::{Plain, Settings};

fn dialect() -> Plain {
    let json = vec!["json".into()];
    Plain::new(Settings { channels_max: 3, echo: true, json })
}

/// Returns the name and the text of each file.
fn scenes() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let paths = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    paths.map(|it| (it.display().to_string(), fs::read_to_string(it).unwrap())).collect()
}

#[test]
fn scenes_play_as_written() {
    let scenes = scenes();
    assert!(scenes.len() >= 9, "{}", scenes.len());
    for (name, text) in scenes {
        if let Err(fault) = play(&dialect(), &text, Instant::now()) {
            panic!("{name}: {fault}");
        }
    }
}

#[test]
fn nonsense_neither_panics_nor_breaks_the_rules_of_all_dialects() {
    let text: String = scenes().into_iter().map(|(_, text)| text + "\n").collect();
    for seed in 0..500 {
        if let Err(fault) = shake(&dialect(), &text, seed, Instant::now()) {
            panic!("{fault}");
        }
    }
}
