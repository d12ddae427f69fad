//! The encoder and decoder streams of a peer that has no dynamic table to fill or to acknowledge (RFC 9204 §4.3, §4.4).

use super::integer;
use crate::error::{Code, Fault};

/// Checks what the peer's encoder says to our decoder, whose table has capacity 0.
#[derive(Clone, Debug, Default)]
pub struct EncoderStream(());

impl EncoderStream {
    /// Takes the next bytes of the stream, in any pieces.
    ///
    /// # Errors
    /// A connection error QPACK_ENCODER_STREAM_ERROR at any instruction but Set Dynamic Table Capacity to 0.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // RFC 9204 §4.3.1: 001 and five bits. The one capacity that we allow is 0, so it is this one byte.
        const SET_CAPACITY_TO_0: u8 = 0x20;
        let Some(wrong) = bytes.iter().find(|it| **it != SET_CAPACITY_TO_0) else { return Ok(()) };
        let rule = match wrong {
            // RFC 9204 §3.2.2: "It is an error if the encoder attempts to add an entry that is larger than the dynamic
            // table capacity; the decoder MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR."
            0x40.. => "entry inserted into a dynamic table of capacity 0",
            // RFC 9204 §4.3.1: "The decoder MUST treat a new dynamic table capacity value that exceeds this limit as a
            // connection error of type QPACK_ENCODER_STREAM_ERROR."
            0x20.. => "dynamic table capacity over the announced 0",
            _ => "entry duplicated in a dynamic table of capacity 0",
        };
        Err(Fault::connection(Code::QPACK_ENCODER_STREAM_ERROR, rule))
    }
}

/// Checks what the peer's decoder says to our encoder, which inserts nothing.
#[derive(Clone, Debug, Default)]
pub struct DecoderStream {
    /// A Stream Cancellation that is not all there yet.
    cut: Vec<u8>,
}

impl DecoderStream {
    /// Takes the next bytes of the stream, in any pieces. Stream Cancellations mean nothing to us.
    ///
    /// # Errors
    /// A connection error QPACK_DECODER_STREAM_ERROR at anything else, and at a stream ID over 62 bits.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let fault = |rule| Err(Fault::connection(Code::QPACK_DECODER_STREAM_ERROR, rule));
        for byte in bytes {
            let first = *self.cut.first().unwrap_or(byte);
            match first {
                // RFC 9204 §4.4.1: "referring to a stream on which every encoded field section with a non-zero Required
                // Insert Count has already been acknowledged, this MUST be treated as a connection error".
                0x80.. => return fault("section acknowledged that refers to no dynamic table"),
                0x40.. => self.cut.push(*byte),
                // RFC 9204 §4.4.3: "An encoder that receives an Increment field equal to zero, or one that increases the
                // Known Received Count beyond what the encoder has sent, MUST treat this as a connection error".
                _ => return fault("insert count increased beyond the none that were sent"),
            }
            match integer::read(&self.cut, 6) {
                Ok(None) => {}
                Ok(Some(_)) => self.cut.clear(),
                Err(_) => return fault("stream ID over 62 bits"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_0_is_all_that_the_encoder_stream_may_say() {
        let rows: [(&[u8], Option<&str>); 7] = [
            (&[], None),
            (&[0x20, 0x20], None),
            (&[0x21], Some("dynamic table capacity over the announced 0")),
            (&[0x20, 0x3f, 0xbd, 0x01], Some("dynamic table capacity over the announced 0")),
            (&[0xc0, 1, b'a'], Some("entry inserted into a dynamic table of capacity 0")),
            (&[0x41, b'a', 1, b'b'], Some("entry inserted into a dynamic table of capacity 0")),
            (&[0x02], Some("entry duplicated in a dynamic table of capacity 0")),
        ];
        for (bytes, rule) in rows {
            let expected = rule.map(|it| Fault::connection(Code::QPACK_ENCODER_STREAM_ERROR, it));
            assert_eq!(EncoderStream::default().receive(bytes).err(), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn cancellations_are_all_that_the_decoder_stream_may_say() {
        let rows: [(&[u8], Option<&str>); 6] = [
            (&[], None),
            (&[0x44, 0x7f, 0x80, 0x01, 0x40], None),
            (&[0x84], Some("section acknowledged that refers to no dynamic table")),
            (&[0x48, 0x01], Some("insert count increased beyond the none that were sent")),
            (&[0x00], Some("insert count increased beyond the none that were sent")),
            (&[0x7f; 1], None),
        ];
        for (bytes, rule) in rows {
            let expected = rule.map(|it| Fault::connection(Code::QPACK_DECODER_STREAM_ERROR, it));
            let mut by_bytes = DecoderStream::default();
            let result = bytes.iter().try_for_each(|it| by_bytes.receive(&[*it]));
            assert_eq!(result.err(), expected, "{bytes:x?}");
            assert_eq!(DecoderStream::default().receive(bytes).err(), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_cancellation_without_end_is_a_fault_and_never_grows() {
        let mut stream = DecoderStream::default();
        stream.receive(&[0x7f]).expect("a beginning");
        let result = (0..100).try_for_each(|_| {
            assert!(stream.cut.len() < 12);
            stream.receive(&[0x80])
        });
        assert!(result.is_err());
    }
}
