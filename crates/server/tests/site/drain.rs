//! The server drains: its clients leave one after the other, and nobody new is let in.

use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use taiwa::Error;

use super::{Stage, Terms, closed, read, said, soon};

const PERIOD: Duration = Duration::from_secs(2);

/// Waits for a goodbye that says when to come back, and returns when it came.
async fn goodbye(socket: &mut taiwa::WebSocket) -> Instant {
    let bye = said(socket).await;
    let after = bye.strip_prefix("bye Shutdown(Some(").and_then(|it| it.strip_suffix("))"));
    let after = after.unwrap_or_else(|| panic!("{bye}"));
    assert!(after.ends_with("ms") || after.starts_with('1'), "{bye}");
    let told = Instant::now();
    assert_eq!(closed(socket).await, (4001, "bye".into()));
    told
}

#[tokio::test]
async fn clients_leave_spread_evenly_over_the_period() {
    const CLIENTS: usize = 200;
    let stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut clients = vec![];
    for _ in 0..CLIENTS {
        let mut socket = stage.connect("/ws?name=w").await;
        clients.push(tokio::spawn(async move { goodbye(&mut socket).await }));
    }
    let began = Instant::now();
    soon(stage.running.drain(PERIOD)).await;
    assert!(began.elapsed() < PERIOD + Duration::from_secs(1), "{:?}", began.elapsed());
    let mut quarters = [0; 4];
    for client in clients {
        let after = soon(client).await.unwrap().saturating_duration_since(began);
        let quarter = after.as_millis() * 4 / PERIOD.as_millis();
        quarters[usize::try_from(quarter.min(3)).unwrap()] += 1;
    }
    // A busy machine may be late by some of them.
    assert!(quarters.iter().all(|it| (CLIENTS / 8..CLIENTS / 2).contains(it)), "{quarters:?}");
    soon(stage.running.shut_down(PERIOD)).await.expect("no shard failed");
}

#[tokio::test]
async fn all_hear_it_whatever_they_came_by_and_until_then_their_requests_are_answered() {
    let mut stage = Stage::new().await;
    let mut first = stage.connect("/ws?name=w").await;
    first.send("connect; hear news").await.unwrap();
    stage.hears("w: hear: subscribed").await;
    let stream = stage.request(Method::GET, "/http?name=s", "reply stream; send this hello");
    let stream = stage.ask(stream).await;
    let address = stage.open("idle", "connect").await;
    let running = stage.running.clone();
    let draining = tokio::spawn(async move { running.drain(PERIOD).await });
    goodbye(&mut first).await;
    assert!(!stage.running.readiness().is_ready());
    // The last of three: at two thirds of the period.
    let orders = "say news word; reply 200 still here";
    let still = stage.post(&format!("/http?to={address}"), orders).await;
    assert_eq!(still, (200, "still here".into()));
    soon(draining).await.unwrap();
    let whole = soon(stream.into_body().collect()).await.unwrap().to_bytes();
    assert!(whole.starts_with(b"hellobye Shutdown(Some("), "{whole:?}");
    for name in ["s", "idle"] {
        stage.hears(&format!("{name}: sent away Shutdown(Some(")).await;
    }
    stage.is_empty().await;
}

