//! Entry points for fuzzers: each takes any bytes, calls a parser and asserts what must hold. Public for `fuzz/` and the
//! replay of its corpus, and for nobody else.

mod streams;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::{
    datagram,
    error::Code,
    head,
    qpack::{self, SectionLimits},
    settings::Settings,
    varint::VarInt,
    webtransport::{
        self,
        protocols::{AVAILABLE, CHOSEN, OFFERED_MAX, read_item, read_list, write_item, write_list},
    },
};

pub use streams::{capsules, control, request, session};

/// A number is read the same by any way, its shortest form reads the same, and a cut one is waited for.
pub fn varint(data: &[u8]) {
    let read = VarInt::read(data);
    let mut rest = data;
    assert_eq!(VarInt::take(&mut rest), read.map(|it| it.0));
    assert_eq!(data.len() - rest.len(), read.map_or(0, |it| it.1));
    let Some((number, len)) = read else { return };
    assert!((0..len).all(|cut| VarInt::read(&data[..cut]).is_none()));
    let mut out = vec![];
    number.write(&mut out);
    assert!(out.len() <= len && out.len() == number.encoded_len());
    assert_eq!(VarInt::read(&out), Some((number, out.len())));
}

/// A string that is read from Huffman's code is written back as it was, and any bytes are read as they were written.
pub fn huffman(data: &[u8]) {
    // The shortest code has five bits.
    let len_max = data.len() * 8 / 5;
    if let Some(text) = qpack::huffman_decoded(data, len_max) {
        assert_eq!(qpack::huffman_encoded(&text), data);
        if !text.is_empty() {
            assert_eq!(qpack::huffman_decoded(data, text.len() - 1), None);
        }
    }
    let encoded = qpack::huffman_encoded(data);
    assert_eq!(qpack::huffman_decoded(&encoded, data.len()).as_deref(), Some(data));
}

/// What a field section is read as is in bounds, and reads the same when it is written again: as a request, as a
/// response and as trailers, by the first byte; with small limits or large ones.
pub fn section(data: &[u8]) {
    let [shape, data @ ..] = data else { return };
    let limits = match shape & 0x80 {
        0 => SectionLimits::default(),
        _ => SectionLimits { section_bytes_max: 200, lines_max: 5 },
    };
    let mut out = vec![];
    let judged = match shape & 3 {
        0 => head::read_request(data, &limits).map(|request| {
            let size = head::write_request(&request, &mut out).expect("a request that was read");
            let again = head::read_request(&out, &LARGEST).expect("our own");
            // A request with Host alone has :authority when it is written.
            assert!(size <= limits.section_bytes_max + request.uri().to_string().len() + 10);
            assert_eq!((again.method(), again.uri()), (request.method(), request.uri()));
            let protocol =
                |it: &http::Request<()>| it.extensions().get::<head::Protocol>().cloned();
            assert_eq!(protocol(&again), protocol(&request));
            let mut headers = request.into_parts().0.headers;
            headers.remove(http::header::HOST);
            assert_eq!(again.headers(), &headers);
            let _ = head::content_length(&headers);
        }),
        1 => head::read_response(data, &limits).map(|response| {
            let size = head::write_response(&response, &mut out).expect("one that was read");
            let again = head::read_response(&out, &LARGEST).expect("our own");
            assert!(size <= limits.section_bytes_max);
            assert_eq!(again.status(), response.status());
            let mut headers = response.into_parts().0.headers;
            headers.remove(http::header::HOST);
            assert_eq!(again.headers(), &headers);
        }),
        _ => head::read_trailers(data, &limits).map(|mut trailers| {
            trailers.remove(http::header::HOST);
            assert!(head::write_trailers(&trailers, &mut out) <= limits.section_bytes_max);
            assert_eq!(head::read_trailers(&out, &LARGEST).as_ref(), Ok(&trailers));
        }),
    };
    if let Err(fault) = judged {
        let codes = [Code::QPACK_DECOMPRESSION_FAILED, Code::MESSAGE_ERROR, Code::EXCESSIVE_LOAD];
        assert!(codes.contains(&fault.code), "{fault}");
    }
}

