//! Plays the transcripts of `scenes/`.

use std::{fs, path::Path, time::Instant};

use taiwa_centrifuge::{Centrifuge, Settings};

#[test]
fn scenes_play_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let room = Centrifuge::new(Settings::default());
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if let Err(fault) = taiwa_core::scenes::play(&room, &text, Instant::now()) {
            panic!("{}: {fault}", path.display());
        }
        played += 1;
    }
    assert!(played >= 7, "{played} files");
}
