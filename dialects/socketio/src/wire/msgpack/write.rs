//! MessagePack written, out of JSON and attachments.

use bytes::Bytes;

use super::super::Args;

/// What is nested deeper is written as nothing; the hub lets nobody say it.
const DEPTH_MAX: usize = 256;

/// Writes values one behind the other.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

/// Reads JSON texts in pieces, known to be well formed.
struct Cursor<'a> {
    pieces: &'a [Bytes],
    attachments: &'a [Bytes],
    piece: usize,
    at: usize,
}

/// It is not what it should be.
struct Broken;

impl Writer {
    pub(super) fn integer(&mut self, it: u64) {
        match it {
            0..=0x7f => self.0.push(it as u8),
            0x80..=0xff => self.0.extend([0xcc, it as u8]),
            0x100..=0xffff => {
                self.0.push(0xcd);
                self.0.extend((it as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(0xce);
                self.0.extend((it as u32).to_be_bytes());
            }
            _ => {
                self.0.push(0xcf);
                self.0.extend(it.to_be_bytes());
            }
        }
    }

    fn negative(&mut self, it: i64) {
        match it {
            -32..0 => self.0.push(it as u8),
            _ => {
                self.0.push(0xd3);
                self.0.extend(it.to_be_bytes());
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        match text.len() {
            len @ 0..=31 => self.0.push(0xa0 | len as u8),
            len => self.head(0xd9, len),
        }
        self.0.extend_from_slice(text.as_bytes());
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.head(0xc4, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Writes a length in one, two or four bytes, behind the first of three codes for these.
    fn head(&mut self, code: u8, len: usize) {
        match len {
            0..=0xff => self.0.extend([code, len as u8]),
            0x100..=0xffff => {
                self.0.push(code + 1);
                self.0.extend((len as u16).to_be_bytes());
            }
            _ => {
                self.0.push(code + 2);
                self.0.extend((len as u32).to_be_bytes());
            }
        }
    }

    /// Writes the head of a map with so many pairs, at most 15.
    pub(super) fn map(&mut self, pairs: usize) {
        self.0.push(0x80 | pairs as u8 & 0x0f);
    }

    /// Puts the head of an array or a map in the place that was left for it, now that its length is known.
    fn close(&mut self, place: usize, short: u8, long: u8, len: usize) {
        match len {
            0..=15 => self.0[place] = short | len as u8,
            16..=0xffff => {
                let [a, b] = (len as u16).to_be_bytes();
                self.0.splice(place..=place, [long, a, b]);
            }
            _ => {
                let [a, b, c, d] = (len as u32).to_be_bytes();
                self.0.splice(place..=place, [long + 1, a, b, c, d]);
            }
        }
    }

    /// Writes a JSON text.
    pub(super) fn json(&mut self, text: &[u8]) {
        let pieces = [Bytes::copy_from_slice(text)];
        let mut cursor = Cursor { pieces: &pieces, attachments: &[], piece: 0, at: 0 };
        let start = self.0.len();
        if self.value(&mut cursor, 0).is_err() {
            self.0.truncate(start);
            self.0.push(0xc0);
        }
    }

    /// Writes an array: a name, a JSON text, if there is one; arguments; another text, if there is one.
    pub(super) fn array(&mut self, name: Option<&str>, args: &Args, offset: Option<&str>) {
        let place = self.0.len();
        self.0.push(0x90);
        if let Some(name) = name {
            self.json(name.as_bytes());
        }
        let start = self.0.len();
        let Args { pieces, attachments } = args;
        let mut cursor = Cursor { pieces, attachments, piece: 0, at: 0 };
        let many = self.values(&mut cursor, 0, None).unwrap_or_else(|Broken| {
            self.0.truncate(start);
            self.0.push(0xc0);
            1
        });
        if let Some(offset) = offset {
            self.text(offset);
        }
        let len = many + usize::from(name.is_some()) + usize::from(offset.is_some());
        self.close(place, 0x90, 0xdc, len);
    }

    /// Writes values with commas between them up to this end, and counts them.
    fn values(
        &mut self,
        from: &mut Cursor<'_>,
        depth: usize,
        end: Option<u8>,
    ) -> Result<usize, Broken> {
        let mut many = 0;
        loop {
            match from.peek() {
                None if end.is_none() => return Ok(many),
                Some(Peek::Byte(it)) if Some(it) == end => {
                    from.at += 1;
                    return Ok(many);
                }
                Some(Peek::Byte(b',')) => from.at += 1,
                None => return Err(Broken),
                Some(_) => {
                    self.value(from, depth)?;
                    many += 1;
                }
            }
        }
    }

    fn value(&mut self, from: &mut Cursor<'_>, depth: usize) -> Result<(), Broken> {
        if depth > DEPTH_MAX {
            return Err(Broken);
        }
        let place = self.0.len();
        match from.peek().ok_or(Broken)? {
            Peek::Attachment(bytes) => {
                self.binary(bytes);
                (from.piece, from.at) = (from.piece + 1, 0);
            }
            Peek::Byte(b'[') => {
                from.at += 1;
                self.0.push(0x90);
                let many = self.values(from, depth + 1, Some(b']'))?;
                self.close(place, 0x90, 0xdc, many);
            }
            Peek::Byte(b'{') => {
                from.at += 1;
                self.0.push(0x80);
                let pairs = self.pairs(from, depth + 1)?;
                self.close(place, 0x80, 0xde, pairs);
            }
            Peek::Byte(b'"') => self.text(&from.text()?),
            Peek::Byte(_) => match from.word() {
                b"null" => self.0.push(0xc0),
                b"false" => self.0.push(0xc2),
                b"true" => self.0.push(0xc3),
                number => self.number(std::str::from_utf8(number).map_err(|_| Broken)?)?,
            },
        }
        Ok(())
    }

    fn pairs(&mut self, from: &mut Cursor<'_>, depth: usize) -> Result<usize, Broken> {
        let mut pairs = 0;
        loop {
            match from.peek() {
                Some(Peek::Byte(b'}')) => {
                    from.at += 1;
                    return Ok(pairs);
                }
                Some(Peek::Byte(b',')) => from.at += 1,
                Some(Peek::Byte(b'"')) => {
                    self.text(&from.text()?);
                    let Some(Peek::Byte(b':')) = from.peek() else { return Err(Broken) };
                    from.at += 1;
                    self.value(from, depth)?;
                    pairs += 1;
                }
                _ => return Err(Broken),
            }
        }
    }

    fn number(&mut self, text: &str) -> Result<(), Broken> {
        if let Ok(it) = text.parse::<u64>() {
            self.integer(it);
        } else if let Ok(it) = text.parse::<i64>() {
            self.negative(it);
        } else {
            let it: f64 = text.parse().map_err(|_| Broken)?;
            self.0.push(0xcb);
            self.0.extend(it.to_be_bytes());
        }
        Ok(())
    }
}

/// What comes next.
enum Peek<'a> {
    Byte(u8),
    Attachment(&'a Bytes),
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.pieces.get(self.piece).map_or(&[], |it| &it[self.at..])
    }

    fn peek(&mut self) -> Option<Peek<'a>> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
        match self.rest().first() {
            Some(byte) => Some(Peek::Byte(*byte)),
            None => self.attachments.get(self.piece).map(Peek::Attachment),
        }
    }

    /// Takes a text in quotation marks.
    fn text(&mut self) -> Result<String, Broken> {
        let rest = self.rest();
        let mut is_escaped = false;
        let end = rest.iter().skip(1).position(|it| {
            let end = *it == b'"' && !is_escaped;
            is_escaped = *it == b'\\' && !is_escaped;
            end
        });
        let len = end.ok_or(Broken)? + 2;
        self.at += len;
        let quoted = &rest[..len];
        // Halves of surrogates are no text outside of JavaScript: what has one stays as it is written.
        let raw = || String::from_utf8_lossy(&quoted[1..len - 1]).into_owned();
        Ok(serde_json::from_slice(quoted).unwrap_or_else(|_| raw()))
    }

    /// Takes what stands up to the next sign of syntax.
    fn word(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let is_end = |it: &u8| it.is_ascii_whitespace() || b",]}:".contains(it);
        let len = rest.iter().position(is_end).unwrap_or(rest.len()).max(1);
        self.at += len;
        &rest[..len]
    }
}
