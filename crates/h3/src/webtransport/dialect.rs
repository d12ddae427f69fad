//! Which draft a peer speaks, by its settings (draft 16 §7.1), and what it asks of us.

use super::limits::Credit;
use crate::error::{Code, Fault};

/// The settings of HTTP/3 by which peers of WebTransport find each other.
pub mod setting {
    /// SETTINGS_H3_DATAGRAM of draft-ietf-masque-h3-datagram-04, which draft 02 rests on.
    pub const H3_DATAGRAM_DRAFT_04: u64 = 0xff_d277;
    /// SETTINGS_ENABLE_WEBTRANSPORT of drafts 02 to 06.
    pub const ENABLE_WEBTRANSPORT_DRAFT_02: u64 = 0x2b60_3742;
    /// SETTINGS_WEBTRANSPORT_MAX_SESSIONS, the number of drafts 03 to 06.
    pub const MAX_SESSIONS_DRAFT_03: u64 = 0x2b60_3743;
    /// SETTINGS_WEBTRANSPORT_MAX_SESSIONS of drafts 07 to 12.
    pub const MAX_SESSIONS_DRAFT_07: u64 = 0xc671_706a;
    /// SETTINGS_WT_MAX_SESSIONS of drafts 13 and 14.
    pub const MAX_SESSIONS_DRAFT_13: u64 = 0x14e9_cd29;
    /// SETTINGS_WT_ENABLED of drafts 15 and 16.
    pub const ENABLED: u64 = 0x2c7c_f000;
    /// SETTINGS_WT_INITIAL_MAX_DATA.
    pub const INITIAL_MAX_DATA: u64 = 0x2b61;
    /// SETTINGS_WT_INITIAL_MAX_STREAMS_UNI.
    pub const INITIAL_MAX_STREAMS_UNI: u64 = 0x2b64;
    /// SETTINGS_WT_INITIAL_MAX_STREAMS_BIDI.
    pub const INITIAL_MAX_STREAMS_BIDI: u64 = 0x2b65;
}

/// The `:protocol` of drafts before 15.
pub const TOKEN: &str = "webtransport";
/// The `:protocol` of drafts 15 and 16.
pub const TOKEN_H3: &str = "webtransport-h3";
/// The header by which a client of draft 02 asks for that draft; its value is `1`.
pub const DRAFT_02_ASKED: &str = "sec-webtransport-http3-draft02";
/// The header by which a server answers it; its value is `draft02`.
pub const DRAFT_02_CHOSEN: &str = "sec-webtransport-http3-draft";

/// Tells whether an extended CONNECT with this `:protocol` asks for a session. Browsers of drafts 13 and 14 settings send
/// the older token, so both are right whatever the draft.
pub fn is_token(protocol: &str) -> bool {
    protocol == TOKEN || protocol == TOKEN_H3
}

/// Drafts whose peers understand each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Drafts 02 to 06: what Chromium and Firefox speak.
    Draft02,
    /// Drafts 07 to 12.
    Draft07,
    /// Drafts 13 and 14, with flow control for each session: what Safari speaks.
    Draft13,
    /// Drafts 15 and 16.
    Draft15,
}

impl Dialect {
    /// Tells whether peers of these drafts may know capsules of flow control.
    pub const fn has_flow_control(self) -> bool {
        matches!(self, Self::Draft13 | Self::Draft15)
    }
}

/// What holds between us and a peer that speaks WebTransport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The newest draft that both know; we know all.
    pub dialect: Dialect,
    /// What the peer lets us use of each session at first, where both sides have flow control: `None` means no bounds but
    /// those of QUIC.
    pub credit: Option<Credit>,
    /// How many sessions a server lets its clients have at once.
    pub sessions_max: u64,
}