const LARGEST: SectionLimits =
    SectionLimits { section_bytes_max: usize::MAX, lines_max: usize::MAX };

/// The peer's QPACK streams are judged alike by any pieces, and hold no more than one instruction.
pub fn qpack_streams(data: &[u8]) {
    let by_bytes = |receive: &mut dyn FnMut(&[u8]) -> Result<(), crate::error::Fault>| {
        data.chunks(1).try_for_each(receive)
    };
    let mut encoder = qpack::EncoderStream::default();
    let result = by_bytes(&mut |it| encoder.receive(it));
    assert_eq!(qpack::EncoderStream::default().receive(data), result);
    assert_eq!(result.is_ok(), data.iter().all(|it| *it == 0x20));
    let mut decoder = qpack::DecoderStream::default();
    let result = by_bytes(&mut |it| decoder.receive(it));
    assert_eq!(qpack::DecoderStream::default().receive(data), result);
}

/// Settings that are read are written back the same, with the reserved one that we add; those of WebTransport are
/// understood or refused.
pub fn settings(data: &[u8]) {
    let Ok(settings) = Settings::read(data) else { return };
    assert!(settings.iter().count() <= Settings::COUNT_MAX);
    let find = |id| settings.iter().find(|it| it.0.get() == id).map(|it| it.1);
    let _ = webtransport::Terms::of_peer(find);
    let mut out = vec![];
    settings.write(&mut out);
    let (_, kind_len) = VarInt::read(&out).expect("a type");
    let (len, len_len) = VarInt::read(&out[kind_len..]).expect("a length");
    let payload = &out[kind_len + len_len..];
    assert_eq!(payload.len() as u64, len.get());
    // Room for one more, and none that is there already.
    if let Ok(again) = Settings::read(payload) {
        assert_eq!(again.iter().count(), settings.iter().count() + 1);
        assert!(settings.iter().all(|it| again.iter().any(|that| that == it)));
    }
}

/// A datagram belongs to a request stream, and is written back as it was but for the length of a number.
pub fn datagram(data: &[u8]) {
    let Ok((stream, payload)) = datagram::read(Bytes::copy_from_slice(data)) else { return };
    let mut out = vec![];
    datagram::write(stream, &payload, &mut out).expect("a request stream");
    assert!(out.len() <= data.len());
    assert_eq!(datagram::read(out.into()), Ok((stream, payload)));
}

/// Cheap numbers that depend on the input alone (xorshift), for sizes that no byte of the input gives.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: &[u8]) -> Self {
        // FNV-1a: any change of the input changes the cuts.
        let fold = |hash: u64, it: &u8| (hash ^ u64::from(*it)).wrapping_mul(0x100_0000_01b3);
        Self(seed.iter().fold(0xcbf2_9ce4_8422_2325, fold) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    /// Cuts `bytes` into pieces, mostly small ones, now and then an empty one.
    fn pieces(mut self, bytes: &[u8]) -> Vec<Bytes> {
        let (mut rest, mut pieces) = (bytes, vec![]);
        while !rest.is_empty() {
            let len_max = [2, 4, 16, 256, 64 << 10][self.below(5)];
            let (piece, after) = rest.split_at(self.below(len_max).min(rest.len()));
            pieces.push(Bytes::copy_from_slice(piece));
            rest = after;
        }
        pieces
    }
}

/// Protocols of a session that are read are written in a way that reads the same, and one that is chosen can be offered.
pub fn protocols(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(AVAILABLE, value.clone());
    headers.insert(CHOSEN, value);
    let offered = read_list(&headers);
    assert!(offered.len() <= OFFERED_MAX);
    // One that is offered twice is nobody's wish.
    if let Some(list) = write_list(&offered) {
        headers.insert(AVAILABLE, list);
        assert_eq!(read_list(&headers), offered);
    }
    let Some(chosen) = read_item(&headers) else { return };
    assert_eq!(offered, [chosen.as_str()]);
    headers.insert(CHOSEN, write_item(&chosen).expect("what was read can be written"));
    assert_eq!(read_item(&headers), Some(chosen));
}
