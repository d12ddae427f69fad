//! Tests of the deltas: there and back, in bounded steps; and what is no delta.

use super::*;
use crate::dice::Dice;

#[track_caller]
fn check(source: &[u8], target: &[u8]) -> Vec<u8> {
    let delta = create(source, target).unwrap();
    assert_eq!(apply(source, &delta, target.len()).as_deref(), Ok(target));
    assert!(delta.len() <= target.len() + OVERHEAD_MAX, "{} bytes", delta.len());
    let steps = search(source, target, Cuts::Bytes).unwrap().steps;
    let steps_max = 2 * TRIES * target.len() + target.len();
    assert!(steps <= steps_max, "{steps} steps for {} bytes", target.len());
    if let (Ok(source), Ok(target)) = (str::from_utf8(source), str::from_utf8(target)) {
        let delta = create_text(source, target).unwrap();
        let back = apply(source.as_bytes(), delta.as_bytes(), target.len());
        assert_eq!(back.as_deref(), Ok(target.as_bytes()), "{delta:?}");
        assert!(delta.len() <= target.len() + OVERHEAD_MAX, "{} bytes of text", delta.len());
    }
    delta
}

fn some(dice: &mut Dice, letters: &[&str], max: usize) -> String {
    (0..dice.below(max)).map(|_| letters[dice.below(letters.len())]).collect()
}

/// Changes a text as an application does: a value here, a part moved, left out or doubled there.
fn changed(dice: &mut Dice, source: &str, letters: &[&str]) -> String {
    let mut target: Vec<char> = source.chars().collect();
    for _ in 0..dice.below(6) {
        let from = dice.below(target.len() + 1);
        let to = (from + dice.below(60)).min(target.len());
        let part: Vec<char> = match dice.below(3) {
            0 => some(dice, letters, 40).chars().collect(),
            1 => vec![],
            _ => target[from..to].to_vec(),
        };
        let at = dice.below(target.len() + 1);
        let end = if dice.one_in(2) { at } else { (at + dice.below(50)).min(target.len()) };
        target.splice(at..end, part);
    }
    target.into_iter().collect()
}

#[test]
fn every_target_comes_back_from_its_delta() {
    let alphabets: [&[&str]; 4] = [
        &["a"],
        &["a", "b"],
        &["\"price\":", "1", "2", "3", ",", "{", "}", "BTC", "\n"],
        &["対", "話", "é", "a", "🦀", "\u{80}", "\u{7ff}"],
    ];
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let letters = alphabets[dice.below(4)];
        let source = some(&mut dice, letters, 600);
        let target = changed(&mut dice, &source, letters);
        check(source.as_bytes(), target.as_bytes());
        let other = some(&mut dice, letters, 300);
        check(source.as_bytes(), other.as_bytes());
        let noise: Vec<u8> = (0..dice.below(300)).map(|_| dice.roll() as u8).collect();
        check(source.as_bytes(), &noise);
        check(&noise, source.as_bytes());
        check(&noise, &[&noise[..], &noise].concat());
    }
}

#[test]
fn small_changes_make_small_deltas() {
    let row =
        |i: usize, price: usize| format!("{{\"id\":{i},\"ticker\":\"T{i}\",\"price\":{price}}},");
    let old: String = (0..200).map(|i| row(i, i * 7919 % 1000)).collect();
    for (what, new, bytes_max) in [
        ("nothing", old.clone(), 20),
        ("one row", old.replace("\"price\":919}", "\"price\":5}"), 40),
        ("a row at the end", format!("{old}{}", row(200, 1)), 60),
        ("a row in front", format!("{}{old}", row(200, 1)), 70),
        ("one less", old.replacen(&row(100, 900), "", 1), 40),
        ("both halves swapped", format!("{}{}", &old[4000..], &old[..4000]), 40),
        ("doubled", format!("{old}{old}"), 32),
    ] {
        assert!(new != old || what == "nothing", "{what} changed nothing");
        let delta = check(old.as_bytes(), new.as_bytes());
        assert!(delta.len() <= bytes_max, "{what}: {} bytes", delta.len());
    }
}

