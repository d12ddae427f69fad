//! The change from one publication to the next, in the delta format of Fossil.
//!
//! A delta is text and bytes (Fossil SCM, "Delta Format"): the length of the target and a line feed; then copies `n@m,` (n
//! bytes of the source from its place m) and inserts `n:` with n bytes behind it; last the checksum of the target and `;`.
//! Numbers are written with 64 digits.

use std::{error::Error, fmt};

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Bytes that must be equal for the search to see a copy.
const BLOCK: usize = 16;

/// Places of the source that are tried for one place of the target: what repeats itself without end is not searched
/// without end.
const TRIES: usize = 8;

/// A delta is at most so many bytes longer than its target.
pub const OVERHEAD_MAX: usize = 21;

/// Writes what turns `source` into `target`; returns `None` if one of them has 2³² bytes or more, which the format cannot
/// say.
///
/// Takes time in proportion to the length of both (at most 17 comparisons for each byte, whatever the bytes are) and, besides
/// the result, three quarters of the source in memory. The delta is for the caller to throw away if it is not shorter than
/// the target; it is never longer by more than [`OVERHEAD_MAX`].
///
/// ```
/// use taiwa_hub::fossil;
///
/// let (old, new) = (b"The quick brown fox jumps over it.", b"The quick brown fox jumped over it.");
/// let delta = fossil::create(old, new).unwrap();
/// assert!(delta.len() < new.len());
/// assert_eq!(fossil::apply(old, &delta, 1024).unwrap(), new);
/// ```
pub fn create(source: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    Some(search(source, target, Cuts::Bytes)?.finish())
}

/// Like [`create`], for dialects that put the delta into a JSON text: no character of the target is cut in two, so the
/// delta is text as well.
pub fn create_text(source: &str, target: &str) -> Option<String> {
    let delta = search(source.as_bytes(), target.as_bytes(), Cuts::Characters)?.finish();
    String::from_utf8(delta).ok()
}

/// Turns `source` into the target that a delta was made for.
///
/// # Errors
///
/// Says what is wrong with the delta, or that its target is longer than `target_bytes_max`; see [`DeltaFault`].
pub fn apply(source: &[u8], delta: &[u8], target_bytes_max: usize) -> Result<Vec<u8>, DeltaFault> {
    let mut left = delta;
    let length = number(&mut left)? as usize;
    if length > target_bytes_max {
        return Err(DeltaFault::TooLong);
    }
    let mut target = Vec::new();
    expect(&mut left, b'\n')?;
    loop {
        let count = number(&mut left)?;
        let (command, rest) = left.split_first().ok_or(DeltaFault::Malformed)?;
        left = rest;
        let bytes = match command {
            b'@' => {
                let from = number(&mut left)? as usize;
                expect(&mut left, b',')?;
                let to = from.checked_add(count as usize).ok_or(DeltaFault::Outside)?;
                source.get(from..to).ok_or(DeltaFault::Outside)?
            }
            b':' => {
                let (bytes, rest) =
                    left.split_at_checked(count as usize).ok_or(DeltaFault::Malformed)?;
                left = rest;
                bytes
            }
            b';' if target.len() != length || !left.is_empty() => {
                return Err(DeltaFault::Malformed);
            }
            b';' if checksum(&target) != count => return Err(DeltaFault::Checksum),
            b';' => return Ok(target),
            _ => return Err(DeltaFault::Malformed),
        };
        if bytes.len() > length - target.len() {
            return Err(DeltaFault::Malformed);
        }
        target.extend_from_slice(bytes);
    }
}

/// Why a delta cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaFault {
    /// It is no delta.
    Malformed,
    /// It copies what the source does not have.
    Outside,
    /// Its target is longer than allowed.
    TooLong,
    /// The result is not what it was made for: the source was another one.
    Checksum,
}

impl fmt::Display for DeltaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a Fossil delta",
            Self::Outside => "the delta copies from outside its source",
            Self::TooLong => "the delta's target is too long",
            Self::Checksum => "the delta is for another source",
        })
    }
}

