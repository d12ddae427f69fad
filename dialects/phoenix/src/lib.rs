//! Channels of Phoenix: npm `phoenix` and the clients in other languages, over WebSocket and long poll.
//!
//! What is spoken, what is not, and how it meets the hub stands in the `README.md` of this room.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Addressee, Conversation, Dialect, Door, Knock, Refusal, Request, Response, Transport,
};

mod wire;
mod http;
mod encode;
mod conversation;
#[doc(hidden)]
pub mod fuzzing;

use conversation::Client;

/// The room. One serves all clients.
///
/// ```
/// use taiwa_core::Dialect;
/// use taiwa_phoenix::{Phoenix, Settings};
///
/// let room = Phoenix::new(Settings::default());
/// assert_eq!(room.name(), "phoenix");
/// assert_eq!(room.doors()[0].path, "/socket/websocket");
/// ```
#[derive(Clone, Debug)]
pub struct Phoenix {
    settings: Arc<Settings>,
    doors: [Door; 3],
}

/// Places, times and limits of the room.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Where the socket is, `/socket` by default: what a page gives to `new Socket(…)`. Clients add `/websocket` or
    /// `/longpoll`.
    pub path: Box<str>,
    /// Events that clients push which are calls of the app; all others are published in their topic. A name may end with `*`
    /// and stands for all that begin so. None by default.
    pub calls: Vec<Box<str>>,
    /// Events that clients push which do not come back to them, as with `broadcast_from`; names as above. None by default.
    pub broadcast_from: Vec<Box<str>>,
    /// How many channels one client may join, 100 by default; more are refused with `too many channels joined`.
    pub channels_max: usize,
    /// A client must say something within this time, 60 seconds by default, or is closed with 1001. Clients send a heartbeat each
    /// 30 seconds. Of long polls nothing is asked but that they come back.
    pub silence_max: Duration,
    /// After which time a poll that has nothing to say is answered, 10 seconds by default. A client that does not poll
    /// for one and a half times as long is gone.
    pub poll_window: Duration,
    /// How many pushes of a client may wait for their answers, 256 by default; more are refused.
    pub pushes_max: usize,
    /// How many bytes may wait of what a client says while it is let in or joins, 1 MiB by default; more close with 1013.
    pub waiting_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/socket".into(),
            calls: vec![],
            broadcast_from: vec![],
            channels_max: 100,
            silence_max: Duration::from_secs(60),
            poll_window: Duration::from_secs(10),
            pushes_max: 256,
            waiting_bytes_max: 1 << 20,
        }
    }
}

impl Settings {
    fn is_call(&self, event: &str) -> bool {
        self.calls.iter().any(|it| stands_for(it, event))
    }

    fn comes_back(&self, event: &str) -> bool {
        !self.broadcast_from.iter().any(|it| stands_for(it, event))
    }
}

fn stands_for(name: &str, event: &str) -> bool {
    match name.strip_suffix('*') {
        Some(start) => event.starts_with(start),
        None => name == event,
    }
}

impl Phoenix {
    /// Opens the room. Its two paths stay in memory for the life of the process.
    pub fn new(settings: Settings) -> Self {
        let path = settings.path.trim_end_matches('/');
        let websocket: &'static str = format!("{path}/websocket").leak();
        let longpoll: &'static str = format!("{path}/longpoll").leak();
        // A client that brings its token among the subprotocols wants to hear that `phoenix` is agreed on.
        let doors = [
            Door {
                path: websocket,
                subprotocols: &["phoenix"],
                transports: &[Transport::WebSocket],
            },
            Door { path: websocket, subprotocols: &[], transports: &[Transport::WebSocket] },
            Door { path: longpoll, subprotocols: &[], transports: &[Transport::Http] },
        ];
        Self { settings: Arc::new(settings), doors }
    }

    fn is_poll(&self, request: &Request) -> bool {
        *request.path == *self.doors[2].path
    }
}

impl Default for Phoenix {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Dialect for Phoenix {
    fn name(&self) -> &'static str {
        "phoenix"
    }

    fn doors(&self) -> &[Door] {
        &self.doors
    }

    fn addressee(&self, request: &Request) -> Addressee {
        match self.is_poll(request) {
            true => http::addressee(request),
            false => Addressee::New,
        }
    }

    fn open(&self, knock: &Knock<'_>, now: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        let hello = http::hello(knock)?;
        Ok(Box::new(Client::new(knock, hello, self.settings.clone(), now)))
    }

    fn turn_away(&self, request: &Request, why: &Refusal) -> Option<Response> {
        self.is_poll(request).then(|| http::turned_away(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_all_that_begin_so() {
        for (name, event, expected) in [
            ("save", "save", true),
            ("save", "save_all", false),
            ("save*", "save_all", true),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(stands_for(name, event), expected, "{name} {event}");
        }
    }

    #[test]
    fn the_path_is_that_of_the_settings() {
        for (path, websocket, longpoll) in [
            ("/live/", "/live/websocket", "/live/longpoll"),
            ("/ws/admin", "/ws/admin/websocket", "/ws/admin/longpoll"),
        ] {
            let settings = Settings { path: path.into(), ..Settings::default() };
            let room = Phoenix::new(settings);
            let paths: Vec<_> = room.doors().iter().map(|it| it.path).collect();
            assert_eq!(paths, [websocket, websocket, longpoll]);
        }
    }
}
