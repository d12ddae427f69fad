//! Peers that don't read, and peers that are not read.

use std::time::Duration;

use taiwa::{Config, Keepalive, Limits, Message};
use taiwa_server::shard::Unsent;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{Told, connect, defaults, raw, site, soon};

#[tokio::test]
async fn the_outbox_of_a_slow_reader_is_bounded_and_room_is_told() {
    let limits = Limits { outbox_bytes_max: 100_000, ..Limits::default() };
    let (mut site, addr) = site(Config { limits, ..defaults() }).await;
    let mut socket = connect(addr, "/tell").await;
    let (key, _) = site.joined().await;
    // Until the kernel has its fill, and the outbox.
    let (sent, queued) = site
        .ask(move |_, lines| {
            let mut sent = 0_u32;
            loop {
                let mut message = sent.to_be_bytes().to_vec();
                message.resize(10_000, 0);
                match lines.send(key, &Message::from(message)) {
                    Ok(()) => sent += 1,
                    Err(unsent) => {
                        assert_eq!(unsent, Unsent::Full);
                        break (sent, lines.queued_bytes(key));
                    }
                }
            }
        })
        .await;
    assert!((100_000..=110_100).contains(&queued), "{queued}");
    for i in 0..sent {
        let message = soon(socket.recv()).await.unwrap().unwrap();
        assert_eq!(message.as_bytes()[..4], i.to_be_bytes());
    }
    assert!(matches!(site.next().await, Told::Room(it) if it == key));
    assert_eq!(site.ask(move |_, lines| lines.queued_bytes(key)).await, 0);
    assert_eq!(site.ask(move |_, lines| lines.send(key, &"on".into())).await, Ok(()));
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("on".into()));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_at_the_write_deadline() {
    let deadlines =
        taiwa::Deadlines { write: Some(Duration::from_millis(300)), ..Default::default() };
    let (mut site, addr) = site(Config { deadlines, ..defaults() }).await;
    let tcp = raw::open(addr, "/tell", b"").await;
    let (key, _) = site.joined().await;
    site.ask(move |_, lines| {
        let message = Message::from(vec![0; 100_000]);
        while lines.send(key, &message).is_ok() {}
    })
    .await;
    let (left, how) = site.left().await;
    assert_eq!((left, how.end), (key, taiwa_proto::End::Late(taiwa::Deadline::Write)));
    drop(tcp);
}

#[tokio::test]
async fn a_paused_line_is_not_read_nor_blamed_and_loses_nothing() {
    let keepalive = Keepalive {
        ping_after: Duration::from_millis(100),
        pong_within: Duration::from_millis(100),
    };
    let (mut site, addr) = site(Config { keepalive: Some(keepalive), ..Config::default() }).await;
    let mut socket = connect(addr, "/tell").await;
    let (key, _) = site.joined().await;
    soon(socket.send("pause")).await.unwrap();
    assert!(matches!(site.next().await, Told::Received(_, text) if text == "pause"));
    site.ask(move |_, lines| lines.pause(key)).await;
    let (sender, mut receiver) = socket.split();
    tokio::spawn(async move { while receiver.recv().await.is_ok_and(|it| it.is_some()) {} });
    // More than the kernel takes: the sender waits, and nothing comes.
    let sending = tokio::spawn(async move {
        for i in 0..300 {
            sender.send(format!("{i} {}", "x".repeat(50_000))).await.unwrap();
        }
        sender
    });
    sleep(Duration::from_millis(700)).await;
    assert!(!sending.is_finished());
    assert!(site.told.try_recv().is_err());
    site.ask(move |_, lines| lines.resume(key)).await;
    for i in 0..300 {
        let Told::Received(from, text) = site.next().await else { panic!("only messages come") };
        assert!(from == key && text.starts_with(&format!("{i} x")));
    }
    let _sender = soon(sending).await.unwrap();
}

#[tokio::test]
async fn who_sends_and_does_not_read_is_not_read_and_gets_all_in_the_end() {
    const MESSAGES: usize = 400;
    let limits = Limits { outbox_bytes_max: 250_000, ..Limits::default() };
    let (mut site, addr) = site(Config { limits, ..defaults() }).await;
    let mut tcp = raw::open(addr, "/echo", b"").await;
    let (key, _) = site.joined().await;
    let (mut reading, mut writing) = tcp.split();
    let mut frames = Vec::new();
    for i in 0..MESSAGES {
        frames.extend_from_slice(&raw::frame(0x82, &vec![i as u8; 50_000]));
    }
    let written = writing.write_all(&frames);
    // All that both kernels take, and no more.
    let mut written = std::pin::pin!(written);
    assert!(timeout(Duration::from_millis(500), written.as_mut()).await.is_err());
    let queued = site.ask(move |_, lines| lines.queued_bytes(key)).await;
    assert!((1..=250_000).contains(&queued), "{queued}");
    let reads = async {
        let mut frame = vec![0; 50_004];
        for i in 0..MESSAGES {
            reading.read_exact(&mut frame).await.unwrap();
            assert!(frame[4..].iter().all(|it| *it == i as u8));
        }
    };
    let (written, ()) = soon(async { tokio::join!(written, reads) }).await;
    written.unwrap();
}

#[tokio::test]
async fn a_line_paused_amid_one_read_goes_on_where_it_stopped() {
    let (mut site, addr) = site(defaults()).await;
    let mut tcp = raw::open(addr, "/tell", b"").await;
    let (key, _) = site.joined().await;
    site.ask(move |room, _| {
        room.pauses = Some(key);
    })
    .await;
    let frames: Vec<u8> = (0..10).flat_map(|it| raw::frame(0x81, &[b'0' + it])).collect();
    soon(tcp.write_all(&frames)).await.unwrap();
    for expected in 0..10 {
        let Told::Received(_, text) = site.next().await else { panic!("only messages come") };
        assert_eq!(text, expected.to_string());
        sleep(Duration::from_millis(5)).await;
        assert!(site.told.try_recv().is_err());
        site.ask(move |_, lines| lines.resume(key)).await;
    }
}

#[tokio::test]
async fn who_floods_does_not_starve_others() {
    let (_site, addr) = site(defaults()).await;
    let mut flooding = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut tcp = raw::open(addr, "/flood", b"").await;
        flooding.spawn(async move {
            // The smallest messages: the most work for a byte.
            let frames = raw::frame(0x82, b"").repeat(20_000);
            while tcp.write_all(&frames).await.is_ok() {}
        });
    }
    let mut socket = connect(addr, "/echo").await;
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let began = std::time::Instant::now();
        soon(socket.send("still here?")).await.unwrap();
        soon(socket.recv()).await.unwrap();
        worst = worst.max(began.elapsed());
    }
    // Were a turn not bounded it would be for ever; the rest is for busy machines.
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    flooding.shutdown().await;
}
