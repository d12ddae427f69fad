//! Plays the transcripts of `scenes/`.

use std::{fs, path::Path, time::Instant};

use taiwa_core::scenes::play;
use taiwa_sse::{Settings, Sse};

#[test]
fn scenes_play_as_written() {
    let cookie = Some("session".into());
    let settings = Settings { channels_max: 3, early_max: 3, cookie, ..Settings::default() };
    let dialect = Sse::new(settings);
    let mut played = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if let Err(fault) = play(&dialect, &text, Instant::now()) {
            panic!("{}: {fault}", path.display());
        }
        played += 1;
    }
    assert!(played >= 9, "{played}");
}
