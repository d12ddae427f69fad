//! Vectors of RFC 9204, whatever refers to a dynamic table, cuts, limits; and what is written reads the same.

use super::super::SectionWriter;
use super::*;
use crate::error::Scope;

type Line = (Vec<u8>, Vec<u8>, bool);

fn read(section: &[u8], limits: &SectionLimits) -> Result<Vec<Line>, Fault> {
    let mut lines = FieldLines::new(section, limits)?;
    let mut read = vec![];
    while let Some(line) = lines.next_line()? {
        read.push((line.name.into_owned(), line.value.into_owned(), line.never_indexed));
    }
    Ok(read)
}

#[track_caller]
fn check(section: &[u8], expected: &[(&str, &str, bool)]) {
    let expected: Vec<Line> = expected
        .iter()
        .map(|(name, value, it)| (name.as_bytes().to_vec(), value.as_bytes().to_vec(), *it))
        .collect();
    assert_eq!(read(section, &SectionLimits::default()), Ok(expected));
}

#[track_caller]
fn check_fault(section: &[u8], rule: &str) {
    let fault = read(section, &SectionLimits::default()).expect_err("a fault");
    assert_eq!((fault.code, fault.rule), (Code::QPACK_DECOMPRESSION_FAILED, rule));
    assert_eq!(fault.scope, Scope::Connection);
}

#[test]
fn rfc_9204_appendix_b1_is_read() {
    let section = [&[0, 0, 0x51, 0x0b], b"/index.html".as_slice()].concat();
    check(&section, &[(":path", "/index.html", false)]);
}

#[test]
fn every_representation_without_a_dynamic_table_is_read() {
    check(&[0, 0], &[]);
    // A Base that nothing uses may be anything that is not negative.
    check(&[0, 0x7f, 0x05], &[]);
    check(&[0, 0, 0xc0 | 17, 0xff, 0x00], &[(":method", "GET", false), (":status", "100", false)]);
    check(&[0, 0, 0x70, 1, b'a'], &[(":authority", "a", true)]);
    check(&[0, 0, 0x5f, 0x4b, 1, b'a'], &[("origin", "a", false)]);
    check(&[0, 0, 0x22, b'a', b'b', 1, b'c'], &[("ab", "c", false)]);
    check(&[0, 0, 0x32, b'a', b'b', 0], &[("ab", "", true)]);
    check(&[0, 0, 0x29, 0x1f, 0x81, 0x1f], &[("a", "a", false)]);
}

#[test]
fn whatever_refers_to_a_dynamic_table_fails_the_connection() {
    check_fault(&[1, 0], "field section requires a dynamic table");
    check_fault(&[0xff, 0x20, 0], "field section requires a dynamic table");
    check_fault(&[0, 0x80], "Base of a field section is negative");
    for line in
        [&[0x80][..], &[0xbf, 0x20], &[0x40, 0], &[0x10], &[0x1f, 0x02], &[0x00, 0], &[0x0f, 2, 0]]
    {
        let section = [&[0, 0], line].concat();
        check_fault(&section, "field line refers to the dynamic table");
    }
}

#[test]
fn indexes_behind_the_static_table_fail_the_connection() {
    // 99, as an indexed line and as a name; and the largest integer there is.
    check_fault(&[0, 0, 0xff, 36], "static table has no such entry");
    check_fault(&[0, 0, 0x5f, 84, 0], "static table has no such entry");
    let largest = [&[0, 0, 0xff, 0xc0][..], &[0xff; 7], &[0x3f]].concat();
    check_fault(&largest, "static table has no such entry");
}

#[test]
fn sections_that_are_cut_or_broken_fail_the_connection() {
    check_fault(&[], "field section ends within a line");
    check_fault(&[0], "field section ends within a line");
    check_fault(&[0, 0, 0xff], "field section ends within a line");
    check_fault(&[0, 0, 0x50], "field section ends within a line");
    check_fault(&[0, 0, 0x50, 2, b'a'], "field section ends within a string");
    check_fault(&[0, 0, 0x23, b'a'], "field section ends within a string");
    let huge = [&[0, 0, 0x50, 0x7f][..], &[0xff; 8], &[0x3e]].concat();
    check_fault(&huge, "field section ends within a string");
    let overflow = [&[0, 0, 0x50, 0x7f][..], &[0xff; 9], &[0x7f]].concat();
    check_fault(&overflow, "integer over 62 bits");
    check_fault(&[0, 0, 0x50, 0x81, 0xff], "string is not in the Huffman code");
    check_fault(&[0, 0, 0x50, 0x84, 0xff, 0xff, 0xff, 0xff], "string is not in the Huffman code");
}