impl Terms {
    /// Reads a peer's settings, by their identifier; `None` if it does not speak WebTransport.
    ///
    /// ```
    /// use taiwa_h3::webtransport::{Dialect, Terms};
    ///
    /// let chromium = [(0x33, 1), (0xffd277, 1), (0x2b603742, 1)];
    /// let find = |id| chromium.iter().find(|it| it.0 == id).map(|it| it.1);
    /// let terms = Terms::of_peer(find)?.expect("it speaks draft 02");
    /// assert_eq!((terms.dialect, terms.credit), (Dialect::Draft02, None));
    /// # Ok::<(), taiwa_h3::error::Fault>(())
    /// ```
    ///
    /// # Errors
    /// A fault that ends the connection with H3_SETTINGS_ERROR, if a setting has a value that it can't have.
    pub fn of_peer(find: impl Fn(u64) -> Option<u64>) -> Result<Option<Self>, Fault> {
        let value = |id| find(id).unwrap_or(0);
        let enabled = value(setting::ENABLED);
        let enabled_02 = value(setting::ENABLE_WEBTRANSPORT_DRAFT_02);
        // Draft 16 §3.1: "Clients MUST treat values greater than "1" as a connection error of type H3_SETTINGS_ERROR." Draft 02
        // §3.1 says the same of its setting, for both sides.
        if enabled > 1 || enabled_02 > 1 {
            return Err(Fault::connection(
                Code::SETTINGS_ERROR,
                "WebTransport is neither on nor off",
            ));
        }
        let of_13 = value(setting::MAX_SESSIONS_DRAFT_13);
        let of_07 =
            value(setting::MAX_SESSIONS_DRAFT_07).max(value(setting::MAX_SESSIONS_DRAFT_03));
        // Draft 16 §7.1: "The highest version supported by both endpoints is selected."
        let (dialect, sessions_max) = if enabled == 1 {
            (Dialect::Draft15, of_13.max(of_07))
        } else if of_13 > 0 {
            (Dialect::Draft13, of_13)
        } else if of_07 > 0 {
            (Dialect::Draft07, of_07)
        } else if enabled_02 == 1 {
            (Dialect::Draft02, 0)
        } else {
            return Ok(None);
        };
        let first = Credit {
            data: value(setting::INITIAL_MAX_DATA),
            bidirectional: value(setting::INITIAL_MAX_STREAMS_BIDI),
            unidirectional: value(setting::INITIAL_MAX_STREAMS_UNI),
        };
        // Draft 14 §5.1 takes more than one session for the wish; since draft 15 the other settings alone tell.
        let is_wished = first != Credit::default() || (dialect == Dialect::Draft13 && of_13 > 1);
        let credit = (dialect.has_flow_control() && is_wished).then_some(first);
        // Draft 16 §5.1: "If flow control is not enabled, clients MUST NOT attempt to establish more than one simultaneous
        // WebTransport session." The drafts before 13 leave that to the server.
        let sessions_max = match dialect {
            Dialect::Draft02 => u64::MAX,
            Dialect::Draft07 => sessions_max,
            Dialect::Draft13 | Dialect::Draft15 if credit.is_none() => 1,
            Dialect::Draft13 => sessions_max,
            Dialect::Draft15 if sessions_max == 0 => u64::MAX,
            Dialect::Draft15 => sessions_max,
        };
        Ok(Some(Self { dialect, credit, sessions_max }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webtransport::Limits;

    fn terms(settings: &[(u64, u64)]) -> Result<Option<Terms>, Fault> {
        Terms::of_peer(|id| settings.iter().find(|it| it.0 == id).map(|it| it.1))
    }

    #[track_caller]
    fn check(settings: &[(u64, u64)], dialect: Dialect, credit: Option<[u64; 3]>, sessions: u64) {
        let found = terms(settings).expect("right settings").expect("WebTransport");
        let credit = credit.map(|[data, bidirectional, unidirectional]| Credit {
            data,
            bidirectional,
            unidirectional,
        });
        assert_eq!(found, Terms { dialect, credit, sessions_max: sessions });
    }

    #[test]
    fn each_known_peer_speaks_its_draft() {
        // Chromium 156, Firefox 153, aioquic 1.7.
        check(&[(0x33, 1), (0xff_d277, 1), (0x2b60_3742, 1)], Dialect::Draft02, None, u64::MAX);
        // Chromium with draft 07 switched on.
        check(&[(0x33, 1), (0xc671_706a, 16)], Dialect::Draft07, None, 16);
        // Deno 2.9.
        let deno = [(0xc671_706a, 1), (0x2b60_3742, 1), (0x2b60_3743, 1), (0x8, 1)];
        check(&deno, Dialect::Draft07, None, 1);
        // The settings of drafts 13 and 14, with and without flow control.
        let safari = [(0x14e9_cd29, 10), (0x2b61, 1000), (0x2b64, 5), (0x2b65, 6)];
        check(&safari, Dialect::Draft13, Some([1000, 6, 5]), 10);
        check(&[(0x14e9_cd29, 2)], Dialect::Draft13, Some([0, 0, 0]), 2);
        check(&[(0x14e9_cd29, 1)], Dialect::Draft13, None, 1);
        // Draft 15.
        check(&[(0x2c7c_f000, 1)], Dialect::Draft15, None, 1);
        check(&[(0x2c7c_f000, 1), (0x2b61, 9)], Dialect::Draft15, Some([9, 0, 0]), u64::MAX);
    }

    #[test]
    fn our_own_settings_announce_the_newest_draft_with_flow_control() {
        let credit = Some([512 << 10, 50, 50]);
        check(&Limits::default().settings(), Dialect::Draft15, credit, 16);
    }

    #[test]
    fn whoever_names_no_setting_does_not_speak_it() {
        assert_eq!(terms(&[(0x33, 1), (0x8, 1)]), Ok(None));
        assert_eq!(terms(&[(0x2b60_3742, 0), (0x2c7c_f000, 0)]), Ok(None));
        assert_eq!(terms(&[(0x2b61, 1000)]), Ok(None));
    }

    #[test]
    fn a_switch_that_is_neither_on_nor_off_is_a_fault() {
        for id in [0x2b60_3742, 0x2c7c_f000] {
            let fault = terms(&[(id, 2)]).expect_err("not a switch");
            assert_eq!(fault.code, Code::SETTINGS_ERROR);
        }
    }

    #[test]
    fn both_tokens_ask_for_a_session() {
        assert!(is_token("webtransport") && is_token("webtransport-h3"));
        assert!(!is_token("websocket") && !is_token("WebTransport") && !is_token(""));
    }
}