impl Error for DeltaFault {}

fn number(left: &mut &[u8]) -> Result<u32, DeltaFault> {
    let digits = left.iter().map_while(|it| DIGITS.iter().position(|digit| digit == it));
    let (mut value, mut length) = (0_u64, 0);
    for digit in digits {
        value = value << 6 | digit as u64;
        length += 1;
        if value > u64::from(u32::MAX) {
            return Err(DeltaFault::Malformed);
        }
    }
    if length == 0 {
        return Err(DeltaFault::Malformed);
    }
    *left = &left[length..];
    Ok(value as u32)
}

fn expect(left: &mut &[u8], byte: u8) -> Result<(), DeltaFault> {
    *left = left.strip_prefix(&[byte]).ok_or(DeltaFault::Malformed)?;
    Ok(())
}

/// The sum of all words of 4 bytes, the high byte first, the last one filled with zeros.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).fold(0, |sum, it| sum.wrapping_add(u32::from_be_bytes(*it)))
}

/// How many digits a number has.
fn digits(value: usize) -> usize {
    value.checked_ilog2().map_or(1, |it| it as usize / 6 + 1)
}

/// Where the target may be cut.
#[derive(Clone, Copy, PartialEq)]
enum Cuts {
    Bytes,
    Characters,
}

/// A delta in the making.
struct Delta<'a> {
    target: &'a [u8],
    cuts: Cuts,
    written: Vec<u8>,
    /// What of the target is written.
    done: usize,
    /// Comparisons so far, for the tests of the bound.
    steps: usize,
}

impl Delta<'_> {
    /// Copies a part of the target from the source, if that is shorter than to insert it. What lies between the last
    /// copy and this one is inserted.
    fn copy(&mut self, mut start: usize, mut end: usize, mut from: usize) {
        let cuts_character =
            |at: usize| self.target.get(at).is_some_and(|it| it & 0b1100_0000 == 0b1000_0000);
        if self.cuts == Cuts::Characters {
            while start < end && cuts_character(start) {
                (start, from) = (start + 1, from + 1);
            }
            while start < end && cuts_character(end) {
                end -= 1;
            }
        }
        // The command itself, and that of one more insert, since it may part one in two.
        let cost = digits(end - start) + digits(from) + 2 + digits(self.target.len()) + 1;
        if end - start <= cost {
            return;
        }
        self.insert(start);
        self.number(end - start);
        self.written.push(b'@');
        self.number(from);
        self.written.push(b',');
        self.done = end;
    }

    fn insert(&mut self, end: usize) {
        let bytes = &self.target[self.done..end];
        if !bytes.is_empty() {
            self.number(bytes.len());
            self.written.push(b':');
            self.written.extend_from_slice(bytes);
            self.done = end;
        }
    }

    fn number(&mut self, value: usize) {
        for digit in (0..digits(value)).rev() {
            self.written.push(DIGITS[value >> (6 * digit) & 63]);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.insert(self.target.len());
        self.number(checksum(self.target) as usize);
        self.written.push(b';');
        self.written
    }
}

/// Finds what can be copied: what both begin with, what both end with, and in between every block of the source that comes
/// again anywhere.
fn search<'a>(source: &[u8], target: &'a [u8], cuts: Cuts) -> Option<Delta<'a>> {
    u32::try_from(source.len().max(target.len())).ok()?;
    let mut delta = Delta { target, cuts, written: Vec::new(), done: 0, steps: 0 };
    delta.number(target.len());
    delta.written.push(b'\n');
    let front = common(source, target);
    delta.copy(0, front, 0);
    let (rest, source_rest) = (&target[front..], &source[front..]);
    let back = rest.iter().rev().zip(source_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let end = target.len() - back;
    delta.steps += front + back;
    if end - front >= BLOCK && source.len() >= BLOCK {
        middle(&mut delta, source, front, end);
    }
    delta.copy(end, target.len(), source.len() - back);
    Some(delta)
}

