//! What goes to stderr.

use std::fmt;

use taiwa::{Closed, FinalUrl, Kind, Message, Side, VersionReason, VersionSteps, WebSocket};

use super::pretty::visible;
use crate::args::Connect;

/// Tells what was asked for by `-q`, `-v` and `-vv`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tell {
    quiet: bool,
    verbose: u8,
    /// Redirects are followed.
    follows: bool,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    In,
    Out,
}

impl Tell {
    pub(super) fn new(args: &Connect) -> Self {
        Self { quiet: args.quiet, verbose: args.verbose, follows: args.opening.location }
    }

    /// Tells unless asked to be quiet.
    pub(super) fn note(self, note: impl fmt::Display) {
        if !self.quiet {
            anstream::eprintln!("taiwa: {note}");
        }
    }

    /// Tells the server's response, with `-v`.
    pub(super) fn opened(self, socket: &WebSocket, response: &http::Response<()>) {
        if self.verbose == 0 {
            return;
        }
        if let Some(VersionSteps(steps)) = response.extensions().get() {
            for (after, step) in steps.iter() {
                // What a server called its place is in it.
                let step = visible(&step.to_string());
                anstream::eprintln!("* after {} ms: {step}", after.as_millis());
            }
        }
        if let Some(addr) = socket.peer_addr() {
            anstream::eprintln!("* connected to {addr}");
        }
        if self.follows
            && let Some(FinalUrl(url)) = response.extensions().get()
        {
            anstream::eprintln!("* at {}", visible(&url.to_string()));
        }
        if let Some(reason) = response.extensions().get::<VersionReason>() {
            anstream::eprintln!("* {:?}: {reason}", response.version());
        }
        anstream::eprintln!("< {:?} {}", response.version(), response.status());
        for (name, value) in response.headers() {
            anstream::eprintln!(
                "< {name}: {}",
                visible(&String::from_utf8_lossy(value.as_bytes()))
            );
        }
        anstream::eprintln!("* {}", agreed(socket));
    }

    /// Returns what `-vv` tells of a message.
    pub(super) fn line_of(self, way: Way, message: &Message) -> Option<String> {
        let arrow = match way {
            Way::In => '<',
            Way::Out => '>',
        };
        let kind = match message.kind() {
            Kind::Text => "text",
            Kind::Binary => "binary",
        };
        (self.verbose >= 2).then(|| format!("{arrow} {kind}, {} bytes", message.as_bytes().len()))
    }

    /// Tells of a message, with `-vv`.
    pub(super) fn message(self, way: Way, message: &Message) {
        if let Some(line) = self.line_of(way, message) {
            anstream::eprintln!("{line}");
        }
    }

    /// Tells how a connection was closed: by the server always, by us with `-v`.
    pub(super) fn closed(self, closed: &Closed) {
        if closed.by == Side::Peer || self.verbose > 0 {
            self.note(how(closed));
        }
    }
}

/// What both ends agreed on, in a line.
pub(super) fn agreed(socket: &WebSocket) -> String {
    let subprotocol = match socket.subprotocol() {
        Some(name) => format!("subprotocol {}", visible(name)),
        None => "no subprotocol".into(),
    };
    match socket.deflate() {
        None => format!("{subprotocol}, no compression"),
        Some(it) => format!(
            "{subprotocol}, permessage-deflate (windows: server {} bits{}, client {} bits{})",
            it.server_max_window_bits,
            if it.server_no_context_takeover { " anew each message" } else { "" },
            it.client_max_window_bits,
            if it.client_no_context_takeover { " anew each message" } else { "" },
        ),
    }
}

/// How a connection was closed, in a line.
pub(super) fn how(closed: &Closed) -> String {
    let by = match closed.by {
        Side::Peer => "the server",
        Side::Us => "us",
    };
    let reason = visible(&closed.reason);
    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
    format!("closed by {by} with {}{reason}", closed.code)
}
