//! Closures of every kind, at once and later, and those that fail.

use std::sync::Mutex;

use taiwa_core::{SessionId, User};
use tokio::sync::mpsc;

use super::{
    super::{
        example_client,
        tests::{answer, at_once},
    },
    *,
};

fn channel() -> Channel {
    Channel::parse("news").unwrap()
}

fn connect() -> Question {
    Question::Connect { who: example_client(), connect: Box::default() }
}

fn call(method: &str, json: &'static str) -> Question {
    let payload = Payload::Json(json.into());
    Question::Call { who: example_client(), method: method.into(), payload }
}

fn no(text: &str) -> Refusal {
    Refusal::new(RefusalKind::App, text)
}

#[test]
fn links_of_a_scope_have_closures_of_their_own() {
    let named = |name: &'static str| {
        move |_, _| Ok(Admission { user: Some(User::from(name)), ..Admission::default() })
    };
    let chat = Closures::new()
        .on_connect(named("chatter"))
        .on_call("where", |_, _| Ok(Payload::Text("chat".into())));
    let shut = Closures::new().otherwise(Closures::new().on_connect(|_, _| Err(no("shut"))));
    let app = Closures::new()
        .on_connect(named("anyone"))
        .on_call("where", |_, _| Ok(Payload::Text("outside".into())))
        .on_call("echo", |_, payload| Ok(payload))
        .of("/chat", chat)
        .of("/shut", shut);
    let who = |scope: &str| {
        let scope = (!scope.is_empty()).then(|| scope.into());
        let about = taiwa_core::About::in_scope(None, scope);
        Arc::new(Client { about, ..Client::clone(&example_client()) })
    };
    for (scope, user) in [("", "anyone"), ("/chat", "chatter"), ("/other", "anyone")] {
        let question = Question::Connect { who: who(scope), connect: Box::default() };
        let Ok(Answer::Admission(it)) = at_once(&app, question) else { panic!("{scope}") };
        assert_eq!(it.user, Some(User::from(user)), "{scope}");
    }
    let question = Question::Connect { who: who("/shut"), connect: Box::default() };
    assert_eq!(&*at_once(&app, question).unwrap_err().text, "shut");
    let call = |scope: &str, method: &str| {
        let payload = Payload::null();
        Question::Call { who: who(scope), method: method.into(), payload }
    };
    for (scope, method, expected) in
        [("", "where", "outside"), ("/chat", "where", "chat"), ("/chat", "echo", "null")]
    {
        let Ok(Answer::Payload(Payload::Text(it) | Payload::Json(it))) =
            at_once(&app, call(scope, method))
        else {
            panic!("{scope} {method}")
        };
        assert_eq!(it, expected, "{scope} {method}");
    }
    // Its own otherwise is asked, not the outer closures.
    assert!(at_once(&app, call("/shut", "echo")).is_err());
}

#[tokio::test]
async fn each_question_finds_its_closure_at_once_or_later() {
    let user = |name: &str| Admission { user: Some(User::from(name)), ..Admission::default() };
    let at_once_app = Closures::new()
        .on_connect(move |_, _| Ok(user("ada")))
        .on_refresh(|client, _| Ok(Admission { user: client.user.clone(), ..Admission::default() }))
        .on_subscribe(|_, wish: Subscribing| match wish.channel.as_str() {
            "news" => Ok(Authorization { join_leave: Some(true), ..Authorization::default() }),
            _ => Err(no("not this one")),
        })
        .on_publish(|_, publish| Ok(Publish { receipt: true, ..publish }))
        .on_call("echo", |_, payload| Ok(payload));
    let later_app = Closures::new()
        .on_connect(move |_, connect| async move {
            tokio::task::yield_now().await;
            assert!(connect.token.is_none());
            Ok(user("ada"))
        })
        .on_refresh(|client, _| async move {
            Ok(Admission { user: client.user.clone(), ..Admission::default() })
        })
        .on_subscribe(|_, wish| async move {
            if wish.channel.as_str() != "news" {
                return Err(no("not this one"));
            }
            Ok(Authorization { join_leave: Some(true), ..Authorization::default() })
        })
        .on_publish(|_, publish| async move { Ok(Publish { receipt: true, ..publish }) })
        .on_call("echo", |_, payload| async move { Ok(payload) });
    for (app, later) in [(at_once_app, false), (later_app, true)] {
        let who = example_client;
        let subscribe =
            |channel| Question::Subscribe { who: who(), channel, token: None, data: None };
        assert_eq!(matches!(app.ask(connect()), Asked::Later(_)), later);
        let came = answer(&app, connect()).await;
        assert!(matches!(came, Ok(Answer::Admission(it)) if it.user == Some(User::from("ada"))));
        let stays = answer(&app, Question::Refresh { who: who(), token: None }).await;
        assert!(matches!(stays, Ok(Answer::Admission(it)) if it.user.is_none()));
        let hears = answer(&app, subscribe(channel())).await;
        assert!(matches!(hears, Ok(Answer::Authorization(it)) if it.join_leave == Some(true)));
        let other = answer(&app, subscribe(Channel::parse("x").unwrap())).await;
        assert_eq!(&*other.unwrap_err().text, "not this one");
        let publish = Box::new(Publish::new(channel(), Payload::null()));
        let says = answer(&app, Question::Publish { who: who(), publish }).await;
        assert!(matches!(says, Ok(Answer::Publish(it)) if it.receipt));
        let echo = answer(&app, call("echo", "[1]")).await;
        assert!(matches!(echo, Ok(Answer::Payload(it)) if it == Payload::Json("[1]".into())));
        let unknown = answer(&app, call("other", "[1]")).await.unwrap_err();
        assert_eq!(unknown.kind, RefusalKind::NotFound);
    }
}

