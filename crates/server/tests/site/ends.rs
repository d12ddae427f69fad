//! The server goes away: everyone is told in the words of his dialect.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;

use super::{Stage, Terms, closed, said, soon};

#[tokio::test]
async fn all_are_told_that_the_server_goes_away_whatever_they_came_by() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut sockets = vec![];
    for _ in 0..20 {
        sockets.push(stage.connect("/ws?name=w").await);
    }
    let stream = stage.request(Method::GET, "/http?name=s", "reply stream; send this hello");
    let stream = stage.ask(stream).await;
    let poll = stage.post("/http?name=p", "reply poll; flow this");
    let waiting = stage.post("/http?name=l", "later");
    let address = stage.open("idle", "").await;
    let (poll, waiting, ()) = tokio::join!(poll, waiting, async {
        soon(async {
            while stage
                .running
                .control()
                .look(0)
                .await
                .iter()
                .map(|it| it.dialects.values().sum::<usize>())
                .sum::<usize>()
                < 24
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        soon(stage.running.shut_down(Duration::from_secs(10))).await.expect("no shard failed");
    });
    assert_eq!(poll, (200, "bye Shutdown(None)".into()));
    assert_eq!(waiting.0, 503);
    let whole = soon(stream.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(whole, "hellobye Shutdown(None)");
    for socket in &mut sockets {
        assert_eq!(said(socket).await, "bye Shutdown(None)");
        assert_eq!(closed(socket).await, (4001, "bye".into()));
    }
    for name in ["s", "p", "l", "idle"] {
        stage.hears(&format!("{name}: sent away Shutdown")).await;
    }
    for target in ["/http", &format!("/http?to={address}")] {
        assert_eq!(stage.post(target, "reply 200").await.0, 503, "{target}");
    }
}

#[tokio::test]
async fn the_end_does_not_wait_for_who_never_answers() {
    let stage = Stage::new().await;
    // It never reads, and so never answers a Close frame.
    let _silent = stage.connect("/ws?name=w").await;
    let begun = std::time::Instant::now();
    soon(stage.running.shut_down(Duration::from_millis(500))).await.expect("no shard failed");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
