//! Scenes of a dialect made for them, as they should be and as they should not.

use std::time::{Duration, Instant};

use super::{play, shake};
use crate::{
    Action, Actions, Addressee, Channel, Command, Conversation, Delivery, Dialect, Disconnect,
    Door, Encoding, Event, Exchange, Input, Knock, Line, Link, Message, Messages, Payload, Polled,
    Publish, Refusal, RefusalKind, Reply, Request, Response, Said, Subscribe, Target, Transport,
};

/// Speaks to one channel, `a`; comes by WebSocket, or polls.
struct Small;

struct Talk {
    silent_until: Option<Instant>,
}

static ENCODING: Encoding = Encoding {
    name: "small",
    encode: |said| match said {
        Said::Publication(it) => match &it.payload {
            Payload::Text(bytes) => Message::Text(bytes.clone()).into(),
            Payload::Binary(bytes) => Message::Binary(bytes.clone()).into(),
            _ => Messages::None,
        },
        Said::Joined(it) => {
            let who = it.member.client.user.as_ref().map_or("?", |it| it.as_str());
            Message::Text(format!("{who} is in {}\r\n", it.channel).into()).into()
        }
        _ => Messages::None,
    },
};

fn joined(said: &[Message]) -> Polled {
    let body = said.iter().map(|it| &it.as_bytes()[..]).collect::<Vec<_>>().join(&0x1e).into();
    Polled { content_type: "text/plain", body }
}

impl Dialect for Small {
    fn name(&self) -> &'static str {
        "small"
    }

    fn doors(&self) -> &[Door] {
        &[
            Door { path: "/s/*", subprotocols: &["small"], transports: &[Transport::WebSocket] },
            Door { path: "/poll", subprotocols: &[], transports: &[Transport::Http] },
        ]
    }

    fn addressee(&self, request: &Request) -> Addressee {
        match &*request.query {
            "" => Addressee::New,
            "gone" => Addressee::Nobody(410, "too late"),
            known => Addressee::Known(known.into()),
        }
    }

    fn open(&self, knock: &Knock<'_>, now: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        if &*knock.request.path == "/s/no" {
            return Err(Refusal::new(RefusalKind::Forbidden, "not here"));
        }
        Ok(Box::new(Talk { silent_until: Some(now + Duration::from_secs(25)) }))
    }
}

impl Conversation for Talk {
    fn receive(&mut self, input: Input, _: Instant, out: &mut Actions) {
        let channel = Channel::parse("a").unwrap();
        match input {
            Input::Joined(_) => {
                let target = Target::Channel(channel);
                let wish = Subscribe::new(target, Delivery::Shared(&ENCODING));
                out.push(Action::Ask(1, Command::Subscribe(Link(0), Box::new(wish))));
            }
            Input::Message(line, Message::Text(text)) if text == "twice" => {
                out.push(Action::End(1000, "".into()));
                out.push(Action::Send(line, Message::Text(text)));
            }
            Input::Message(_, Message::Text(text)) => {
                let wish = Publish::new(channel, Payload::Text(text));
                out.push(Action::Ask(2, Command::Publish(Link(0), Box::new(wish))));
            }
            Input::Message(line, it) if it.as_bytes() == "close" => {
                out.push(Action::Close(line, 1000, "".into()));
                out.push(Action::Send(line, it));
            }
            Input::Message(_, it) if it.as_bytes() == "say" => out.push(Action::Say(it)),
            Input::Message(line, it) => out.push(Action::Send(line, it)),
            Input::Request(Exchange(0), _) => {
                let headers = vec![("x", "y".to_owned())];
                let response = Response::Poll { headers, head: bytes::Bytes::new(), write: joined };
                out.push(Action::Respond(Exchange(0), response));
            }
            Input::Request(exchange, it) => {
                let whole = Response::Whole { status: 200, headers: vec![], body: it.body };
                out.push(Action::Respond(exchange, whole));
                out.push(Action::Send(Line(0), Message::Text("polled".into())));
            }
            Input::Answered(line) => {
                out.push(Action::Say(Message::Text("it waits".into())));
                out.push(Action::Ask(u64::from(line.0), Command::Read(7)));
            }
            Input::Left(_) => out.push(Action::End(1000, "nobody is left".into())),
        }
    }

    fn deliver(&mut self, event: Event, _: Instant, out: &mut Actions) {
        match event {
            Event::Reply(1, Ok(Reply::Subscribed(it))) => {
                let text = format!("{:?} {:?}", it.position, it.recovered);
                out.push(Action::Send(Line(0), Message::Text(text.into())));
            }
            Event::Disconnect(Disconnect::App { code, reason, .. }) => {
                out.push(Action::End(code, reason));
            }
            _ => {}
        }
    }

