//! What is sent: records of stdin, `-m` and `-f`, made into messages.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    thread,
};

use base64::{Engine, engine::general_purpose};
use bytes::{Buf, Bytes, BytesMut};
use taiwa::{Message, Utf8Bytes};
use tokio::sync::mpsc;

use crate::args::{Delimiter, Sending};

/// How much of stdin is read at once.
const READ: usize = 64 << 10;

/// What the bytes of a record stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Text,
    Binary,
    Hex,
    Base64,
}

impl Encoding {
    pub(super) fn of(args: &Sending) -> Self {
        match () {
            () if args.binary => Self::Binary,
            () if args.hex => Self::Hex,
            () if args.base64 => Self::Base64,
            () => Self::Text,
        }
    }

    /// Makes a record into a message.
    pub(super) fn decode(self, record: Bytes) -> Result<Message, InputFault> {
        match self {
            Self::Text => {
                Utf8Bytes::try_from(record).map(Message::Text).map_err(|_| InputFault::NotUtf8)
            }
            Self::Binary => Ok(Message::Binary(record)),
            Self::Hex => decode_hex(&record).map(|it| Message::Binary(it.into())),
            Self::Base64 => {
                let packed: Vec<u8> =
                    record.iter().copied().filter(|it| !it.is_ascii_whitespace()).collect();
                // With or without padding, in either alphabet: what is on clipboards.
                let bytes = [&general_purpose::STANDARD, &general_purpose::URL_SAFE]
                    .into_iter()
                    .find_map(|it| it.decode(&packed).ok())
                    .or_else(|| general_purpose::STANDARD_NO_PAD.decode(&packed).ok())
                    .or_else(|| general_purpose::URL_SAFE_NO_PAD.decode(&packed).ok());
                bytes.map(|it| Message::Binary(it.into())).ok_or(InputFault::NotBase64)
            }
        }
    }
}

