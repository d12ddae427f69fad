//! Messages through the compressor and the inflater, and bytes that others wrote.

use bytes::BytesMut;

use super::*;

fn inflated(inflater: &mut Inflater, pieces: &[&[u8]]) -> Result<Vec<u8>, InflateFault> {
    let mut out = BytesMut::new();
    for piece in pieces {
        inflater.inflate(piece, &mut out, 1 << 20)?;
    }
    inflater.end_message(&mut out, 1 << 20)?;
    Ok(out.to_vec())
}

#[test]
fn a_message_comes_back() {
    let mut deflater = Deflater::new(&Deflate::default(), 12);
    let mut out = Vec::new();
    deflater.compress(b"Hello", true, &mut out);
    assert_eq!(inflated(&mut Inflater::new(12), &[&out]).unwrap(), b"Hello");
}
