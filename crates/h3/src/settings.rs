//! SETTINGS (RFC 9114 §7.2.4): what an endpoint can take and do, said once, first on its control stream.

use bytes::BufMut;

use crate::{
    error::{Code, Fault},
    frame::{self, FrameType},
    varint::VarInt,
};

/// The identifier of a setting (RFC 9114 §11.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingId(VarInt);

impl SettingId {
    /// SETTINGS_QPACK_MAX_TABLE_CAPACITY (RFC 9204 §5).
    pub const QPACK_MAX_TABLE_CAPACITY: Self = Self(VarInt::from_u32(0x01));
    /// SETTINGS_MAX_FIELD_SECTION_SIZE (RFC 9114 §7.2.4.1).
    pub const MAX_FIELD_SECTION_SIZE: Self = Self(VarInt::from_u32(0x06));
    /// SETTINGS_QPACK_BLOCKED_STREAMS (RFC 9204 §5).
    pub const QPACK_BLOCKED_STREAMS: Self = Self(VarInt::from_u32(0x07));
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220 §3).
    pub const ENABLE_CONNECT_PROTOCOL: Self = Self(VarInt::from_u32(0x08));
    /// SETTINGS_H3_DATAGRAM (RFC 9297 §2.1.1).
    pub const H3_DATAGRAM: Self = Self(VarInt::from_u32(0x33));
    /// SETTINGS_H3_DATAGRAM of draft-ietf-masque-h3-datagram-04, which browsers still send beside it.
    pub const H3_DATAGRAM_DRAFT04: Self = Self(VarInt::from_u32(0xff_d277));

    /// Takes any identifier; `None` if it is over 2^62 - 1.
    pub const fn new(id: u64) -> Option<Self> {
        match VarInt::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// Takes an identifier that always fits; for constants.
    pub const fn from_u32(id: u32) -> Self {
        Self(VarInt::from_u32(id))
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// The settings of one endpoint. Unknown ones survive, up to [`Settings::COUNT_MAX`].
///
/// ```
/// use taiwa_h3::settings::{SettingId, Settings};
///
/// let mut settings = Settings::default();
/// settings.set(SettingId::ENABLE_CONNECT_PROTOCOL, 1);
/// assert!(settings.enables_connect_protocol());
/// assert_eq!(settings.get(SettingId::MAX_FIELD_SECTION_SIZE), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Sorted by identifier.
    values: Vec<(SettingId, VarInt)>,
}

impl Settings {
    /// The most settings that a peer may send. Peers send about ten; more are answered with H3_EXCESSIVE_LOAD.
    pub const COUNT_MAX: usize = 64;
    /// The most bytes that the payload of a peer's SETTINGS frame may have: so many settings in their longest form.
    pub const PAYLOAD_BYTES_MAX: usize = Self::COUNT_MAX * 2 * VarInt::LEN_MAX;

    /// Returns a setting, if it was sent. One that was not has the default of its RFC.
    pub fn get(&self, id: SettingId) -> Option<u64> {
        let found = self.values.binary_search_by_key(&id, |it| it.0).ok()?;
        Some(self.values[found].1.get())
    }

    /// Sets a setting; a value over 2^62 - 1 counts as that.
    pub fn set(&mut self, id: SettingId, value: u64) -> &mut Self {
        let value = VarInt::new(value).unwrap_or(VarInt::MAX);
        match self.values.binary_search_by_key(&id, |it| it.0) {
            Ok(found) => self.values[found].1 = value,
            Err(place) => self.values.insert(place, (id, value)),
        }
        self
    }

    /// Returns all settings, by identifier.
    pub fn iter(&self) -> impl Iterator<Item = (SettingId, u64)> {
        self.values.iter().map(|(id, value)| (*id, value.get()))
    }

    /// Tells whether the extended CONNECT may be used (RFC 9220 §3).
    pub fn enables_connect_protocol(&self) -> bool {
        self.get(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(1)
    }

    /// Tells whether HTTP datagrams may be sent (RFC 9297 §2.1.1), by the RFC or by the draft that browsers still name.
    pub fn enables_datagrams(&self) -> bool {
        [SettingId::H3_DATAGRAM, SettingId::H3_DATAGRAM_DRAFT04]
            .iter()
            .any(|it| self.get(*it) == Some(1))
    }

    /// Returns the largest field section that may be sent, in bytes as RFC 9114 §4.2.2 counts them; without the
    /// setting there is no bound.
    pub fn field_section_bytes_max(&self) -> u64 {
        self.get(SettingId::MAX_FIELD_SECTION_SIZE).unwrap_or(u64::MAX)
    }

    /// Reads the payload of a SETTINGS frame.
    ///
    /// # Errors
    /// H3_SETTINGS_ERROR for a setting of HTTP/2, for one that comes twice and for a value that can't be; H3_FRAME_ERROR if
    /// it ends in the middle of a setting; H3_EXCESSIVE_LOAD past [`COUNT_MAX`](Self::COUNT_MAX).
    pub fn read(mut payload: &[u8]) -> Result<Self, Fault> {
        let mut values: Vec<(SettingId, VarInt)> = Vec::new();
        while !payload.is_empty() {
            let id = VarInt::take(&mut payload);
            let value = VarInt::take(&mut payload);
            let (Some(id), Some(value)) = (id, value) else {
                return Err(Fault::connection(Code::FRAME_ERROR, "SETTINGS end within a setting"));
            };
            let id = SettingId(id);
            check_value(id, value)?;
            if values.len() == Self::COUNT_MAX {
                return Err(Fault::connection(Code::EXCESSIVE_LOAD, "more than 64 settings"));
            }
            match values.binary_search_by_key(&id, |it| it.0) {
                // RFC 9114 §7.2.4: "The same setting identifier MUST NOT occur more than once in the SETTINGS frame. A
                // receiver MAY treat the presence of duplicate setting identifiers as a connection error of type
                // H3_SETTINGS_ERROR."
                Ok(_) => {
                    return Err(Fault::connection(Code::SETTINGS_ERROR, "setting comes twice"));
                }
                Err(place) => values.insert(place, (id, value)),
            }
        }
        Ok(Self { values })
    }

    /// Writes the SETTINGS frame, with one reserved setting in it (RFC 9114 §7.2.4.1: "Endpoints SHOULD include at least
    /// one such setting in their SETTINGS frame").
    pub fn write(&self, out: &mut impl BufMut) {
        let all = self.values.iter().chain([&RESERVED]);
        let bytes = all.clone().map(|(id, value)| id.0.encoded_len() + value.encoded_len());
        frame::write_head(FrameType::SETTINGS, bytes.sum::<usize>() as u64, out);
        for (id, value) in all {
            id.0.write(out);
            value.write(out);
        }
    }
}

/// Of the form 0x1f * N + 0x21 (RFC 9114 §7.2.4.1).
const RESERVED: (SettingId, VarInt) =
    (SettingId::from_u32(0x1f * 0x2f + 0x21), VarInt::from_u32(1));

fn check_value(id: SettingId, value: VarInt) -> Result<(), Fault> {
    match id {
        // RFC 9114 §7.2.4.1: "Setting identifiers that were defined in [HTTP/2] where there is no corresponding HTTP/3 setting
        // have also been reserved [...]. Their receipt MUST be treated as a connection error of type H3_SETTINGS_ERROR."
        _ if matches!(id.get(), 0x00 | 0x02..=0x05) => {
            Err(Fault::connection(Code::SETTINGS_ERROR, "setting of HTTP/2"))
        }
        // RFC 8441 §3: "The value of the parameter MUST be 0 or 1"; RFC 9220 §3 takes it over.
        SettingId::ENABLE_CONNECT_PROTOCOL if value.get() > 1 => {
            let rule = "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1";
            Err(Fault::connection(Code::SETTINGS_ERROR, rule))
        }
        // RFC 9297 §2.1.1: "If an HTTP/3 endpoint receives the SETTINGS_H3_DATAGRAM setting with a value that is neither 0 nor
        // 1, it MUST terminate the connection with error H3_SETTINGS_ERROR."
        SettingId::H3_DATAGRAM if value.get() > 1 => {
            Err(Fault::connection(Code::SETTINGS_ERROR, "SETTINGS_H3_DATAGRAM is neither 0 nor 1"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(settings: &[(u64, u64)]) -> Vec<u8> {
        let mut out = vec![];
        for (id, value) in settings {
            VarInt::new(*id).expect("fits").write(&mut out);
            VarInt::new(*value).expect("fits").write(&mut out);
        }
        out
    }

    #[track_caller]
    fn check_fault(settings: &[(u64, u64)], code: Code) {
        assert_eq!(Settings::read(&payload(settings)).expect_err("a fault").code, code);
    }

    #[test]
    fn settings_that_are_written_are_read() {
        let mut settings = Settings::default();
        settings.set(SettingId::H3_DATAGRAM, 1).set(SettingId::MAX_FIELD_SECTION_SIZE, 16_384);
        let mut out = vec![];
        settings.write(&mut out);
        assert_eq!(out[..2], [4, out.len() as u8 - 2], "type and length");
        let read = Settings::read(&out[2..]).expect("right");
        assert!(read.enables_datagrams() && !read.enables_connect_protocol());
        assert_eq!(read.field_section_bytes_max(), 16_384);
        assert_eq!(read.iter().count(), 3, "with a reserved one, to be ignored");
    }

    #[test]
    fn settings_of_chromium_are_read() {
        let seen = [
            (0x01, 65_536),
            (0x06, 262_144),
            (0x07, 100),
            (0x33, 1),
            (0xff_d277, 1),
            (0x2b60_3742, 1),
        ];
        let read = Settings::read(&payload(&seen)).expect("right");
        assert!(read.enables_datagrams());
        assert_eq!(read.get(SettingId::from_u32(0x2b60_3742)), Some(1));
    }

    #[test]
    fn unknown_settings_are_ignored() {
        // RFC 9114 §7.2.4: "An implementation MUST ignore any parameter with an identifier it does not understand."
        let settings = [(0x21, 0), (0x1f * 7 + 0x21, 99), (1 << 60, 5)];
        assert_eq!(Settings::read(&payload(&settings)).map(|it| it.iter().count()), Ok(3));
    }

    #[test]
    fn settings_of_http_2_are_a_settings_error() {
        for id in [0x00, 0x02, 0x03, 0x04, 0x05] {
            check_fault(&[(0x33, 1), (id, 1)], Code::SETTINGS_ERROR);
        }
    }

    #[test]
    fn a_setting_that_comes_twice_is_a_settings_error() {
        check_fault(&[(0x06, 1), (0x33, 1), (0x06, 1)], Code::SETTINGS_ERROR);
    }

    #[test]
    fn switches_that_are_neither_on_nor_off_are_a_settings_error() {
        check_fault(&[(0x08, 2)], Code::SETTINGS_ERROR);
        check_fault(&[(0x33, 2)], Code::SETTINGS_ERROR);
    }

    #[test]
    fn settings_that_end_within_one_are_a_frame_error() {
        for payload in [&b"\x06"[..], b"\x06\x40", b"\x33\x01\x40"] {
            assert_eq!(Settings::read(payload).expect_err("cut").code, Code::FRAME_ERROR);
        }
    }

    #[test]
    fn more_settings_than_anybody_sends_are_excessive_load() {
        let many: Vec<_> = (0..65).map(|it| (1000 + it, 0)).collect();
        assert!(Settings::read(&payload(&many[..64])).is_ok());
        check_fault(&many, Code::EXCESSIVE_LOAD);
    }
}
