//! MessagePack read, and made JSON of: binary values are attachments.

use bytes::Bytes;

use super::{Fault, quoted};

/// A value nested deeper is no packet.
const DEPTH_MAX: usize = 128;

const SHORT: Fault = Fault("MessagePack that ends too early");
const OTHER: Fault = Fault("MessagePack of another type");

/// A JSON text on the way, in pieces around its attachments.
#[derive(Debug, Default)]
pub(crate) struct Json {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) last: Vec<u8>,
    pub(crate) attachments: Vec<Bytes>,
}

/// Reads values one behind the other.
pub(crate) struct Reader {
    bytes: Bytes,
    at: usize,
}

/// One value, or how many make it up.
enum Value {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Bytes),
    Binary(Bytes),
    Array(usize),
    Map(usize),
    Extension(i8, Bytes),
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<Bytes, Fault> {
        let end = self.at.checked_add(len).filter(|it| *it <= self.bytes.len()).ok_or(SHORT)?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    /// Reads a number of so many bytes, the highest first.
    fn number(&mut self, len: usize) -> Result<u64, Fault> {
        Ok(self.take(len)?.iter().fold(0, |all, it| all << 8 | u64::from(*it)))
    }

    fn length(&mut self, len: usize) -> Result<usize, Fault> {
        usize::try_from(self.number(len)?).map_err(|_| SHORT)
    }

    fn next(&mut self) -> Result<Value, Fault> {
        let first = self.number(1)? as u8;
        Ok(match first {
            0x00..=0x7f => Value::Unsigned(first.into()),
            0x80..=0x8f => Value::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Value::Array(usize::from(first & 0x0f)),
            0xa0..=0xbf => Value::Text(self.take(usize::from(first & 0x1f))?),
            0xc0 => Value::Nil,
            0xc1 => return Err(OTHER),
            0xc2 | 0xc3 => Value::Bool(first == 0xc3),
            0xc4..=0xc6 => {
                let len = self.length(1 << (first - 0xc4))?;
                Value::Binary(self.take(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.length(1 << (first - 0xc7))?;
                match self.extension(len)? {
                    // A buffer of any length; what is undefined, and times, have lengths of their own below.
                    Value::Extension(0, bytes) => Value::Binary(bytes),
                    other => other,
                }
            }
            0xca => Value::Float(f32::from_bits(self.number(4)? as u32).into()),
            0xcb => Value::Float(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Value::Unsigned(self.number(1 << (first - 0xcc))?),
            0xd0..=0xd3 => {
                let len = 1 << (first - 0xd0);
                let unused = 64 - 8 * len as u32;
                Value::Signed((self.number(len)? << unused) as i64 >> unused)
            }
            0xd4..=0xd8 => self.extension(1 << (first - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.length(1 << (first - 0xd9))?;
                Value::Text(self.take(len)?)
            }
            0xdc | 0xdd => Value::Array(self.length(2 << (first - 0xdc))?),
            0xde | 0xdf => Value::Map(self.length(2 << (first - 0xde))?),
            0xe0..=0xff => Value::Signed(i64::from(first as i8)),
        })
    }

    fn extension(&mut self, len: usize) -> Result<Value, Fault> {
        let kind = self.number(1)? as i8;
        Ok(Value::Extension(kind, self.take(len)?))
    }

    /// Reads the head of a map: how many pairs follow.
    pub(crate) fn map(&mut self) -> Result<usize, Fault> {
        match self.next()? {
            Value::Map(pairs) => Ok(pairs),
            _ => Err(OTHER),
        }
    }

    /// Reads the head of an array: how many values follow.
    pub(crate) fn array(&mut self) -> Result<usize, Fault> {
        match self.next()? {
            Value::Array(values) => Ok(values),
            _ => Err(OTHER),
        }
    }

    /// Reads a text; at another value it goes back.
    pub(crate) fn text(&mut self) -> Result<String, Fault> {
        let start = self.at;
        match self.next()? {
            Value::Text(text) => utf8(&text).map(str::to_owned),
            _ => {
                self.at = start;
                Err(OTHER)
            }
        }
    }

    /// Reads a whole number, or nothing in its place; at another value it goes back.
    pub(crate) fn integer(&mut self) -> Result<Option<i64>, Fault> {
        let start = self.at;
        match self.next()? {
            Value::Nil => Ok(None),
            Value::Extension(0, data) if data.len() == 1 => Ok(None),
            Value::Unsigned(it) => i64::try_from(it).map(Some).map_err(|_| OTHER),
            Value::Signed(it) => Ok(Some(it)),
            // What is larger than 32 bits some write so.
            Value::Float(it) if it.fract() == 0.0 && it.abs() < 9e15 => Ok(Some(it as i64)),
            _ => {
                self.at = start;
                Err(OTHER)
            }
        }
    }

    /// Tells whether a value stands for nothing, as JavaScript's `undefined`.
    pub(crate) fn is_undefined(&mut self) -> bool {
        matches!(self.integer(), Ok(None))
    }

    /// Returns the bytes of a value, whatever it is.
    pub(crate) fn value(&mut self) -> Result<Bytes, Fault> {
        let start = self.at;
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let more = match self.next()? {
                Value::Array(values) => values,
                Value::Map(pairs) => pairs.saturating_mul(2),
                _ => 0,
            };
            left = left.saturating_add(more);
        }
        Ok(self.bytes.slice(start..self.at))
    }

    /// Takes the end.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Fault("MessagePack with more behind it"))
        }
    }

    /// Writes a value as JSON.
    pub(crate) fn json(&mut self, out: &mut Json, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault("MessagePack nested too deep"));
        }
        match self.next()? {
            Value::Nil => out.put("null"),
            Value::Bool(it) => out.put(if it { "true" } else { "false" }),
            Value::Unsigned(it) => out.put(&it.to_string()),
            Value::Signed(it) => out.put(&it.to_string()),
            // What is no number is null in JSON.
            Value::Float(it) => out.put(&serde_json::Value::from(it).to_string()),
            Value::Text(text) => out.put(&quoted(utf8(&text)?)),
            Value::Binary(bytes) => out.attach(bytes),
            Value::Extension(kind, data) => extension(kind, data, out),
            Value::Array(values) => {
                out.last.push(b'[');
                for number in 0..values {
                    if number > 0 {
                        out.last.push(b',');
                    }
                    self.json(out, depth + 1)?;
                }
                out.last.push(b']');
            }
            Value::Map(pairs) => self.pairs(pairs, out, depth)?,
        }
        Ok(())
    }

    fn pairs(&mut self, pairs: usize, out: &mut Json, depth: usize) -> Result<(), Fault> {
        let mut before = b'{';
        for _ in 0..pairs {
            let key = match self.integer() {
                Ok(Some(number)) => number.to_string(),
                Ok(None) => return Err(OTHER),
                Err(_) => self.text()?,
            };
            let start = self.at;
            if matches!(self.next()?, Value::Extension(0, it) if it.len() == 1) {
                // JSON has no members that are undefined.
                continue;
            }
            self.at = start;
            out.last.push(std::mem::replace(&mut before, b','));
            out.put(&quoted(&key));
            out.last.push(b':');
            self.json(out, depth + 1)?;
        }
        if before == b'{' {
            out.last.push(b'{');
        }
        out.last.push(b'}');
        Ok(())
    }
}

