//! A dialect for tests: what its clients send says word for word what their conversations do, and each conversation tells
//! the test what it hears.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use taiwa_core::{
    Action, Actions, Addressee, Channel, Command, Connect, Conversation, Delivery, Dialect, Door,
    Encoding, Event, Exchange, Framing, Input, Knock, Line, Link, Message, Messages, Page, Payload,
    Polled, Publish, Refusal, RefusalKind, Reply, Request, Response, Resume, Said, Subscribe,
    Target, Transport, Unframed,
};
use tokio::sync::mpsc::UnboundedSender;

/// What stands between two orders of one message.
const NEXT: char = ';';

const DOORS: &[Door] = &[
    Door { path: "/ws", subprotocols: &["puppet"], transports: &[Transport::WebSocket] },
    Door { path: "/ws", subprotocols: &[], transports: &[Transport::WebSocket] },
    Door { path: "/wt", subprotocols: &[], transports: &[Transport::WebTransport] },
    Door { path: "/join", subprotocols: &[], transports: &[Transport::WebSocket] },
    Door {
        path: "/worded",
        subprotocols: &[],
        transports: &[Transport::WebSocket, Transport::Http],
    },
    Door { path: "/http", subprotocols: &[], transports: &[Transport::Http] },
    Door { path: "/http/*", subprotocols: &[], transports: &[Transport::Http] },
];

pub(crate) struct Puppets {
    name: &'static str,
    doors: Vec<Door>,
    opens_later: bool,
    tell: UnboundedSender<String>,
}

impl Puppets {
    pub(crate) fn new(tell: UnboundedSender<String>) -> Self {
        Self { name: "puppet", doors: DOORS.to_vec(), opens_later: false, tell }
    }

    /// Another dialect of the same kind, behind one door of its own.
    pub(crate) fn strangers(tell: UnboundedSender<String>) -> Self {
        let transports = &[Transport::Http];
        let door = Door { path: "/strangers", subprotocols: &[], transports };
        Self { name: "strangers", doors: vec![door], opens_later: false, tell }
    }

    /// One whose WebSockets open when their conversations say so.
    #[allow(dead_code, reason = "not all tests with puppets have it")]
    pub(crate) fn late(tell: UnboundedSender<String>) -> Self {
        let transports = &[Transport::WebSocket, Transport::WebTransport];
        let door = Door { path: "/late", subprotocols: &[], transports };
        Self { name: "late", doors: vec![door], opens_later: true, tell }
    }
}

impl Dialect for Puppets {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doors(&self) -> &[Door] {
        &self.doors
    }

    fn addressee(&self, request: &Request) -> Addressee {
        let value = |name: &str| request.query.split('&').find_map(|it| it.strip_prefix(name));
        match (value("to="), value("to_or_new=")) {
            (Some(address), _) => Addressee::Known(address.into()),
            (None, Some(address)) => Addressee::KnownOrNew(address.into()),
            _ if request.path.ends_with("/nobody") || value("nobody=").is_some() => {
                Addressee::Nobody(410, "nobody is here\n")
            }
            _ => Addressee::New,
        }
    }

