//! Conversations over HTTP: whole answers, streams and polls; moves between them and WebSockets; what gets lost and what
//! does not.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use taiwa_server::HostLimits;

use super::{Stage, Terms, closed, read, said, soon};

#[tokio::test]
async fn a_request_is_answered_at_once_or_by_a_later_one() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.post("/http?name=p", "reply 202 taken").await, (202, "taken".into()));
    // It has no line, waits for none and has no time to wake at: it is over.
    stage.is_empty().await;
    let address = stage.open("p", "").await;
    let target = format!("/http?to={address}");
    let waiting = stage.ask(stage.request(Method::PUT, &target, "later"));
    let (waiting, ()) = tokio::join!(waiting, async {
        assert_eq!(
            stage.post(&target, "answer 1 201 at last; reply 200 ok").await,
            (200, "ok".into())
        );
    });
    assert_eq!(waiting.headers()["content-type"], "text/x-puppet");
    assert_eq!(waiting.headers()["cache-control"], "no-store");
    assert_eq!(read(waiting).await, (201, "at last".into()));
    stage.hears("p: asked 1 PUT").await;
    // What waits when the conversation ends is told so.
    let waiting = stage.post(&target, "later");
    let (waiting, ended) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.post(&target, "reply 200 bye; end 1000 done").await
    });
    assert_eq!((waiting.0, ended), (503, (200, "bye".into())));
    assert_eq!(stage.post(&target, "reply 200").await.0, 404);
}

#[tokio::test]
async fn a_stream_goes_on_until_it_is_closed_and_its_end_is_told() {
    let mut stage = Stage::new().await;
    let address = stage.open("p", "connect; hear news").await;
    let target = format!("/http?to={address}");
    stage.hears("p: hear: subscribed").await;
    let orders = "reply stream; send this hello; flow this";
    let mut stream = stage.ask(stage.request(Method::GET, &target, orders)).await;
    let mut piece = async || {
        let frame = soon(stream.frame()).await?.expect("a piece").into_data().expect("bytes");
        Some(String::from_utf8(frame.into()).expect("a text"))
    };
    assert_eq!(piece().await.as_deref(), Some("hello"));
    stage.post(&target, "say news first; reply 204").await;
    assert_eq!(piece().await.as_deref(), Some("all: first"));
    stage.post(&target, "send 1 last; close 1 1000; send 1 too late; reply 204").await;
    assert_eq!(piece().await.as_deref(), Some("last"));
    assert_eq!(piece().await, None);
    stage.hears("p: left 1").await;
    // What is said now waits for the next line.
    stage.post(&target, "say news second; reply 204").await;
    stage.hears("p: say: published").await;
    stage.hears("p: say: published").await;
    let poll = stage.post(&target, "reply poll; flow this").await;
    assert_eq!(poll, (200, "all: second".into()));
    stage.post(&target, "reply 204; end 1000 done").await;
    stage.is_empty().await;
}

#[tokio::test]
async fn a_reader_that_goes_is_missed() {
    let mut stage = Stage::new().await;
    let address = stage.open("p", "").await;
    let target = format!("/http?to={address}");
    let stream = stage.request(Method::GET, &target, "reply stream; flow this; send this hello");
    let stream = stage.ask(stream).await;
    stage.has_not_heard("p: left");
    drop(stream);
    stage.hears("p: left 1").await;
    // A request whose answer nobody waits for.
    let given_up = stage.ask(stage.request(Method::GET, &target, "later"));
    assert!(tokio::time::timeout(Duration::from_millis(200), given_up).await.is_err());
    stage.hears("p: left 2").await;
    // Its late answer is no harm.
    assert_eq!(stage.post(&target, "answer 2 stream; flow 2; reply 200 ok").await.1, "ok");
    stage.post(&target, "reply 204; end 1000 done").await;
    stage.is_empty().await;
}

#[tokio::test]
async fn polls_bring_all_that_was_said_between_them_and_lose_nothing_when_given_up() {
    let mut stage = Stage::new().await;
    let address = stage.open("p", "flow none; connect; hear news").await;
    let target = format!("/http?to={address}");
    stage.hears("p: hear: subscribed").await;
    let mut sayer = stage.connect("/ws?name=s").await;
    sayer.send("connect").await.unwrap();
    let mut said = async |text: &str, stage: &mut Stage| {
        sayer.send(format!("say news {text}")).await.unwrap();
        stage.hears("s: say: published").await;
    };
    said("1", &mut stage).await;
    // What the conversation itself says there keeps its place.
    stage.post(&target, "utter mine; reply 204").await;
    said("2", &mut stage).await;
    let poll = "reply poll; flow this";
    let headed = "reply poll head: ; flow this";
    assert_eq!(stage.post(&target, headed).await, (200, "head:all: 1|mine|all: 2".into()));
    stage.hears("p: answered 2").await;
    stage.hears("p: left 2").await;
    // One that waits is answered by what comes.
    let (answer, ()) = tokio::join!(stage.post(&target, poll), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sayer.send("say news 3").await.unwrap();
    });
    assert_eq!(answer, (200, "all: 3".into()));
    stage.hears("p: answered 3").await;
    stage.hears("p: left 3").await;
    stage.hears("s: say: published").await;
    // One that was given up takes nothing along.
    let given_up = stage.post(&target, poll);
    assert!(tokio::time::timeout(Duration::from_millis(200), given_up).await.is_err());
    stage.hears("p: left 4").await;
    sayer.send("say news 4; say news 5").await.unwrap();
    stage.hears("s: say: published").await;
    stage.hears("s: say: published").await;
    assert_eq!(stage.post(&target, poll).await, (200, "all: 4|all: 5".into()));
}