#[test]
fn of_several_places_the_one_with_most_in_common_is_copied() {
    // A block three times: followed by nothing of the target, by all of it, by a part.
    let block = "the same block.!";
    let (long, other) = ("as it goes on and on and on.....", "something else altogether: then.");
    let source = format!("{block}{other}{block}{other}{block}{long}{block}{}", &long[..9]);
    let delta = check(source.as_bytes(), format!("new: {block}{long}").as_bytes());
    assert_eq!(delta.iter().filter(|it| **it == b'@').count(), 1);
    assert!(delta.len() <= 24, "{} bytes", delta.len());
}

#[test]
fn steps_are_bounded_whatever_repeats() {
    let zeros = vec![0; 30_000];
    let almost: Vec<u8> = (0..30_000).map(|i| u8::from(i % 17 == 16)).collect();
    let blocks: Vec<u8> = (0..30_000_u32).flat_map(|i| [(i % 3) as u8; 1]).collect();
    let mut broken = zeros.clone();
    for place in (15..broken.len()).step_by(16) {
        broken[place] = 1;
    }
    let mut offset = zeros.clone();
    offset[0] = 1;
    offset[29_999] = 1;
    let all = [&zeros, &almost, &blocks, &broken, &offset];
    for source in all {
        for target in all {
            check(source, target);
            check(source, &target[1..]);
            check(&source[..15_001], target);
        }
    }
}

#[test]
fn blocks_of_one_hash_are_tried_in_bounded_number() {
    // A polynomial of 16 terms modulo 2⁶⁴ is 0 for some differences of bytes: here the same block again, which is the
    // worst that can meet in one chain, with all that follows different.
    let mut source = vec![];
    for i in 0..5_000_u32 {
        source.extend_from_slice(b"the same block.!");
        source.extend_from_slice(&[i.to_be_bytes(); 4].concat());
    }
    let target: Vec<u8> = (0..5_000_u32)
        .flat_map(|i| [b"the same block.!".as_slice(), &(!i).to_be_bytes()].concat())
        .collect();
    check(&source, &target);
}

#[test]
fn edges_are_no_special_cases() {
    let long = "0123456789abcdefghijklmnopqrstuvwxyz";
    for source in ["", "a", &long[..15], &long[..16], &long[..17], long] {
        for target in ["", "a", &long[..15], &long[..16], &long[..17], &long[1..], long] {
            check(source.as_bytes(), target.as_bytes());
        }
    }
    assert_eq!(check(b"", b""), b"0\n0;");
    assert_eq!(check(b"", b"\0\0\0\x01"), b"4\n4:\0\0\0\x011;");
}

#[test]
fn deltas_of_text_are_text_although_characters_share_bytes() {
    // 対 and 尾 begin with the same byte: a delta of bytes cuts between them.
    let source = format!("{}対{}", "x".repeat(40), "y".repeat(40));
    let target = format!("{}尾{}", "x".repeat(40), "y".repeat(40));
    let bytes = create(source.as_bytes(), target.as_bytes()).unwrap();
    assert!(str::from_utf8(&bytes).is_err(), "this pair does not show the case");
    let text = create_text(&source, &target).unwrap();
    assert!(text.contains('尾') && text.len() < target.len() / 2, "{text:?}");
    check(source.as_bytes(), target.as_bytes());
}