/// Copies between two places of the target whatever the source has of it.
fn middle(delta: &mut Delta<'_>, source: &[u8], start: usize, end: usize) {
    let blocks = Blocks::new(source);
    let target = delta.target;
    let mut at = start;
    let mut hash = Rolling::new(target, at);
    while at + BLOCK <= end {
        let window = &target[at..at + BLOCK];
        let mut best = (0, 0, 0);
        for place in blocks.places(hash.value).take(TRIES) {
            delta.steps += 1;
            if source[place..place + BLOCK] != *window {
                continue;
            }
            let ahead = common(&source[place + BLOCK..], &target[at + BLOCK..end]) + BLOCK;
            let pending = target[delta.done..at].iter().rev();
            let behind = source[..place].iter().rev().zip(pending).take_while(|(a, b)| a == b);
            let behind = behind.count();
            delta.steps += ahead + behind;
            if ahead + behind > best.1 - best.0 {
                best = (at - behind, at + ahead, place - behind);
            }
        }
        if best.1 > at {
            delta.copy(best.0, best.1, best.2);
            at = best.1;
            hash = Rolling::new(target, at);
        } else {
            hash.roll(target, at);
            at += 1;
        }
    }
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The hash of a block of the target that moves on by a byte: a polynomial, modulo 2⁶⁴.
struct Rolling {
    value: u64,
}

const FACTOR: u64 = 0x0000_0100_0000_01b3;

/// [`FACTOR`] to the power of 16, the weight of the byte that leaves.
const LEAVING: u64 = FACTOR.wrapping_pow(BLOCK as u32);

impl Rolling {
    /// Hashes the block at a place; a block beyond the end has a hash that nobody asks for.
    fn new(bytes: &[u8], at: usize) -> Self {
        let block = bytes.get(at..at + BLOCK).unwrap_or_default();
        Self { value: hash(block) }
    }

    fn roll(&mut self, bytes: &[u8], at: usize) {
        let arriving = bytes.get(at + BLOCK).copied().unwrap_or_default();
        let value = self.value.wrapping_mul(FACTOR).wrapping_add(term(arriving));
        self.value = value.wrapping_sub(term(bytes[at]).wrapping_mul(LEAVING));
    }
}

fn hash(block: &[u8]) -> u64 {
    block.iter().fold(0, |sum: u64, it| sum.wrapping_mul(FACTOR).wrapping_add(term(*it)))
}

/// A zero counts too, so that blocks of zeros differ by nothing but their place.
fn term(byte: u8) -> u64 {
    u64::from(byte) + 1
}

/// Where the blocks of the source are, by their hash.
struct Blocks {
    /// Number of the first block of each hash, plus 1.
    heads: Vec<u32>,
    /// Number of the next block with the hash of this one, plus 1.
    next: Vec<u32>,
}

impl Blocks {
    fn new(source: &[u8]) -> Self {
        let (blocks, _) = source.as_chunks::<BLOCK>();
        let mut heads = vec![0; blocks.len().next_power_of_two().max(2)];
        let mut next = vec![0; blocks.len()];
        // From the end, so that of equal ones the first is tried first: it has the most behind it.
        for (number, block) in blocks.iter().enumerate().rev() {
            let head = slot(hash(block), heads.len());
            next[number] = heads[head];
            heads[head] = number as u32 + 1;
        }
        Self { heads, next }
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = usize> {
        let mut number = self.heads[slot(hash, self.heads.len())];
        std::iter::from_fn(move || {
            let block = (number as usize).checked_sub(1)?;
            number = self.next[block];
            Some(block * BLOCK)
        })
    }
}

/// Takes the high bits, in which all bytes meet.
fn slot(hash: u64, slots: usize) -> usize {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - slots.ilog2())) as usize
}

#[cfg(test)]
mod tests;
