//! A dialect that says aloud what the hub tells it, an app that takes a token for a name, and a site of both.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa::{Server, WebSocket};
use taiwa_core::{
    Action, Actions, Admission, Answer, App, Asked, Channel, Command, Connect, Conversation,
    Delivery, Dialect, Door, Event, Input, Knock, Line, Link, Message, Payload, Question, Refusal,
    RefusalKind, Reply, Subscribe, Target, Transport,
};
use taiwa_server::{
    Running, Site,
    api::{Api, Key, Limits},
    hub::{Namespace, Settings, settings::Rule},
    shard,
};

/// Everything here happens within this time.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const KEY: &str = "open-sesame";

/// A client at `/probe?user=NAME&channel=CHANNEL`. With `&scope=SCOPE` it has a second link, by which it hears `SCOPE:r`.
pub(crate) struct Probe;

impl Dialect for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn doors(&self) -> &[Door] {
        &[Door { path: "/probe", subprotocols: &[], transports: &[Transport::WebSocket] }]
    }

    fn open(&self, knock: &Knock<'_>, _: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        let channel = knock.query("channel").and_then(|it| Channel::parse(&it));
        let (user, scope) = (knock.query("user"), knock.query("scope"));
        Ok(Box::new(Talk { user, channel, scope, session: String::new() }))
    }
}

struct Talk {
    user: Option<String>,
    channel: Option<Channel>,
    scope: Option<String>,
    session: String,
}

impl Talk {
    fn say(&self, text: String, out: &mut Actions) {
        out.push(Action::Send(Line(0), Message::Text(text.into())));
    }
}

pub(crate) fn shown(payload: &Payload) -> String {
    match payload {
        Payload::Json(it) => format!("json {}", String::from_utf8_lossy(it)),
        Payload::Text(it) => format!("text {}", String::from_utf8_lossy(it)),
        Payload::Binary(it) => format!("binary {it:?}"),
        other => format!("{other:?}"),
    }
}

impl Talk {
    fn connect(&self, link: Link, scope: Option<&str>, out: &mut Actions) {
        let (token, scope) = (self.user.clone().map(Arc::from), scope.map(Into::into));
        let connect = Connect { token: token.map(Into::into), scope, ..Connect::default() };
        out.push(Action::Ask(0, Command::Connect(link, Box::new(connect))));
    }

    fn subscribe(&self, link: Link, channel: Channel, out: &mut Actions) {
        let wish = Subscribe::new(Target::Channel(channel), Delivery::Personal);
        out.push(Action::Ask(1, Command::Subscribe(link, Box::new(wish))));
    }
}

impl Conversation for Talk {
    fn receive(&mut self, input: Input, _: Instant, out: &mut Actions) {
        match input {
            Input::Joined(_) => self.connect(Link(0), None, out),
            Input::Left(_) => out.push(Action::End(1000, "".into())),
            _ => {}
        }
    }

    fn deliver(&mut self, event: Event, _: Instant, out: &mut Actions) {
        match event {
            Event::Reply(0, Ok(Reply::Connected(connected))) => {
                let is_first = self.session.is_empty();
                self.session = connected.session.to_string();
                match (self.channel.clone(), self.scope.clone()) {
                    (_, Some(scope)) if is_first => self.connect(Link(1), Some(&scope), out),
                    (_, Some(scope)) => {
                        let room = Channel::parse(&format!("{scope}:r")).expect("a channel");
                        self.subscribe(Link(1), room, out);
                    }
                    (None, None) => self.say(format!("hello {}", self.session), out),
                    (Some(channel), None) => self.subscribe(Link(0), channel, out),
                }
            }
            Event::Reply(1, Ok(_)) => self.say(format!("hello {}", self.session), out),
            Event::Reply(_, Err(refusal)) => self.say(format!("refused {}", refusal.text), out),
            Event::Said(_, _, it, _) => {
                let tags = it.tags.iter().map(|(key, value)| format!(" {key}={value}"));
                let (event, key) = (it.event.as_deref(), it.key.as_deref());
                let names = [("event", event), ("key", key)];
                let names = names.iter().filter_map(|(k, v)| Some(format!(" {k}={}", (*v)?)));
                let list = it.is_list.then(|| " list".to_owned());
                let more = names.chain(tags).chain(list).collect::<String>();
                self.say(format!("said {}{more} {}", it.channel, shown(&it.payload)), out);
            }
            Event::Told(link, event, said) => {
                let link = if link == Link(0) { String::new() } else { format!(" by {}", link.0) };
                let event = event.map(|it| format!(" event={it}")).unwrap_or_default();
                let list = if said.is_list { " list" } else { "" };
                self.say(format!("told{link}{event}{list} {}", shown(&said.payload)), out);
            }
            Event::Subscribed(_, channel, it) => {
                let data = it.data.as_ref().map(shown).unwrap_or_default();
                self.say(format!("subscribed {channel} {data}"), out);
            }
            Event::Unsubscribed(_, target, why) => {
                self.say(format!("unsubscribed {target:?} {why:?}"), out);
            }
            Event::Refreshed(_, it) => self.say(format!("refreshed {:?}", it.expires), out),
            Event::Call(id, _, method, with) => match &*method {
                "echo" => out.push(Action::Answer(id, Ok(with.payload))),
                "list" => {
                    let answer = Payload::Text(with.is_list.to_string().into());
                    out.push(Action::Answer(id, Ok(answer)));
                }
                "no" => {
                    let mut refusal = Refusal::new(RefusalKind::App, "not today");
                    refusal.code = Some(77);
                    refusal.details = Some("{\"until\":\"tomorrow\"}".into());
                    out.push(Action::Answer(id, Err(refusal)));
                }
                _ => {}
            },
            Event::Disconnect(taiwa_core::Disconnect::App { code, reason, .. }) => {
                out.push(Action::End(code, reason));
            }
            Event::Disconnect(why) => out.push(Action::End(4001, format!("{why:?}").into())),
            _ => {}
        }
    }