impl Json {
    fn put(&mut self, text: &str) {
        self.last.extend_from_slice(text.as_bytes());
    }

    fn attach(&mut self, bytes: Bytes) {
        self.pieces.push(std::mem::take(&mut self.last).into());
        self.attachments.push(bytes);
    }
}

fn utf8(text: &Bytes) -> Result<&str, Fault> {
    std::str::from_utf8(text).map_err(|_| Fault("no UTF-8"))
}

/// Writes what has a type of its own: times (-1, and 0 in eight bytes), buffers (0), undefined (0 in one byte).
fn extension(kind: i8, data: Bytes, out: &mut Json) {
    let number = |at: std::ops::Range<usize>| {
        data[at].iter().fold(0_u64, |all, it| all << 8 | u64::from(*it))
    };
    let millis = match (kind, data.len()) {
        (0, 1) => None,
        (0, 8) => Some(number(0..8) as i64),
        (0, _) => return out.attach(data),
        (-1, 4) => Some(number(0..4) as i64 * 1000),
        (-1, 8) => {
            let all = number(0..8);
            Some((all & 0x3_ffff_ffff) as i64 * 1000 + (all >> 34) as i64 / 1_000_000)
        }
        (-1, 12) => {
            let seconds = number(4..12) as i64;
            seconds.checked_mul(1000).map(|it| it.saturating_add((number(0..4) / 1_000_000) as i64))
        }
        _ => None,
    };
    out.put(&millis.and_then(time).map_or("null".into(), |it| quoted(&it)));
}

/// Writes milliseconds of Unix time as JavaScript does; `None` if it does not know that time.
fn time(millis: i64) -> Option<String> {
    const DAY: i64 = 86_400_000;
    if millis.unsigned_abs() > 8_640_000_000_000_000 {
        return None;
    }
    let (days, of_day) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    // Years from March on, in eras of 400 years with 146,097 days each.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.abs()),
    };
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_javascript_writes_them() {
        for (millis, expected) in [
            (0, Some("1970-01-01T00:00:00.000Z")),
            (960_854_400_000, Some("2000-06-13T00:00:00.000Z")),
            (951_782_399_999, Some("2000-02-28T23:59:59.999Z")),
            (951_782_400_000, Some("2000-02-29T00:00:00.000Z")),
            (-1, Some("1969-12-31T23:59:59.999Z")),
            (-62_167_219_200_001, Some("-000001-12-31T23:59:59.999Z")),
            (253_402_300_800_000, Some("+010000-01-01T00:00:00.000Z")),
            (8_640_000_000_000_000, Some("+275760-09-13T00:00:00.000Z")),
            (8_640_000_000_000_001, None),
        ] {
            assert_eq!(time(millis).as_deref(), expected, "{millis}");
        }
    }
}
