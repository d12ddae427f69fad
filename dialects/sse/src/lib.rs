//! Server-sent events (WHATWG HTML §9.2), and the same as lines of JSON or as long polls, for clients that only listen.
//!
//! README.md beside this file says what is spoken, with all statuses and events.

mod wire;
mod cursor;
mod conversation;
mod encode;

use std::time::{Duration, Instant};

use taiwa_core::{Conversation, Dialect, Door, Knock, Refusal, Request, Response, Transport};

const DOORS: &[Door] = &[
    Door { path: "/sse", subprotocols: &[], transports: &[Transport::Http] },
    Door { path: "/sse/*", subprotocols: &[], transports: &[Transport::Http] },
];

/// The dialect of `EventSource`, and of programs that read lines or poll.
#[derive(Clone, Debug, Default)]
pub struct Sse {
    settings: Settings,
}

/// How listening clients are met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// How many channels one client may name, 32 by default, since each event carries up to 30 bytes for each; who
    /// names more is refused with 400.
    pub channels_max: usize,
    /// How many publications are kept for a client while some of its channels have not answered yet, 1,024 by
    /// default; with more it is refused with 503.
    pub early_max: usize,
    /// After which time a stream says something though there is nothing to say, and a poll is answered, 25 seconds by
    /// default: shorter than the patience of most proxies.
    pub heartbeat_every: Duration,
    /// After which time a client comes back, 2 seconds by default; each client is told up to half as much more, so that
    /// not all come at once.
    pub retry: Duration,
    /// The cookie in which a client's token may stand; none by default, because cookies also come with requests that
    /// pages of others make.
    pub cookie: Option<Box<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            channels_max: 32,
            early_max: 1024,
            heartbeat_every: Duration::from_secs(25),
            retry: Duration::from_secs(2),
            cookie: None,
        }
    }
}

impl Sse {
    /// Makes the dialect.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Dialect for Sse {
    fn name(&self) -> &'static str {
        "sse"
    }

    fn doors(&self) -> &[Door] {
        DOORS
    }

    fn open(&self, knock: &Knock<'_>, _: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        let wish = wire::wish(knock, &self.settings)?;
        Ok(Box::new(conversation::Talk::new(wish, &self.settings)))
    }

    fn turn_away(&self, request: &Request, why: &Refusal) -> Option<Response> {
        wire::come_again(request, why, self.settings.retry)
    }
}

#[cfg(test)]
mod tests {
    use taiwa_core::RefusalKind;

    use super::*;

    /// What is said to who accepts this and is refused at the door.
    fn answer(accept: &'static str, kind: RefusalKind) -> Option<String> {
        let request = Request {
            method: "GET".into(),
            path: "/sse/a".into(),
            query: "".into(),
            headers: [("accept".into(), accept.into())].into(),
            body: "".into(),
        };
        let dialect = Sse::new(Settings::default());
        let Response::Whole { status, headers, body } =
            dialect.turn_away(&request, &Refusal::new(kind, "no"))?
        else {
            panic!("nothing follows")
        };
        assert_eq!((status, &*headers[0].1), (200, "text/event-stream"));
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn an_event_source_that_may_come_later_is_told_when() {
        let source = "text/event-stream";
        assert_eq!(answer(source, RefusalKind::Limit).unwrap(), "retry: 2000\n\n");
        let rate = RefusalKind::Rate(Duration::from_secs(9));
        assert_eq!(answer(source, rate).unwrap(), "retry: 9000\n\n");
        assert_eq!(answer(source, RefusalKind::Forbidden), None);
        assert_eq!(answer("*/*", RefusalKind::Limit), None);
    }
}