    fn timeout(&mut self, _: Instant, _: &mut Actions) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Lets everyone in whose token is a name.
struct Names;

impl App for Names {
    fn ask(&self, question: Question) -> Asked {
        Asked::Now(Ok(match question {
            Question::Connect { connect, .. } => Answer::Admission(Box::new(Admission {
                user: connect.token.map(|it| (*it).into()),
                info: Some("{\"seen\":true}".into()),
                meta: Some("{\"secret\":1}".into()),
                ..Admission::default()
            })),
            Question::Subscribe { .. } => Answer::Authorization(Box::default()),
            Question::Publish { publish, .. } => Answer::Publish(publish),
            _ => Answer::Noted,
        }))
    }
}

/// A site of two shards. Channels without `:` and those of `news` may do all; those of `bare` keep nothing, know
/// nobody and take a publication a second; all others are none.
pub(crate) fn site(limits: Limits) -> Running {
    let open = Arc::new(Namespace::open());
    let bare = Namespace {
        publish: Rule::All,
        subscribe: Rule::All,
        publications_per_second: 1,
        ..Namespace::default()
    };
    let namespaces = [("news".into(), open), ("bare".into(), Arc::new(bare))];
    let settings = Settings {
        namespaces: namespaces.into_iter().collect(),
        unknown_namespaces: None,
        ..Settings::open()
    };
    let keys = vec![
        Key::new("all", KEY).unwrap(),
        Key::new("reads", "key-of-reader").unwrap().commands(["history", "presence"]).unwrap(),
        Key::new("news", "key-of-news").unwrap().channels(["news:"]).unwrap(),
        Key::new("both", "key-of-both")
            .and_then(|it| it.channels(["news:"])?.commands(["publish", "tell", "channels"]))
            .unwrap(),
    ];
    let shards = shard::Settings { shards: 2.try_into().unwrap(), ..shard::Settings::default() };
    let site = Site::new(settings, Arc::new(Names)).dialect(Probe).shards(shards);
    site.api(Api::new(keys, limits)).start().unwrap()
}

/// A site that listens, and where.
pub(crate) async fn listening(site: &Running) -> String {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    tokio::spawn(site.serve(server, |_| async { None }).into_future());
    address
}

/// A client of it.
pub(crate) struct Client {
    pub(crate) socket: WebSocket,
    pub(crate) session: String,
}

impl Client {
    pub(crate) async fn connect(address: &str, query: &str) -> Self {
        let socket = taiwa::connect(&format!("ws://{address}/probe?{query}")).await.unwrap();
        let mut client = Self { socket, session: String::new() };
        let hello = client.hear().await;
        client.session = hello.strip_prefix("hello ").expect(&hello).to_owned();
        client
    }

    pub(crate) async fn hear(&mut self) -> String {
        let message = tokio::time::timeout(SOON, self.socket.recv()).await.expect("in time");
        match message.unwrap().expect("it is open") {
            taiwa::Message::Text(text) => text.to_string(),
            taiwa::Message::Binary(bytes) => panic!("{bytes:?}"),
        }
    }

    /// Returns the close code and reason.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        let end = tokio::time::timeout(SOON, self.socket.recv()).await.expect("in time");
        assert!(matches!(end, Ok(None)), "{end:?}");
        let closed = self.socket.closed().expect("it is closed");
        (closed.code.into(), closed.reason.to_string())
    }
}
