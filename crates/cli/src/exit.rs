//! How the process ends: one code for each kind of ending, documented in `--help`.

use std::{fmt, process::ExitCode};

use taiwa::{CloseCode, Closed, Error, HandshakeFault};

use crate::signals::Signal;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Closed with 1000, 1001 or no code, or what was waited for came.
    Good = 0,
    /// A failure of ours or of this machine.
    Inside = 1,
    /// Bad arguments or input.
    Usage = 2,
    /// No such name, no connection by TCP or through a proxy; an address that can't be listened on; no broker.
    Unreachable = 3,
    /// TLS failed.
    Tls = 4,
    /// The server refused the opening handshake.
    Refused = 5,
    /// The peer took too long.
    Late = 6,
    /// The peer broke the protocol or a limit.
    Fault = 7,
    /// The connection ended without a Close frame.
    Lost = 8,
    /// Closed with another code than 1000 and 1001.
    Closed = 9,
    /// What was waited for did not come.
    Unmet = 10,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command stopped: an exit code, and a line for stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// The exit code of a connection that did not open.
pub(crate) fn of_opening(error: &Error) -> Exit {
    match error {
        Error::Request(_) | Error::Header(_) => Exit::Usage,
        Error::Io(_) | Error::Lost | Error::Proxy(_) => Exit::Unreachable,
        Error::Tls(_) => Exit::Tls,
        Error::Refused(_) | Error::Redirect(_) => Exit::Refused,
        Error::Handshake(HandshakeFault::NoExtendedConnect) => Exit::Refused,
        Error::Late(_) => Exit::Late,
        Error::Handshake(_) | Error::Http(_) | Error::Fault(_) => Exit::Fault,
        _ => Exit::Inside,
    }
}

/// The exit code of an open connection that failed.
pub(crate) fn of_error(error: &Error) -> Exit {
    match error {
        Error::Late(_) => Exit::Late,
        Error::Fault(_) => Exit::Fault,
        Error::Lost | Error::Io(_) => Exit::Lost,
        Error::Closed(closed) => of_closed(closed),
        _ => Exit::Inside,
    }
}

/// The exit code of a connection that was closed.
pub(crate) fn of_closed(closed: &Closed) -> Exit {
    match closed.code {
        // A Close frame without a code is what `socket.close()` in a browser sends.
        CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS => Exit::Good,
        CloseCode::ABNORMAL => Exit::Lost,
        _ => Exit::Closed,
    }
}