#[tokio::test]
async fn nobody_new_is_let_in_and_each_is_told_when_to_try_again() {
    let stage = Stage::new().await;
    // Two, so that the second is there to the middle of the period.
    let _both = [stage.connect("/ws?name=a").await, stage.connect("/ws?name=b").await];
    let running = stage.running.clone();
    let draining = tokio::spawn(async move { running.drain(PERIOD).await });
    soon(async {
        while stage.running.readiness().is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let in_time = |after: Option<&http::HeaderValue>| {
        let after = after.expect("Retry-After").to_str().unwrap().parse::<u64>().unwrap();
        assert!((1..=5).contains(&after), "{after}");
    };
    for path in ["/ws?name=c", "/.taiwa/connections"] {
        let refused = soon(taiwa::connect(&format!("ws://{}{path}", stage.addr))).await;
        let Err(Error::Refused(response)) = refused else { panic!("{path}: {refused:?}") };
        assert_eq!(response.status(), 503, "{path}");
        in_time(response.headers().get("retry-after"));
    }
    let refused = stage.ask(stage.request(Method::POST, "/http?name=d", "reply 200")).await;
    assert_eq!(refused.headers()["connection"], "close");
    in_time(refused.headers().get("retry-after"));
    assert_eq!(read(refused).await, (503, "the server goes away\n".into()));
    let source = Request::get(format!("http://{}/http?name=e", stage.addr));
    let source = source.header("accept", "text/event-stream").body(Full::default()).unwrap();
    let empty = stage.ask(source).await;
    assert_eq!(empty.headers()["content-type"], "text/event-stream");
    let (status, body) = read(empty).await;
    let retry = body.strip_prefix("retry: ").and_then(|it| it.strip_suffix("\n\n"));
    let retry = retry.unwrap_or_else(|| panic!("{body}")).parse::<u64>().unwrap();
    assert!(status == 200 && (1000..=5000).contains(&retry), "{status} {retry}");
    soon(draining).await.unwrap();
}

#[tokio::test]
async fn a_server_without_clients_does_not_wait() {
    let stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let began = Instant::now();
    assert!(soon(stage.running.control().turns_taken()).await);
    soon(stage.running.drain(Duration::from_secs(3600))).await;
    assert!(soon(stage.running.control().turns_taken()).await);
    soon(stage.running.shut_down(Duration::from_secs(3600))).await.expect("no shard failed");
    assert!(!soon(stage.running.control().turns_taken()).await);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_drain_may_be_shorter_and_a_shut_down_ends_it() {
    let stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut sockets = vec![];
    for _ in 0..8 {
        sockets.push(stage.connect("/ws?name=w").await);
    }
    let (running, began) = (stage.running.clone(), Instant::now());
    let long = tokio::spawn(async move { running.drain(Duration::from_secs(3600)).await });
    // One of each shard is told at once.
    for socket in &mut sockets[..2] {
        goodbye(socket).await;
    }
    soon(stage.running.drain(Duration::ZERO)).await;
    let ending = tokio::spawn({
        let running = stage.running.clone();
        async move { running.shut_down(Duration::from_secs(10)).await }
    });
    for socket in &mut sockets[2..] {
        assert!(said(socket).await.starts_with("bye Shutdown"));
    }
    soon(ending).await.unwrap().expect("no shard failed");
    soon(long).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn where_a_successor_is_there_newcomers_are_sent_to_it_at_once() {
    let stage = Stage::new().await;
    let _both = [stage.connect("/ws?name=a").await, stage.connect("/ws?name=b").await];
    let strange = format!("/http?to={}", "0".repeat(68));
    let before = stage.ask(stage.request(Method::POST, &strange, "")).await;
    assert_eq!(
        (before.status(), before.headers().get("connection")),
        (http::StatusCode::NOT_FOUND, None)
    );
    let running = stage.running.clone();
    let draining = tokio::spawn(async move { running.drain_for_successor(PERIOD).await });
    soon(async {
        while stage.running.readiness().is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = stage.ask(stage.request(Method::POST, "/http?name=c", "reply 200")).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    // It may be one of the successor's.
    let strange = stage.ask(stage.request(Method::POST, &strange, "")).await;
    assert_eq!(
        (strange.status().as_u16(), &strange.headers()["connection"]),
        (404, &"close".parse().unwrap())
    );
    let source = Request::get(format!("http://{}/http?name=d", stage.addr));
    let source = source.header("accept", "text/event-stream").body(Full::default()).unwrap();
    let (_, body) = read(stage.ask(source).await).await;
    let retry = body.strip_prefix("retry: ").and_then(|it| it.strip_suffix("\n\n"));
    assert!(retry.is_some_and(|it| it.parse::<u64>().unwrap() <= 1000), "{body}");
    soon(draining).await.unwrap();
}
