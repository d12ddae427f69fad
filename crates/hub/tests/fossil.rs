//! Deltas, decoded by those who will decode them: both decoders of npm `centrifuge`.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use taiwa_hub::fossil;

const PATIENCE: Duration = Duration::from_secs(60);

/// A generator by splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ it >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ it >> 31) >> 11) as usize % end.max(1)
    }
}

/// A JSON document with characters of all lengths.
fn document(dice: &mut Dice) -> String {
    let names = ["price", "対話", "naïve", "🦀🦀", "a\\\"b", "尾"];
    let mut rows = vec![];
    for _ in 0..dice.below(30) {
        let (name, value) = (names[dice.below(names.len())], names[dice.below(names.len())]);
        let repeated = value.repeat(dice.below(12));
        rows.push(format!("{{\"{name}\":\"{repeated}\",\"n\":{}}}", dice.below(100)));
    }
    format!("[{}]", rows.join(","))
}

fn line(kind: &str, parts: [&[u8]; 3]) -> String {
    let mut line = kind.to_owned();
    for part in parts {
        line.push(' ');
        for byte in part {
            write!(line, "{byte:02x}").expect("a string grows");
        }
    }
    line + "\n"
}

/// Returns lines for the decoders, and how many there are.
fn lines() -> (String, usize) {
    let mut dice = Dice(1);
    let (mut lines, mut count) = (String::new(), 0);
    for _ in 0..300 {
        let source = document(&mut dice);
        let mut target = document(&mut dice);
        if dice.below(3) > 0 {
            // Mostly the same: one row more at the end.
            target = source.replace(']', if source == "[]" { "1]" } else { ",{\"n\":\"尾対\"}]" });
        }
        let delta = fossil::create_text(&source, &target).expect("short");
        lines += &line("text", [source.as_bytes(), target.as_bytes(), delta.as_bytes()]);

        let noise: Vec<u8> = (0..dice.below(200)).map(|_| dice.below(256) as u8).collect();
        let old = [&noise[..], source.as_bytes()].concat();
        let new = [target.as_bytes(), &noise, &noise].concat();
        let delta = fossil::create(&old, &new).expect("short");
        lines += &line("bytes", [&old, &new, &delta]);
        count += 2;
    }
    (lines, count)
}

#[test]
fn the_published_decoders_of_centrifuge_read_every_delta() {
    let interop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop");
    if !interop.join("node_modules/centrifuge").exists() {
        println!("skipped: npm `centrifuge` is not in interop/node_modules (cargo xtask setup)");
        return;
    }
    let mut node = Command::new("node");
    node.arg(interop.join("centrifuge/fossil.mjs"));
    node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let Ok(mut node) = node.spawn() else {
        println!("skipped: there is no node");
        return;
    };
    let (lines, count) = lines();
    node.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("node reads all of it");
    let start = Instant::now();
    while node.try_wait().expect("node is ours").is_none() {
        if start.elapsed() > PATIENCE {
            node.kill().expect("node is ours");
            panic!("node does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = node.wait_with_output().expect("node ended");
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("decoded {count}\n"));
}
