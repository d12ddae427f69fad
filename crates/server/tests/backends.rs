//! The example programs behind webhooks, in Python and JavaScript, asked as a server asks them.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use taiwa_core::{
    Admission, Answer, App, Asked, Channel, Client, Connect, Disconnect, Payload, Publish,
    Question, Refusal, RefusalKind, SessionId, User,
};
use taiwa_server::{
    apps::{
        Deciders, DecidersSettings,
        webhooks::{Kind, SigningSecret, WebhookSettings, WebhookUrls},
    },
    outgoing::{Outgoing, OutgoingLimits, Trust},
};

const LONG: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A program of its own, which ends with the test.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
    url: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it on a port that it chooses itself; `None`, and a line that says so, if the machine can't run it.
    fn start(with: &str, path: &str) -> Option<Self> {
        let there = Command::new(with).arg("--version").stdout(Stdio::null()).status();
        if !there.is_ok_and(|it| it.success()) {
            eprintln!("skipped: there is no {with} to run examples/backends/{path}");
            return None;
        }
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/backends/");
        let mut child = Command::new(with)
            .arg(format!("{root}{path}"))
            .arg("0")
            .env("WEBHOOK_SECRET", SECRET)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("its output is ours");
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            // It ends when the program does.
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|it| tell.send(it))
        });
        let mut program = Self { child, lines, url: String::new() };
        let first = program.line();
        program.url = first.strip_prefix("listening on ").expect("where it listens").to_owned();
        Some(program)
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LONG).expect("it says something in time")
    }

    fn deciders(&self, secrets: &[&str]) -> Deciders {
        let secrets = secrets.iter().map(|it| SigningSecret::parse(it).unwrap()).collect();
        let urls = WebhookUrls::all(&self.url);
        let settings = DecidersSettings {
            webhooks: WebhookSettings { urls, secrets, ..WebhookSettings::default() },
            ..DecidersSettings::default()
        };
        let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
        Deciders::new(settings, &outgoing).unwrap()
    }
}

fn client(user: Option<&str>) -> Arc<Client> {
    Arc::new(Client {
        session: SessionId(7),
        user: user.map(User::from),
        about: None,
        address: None,
        dialect: "plain",
    })
}

async fn ask(app: &Deciders, question: Question) -> Result<Answer, Refusal> {
    match app.ask(question) {
        Asked::Now(answer) => answer,
        Asked::Later(later) => tokio::time::timeout(LONG, later).await.expect("an answer in time"),
    }
}

async fn connect(app: &Deciders, token: &str) -> Result<Answer, Refusal> {
    let connect = Connect { token: Some(token.into()), ..Connect::default() };
    ask(app, Question::Connect { who: client(None), connect: Box::new(connect) }).await
}

async fn kind_of_no(app: &Deciders, question: Question) -> RefusalKind {
    ask(app, question).await.unwrap_err().kind
}

fn call(method: &str, json: &'static str) -> Question {
    let payload = Payload::Json(json.into());
    Question::Call { who: client(Some("ada")), method: method.into(), payload }
}

fn publish(payload: Payload) -> Question {
    let publish = Publish::new(Channel::parse("news:sport").unwrap(), payload);
    Question::Publish { who: client(Some("ada")), publish: Box::new(publish) }
}