/// Sources, targets, and the deltas that Fossil's own algorithm makes of them (`createDelta` of npm `fossil-delta` 2.0.0).
fn made_by_others() -> Vec<(String, String, &'static str)> {
    let fox = "The quick brown fox jumps over the lazy dog. ";
    let trade = |price: &str| {
        format!("{{\"ticker\":\"BTC\",\"price\":{price},\"volume\":123,\"side\":\"buy\"}}")
    };
    let numbers = "0123456789";
    vec![
        (String::new(), String::new(), "0\n0:0;"),
        (String::new(), "abc".into(), "3\n3:abc1XObC0;"),
        ("abc".into(), String::new(), "0\n0:0;"),
        (trade("50000.1"), trade("50000.2"), "v\nU@0,1:2R@V,3cjnSa;"),
        (
            fox.repeat(8),
            format!("{}And again: {}", fox.repeat(5), fox.repeat(4)),
            "6W\n3X@0,A:And again:28@3W,i@0,2GjuDx;",
        ),
        (
            numbers.repeat(20),
            format!("{}{}end", "9876543210".repeat(3), numbers.repeat(9)),
            "1w\nU:9876543210987654321098765432101Q@1G,3:end2Bdd_k;",
        ),
        ("x".repeat(300), "x".repeat(1000) + "y", "Fe\n4h@0,4h@0,4h@0,1_@30,1:yUeQKl;"),
        (
            "対話".repeat(30),
            format!("{}話{}", "対話".repeat(10), "対話".repeat(25)),
            "3L\nx@1W,2P@F,1CXur6;",
        ),
    ]
}

#[test]
fn deltas_of_others_are_applied() {
    for (source, target, delta) in made_by_others() {
        let back = apply(source.as_bytes(), delta.as_bytes(), 10_000);
        assert_eq!(back.as_deref(), Ok(target.as_bytes()), "{delta:?}");
        let ours = check(source.as_bytes(), target.as_bytes());
        assert!(ours.len() <= delta.len() + OVERHEAD_MAX, "{} and {}", ours.len(), delta.len());
    }
}

#[test]
fn what_is_no_delta_is_refused() {
    let source = b"0123456789";
    for (delta, fault) in [
        ("", DeltaFault::Malformed),
        ("A", DeltaFault::Malformed),
        ("A\n", DeltaFault::Malformed),
        ("\n0;", DeltaFault::Malformed),
        ("4\n4@0,", DeltaFault::Malformed),
        ("4\n4@0", DeltaFault::Malformed),
        ("4\n4@,0;", DeltaFault::Malformed),
        ("4\n4:abc", DeltaFault::Malformed),
        ("4\n4!0,0;", DeltaFault::Malformed),
        ("4\n4@0,0;", DeltaFault::Checksum),
        ("4\n3@0,0;", DeltaFault::Malformed),
        ("4\n5@0,0;", DeltaFault::Malformed),
        ("4\n4@7,0;", DeltaFault::Outside),
        ("4\n4@3~~~~~,0;", DeltaFault::Outside),
        ("4\n4@4000000,0;", DeltaFault::Malformed),
        ("4000000\n", DeltaFault::Malformed),
        ("1l\n", DeltaFault::TooLong),
        ("0\n0;0;", DeltaFault::Malformed),
    ] {
        assert_eq!(apply(source, delta.as_bytes(), 100), Err(fault), "{delta:?}");
    }
}

#[test]
fn no_damage_to_a_delta_goes_unnoticed_or_does_harm() {
    let mut dice = Dice::new(7);
    let (source, target) =
        ("some words that stay the same, and some not".repeat(3), "a word ".repeat(20));
    let target = format!("{target}{source}");
    let delta = create(source.as_bytes(), target.as_bytes()).unwrap();
    for _ in 0..20_000 {
        let mut damaged = delta.clone();
        for _ in 0..=dice.below(3) {
            let place = dice.below(damaged.len());
            match dice.below(3) {
                0 => damaged[place] = dice.roll() as u8,
                1 => _ = damaged.remove(place),
                _ => damaged.insert(place, DIGITS[dice.below(64)]),
            }
        }
        if let Ok(back) = apply(source.as_bytes(), &damaged, 1_000) {
            // The checksum is a sum: words that change places, or a copy from an equal place, pass it.
            assert_eq!(back.len(), target.len());
            assert_eq!(checksum(&back), checksum(target.as_bytes()));
        }
    }
}
