//! Error codes of WebTransport: its own, and how those of an application travel (draft 16 §4.4, §9.5).

use crate::error::Code;

/// WT_BUFFERED_STREAM_REJECTED: a stream came whose session is not known, and no more are kept waiting (draft 16 §4.6).
pub const BUFFERED_STREAM_REJECTED: Code = wide(0x3994_bd84);
/// WT_SESSION_GONE: the stream's session has ended (draft 16 §6).
pub const SESSION_GONE: Code = wide(0x170d_7b68);
/// WT_FLOW_CONTROL_ERROR: the session's flow control was broken (draft 16 §5.6).
pub const FLOW_CONTROL_ERROR: Code = wide(0x045d_4487);
/// WT_ALPN_ERROR: no agreement on an application protocol (draft 16 §3.3).
pub const ALPN_ERROR: Code = wide(0x0817_b3dd);
/// WT_REQUIREMENTS_NOT_MET: settings or transport parameters are missing (draft 16 §3.1).
pub const REQUIREMENTS_NOT_MET: Code = wide(0x212c_0d48);

const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

const fn wide(code: u64) -> Code {
    Code::new(code).expect("below 2^62")
}

/// Returns the code of QUIC by which an application's code travels (draft 16 §4.4). Draft 02 knew codes up to 255 alone; they
/// travel the same way.
///
/// ```
/// use taiwa_h3::webtransport::code;
///
/// assert_eq!(code::to_http(0).get(), 0x52e4a40fa8db);
/// assert_eq!(code::to_http(u32::MAX).get(), 0x52e5ac983162);
/// assert_eq!(code::from_http(code::to_http(7)), Some(7));
/// ```
pub const fn to_http(application: u32) -> Code {
    let n = application as u64;
    // "those have to be skipped": every 31st code is reserved (RFC 9114 §8.1).
    wide(FIRST + n + n / 0x1e)
}

/// Returns the application's code; `None` if it is another one, or one of the reserved (draft 16 §4.4: "The WebTransport
/// implementation SHOULD deliver this to the application as a stream reset with no application error code").
pub const fn from_http(code: Code) -> Option<u32> {
    let h = code.get();
    if h < FIRST || h > LAST || (h - 0x21).is_multiple_of(0x1f) {
        return None;
    }
    let shifted = h - FIRST;
    Some((shifted - shifted / 0x1f) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_s_code_survives_the_way_there_and_back() {
        let around = |middle: u32| middle.saturating_sub(40)..=middle.saturating_add(40);
        for n in around(0).chain(around(255)).chain(around(1 << 16)).chain(around(u32::MAX)) {
            assert_eq!(from_http(to_http(n)), Some(n));
        }
    }

    #[test]
    fn draft_02_s_last_code_is_where_that_draft_has_it() {
        assert_eq!(to_http(0xff).get(), 0x52e4_a40f_a9e2);
    }

    #[test]
    fn reserved_and_foreign_codes_are_no_application_s() {
        // The reserved ones that draft 02 §8.6 lists within its range.
        for reserved in [0x52e4_a40f_a8f9, 0x52e4_a40f_a918, 0x52e4_a40f_a9d2] {
            assert_eq!(from_http(wide(reserved)), None, "{reserved:#x}");
        }
        for foreign in [0, 0x100, FIRST - 1, LAST + 1, (1 << 62) - 1] {
            assert_eq!(from_http(wide(foreign)), None, "{foreign:#x}");
        }
    }
}
