//! One client: Engine.IO below, Socket.IO above.

use std::{sync::Arc, time::Instant};

use taiwa_core::{Action, Actions, Conversation, Event, Input, Messages};

use crate::{Settings, http, http::Opening};

mod engine;
mod recovery;
mod sockets;
mod words;

use engine::Engine;
use sockets::Sockets;

/// One client, whatever its transport.
pub(crate) struct Client {
    engine: Engine,
    above: Above,
}

/// What is spoken over Engine.IO.
enum Above {
    /// Each message comes back.
    Echo,
    SocketIo(Box<Sockets>),
}

impl Client {
    /// Begins with one that has come in.
    pub(crate) fn new(opening: Opening, settings: Arc<Settings>, now: Instant) -> Self {
        let engine = Engine::new(&opening, settings.clone(), now);
        let above = match opening.echo {
            true => Above::Echo,
            false => Above::SocketIo(Box::new(Sockets::new(opening, settings, now))),
        };
        Self { engine, above }
    }
}

impl Conversation for Client {
    fn receive(&mut self, input: Input, now: Instant, out: &mut Actions) {
        let was_open = self.engine.is_open();
        // Who was silent for too long is gone, also if it speaks before the clock was looked at.
        if self.deadline().is_some_and(|it| it <= now) {
            let mut late = vec![];
            self.timeout(now, &mut late);
            let refused = match &input {
                Input::Request(exchange, _) if !self.engine.is_open() => Some(*exchange),
                _ => None,
            };
            out.extend(refused.map(|it| Action::Respond(it, http::gone())));
            out.append(&mut late);
            if refused.is_some() || self.engine.has_ended() {
                return;
            }
        }
        let messages = self.engine.receive(input, now, out);
        if let Above::SocketIo(sockets) = &mut self.above
            && self.engine.take_answered()
        {
            sockets.is_there(out);
        }
        if let Above::SocketIo(sockets) = &mut self.above
            && !was_open
            && self.engine.is_open()
        {
            sockets.opened(&mut self.engine, out);
        }
        for message in messages {
            if !self.engine.is_open() {
                return;
            }
            match &mut self.above {
                Above::Echo => {
                    let back = self.engine.revision().message(message);
                    self.engine.say(&Messages::One(back), out);
                }
                Above::SocketIo(sockets) => sockets.hear(message, &mut self.engine, out),
            }
        }
    }

    fn deliver(&mut self, event: Event, now: Instant, out: &mut Actions) {
        if !self.engine.is_open() {
            return;
        }
        match (&mut self.above, event) {
            (Above::SocketIo(sockets), event) => sockets.told(event, &mut self.engine, now, out),
            (Above::Echo, Event::Disconnect(why)) => {
                let (code, reason) = words::ending(&why);
                self.engine.close(code, &reason, out);
            }
            (Above::Echo, _) => {}
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Actions) {
        if self.engine.timeout(now, out)
            && let Above::SocketIo(sockets) = &mut self.above
        {
            sockets.asks();
        }
        if let Above::SocketIo(sockets) = &mut self.above
            && self.engine.is_open()
        {
            sockets.timeout(&mut self.engine, now, out);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let above = match &self.above {
            Above::SocketIo(sockets) if self.engine.is_open() => sockets.deadline(),
            _ => None,
        };
        [self.engine.deadline(), above].into_iter().flatten().min()
    }
}
