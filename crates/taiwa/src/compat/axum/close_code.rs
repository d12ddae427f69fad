//! Close codes by the names that axum gives them (RFC 6455 §7.4.1, and the registry of IANA).

use taiwa_proto::CloseCode;

/// What the connection was for is done.
pub const NORMAL: u16 = CloseCode::NORMAL.get();
/// The server stops, or the browser leaves the page.
pub const AWAY: u16 = CloseCode::GOING_AWAY.get();
/// The peer broke the protocol.
pub const PROTOCOL: u16 = CloseCode::PROTOCOL_ERROR.get();
/// The peer sent a kind of message that is not taken here.
pub const UNSUPPORTED: u16 = CloseCode::UNSUPPORTED_DATA.get();
/// Never sent: the Close frame had no code.
pub const STATUS: u16 = CloseCode::NO_STATUS.get();
/// Never sent: there was no Close frame.
pub const ABNORMAL: u16 = CloseCode::ABNORMAL.get();
/// A message was not what its kind says, for example text that is not UTF-8.
pub const INVALID: u16 = CloseCode::INVALID_PAYLOAD.get();
/// A rule of ours was broken, and no other code says it better.
pub const POLICY: u16 = CloseCode::POLICY_VIOLATION.get();
/// A message is too big.
pub const SIZE: u16 = CloseCode::MESSAGE_TOO_BIG.get();
/// A client misses an extension that it needs.
pub const EXTENSION: u16 = CloseCode::MANDATORY_EXTENSION.get();
/// Something failed on the server.
pub const ERROR: u16 = CloseCode::INTERNAL_ERROR.get();
/// The server restarts.
pub const RESTART: u16 = CloseCode::SERVICE_RESTART.get();
/// The server has too much to do: come back later.
pub const AGAIN: u16 = CloseCode::TRY_AGAIN_LATER.get();