fn json(payload: &Payload) -> serde_json::Value {
    match payload {
        Payload::Json(json) => serde_json::from_slice(json).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn check(program: &Program) {
    let app = program.deciders(&[SECRET]);
    let Ok(Answer::Admission(it)) = connect(&app, "ada's token").await else { panic!("ada") };
    let Admission { user, info, channels, expires, .. } = *it;
    assert_eq!((user, expires), (Some(User::from("ada")), Some(Duration::from_secs(3600))));
    assert_eq!(json(&Payload::Json(info.unwrap())), serde_json::json!({ "name": "Ada" }));
    assert_eq!(channels[0].0.as_str(), "news:ada");
    let nobody = connect(&app, "no token").await.unwrap_err();
    assert_eq!((nobody.kind, &*nobody.text), (RefusalKind::Unauthorized, "who are you?"));
    let Ok(Answer::Disconnect(why)) = connect(&app, "bob's token").await else { panic!("bob") };
    let banned = Disconnect::App { code: 4001, reason: "bob is banned".into(), may_return: false };
    assert_eq!(why, banned);

    let refresh = Question::Refresh { who: client(Some("ada")), token: None };
    assert!(matches!(ask(&app, refresh).await, Ok(Answer::Admission(it)) if it.user.is_some()));

    let subscribe = |user| Question::Subscribe {
        who: client(Some(user)),
        channel: Channel::parse("secret:対話").unwrap(),
        token: None,
        data: None,
    };
    assert!(matches!(ask(&app, subscribe("ada")).await, Ok(Answer::Authorization(_))));
    assert_eq!(kind_of_no(&app, subscribe("bob")).await, RefusalKind::Forbidden);

    let said = ask(&app, publish(Payload::Json(r#"{"text":"対話 \u0000"}"#.into()))).await;
    let Ok(Answer::Publish(said)) = said else { panic!("{said:?}") };
    assert_eq!(json(&said.payload), serde_json::json!({ "text": "対話 \u{0}", "by": "ada" }));
    for as_it_is in [Payload::Text("対話".into()), Payload::Binary(vec![0, 0xff].into())] {
        let said = ask(&app, publish(as_it_is.clone())).await;
        assert!(matches!(said, Ok(Answer::Publish(it)) if it.payload == as_it_is));
    }
    for other in ["[1]", "null", "\"hi\""] {
        let refusal = ask(&app, publish(Payload::Json(other.into()))).await.unwrap_err();
        assert_eq!((refusal.kind, refusal.code), (RefusalKind::App, Some(1000)), "{other}");
    }

    let Ok(Answer::Payload(sum)) = ask(&app, call("add", "[1, 2, 3.5]")).await else { panic!() };
    assert_eq!(json(&sum), 6.5);
    assert_eq!(kind_of_no(&app, call("sub", "[]")).await, RefusalKind::NotFound);
    // A fault of the program is no fault of the server.
    assert_eq!(kind_of_no(&app, call("add", "7")).await, RefusalKind::Unavailable);
    assert!(ask(&app, call("add", "[]")).await.is_ok(), "and it goes on");
    check_events(program, &app).await;

    let rotating = program.deciders(&["the secret that comes after this one", SECRET]);
    assert!(ask(&rotating, call("add", "[]")).await.is_ok(), "one of two fits");
    for secrets in [&["another secret, which is wrong"][..], &[]] {
        let other = program.deciders(secrets);
        assert_eq!(kind_of_no(&other, call("add", "[]")).await, RefusalKind::Unavailable);
        assert_eq!(other.webhooks().counts(Kind::Call).failed, 1);
    }
}

async fn check_events(program: &Program, app: &Deciders) {
    let channel = Channel::parse("news:sport").unwrap();
    let who = client(Some("ada"));
    for event in [
        Question::Tell { who: who.clone(), payload: Payload::Text("hi".into()) },
        Question::Disconnected { who, why: Some(Disconnect::Slow) },
        Question::Occupied(channel.clone()),
        Question::Vacated(channel),
    ] {
        assert!(matches!(ask(app, event).await, Ok(Answer::Noted)));
    }
    assert_eq!(app.drained(LONG).await, 0);
    for (kind, part) in [
        ("tell", r#""text""#),
        ("disconnect", r#""slow""#),
        ("occupied", "news:sport"),
        ("vacated", "news:sport"),
    ] {
        let line = program.line();
        assert!(line.starts_with(kind) && line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn the_example_in_python_decides_and_knows_who_asks() {
    if let Some(program) = Program::start("python3", "python/app.py") {
        check(&program).await;
    }
}

#[tokio::test]
async fn the_example_in_javascript_decides_and_knows_who_asks() {
    if let Some(program) = Program::start("node", "node/app.mjs") {
        check(&program).await;
    }
}
