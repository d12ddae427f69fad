//! Encoded field sections that are read line by line (RFC 9204 §4.5).

use std::borrow::Cow;

use super::{
    LINE_OVERHEAD,
    huffman::{self, Bad},
    integer, table,
};
use crate::error::{Code, Fault};

/// Bounds of one field section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionLimits {
    /// Bytes of names and values, and 32 more a field line (RFC 9114 §4.2.2). Default 16 KiB: the head of an HTTP/1.1 request has
    /// as much. Past it: a stream error H3_EXCESSIVE_LOAD, in place of which a server may answer 431.
    pub section_bytes_max: usize,
    /// Field lines, pseudo-header fields among them. Default 100. Past it: as above.
    pub lines_max: usize,
}

impl Default for SectionLimits {
    fn default() -> Self {
        Self { section_bytes_max: 16 << 10, lines_max: 100 }
    }
}

/// One field line of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLine<'a> {
    /// Its name, as it came: nothing has checked its characters.
    pub name: Cow<'a, [u8]>,
    /// Its value, likewise.
    pub value: Cow<'a, [u8]>,
    /// Whether it must never be put into a table (RFC 9204 §7.1.3): a secret.
    pub never_indexed: bool,
}

/// Reads an encoded field section: all of the payload of one HEADERS frame.
///
/// ```
/// use taiwa_h3::qpack::{FieldLines, SectionLimits};
///
/// let section = [&[0, 0, 0x51, 11][..], b"/index.html"].concat(); // RFC 9204 Appendix B.1
/// let mut lines = FieldLines::new(&section, &SectionLimits::default())?;
/// let line = lines.next_line()?.expect("there is one");
/// assert_eq!((&*line.name, &*line.value), (&b":path"[..], &b"/index.html"[..]));
/// assert_eq!(lines.next_line()?, None);
/// # Ok::<(), taiwa_h3::error::Fault>(())
/// ```
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    rest: &'a [u8],
    bytes_left: usize,
    lines_left: usize,
}

const TOO_LARGE: Fault = Fault::stream(Code::EXCESSIVE_LOAD, "field section over its limit");

const fn undecodable(rule: &'static str) -> Fault {
    Fault::connection(Code::QPACK_DECOMPRESSION_FAILED, rule)
}

impl<'a> FieldLines<'a> {
    /// Reads the prefix of `section`.
    ///
    /// # Errors
    /// A connection error QPACK_DECOMPRESSION_FAILED if the prefix is cut, or wants a dynamic table.
    pub fn new(section: &'a [u8], limits: &SectionLimits) -> Result<Self, Fault> {
        let mut lines = Self {
            rest: section,
            bytes_left: limits.section_bytes_max,
            lines_left: limits.lines_max,
        };
        // RFC 9204 §4.5.1.1: with a dynamic table of capacity 0 the largest Required Insert Count is 0.
        if lines.integer(8)? != 0 {
            return Err(undecodable("field section requires a dynamic table"));
        }
        let is_negative = lines.rest.first().is_some_and(|it| it & 0x80 != 0);
        lines.integer(7)?;
        // RFC 9204 §4.5.1.2: "An endpoint MUST treat a field block with a Sign bit of 1 as invalid if the value of
        // Required Insert Count is less than or equal to the value of Delta Base."
        if is_negative {
            return Err(undecodable("Base of a field section is negative"));
        }
        Ok(lines)
    }

    /// Reads the next field line; `None` at the end of the section.
    ///
    /// # Errors
    /// A connection error QPACK_DECOMPRESSION_FAILED if it cannot be decoded; a stream error H3_EXCESSIVE_LOAD if the
    /// section passes its [`SectionLimits`]. Nothing more is to be read then.
    pub fn next_line(&mut self) -> Result<Option<FieldLine<'a>>, Fault> {
        let Some(first) = self.rest.first().copied() else { return Ok(None) };
        self.lines_left = self.lines_left.checked_sub(1).ok_or(TOO_LARGE)?;
        self.bytes_left = self.bytes_left.checked_sub(LINE_OVERHEAD).ok_or(TOO_LARGE)?;
        Ok(Some(match first {
            // 1T: an indexed field line (§4.5.2).
            0x80.. => {
                let (name, value) = self.entry(first & 0x40 != 0, 6)?;
                let value = self.counted(value.as_bytes())?;
                FieldLine { name: self.counted(name.as_bytes())?, value, never_indexed: false }
            }
            // 01NT: a literal with the name of an entry (§4.5.4).
            0x40.. => {
                let (name, _) = self.entry(first & 0x10 != 0, 4)?;
                let name = self.counted(name.as_bytes())?;
                FieldLine { name, value: self.string(7)?, never_indexed: first & 0x20 != 0 }
            }
            // 001N: a literal with a name of its own (§4.5.6).
            0x20.. => {
                let name = self.string(3)?;
                FieldLine { name, value: self.string(7)?, never_indexed: first & 0x10 != 0 }
            }
            // 0001 and 0000: what refers to entries behind the Base (§4.5.3, §4.5.5).
            _ => return Err(undecodable("field line refers to the dynamic table")),
        }))
    }

    fn entry(&mut self, is_static: bool, bits: u32) -> Result<(&'static str, &'static str), Fault> {
        let index = self.integer(bits)?;
        if !is_static {
            return Err(undecodable("field line refers to the dynamic table"));
        }
        // RFC 9204 §3.1: "When the decoder encounters an invalid static table index in a field line representation, it
        // MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED."
        table::entry(index).ok_or(undecodable("static table has no such entry"))
    }

    fn integer(&mut self, prefix_bits: u32) -> Result<u64, Fault> {
        let Ok(read) = integer::read(self.rest, prefix_bits) else {
            return Err(undecodable("integer over 62 bits"));
        };
        let (value, len) = read.ok_or(undecodable("field section ends within a line"))?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    /// Reads a string literal whose length has `prefix_bits`, with H in the bit above (RFC 9204 §4.1.2).
    fn string(&mut self, prefix_bits: u32) -> Result<Cow<'a, [u8]>, Fault> {
        let is_huffman = self.rest.first().is_some_and(|it| it >> prefix_bits & 1 != 0);
        let len = self.integer(prefix_bits)?;
        let cut = usize::try_from(len).ok().and_then(|it| self.rest.split_at_checked(it));
        let (bytes, rest) = cut.ok_or(undecodable("field section ends within a string"))?;
        self.rest = rest;
        if !is_huffman {
            return self.counted(bytes);
        }
        let mut text = Vec::new();
        match huffman::decode(bytes, self.bytes_left, &mut text) {
            Ok(()) => self.bytes_left -= text.len(),
            Err(Bad::TooLong) => return Err(TOO_LARGE),
            Err(Bad::Code) => return Err(undecodable("string is not in the Huffman code")),
        }
        Ok(Cow::Owned(text))
    }

    fn counted<'b>(&mut self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Fault> {
        self.bytes_left = self.bytes_left.checked_sub(bytes.len()).ok_or(TOO_LARGE)?;
        Ok(Cow::Borrowed(bytes))
    }
}

#[cfg(test)]
mod tests;