/// Many polls, most of them given up at any moment: what a poll took along in vain comes with the next.
#[tokio::test]
async fn whenever_polls_are_given_up_each_message_comes_once_and_in_order() {
    let mut stage = Stage::new().await;
    let address = stage.open("p", "flow none; connect; hear news").await;
    let target = format!("/http?to={address}");
    stage.hears("p: hear: subscribed").await;
    let mut sayer = stage.connect("/ws?name=s").await;
    sayer.send("connect").await.unwrap();
    stage.hears("s: connect: connected").await;
    let mut got: Vec<u32> = vec![];
    let mut read = |body: &str| {
        got.extend(body.split('|').filter_map(|it| it.strip_prefix("all: ")?.parse::<u32>().ok()));
    };
    for number in 0..60_u64 {
        // The poll waits, and its client goes about when something is said.
        let poll = stage.post(&target, "reply poll; flow this");
        let patience = Duration::from_micros(2000 + 150 * (number % 20));
        let (answer, ()) = tokio::join!(tokio::time::timeout(patience, poll), async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            sayer.send(format!("say news {number}")).await.unwrap();
        });
        match answer {
            Ok((200, body)) => read(&body),
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
        stage.hears("s: say: published").await;
    }
    // What was on its way to a client that went in the same moment is the client's to ask again for; all else is here.
    sayer.send("say news 60").await.unwrap();
    while let Ok((200, body)) =
        tokio::time::timeout(Duration::from_secs(1), stage.post(&target, "reply poll; flow this"))
            .await
    {
        read(&body);
        if body.ends_with("all: 60") {
            break;
        }
    }
    assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
    assert_eq!(got.last(), Some(&60));
    assert!(got.len() >= 20, "{got:?}");
}

#[tokio::test]
async fn who_lets_too_much_wait_is_sent_away() {
    let limits = HostLimits::default();
    let limits = HostLimitsWith { waiting: 1000, body: 100_000, exchanges: 3 }.of(limits);
    let mut stage = Stage::with(Terms { limits, ..Terms::default() }).await;
    // Without a line.
    let address = stage.open("p", "flow none; connect; hear news").await;
    stage.hears("p: hear: subscribed").await;
    let target = format!("/http?to={address}");
    let long = "x".repeat(300);
    for _ in 0..4 {
        stage.post(&target, &format!("say news {long}; reply 204")).await;
    }
    stage.hears("p: sent away Slow").await;
    assert_eq!(stage.post(&target, "reply 200").await.0, 404);
    // With a body that nobody reads.
    let address = stage.open("q", "").await;
    let target = format!("/http?to={address}");
    let stream = stage.ask(stage.request(Method::GET, &target, "reply stream")).await;
    for _ in 0..200 {
        if stage.post(&target, "fill 1 100000; reply 204").await.0 == 404 {
            break;
        }
    }
    stage.hears("q: sent away Slow").await;
    drop(stream);
    stage.is_empty().await;
    let shards = stage.running.control().look(0).await;
    assert_eq!(shards[0].tally.overflowed, 2);
}

/// The limits of a host, of which only some are set.
struct HostLimitsWith {
    waiting: usize,
    body: usize,
    exchanges: usize,
}

impl HostLimitsWith {
    fn of(&self, mut limits: HostLimits) -> HostLimits {
        limits.waiting_bytes_max = self.waiting;
        limits.body_bytes_max = self.body;
        limits.exchanges_max = self.exchanges;
        limits
    }
}

