//! Conversations on a shard: what only its own thread sees.

#[path = "../../tests/site/puppet.rs"]
mod puppet;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::Bytes;
use taiwa::Addr;
use taiwa_core::Request;
use tokio::{
    sync::{mpsc::UnboundedReceiver, mpsc::unbounded_channel, oneshot},
    time::timeout,
};

use super::{Answered, ForWhom, Host, Note, TalkKey, Visitor, Who, exchange::BodyGone};
use crate::{
    Anyone, Running, Site, hub,
    shard::{self, Lines},
};
use puppet::Puppets;

async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

fn site() -> (Running, UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    let shards = NonZeroUsize::MIN;
    let site = Site::new(hub::Settings::open(), Arc::new(Anyone))
        .dialect(Puppets::new(tell.clone()))
        .dialect(Puppets::strangers(tell))
        .shards(shard::Settings { shards, ..shard::Settings::default() });
    (site.start().unwrap(), told)
}

/// Does something within one turn of the shard.
async fn within_a_turn<T: Send + 'static>(
    running: &Running,
    act: impl FnOnce(&mut Host, &mut Lines) -> T + Send + 'static,
) -> T {
    let (answer, answered) = oneshot::channel();
    running.0.shards.posts()[0].send(Note::Do(Box::new(|host, lines| {
        let _ = answer.send(act(host, lines));
    })));
    soon(answered).await.expect("the shard runs")
}

/// A request for the one conversation, its answer, and what tells that nobody waits for it.
type Asked = (oneshot::Receiver<Answered>, oneshot::Receiver<BodyGone>);

fn ask(host: &mut Host, orders: &str, lines: &mut Lines) -> Asked {
    let (answer, answered) = oneshot::channel();
    let (begun, gone) = oneshot::channel();
    let request = Request { body: Bytes::from(orders.to_owned()), ..Request::get("/http?name=p") };
    let talk: TalkKey = host.stage.talks.next_from(0).expect("a conversation");
    let for_whom = ForWhom::Known(talk, "puppet");
    let visitor = Visitor {
        for_whom,
        request,
        who: Who { version: http::Version::HTTP_11, peer: Addr::Unknown, certificate: None },
        place: None,
        answer,
        begun,
        because: tracing::Span::none(),
    };
    host.visit(visitor, lines);
    (answered, gone)
}

/// Opens a conversation that hears a channel and has no line.
async fn open(running: &Running) {
    let body = "alarm 600000; flow none; connect; hear news; reply 204";
    let body = http_body_util::Full::<Bytes>::from(body);
    let mut request = http::Request::new(body);
    *request.uri_mut() = "/http?name=p".parse().unwrap();
    assert_eq!(soon(running.answer(request)).await.status(), 204);
}

fn body_of(answered: Answered) -> Bytes {
    match answered {
        Answered::Whole { body, .. } => body,
        Answered::Stream { .. } => panic!("a stream"),
        Answered::Refused(why, _) => panic!("{why:?}"),
    }
}

#[tokio::test]
async fn a_poll_that_is_given_up_after_something_was_said_on_it_gives_it_back() {
    let (running, _told) = site();
    open(&running).await;
    // Its end is known in the same turn, or only when it is answered.
    for is_told in [true, false] {
        let next = within_a_turn(&running, move |host, lines| {
            let (answer, gone) = ask(host, "reply poll; flow this", lines);
            let (said, _gone) = ask(host, "say news 1; say news 2; reply 204", lines);
            drop((said, answer));
            let mut gone = gone;
            let gone = gone.try_recv().unwrap();
            if is_told {
                let line = gone.line();
                gone.defuse();
                let talk = host.stage.talks.next_from(0).unwrap();
                crate::shard::Above::letter(host, Note::LineGone(talk, line), lines);
            }
        });
        next.await;
        // What it gave back comes first, then what was said since.
        let (answer, _gone) = within_a_turn(&running, |host, lines| {
            let (said, _gone) = ask(host, "say news 3; reply 204", lines);
            drop(said);
            ask(host, "reply poll; flow this", lines)
        })
        .await;
        let body = body_of(soon(answer).await.unwrap());
        assert_eq!(body, "all: 1|all: 2|all: 3", "told: {is_told}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_those_who_went() {
    let (running, mut told) = site();
    let server = taiwa::Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    tokio::spawn(running.serve(server, |_| async { None }).into_future());
    let mut sockets = vec![];
    for round in 0..50 {
        open(&running).await;
        let mut socket = soon(taiwa::connect(&format!("ws://{addr}/ws"))).await.unwrap();
        socket.send("connect; hear news; listen own; keep; call nobody").await.unwrap();
        if round % 2 == 0 {
            socket.send("end 4000 done").await.unwrap();
        }
        sockets.push(socket);
    }
    drop(sockets);
    let _ = running.control().order(hub::Order::Info).await;
    let mut count = 0;
    while count < 25 {
        count += usize::from(soon(told.recv()).await.unwrap().ends_with("left 0"));
    }
    let talks = within_a_turn(&running, |host, lines| {
        while let Some(key) = host.stage.talks.next_from(0) {
            host.end(key, 1000, "", lines);
        }
        host.settle(lines);
        host.stage.talks.len()
    });
    assert_eq!(talks.await, 0);
    // Some sockets close for a moment yet.
    soon(async {
        while within_a_turn(&running, |_, lines| lines.len()).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let left = within_a_turn(&running, |host, _| host.stage.left_over()).await;
    assert_eq!(left, [0; 8]);
}

#[tokio::test]
async fn who_asks_for_the_turn_of_a_shard_that_hangs_waits_until_it_goes_on() {
    let (running, _told) = site();
    assert!(soon(running.control().turns_taken()).await);
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let (hangs, hanging) = oneshot::channel();
    running.0.shards.posts()[0].send(Note::Do(Box::new(move |_, _| {
        let _ = hangs.send(());
        let _ = held.recv_timeout(Duration::from_secs(20));
    })));
    soon(hanging).await.expect("the shard runs");
    let mut asked = std::pin::pin!(running.control().turns_taken());
    assert!(timeout(Duration::from_millis(100), &mut asked).await.is_err(), "it stands still");
    drop(go_on);
    assert!(soon(asked).await, "it goes on");
}