#[test]
fn a_section_over_a_limit_costs_its_stream_alone() {
    let mut section = vec![];
    let mut writer = SectionWriter::new(&mut section);
    for _ in 0..3 {
        writer.line(b"cookie", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        writer.line(b":path", b"/");
    }
    let section_bytes = writer.section_bytes();
    let right = SectionLimits { section_bytes_max: section_bytes, lines_max: 6 };
    assert_eq!(read(&section, &right).map(|it| it.len()), Ok(6));
    for limits in [
        SectionLimits { lines_max: 5, ..right },
        SectionLimits { section_bytes_max: section_bytes - 1, ..right },
        SectionLimits { section_bytes_max: 32 + 6 + 31, ..right },
        SectionLimits { section_bytes_max: 0, ..right },
    ] {
        assert_eq!(read(&section, &limits), Err(TOO_LARGE), "{limits:?}");
    }
    assert_eq!((TOO_LARGE.scope, TOO_LARGE.code), (Scope::Stream, Code::EXCESSIVE_LOAD));
}

#[test]
fn a_bomb_of_indexed_lines_stops_at_the_first_limit() {
    // A byte a line, 85 bytes and more each when decoded: a megabyte would be a hundred.
    let mut bomb = vec![0xc0 | 58; 1 << 20];
    bomb[..2].fill(0);
    let mut lines = FieldLines::new(&bomb, &SectionLimits::default()).expect("a prefix");
    let mut count = 0;
    let fault = loop {
        match lines.next_line() {
            Ok(line) => assert!(line.is_some()),
            Err(fault) => break fault,
        }
        count += 1;
    };
    assert_eq!((fault, count), (TOO_LARGE, 100));
}

/// Cheap numbers from a printed seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn text(&mut self, len_max: usize) -> Vec<u8> {
        let any = self.below(3) == 0;
        let len = self.below(len_max);
        (0..len)
            .map(|_| if any { self.below(256) as u8 } else { b'a' + self.below(26) as u8 })
            .collect()
    }
}

#[test]
fn what_is_written_reads_the_same_and_counts_the_same() {
    let limits = SectionLimits { section_bytes_max: 1 << 20, lines_max: 64 };
    for seed in 1..2_000 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut lines: Vec<Line> = vec![];
        for _ in 0..dice.below(20) {
            let is_secret = dice.below(4) == 0;
            lines.push(match table::entry(dice.below(198) as u64) {
                Some((name, value)) if dice.below(2) == 0 => (name.into(), value.into(), is_secret),
                Some((name, _)) => (name.into(), dice.text(300), is_secret),
                None => (dice.text(40), dice.text(300), is_secret),
            });
        }
        let mut section = vec![];
        let mut writer = SectionWriter::new(&mut section);
        for (name, value, is_secret) in &lines {
            if *is_secret {
                writer.never_indexed_line(name, value)
            } else {
                writer.line(name, value)
            }
        }
        let section_bytes = writer.section_bytes();
        assert_eq!(read(&section, &limits).as_ref(), Ok(&lines), "seed {seed}");
        let exact = SectionLimits { section_bytes_max: section_bytes, lines_max: lines.len() };
        assert_eq!(read(&section, &exact).as_ref(), Ok(&lines), "seed {seed}");
        for _ in 0..8 {
            let cut = dice.below(section.len());
            // A cut at the end of a line is a shorter section; any other is a fault. Neither panics.
            let fewer = read(&section[..cut], &limits).map_or(0, |it| it.len());
            assert!(fewer <= lines.len(), "seed {seed}, cut at {cut}");
        }
    }
}