/// Reads hexadecimal digits, with or without spaces between bytes.
pub(super) fn decode_hex(text: &[u8]) -> Result<Vec<u8>, InputFault> {
    let digits: Vec<u8> = text
        .iter()
        .filter(|it| !it.is_ascii_whitespace())
        .map(|&it| (it as char).to_digit(16).map(|it| it as u8).ok_or(InputFault::NotHex))
        .collect::<Result<_, _>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(InputFault::NotHex) };
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// What is wrong with the input.
#[derive(Debug)]
pub(super) enum InputFault {
    NotUtf8,
    NotHex,
    NotBase64,
    TooLong(usize),
    CutOff,
    Io(String, io::Error),
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the input is not UTF-8; --binary sends it as it is"),
            Self::NotHex => f.write_str("the input is not hexadecimal"),
            Self::NotBase64 => f.write_str("the input is not Base64"),
            Self::TooLong(max) => {
                write!(f, "a message of the input has more than {max} bytes; see --record-max")
            }
            Self::CutOff => f.write_str("the input ends inside a message"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

/// Cuts a stream of bytes into records.
pub(super) struct Records {
    delimiter: Delimiter,
    record_max: usize,
    buffer: BytesMut,
    /// So much of `buffer` is known to have no delimiter in it.
    searched: usize,
}

impl Records {
    pub(super) fn new(delimiter: Delimiter, record_max: usize) -> Self {
        Self { delimiter, record_max, buffer: BytesMut::new(), searched: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole record.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, InputFault> {
        let record = match self.delimiter {
            Delimiter::Lf => self.until(b'\n'),
            Delimiter::Nul => self.until(0),
            Delimiter::Len32 => {
                let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
                let length = u32::from_be_bytes(*length) as usize;
                if length > self.record_max {
                    return Err(InputFault::TooLong(self.record_max));
                }
                if self.buffer.len() < 4 + length {
                    return Ok(None);
                }
                self.buffer.advance(4);
                Some(self.buffer.split_to(length).freeze())
            }
            Delimiter::None if self.buffer.is_empty() => None,
            Delimiter::None => Some(self.buffer.split().freeze()),
        };
        let length = record.as_ref().map_or(self.searched, Bytes::len);
        if length > self.record_max {
            return Err(InputFault::TooLong(self.record_max));
        }
        Ok(record)
    }

    fn until(&mut self, delimiter: u8) -> Option<Bytes> {
        let found = self.buffer[self.searched..].iter().position(|&it| it == delimiter);
        let Some(at) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        let record = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Some(record)
    }

    /// Takes what is left at the end of the stream: a last record may lack its delimiter.
    pub(super) fn last(self) -> Result<Option<Bytes>, InputFault> {
        match self.delimiter {
            _ if self.buffer.is_empty() => Ok(None),
            Delimiter::Len32 => Err(InputFault::CutOff),
            _ => Ok(Some(self.buffer.freeze())),
        }
    }
}

/// Messages in the order in which they are to be sent, a few at a time.
pub(super) type Batches = mpsc::Receiver<Result<Vec<Message>, InputFault>>;

/// Reads stdin in a thread of its own, which waits while a batch waits: no more than two batches of
/// 64 KiB (or of one message, if that is longer) are in memory.
pub(super) fn read_stdin(args: &Sending) -> Batches {
    let (batches, receiver) = mpsc::channel(1);
    let encoding = Encoding::of(args);
    let records = Records::new(args.delimiter, args.record_max.0);
    // Not tokio's: reading a terminal can't be cancelled, and must not hold up the end.
    thread::spawn(move || {
        if let Err(fault) = read_all(io::stdin().lock(), records, encoding, &batches) {
            let _ = batches.blocking_send(Err(fault));
        }
    });
    receiver
}

fn read_all(
    mut from: impl Read,
    mut records: Records,
    encoding: Encoding,
    batches: &mpsc::Sender<Result<Vec<Message>, InputFault>>,
) -> Result<(), InputFault> {
    let mut chunk = vec![0; READ];
    loop {
        let n = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(InputFault::Io("stdin".into(), error)),
        };
        records.push(&chunk[..n]);
        let mut batch = Vec::new();
        let fault = loop {
            match records.next() {
                Ok(Some(record)) => match encoding.decode(record) {
                    Ok(message) => batch.push(message),
                    Err(fault) => break Some(fault),
                },
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
        };
        // What came before the fault is sent.
        if !batch.is_empty() && batches.blocking_send(Ok(batch)).is_err() {
            return Ok(());
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
    }
    if let Some(record) = records.last()? {
        let _ = batches.blocking_send(Ok(vec![encoding.decode(record)?]));
    }
    Ok(())
}

/// The messages of `-m`, then those of `-f`.
pub(super) fn given(args: &Sending) -> Result<Vec<Message>, InputFault> {
    let encoding = Encoding::of(args);
    let texts = args.message.iter().map(|it| encoding.decode(Bytes::from(it.clone())));
    let files = args
        .file
        .iter()
        .map(|it| read_file(it, args.record_max.0).and_then(|it| encoding.decode(it)));
    texts.chain(files).collect()
}

/// Reads a file, or stdin for `-`, of at most `bytes_max` bytes.
pub(super) fn read_file(path: &Path, bytes_max: usize) -> Result<Bytes, InputFault> {
    let failed = |error| InputFault::Io(path.display().to_string(), error);
    let mut content = Vec::new();
    let limit = bytes_max as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut content).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        file.take(limit).read_to_end(&mut content).map_err(failed)?;
    }
    if content.len() > bytes_max {
        return Err(InputFault::TooLong(bytes_max));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in steps of `step` bytes and returns all records.
    fn cut(delimiter: Delimiter, stream: &[u8], step: usize) -> Result<Vec<Bytes>, InputFault> {
        let mut records = Records::new(delimiter, 8);
        let mut all = Vec::new();
        for piece in stream.chunks(step) {
            records.push(piece);
            while let Some(record) = records.next()? {
                all.push(record);
            }
        }
        all.extend(records.last()?);
        Ok(all)
    }

    #[test]
    fn records_are_cut_wherever_reads_end() {
        for step in 1..20 {
            for (delimiter, stream, records) in [
                (Delimiter::Lf, &b"a\n\nbc\r\nd"[..], &[&b"a"[..], b"", b"bc\r", b"d"][..]),
                (Delimiter::Lf, b"a\n", &[b"a"]),
                (Delimiter::Lf, b"", &[]),
                (Delimiter::Nul, b"a\nb\0\0c", &[b"a\nb", b"", b"c"]),
                (Delimiter::Len32, b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c", &[b"ab", b"", b"c"]),
            ] {
                let cut = cut(delimiter, stream, step).unwrap();
                assert_eq!(cut, records, "{delimiter:?} in steps of {step}");
            }
        }
        assert_eq!(cut(Delimiter::None, b"abcdef", 4).unwrap(), [&b"abcd"[..], b"ef"]);
    }

    #[test]
    fn long_and_unfinished_records_are_faults() {
        for step in [1, 100] {
            let too_long = |it| matches!(it, Err(InputFault::TooLong(8)));
            assert!(too_long(cut(Delimiter::Lf, b"012345678\n", step)));
            assert!(too_long(cut(Delimiter::Nul, b"0123456789", step)));
            assert!(too_long(cut(Delimiter::Len32, b"\xff\xff\xff\xff", step)));
            assert!(matches!(cut(Delimiter::Len32, b"\0\0\0\x02a", step), Err(InputFault::CutOff)));
            assert!(matches!(cut(Delimiter::Len32, b"\0\0\0", step), Err(InputFault::CutOff)));
        }
        assert_eq!(cut(Delimiter::Lf, b"01234567\n", 3).unwrap(), [&b"01234567"[..]]);
    }

    #[test]
    fn encodings_are_decoded_or_refused() {
        let decode = |it: Encoding, text: &'static [u8]| {
            it.decode(Bytes::from_static(text)).ok().map(|it| (it.kind(), it.into_bytes()))
        };
        let binary = |it: &'static [u8]| Some((taiwa::Kind::Binary, Bytes::from_static(it)));
        assert_eq!(decode(Encoding::Text, "対".as_bytes()), Some((taiwa::Kind::Text, "対".into())));
        assert_eq!(decode(Encoding::Text, b"\xff"), None);
        assert_eq!(decode(Encoding::Binary, b"\xff"), binary(b"\xff"));
        assert_eq!(decode(Encoding::Hex, b"0a 0B\t0c0d"), binary(b"\x0a\x0b\x0c\x0d"));
        assert_eq!(decode(Encoding::Hex, b"0a0"), None);
        assert_eq!(decode(Encoding::Hex, b"0g"), None);
        assert_eq!(decode(Encoding::Base64, b"+/8="), binary(b"\xfb\xff"));
        assert_eq!(decode(Encoding::Base64, b"-_8"), binary(b"\xfb\xff"));
        assert_eq!(decode(Encoding::Base64, b"!"), None);
    }
}