    fn open(&self, knock: &Knock<'_>, _: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        if knock.query("forbidden").is_some() {
            return Err(Refusal::new(RefusalKind::Forbidden, "you may not"));
        }
        match &*knock.request.path {
            "/http/forbidden" => Err(Refusal::new(RefusalKind::Forbidden, "you may not")),
            "/http/rate" => {
                Err(Refusal::new(RefusalKind::Rate(Duration::from_secs(6)), "not so fast"))
            }
            _ => Ok(Box::new(Puppet {
                name: knock.query("name").unwrap_or_default(),
                first: knock.query("first").unwrap_or_default(),
                then: knock.query("then").unwrap_or_default(),
                address: knock.address.into(),
                tell: self.tell.clone(),
                deadline: None,
            })),
        }
    }

    fn opens_later(&self) -> bool {
        self.opens_later
    }

    fn framing(&self, request: &Request) -> Option<Box<dyn Framing>> {
        let datagrams = request.queries("datagrams").next().is_some();
        (!request.query.contains("formless")).then(|| Box::new(Headers { datagrams }) as _)
    }

    fn welcome(&self, knock: &Knock<'_>) -> Vec<(&'static str, String)> {
        let cookies = knock.queries("cookie").map(|it| ("set-cookie", it));
        cookies.chain([("x-broken", "a\nb".to_owned())]).collect()
    }

    fn turn_away(&self, request: &Request, why: &Refusal) -> Option<Response> {
        let body = format!("{:?}: {}", why.kind, why.text.trim_end()).into();
        let headers = vec![("content-type", "text/x-puppet".to_owned())];
        (&*request.path == "/worded").then_some(Response::Whole { status: 418, headers, body })
    }
}

/// Messages of a session: each behind its length, with the highest bit for binary. A datagram that begins with 0 is text, any
/// other one is binary as a whole, and with `datagrams` what is binary goes back as one.
struct Headers {
    datagrams: bool,
}

impl Framing for Headers {
    fn read(
        &self,
        arrived: &mut BytesMut,
        seen: usize,
        bytes_max: usize,
    ) -> Result<Option<Message>, Unframed> {
        assert!(seen < arrived.len(), "there is something new");
        let Some(header) = arrived.first_chunk() else { return Ok(None) };
        let header = u32::from_be_bytes(*header);
        let len = (header & 0x7fff_ffff) as usize;
        if len > bytes_max {
            return Err(Unframed::TOO_LONG);
        }
        if arrived.len() < 4 + len {
            return Ok(None);
        }
        arrived.advance(4);
        let payload = arrived.split_to(len).freeze();
        let is_text = header >> 31 == 0;
        Ok(Some(if is_text { Message::Text(payload) } else { Message::Binary(payload) }))
    }

    fn write(&self, message: &Message, out: &mut BytesMut) {
        let kind = u32::from(matches!(message, Message::Binary(_))) << 31;
        out.put_u32(kind | message.as_bytes().len() as u32);
        out.put_slice(message.as_bytes());
    }

    fn read_datagram(&self, datagram: Bytes) -> Option<Message> {
        match datagram.first()? {
            0 => Some(Message::Text(datagram.slice(1..))),
            _ => Some(Message::Binary(datagram)),
        }
    }

    fn datagram(&self, message: &Message) -> Option<Bytes> {
        match message {
            Message::Binary(bytes) if self.datagrams => Some(bytes.clone()),
            _ => None,
        }
    }
}

struct Puppet {
    name: String,
    /// What it does when its line is there, and when it rings or a line has ended.
    first: String,
    then: String,
    address: Box<str>,
    tell: UnboundedSender<String>,
    deadline: Option<Instant>,
}

/// What can be asked of the hub; the place of each is its token.
const ASKS: &[&str] = &[
    "connect", "keep", "hear", "listen", "leave", "say", "presence", "counts", "history", "call",
    "tell", "refresh", "go", "flash",
];

impl Puppet {
    fn tell(&self, what: &str) {
        // A test that has seen enough does not listen any more.
        let _ = self.tell.send(format!("{}: {what}", self.name));
    }

    fn obey(&mut self, orders: &str, exchange: Option<Exchange>, now: Instant, out: &mut Actions) {
        for order in orders.split(NEXT).map(str::trim).filter(|it| !it.is_empty()) {
            let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
            let done = self.act(verb, rest, exchange, now, out)
                || self.answer(verb, rest, exchange, out)
                || self.ask(verb, rest, out);
            assert!(done, "no puppet does {order:?}");
        }
    }

