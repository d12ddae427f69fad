//! Encoded field sections that are written line by line (RFC 9204 §4.5).

use super::{
    LINE_OVERHEAD, huffman, integer,
    table::{self, Found},
};

/// Writes an encoded field section: the payload of one HEADERS frame.
///
/// Uses the static table, literals, and Huffman's code where it is shorter; the peer needs no dynamic table.
///
/// ```
/// use taiwa_h3::qpack::SectionWriter;
///
/// let mut out = Vec::new();
/// let mut section = SectionWriter::new(&mut out);
/// section.line(b":status", b"200");
/// assert_eq!(section.section_bytes(), 7 + 3 + 32);
/// assert_eq!(out, [0, 0, 0xc0 | 25]);
/// ```
#[derive(Debug)]
pub struct SectionWriter<'a> {
    out: &'a mut Vec<u8>,
    section_bytes: usize,
}

impl<'a> SectionWriter<'a> {
    /// Begins a section behind what `out` holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        // Required Insert Count 0, and Base 0 (RFC 9204 §4.5.1).
        out.extend_from_slice(&[0, 0]);
        Self { out, section_bytes: 0 }
    }

    /// Writes a field line. Names must be in lower case already.
    pub fn line(&mut self, name: &[u8], value: &[u8]) {
        match table::find(name, value) {
            Found::Line(index) => {
                self.count(name, value);
                integer::write(index, 6, 0xc0, self.out);
            }
            found => self.literal(found, name, value, 0),
        }
    }

    /// Writes a field line with a secret, which whoever passes it on must not put into a table (RFC 9204 §7.1.3).
    pub fn never_indexed_line(&mut self, name: &[u8], value: &[u8]) {
        self.literal(table::find(name, value), name, value, 1);
    }

    /// Returns the size so far as the peer will count it (RFC 9114 §4.2.2), in bytes: what its
    /// SETTINGS_MAX_FIELD_SECTION_SIZE bounds.
    pub const fn section_bytes(&self) -> usize {
        self.section_bytes
    }

    fn literal(&mut self, found: Found, name: &[u8], value: &[u8], never_indexed: u8) {
        self.count(name, value);
        match found {
            Found::Line(index) | Found::Name(index) => {
                integer::write(index, 4, 0x50 | never_indexed << 5, self.out);
            }
            Found::Nothing => self.string(name, 3, 0x20 | never_indexed << 4),
        }
        self.string(value, 7, 0);
    }

    /// Writes a string literal whose length has `prefix_bits`, with H in the bit above (RFC 9204 §4.1.2).
    fn string(&mut self, text: &[u8], prefix_bits: u32, first: u8) {
        let huffman_len = huffman::encoded_len(text);
        if huffman_len < text.len() {
            integer::write(huffman_len as u64, prefix_bits, first | 1 << prefix_bits, self.out);
            huffman::encode(text, self.out);
        } else {
            integer::write(text.len() as u64, prefix_bits, first, self.out);
            self.out.extend_from_slice(text);
        }
    }

    fn count(&mut self, name: &[u8], value: &[u8]) {
        self.section_bytes += name.len() + value.len() + LINE_OVERHEAD;
    }
}