#[tokio::test]
async fn one_request_too_many_at_once_is_refused_and_the_others_wait_on() {
    let limits = HostLimitsWith { waiting: 1000, body: 1000, exchanges: 3 };
    let limits = limits.of(HostLimits::default());
    let mut stage = Stage::with(Terms { limits, ..Terms::default() }).await;
    let address = stage.open("p", "").await;
    let target = format!("/http?to={address}");
    let orders = "answer 1 200 a; answer 2 200 b; answer 3 200 c; reply 200 never";
    let waits = || stage.post(&target, "later");
    let (a, b, c, ()) = tokio::join!(waits(), waits(), waits(), async {
        for number in 1..=3 {
            stage_hears(&stage, number).await;
        }
        assert_eq!(stage.post(&target, orders).await.0, 429);
        let mut socket = stage.connect(&format!("/join?to={address}")).await;
        socket.send("answer 1 200 a; answer 2 200 b; answer 3 200 c").await.unwrap();
    });
    let mut bodies = [a.1, b.1, c.1];
    bodies.sort();
    assert_eq!(bodies, ["a", "b", "c"]);
    stage.hears("p: joined 4").await;
}

/// Waits until so many requests wait at the one conversation.
async fn stage_hears(stage: &Stage, count: u64) {
    soon(async {
        while stage.running.control().look(1).await[0].rows[0].received < count + 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_websocket_joins_a_conversation_by_its_address() {
    let mut stage = Stage::with(Terms { shards: 3, ..Terms::default() }).await;
    let address = stage.open("p", "flow none; connect; hear news; say news early").await;
    stage.hears("p: say: published").await;
    let mut socket = stage.connect(&format!("/join?to={address}")).await;
    stage.hears("p: joined 1").await;
    socket.send("flow 1; send 1 own; say news late").await.unwrap();
    assert_eq!(said(&mut socket).await, "all: early");
    assert_eq!(said(&mut socket).await, "own");
    assert_eq!(said(&mut socket).await, "all: late");
    let mut second = stage.connect(&format!("/join?to={address}")).await;
    second.send("flow 2; close 1 4005; say news moved").await.unwrap();
    assert_eq!(closed(&mut socket).await, (4005, "closed".into()));
    stage.hears("p: left 1").await;
    assert_eq!(said(&mut second).await, "all: moved");
    drop(second);
    stage.hears("p: left 2").await;
    let (status, body) =
        stage.post(&format!("/http?to={address}"), "say news last; reply poll; flow this").await;
    assert_eq!((status, body.as_str()), (200, "all: last"));
    stage.post(&format!("/http?to={address}"), "reply 204; end 1000 done").await;
    stage.is_empty().await;
}

#[tokio::test]
async fn what_is_volatile_goes_to_who_has_a_line_that_waits_for_it() {
    let mut stage = Stage::new().await;
    let address = stage.open("p", "flow none; connect; hear news").await;
    let target = format!("/http?to={address}");
    stage.hears("p: hear: subscribed").await;
    let mut sayer = stage.connect("/ws?name=s").await;
    sayer.send("connect; hear news").await.unwrap();
    stage.hears("s: hear: subscribed").await;
    sayer.send("flash news nobody listens").await.unwrap();
    stage.hears("s: flash: published").await;
    // A poll that waits takes it at once.
    let poll = stage.ask(stage.request(Method::GET, &target, "reply poll; flow this"));
    let (poll, ()) = tokio::join!(poll, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sayer.send("flash news one; flash news two; say news three").await.unwrap();
    });
    assert_eq!(read(poll).await, (200, "all: one|all: two|all: three".into()));
    // Something waits for the next poll: only what is not volatile is added to it.
    stage.hears("s: say: published").await;
    sayer.send("say news four; flash news five; say news six").await.unwrap();
    stage.hears("s: say: published").await;
    stage.hears("s: say: published").await;
    let poll = stage.post(&target, "reply poll; flow this").await;
    assert_eq!(poll, (200, "all: four|all: six".into()));
    stage.post(&target, "reply 204; end 1000 done").await;
    let mut heard = vec![];
    for _ in 0..7 {
        heard.push(said(&mut sayer).await);
    }
    let texts = ["nobody listens", "one", "two", "three", "four", "five", "six"];
    assert_eq!(heard, texts.map(|it| format!("all: {it}")), "a socket takes all at once");
}

/// The end of a line is told at the end of a turn, behind the answers to polls of that turn.
#[tokio::test]
async fn what_is_said_as_a_line_ends_reaches_a_poll_at_once() {
    let mut stage = Stage::new().await;
    let address = stage.open("p", "connect; hear news").await;
    let poll = stage.request(Method::POST, &format!("/http?to={address}"), "reply poll; flow this");
    let poll = tokio::spawn(stage.client.request(poll));
    stage.hears("p: asked 1").await;
    let mut socket = stage.connect("/ws?name=w&then=say%20news%20gone").await;
    socket.send("connect").await.unwrap();
    stage.hears("w: connect: connected").await;
    drop(socket);
    let answer = soon(poll).await.unwrap().expect("it is answered");
    assert_eq!(read(answer).await, (200, "all: gone".into()));
}