    fn act(
        &mut self,
        verb: &str,
        rest: &str,
        exchange: Option<Exchange>,
        now: Instant,
        out: &mut Actions,
    ) -> bool {
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let line = |text: &str| match text {
            "this" => exchange.expect("it came as a request").line(),
            number => Line(number.parse().expect("a line")),
        };
        out.push(match verb {
            "send" => Action::Send(line(first), text(second)),
            "fill" => {
                let len = second.parse().expect("a length");
                Action::Send(line(first), Message::Text("x".repeat(len).into()))
            }
            "garble" => Action::Send(line(first), Message::Text(Bytes::from_static(b"\xe5\xaf"))),
            "open" => Action::Open(line(first)),
            "utter" => Action::Say(Message::Text(rest.to_owned().into())),
            "flow" => Action::Flow((rest != "none").then(|| line(rest))),
            "close" => Action::Close(line(first), second.parse().expect("a code"), "closed".into()),
            "end" => Action::End(first.parse().expect("a code"), second.into()),
            "alarm" => {
                let after = Duration::from_millis(rest.parse().expect("milliseconds"));
                self.deadline = Some(now + after);
                return true;
            }
            "sleep" => {
                self.deadline = None;
                return true;
            }
            _ => return false,
        });
        true
    }

    fn answer(
        &mut self,
        verb: &str,
        rest: &str,
        exchange: Option<Exchange>,
        out: &mut Actions,
    ) -> bool {
        let (number, rest) = match verb {
            // Another one than the request that this stands in.
            "answer" => {
                let (number, rest) = rest.split_once(' ').expect("a number, then what");
                (Some(Exchange(number.parse().expect("an exchange"))), rest)
            }
            "reply" => (exchange, rest),
            "later" => return true,
            _ => return false,
        };
        let (how, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let headers = vec![("content-type", "text/x-puppet".to_owned())];
        let response = match how {
            "stream" => Response::Stream { headers },
            "poll" => {
                Response::Poll { headers: vec![], head: rest.to_owned().into(), write: piped }
            }
            "address" => {
                Response::Whole { status: 200, headers, body: self.address.to_string().into() }
            }
            status => Response::Whole {
                status: status.parse().expect("a status"),
                headers,
                body: rest.to_owned().into(),
            },
        };
        out.push(Action::Respond(number.expect("it came as a request"), response));
        true
    }

    fn ask(&mut self, verb: &str, rest: &str, out: &mut Actions) -> bool {
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(token) = ASKS.iter().position(|it| *it == verb) else { return false };
        let link = Link(0);
        let channel = || Channel::parse(first).expect("a channel");
        out.push(Action::Ask(
            token as u64,
            match verb {
                "connect" => {
                    let key = (!rest.is_empty()).then(|| rest.parse().expect("a key"));
                    let resume = key.map(|key| Resume { key, read: 0, positions: vec![] });
                    Command::Connect(link, Box::new(Connect { resume, ..Connect::default() }))
                }
                "keep" => Command::Keep(Duration::from_secs(60)),
                "hear" => subscribe(channel(), Delivery::Shared(&ENCODING)),
                "listen" => subscribe(channel(), Delivery::Personal),
                "leave" => Command::Unsubscribe(link, Target::Channel(channel())),
                "say" => {
                    let payload = Payload::Text(second.to_owned().into());
                    Command::Publish(link, Box::new(Publish::new(channel(), payload)))
                }
                "flash" => {
                    let payload = Payload::Text(second.to_owned().into());
                    let publish = Publish::new(channel(), payload);
                    Command::Publish(link, Box::new(Publish { volatile: true, ..publish }))
                }
                "presence" => Command::Presence(link, channel()),
                "counts" => Command::Counts(link, channel()),
                "history" => {
                    Command::History(link, channel(), Page { limit: 10, ..Page::default() })
                }
                "call" => {
                    Command::Call(link, first.into(), Payload::Text(second.to_owned().into()))
                }
                "tell" => Command::Tell(link, Payload::Text(rest.to_owned().into())),
                "refresh" => Command::Refresh(link, rest.into()),
                _ => Command::Leave(link),
            },
        ));
        true
    }
}

impl Conversation for Puppet {
    fn receive(&mut self, input: Input, now: Instant, out: &mut Actions) {
        match input {
            Input::Joined(line) => {
                self.tell(&format!("joined {}", line.0));
                let orders = std::mem::take(&mut self.first);
                self.obey(&orders, None, now, out);
            }
            Input::Answered(line) => self.tell(&format!("answered {}", line.0)),
            Input::Left(line) => {
                self.tell(&format!("left {}", line.0));
                let orders = std::mem::take(&mut self.then);
                self.obey(&orders, None, now, out);
            }
            Input::Message(line, Message::Binary(bytes)) => {
                // An echo, for floods.
                out.push(Action::Send(line, Message::Binary(bytes)));
            }
            Input::Message(_, Message::Text(bytes)) => {
                let orders = String::from_utf8(bytes.into()).expect("a text");
                self.obey(&orders, None, now, out);
            }
            Input::Request(exchange, request) => {
                self.tell(&format!("asked {} {}", exchange.0, request.method));
                let orders = String::from_utf8(request.body.into()).expect("a text");
                self.obey(&orders, Some(exchange), now, out);
            }
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&mut self, event: Event, _: Instant, out: &mut Actions) {
        let shown = match event {
            Event::Reply(token, Ok(reply)) => {
                format!("{}: {}", ASKS[token as usize], shown(&reply))
            }
            Event::Reply(token, Err(refusal)) => {
                format!("{}: refused {:?}", ASKS[token as usize], refusal.kind)
            }
            Event::Said(_, _, it, _) => {
                let said = text_of(&it.payload);
                out.push(Action::Send(Line(0), text(&format!("own: {said}"))));
                format!("said {said}")
            }
            Event::Told(_, _, said) => {
                let list = if said.is_list { "list " } else { "" };
                format!("told {list}{}", text_of(&said.payload))
            }
            Event::Call(id, _, method, with) => {
                out.push(Action::Answer(id, Ok(with.payload)));
                format!("called {method}")
            }
            Event::Disconnect(why) => {
                out.push(Action::Send(Line(0), text(&format!("bye {why:?}"))));
                out.push(Action::End(4001, "bye".into()));
                format!("sent away {why:?}")
            }
            other => format!("{other:?}"),
        };
        self.tell(&shown);
    }

    fn timeout(&mut self, now: Instant, out: &mut Actions) {
        self.deadline = None;
        self.tell("rang");
        let orders = std::mem::take(&mut self.then);
        self.obey(&orders, None, now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Writes what is said to all.
static ENCODING: Encoding = Encoding {
    name: "puppet",
    encode: |said| match said {
        Said::Publication(it) => text(&format!("all: {}", text_of(&it.payload))).into(),
        _ => Messages::None,
    },
};

/// Answers a poll.
fn piped(said: &[Message]) -> Polled {
    let body = said.iter().map(|it| &it.as_bytes()[..]).collect::<Vec<_>>().join(&b'|').into();
    Polled { content_type: "text/x-puppet", body }
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned().into())
}

fn text_of(payload: &Payload) -> String {
    match payload {
        Payload::Text(bytes) | Payload::Json(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

fn subscribe(channel: Channel, delivery: Delivery) -> Command {
    Command::Subscribe(Link(0), Box::new(Subscribe::new(Target::Channel(channel), delivery)))
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".into(),
        Reply::Connected(it) => match it.resumed {
            Some(resumed) => format!("connected {resumed:?}"),
            None => "connected".into(),
        },
        Reply::Subscribed(_) => "subscribed".into(),
        Reply::Kept(key) => format!("kept {key}"),
        Reply::Published(_) => "published".into(),
        Reply::Presence(members) => format!("presence {}", members.len()),
        Reply::Counts { sessions, users } => format!("counts {sessions} {users}"),
        Reply::History(it) => format!("history {}", it.publications.len()),
        Reply::Answer(payload) => format!("answer {}", text_of(payload)),
        other => format!("{other:?}"),
    }
}