    fn timeout(&mut self, _: Instant, out: &mut Actions) {
        self.silent_until = None;
        out.push(Action::Send(Line(0), Message::Text("?".into())));
    }

    fn deadline(&self) -> Option<Instant> {
        self.silent_until
    }
}

const COMES: &str =
    ">: WS /s/x\n>| Sec-WebSocket-Protocol: big, small\n? 1 subscribe a via=small\n";

#[track_caller]
fn check(scene: &str, fault: &str) {
    let outcome = play(&Small, &format!("{COMES}{scene}"), Instant::now());
    let text = outcome.err().unwrap_or_default();
    assert!(text.contains(fault) && (text.is_empty() == fault.is_empty()), "{text}");
}

#[test]
fn a_scene_as_it_is_played_passes() {
    check(
        "! 1 subscribed position=7:3 recoverable\n\
         < Some(Position { epoch: 7, offset: 3 }) NotAsked\n\
         > hello\n>|   world\n? 2 publish a text* hello\\n  world\n\
         ! 2 published position=7:4 delivered=3\n\
         ! said a position=7:4 user=ada text hello\n< hello\n\
         ! said a json {}\n\
         # what the mark says counts, not how it is written\n\
         ! said a binary 00ff41\n<b \\x00\\xffA\n\
         ! joined a user=ada\n<* ada is in a\\r\\n\n\
         @ +24s\n@ +1s\n< ?\n@ +1h\n\
         >x 68 69\n<b hi\n>b say\n<b say\n\
         ! disconnect App code=4000 \"go\\n\"\n<: end 4000 \"go\\n\"\n\n\
         = One whose line is closed and then ends\n>: WS /s/x\n>| sec-websocket-protocol: small\n\
         ? 1 subscribe a via=small\n>b close\n<: close 1000 \"\"\n>: left\n<: end 1000 \"nobody is left\"\n\
         = Another client\n>: WS /s/no\n>| sec-websocket-protocol: small\n\
         <: refused Forbidden \"not here\"\n\
         >: WS /s/x\n<: no door\n>: GET /s/x\n<: no door\n>: GET /poll?gone\n<: 410 \"too late\"\n\
         >: GET /poll\n<: poll text/plain\n<| x: y\n\
         >: POST /poll?nobody\n<: nobody\n\
         >: POST /poll?address-of-the-scene\n>| a: b\n>|\n>| the body\n>| of it\n\
         <1: 200\n<|\n<| the body\n<| of it\n< polled\n? 0 read 7\n<: end 1000 \"nobody is left\"\n",
        "",
    );
}

#[test]
fn a_scene_that_differs_is_told_with_its_line() {
    check("> a\n? 2 publish b text a\n", "line 5: this differs\n  wanted ? 2 publish b text a\n");
    check("> a\n", "line 4: more came of it\n  wanted nothing more\n     got ? 2 publish a text a");
    check("! disconnect Done\n< a\n", "line 5: this differs\n  wanted < a\n     got nothing more");
    check("@ +20s\n< ?\n", "line 5");
    check(">b a\n<x 62\n", "got <b a");
}

#[test]
fn what_no_dialect_may_do_is_told() {
    check("> twice\n<: end 1000 \"\"\n", "behind its end it wants Send");
    check("! disconnect App code=999 \"x\"\n", "no Close frame holds code 999");
}

#[test]
fn a_scene_that_makes_no_sense_is_told() {
    for (scene, fault) in [
        ("! 3 done\n", "nothing was asked"),
        ("! 1 nothing\n", "is no reply"),
        ("! 1 published x\n", "means nothing here"),
        ("! said b text x\n", "not subscribed to b"),
        ("! said a text x\n", "not subscribed to a"),
        ("hello\n", "no line begins with 'h'"),
        (">{\n", "behind the mark means nothing"),
        (">1 a\n", "no such line"),
        ("= title\n< a\n", "nothing went in"),
        ("@ 5s\n", "+25s"),
        (">: WS /s/x\n", "is in already"),
    ] {
        check(scene, fault);
    }
    assert!(play(&Small, "# nothing\n", Instant::now()).is_err());
}

#[test]
fn shaking_finds_what_no_dialect_may_do() {
    let scene = format!("{COMES}! 1 subscribed\n> hello\n> twice\n@ +1s\n");
    let shaken = |scene: &str| {
        (0..100).filter_map(|seed| shake(&Small, scene, seed, Instant::now()).err()).next()
    };
    let fault = shaken(&scene).expect("the message that is a trap comes at some time");
    assert!(fault.contains("behind its end it wants Send") && fault.contains("\n> "), "{fault}");
    assert_eq!(shaken(&format!("{COMES}! 1 subscribed\n@ +1s\n>x 00\n")), None);
    assert!(shaken("@ +1s\n").is_some_and(|it| it.contains("no client comes in")));
}