#[tokio::test]
async fn what_is_told_is_heard_at_once_or_later() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (a, b, c, d) = (tell.clone(), tell.clone(), tell.clone(), tell);
    let app = Closures::new()
        .on_tell(move |client, payload| a.send(format!("{} {payload:?}", client.session)).unwrap())
        .on_disconnect(move |_, why| {
            let b = b.clone();
            async move { b.send(format!("{why:?}")).unwrap() }
        })
        .on_occupied(move |channel| c.send(format!("{channel} begins")).unwrap())
        .on_vacated(move |channel| {
            let d = d.clone();
            async move { d.send(format!("{channel} ends")).unwrap() }
        });
    for (question, expected) in [
        (
            Question::Tell { who: example_client(), payload: Payload::null() },
            format!("{} {:?}", SessionId(1), Payload::null()),
        ),
        (
            Question::Disconnected { who: example_client(), why: Some(Disconnect::Slow) },
            "Some(Slow)".into(),
        ),
        (Question::Occupied(channel()), "news begins".into()),
        (Question::Vacated(channel()), "news ends".into()),
    ] {
        assert!(matches!(answer(&app, question).await, Ok(Answer::Noted)));
        assert_eq!(told.try_recv().unwrap(), expected);
    }
}

#[tokio::test]
async fn typed_calls_take_and_give_json() {
    let app = Closures::new()
        .on_call_json("add", |_, (a, b): (i64, i64)| async move { Ok(a + b) })
        .on_call_json("half", |_, whole: u32| match whole % 2 {
            0 => Ok(whole / 2),
            _ => Err(no("odd")),
        });
    let said = answer(&app, call("add", "[1, 2]")).await;
    assert!(matches!(said, Ok(Answer::Payload(it)) if it == Payload::Json("3".into())));
    let said = at_once(&app, call("half", "8"));
    assert!(matches!(said, Ok(Answer::Payload(it)) if it == Payload::Json("4".into())));
    assert_eq!(&*at_once(&app, call("half", "7")).unwrap_err().text, "odd");
    for json in ["[1]", "{}", "nonsense"] {
        assert_eq!(at_once(&app, call("add", json)).unwrap_err().kind, RefusalKind::BadRequest);
    }
    let binary = Payload::Binary("7".into());
    let question = Question::Call { who: example_client(), method: "half".into(), payload: binary };
    assert_eq!(at_once(&app, question).unwrap_err().kind, RefusalKind::BadRequest);
}

#[tokio::test]
async fn a_closure_that_panics_is_a_refusal() {
    fn give_up<T>() -> T {
        panic!("a bug of the app")
    }
    let app = Closures::new().on_connect(|_, _| give_up::<Result<Admission, Refusal>>()).on_call(
        "later",
        |_, _| async move {
            tokio::task::yield_now().await;
            give_up::<Result<Payload, Refusal>>()
        },
    );
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (now, later) = (at_once(&app, connect()), answer(&app, call("later", "1")).await);
    std::panic::set_hook(hook);
    for answer in [now, later] {
        let refusal = answer.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Unavailable);
        assert!(!refusal.text.contains("bug"), "inside details stay inside");
    }
}

#[test]
fn what_no_closure_decides_is_asked_of_another_app() {
    struct Echo(Mutex<Vec<String>>);
    impl App for Echo {
        fn ask(&self, question: Question) -> Asked {
            let text = format!("{question:?}");
            self.0.lock().unwrap().push(text.split([' ', '(']).next().unwrap().to_owned());
            Asked::Now(Ok(Answer::Noted))
        }
    }
    let echo = Arc::new(Echo(Mutex::default()));
    struct Shared(Arc<Echo>);
    impl App for Shared {
        fn ask(&self, question: Question) -> Asked {
            self.0.ask(question)
        }
    }
    let app = Closures::new().otherwise(Shared(echo.clone()));
    let who = example_client;
    let publish = Box::new(Publish::new(channel(), Payload::null()));
    for question in [
        connect(),
        Question::Refresh { who: who(), token: None },
        Question::Subscribe { who: who(), channel: channel(), token: None, data: None },
        Question::Publish { who: who(), publish },
        call("x", "1"),
        Question::Tell { who: who(), payload: Payload::null() },
        Question::Disconnected { who: who(), why: None },
        Question::Occupied(channel()),
        Question::Vacated(channel()),
    ] {
        assert!(matches!(at_once(&app, question), Ok(Answer::Noted)));
    }
    assert_eq!(
        *echo.0.lock().unwrap(),
        [
            "Connect",
            "Refresh",
            "Subscribe",
            "Publish",
            "Call",
            "Tell",
            "Disconnected",
            "Occupied",
            "Vacated"
        ]
    );
}

#[test]
fn rights_that_outlast_every_clock_do_not_end() {
    let forever = || Admission { expires: Some(std::time::Duration::MAX), ..Admission::default() };
    let app = Closures::new().on_connect(move |_, _| Ok(forever()));
    assert!(matches!(at_once(&app, connect()), Ok(Answer::Admission(it)) if it.expires.is_none()));
}
