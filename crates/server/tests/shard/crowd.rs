//! Many at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use taiwa::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::sleep,
};

use super::{Site, Told, connect, defaults, raw, site, soon};

const CROWD: usize = 500;

/// Numbers that look random, the same ones for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % end
    }
}

/// A client that talks in bursts, reads late, and leaves in one of three ways.
async fn live(addr: SocketAddr, mut dice: Dice) {
    let mut tcp = raw::open(addr, "/echo", b"").await;
    for _ in 0..dice.below(12) {
        let lens: Vec<usize> = (0..1 + dice.below(30))
            .map(|_| {
                let bits = dice.below(17);
                dice.below(1 << bits)
            })
            .collect();
        let fill = dice.below(256) as u8;
        let frames: Vec<u8> =
            lens.iter().flat_map(|it| raw::frame(0x82, &vec![fill; *it])).collect();
        let answer_len = frames.len() - 4 * lens.len();
        let (mut reading, mut writing) = tcp.split();
        let pause = Duration::from_millis(dice.below(20) as u64);
        let reads = async {
            sleep(pause).await;
            let mut answer = vec![0; answer_len];
            reading.read_exact(&mut answer).await.unwrap();
            let payload = answer.iter().filter(|it| **it == fill).count();
            assert!(lens.iter().sum::<usize>() <= payload);
        };
        let (written, ()) = soon(async { tokio::join!(writing.write_all(&frames), reads) }).await;
        written.unwrap();
    }
    match dice.below(3) {
        0 => tcp.set_zero_linger().unwrap(),
        1 => {
            soon(tcp.write_all(&raw::frame(0x88, b"\x03\xe8"))).await.unwrap();
            assert_eq!(raw::read_to_end(&mut tcp).await, b"\x88\x02\x03\xe8");
        }
        _ => {}
    }
}

#[tokio::test]
async fn whatever_many_do_none_is_kept_waiting_and_none_is_forgotten() {
    const CLIENTS: usize = 300;
    let mut site = Site::new(2);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    site.behind(server);
    let mut clients = JoinSet::new();
    for seed in 1..=CLIENTS {
        clients.spawn(live(addr, Dice((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    }
    // Meanwhile lines are paused and resumed from elsewhere.
    let posts = Arc::clone(site.shards.posts());
    let mut dice = Dice(4);
    while !clients.is_empty() {
        for post in &*posts {
            let chosen = dice.below(CLIENTS);
            post.send(Box::new(move |room, lines| {
                if let Some(key) = room.paths.keys().nth(chosen).copied() {
                    lines.pause(key);
                    lines.await_room(key);
                }
            }));
        }
        while let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
        sleep(Duration::from_millis(2)).await;
    }
    let (mut joined, mut left) = (0, 0);
    while left < CLIENTS {
        match site.next().await {
            Told::Joined(..) => joined += 1,
            Told::Left(..) => left += 1,
            told => panic!("{told:?}"),
        }
    }
    assert_eq!(joined, CLIENTS);
    assert_eq!(site.ask(|room, lines| (room.paths.len(), lines.len())).await, (0, 0));
}

#[tokio::test]
async fn when_a_crowd_leaves_at_once_who_comes_meanwhile_is_heard_first() {
    let (mut site, addr) = site(defaults()).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(raw::open(addr, "/tell", b"").await);
        site.joined().await;
    }
    assert_eq!(site.ask(|_, lines| lines.len()).await, CROWD);
    // While the shard is busy with this they all go, and a new one comes and says something.
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    site.shards.posts()[0].send(Box::new(move |_, _| wait.recv().unwrap()));
    drop(crowd);
    let newcomer = raw::open(addr, "/tell", &raw::frame(0x81, b"hello")).await;
    // Its letter is on the way when its response is; the crowd is gone for the kernel long since.
    sleep(Duration::from_millis(200)).await;
    go_on.send(()).unwrap();
    // It is heard before the first turn is over.
    let (key, _) = site.joined().await;
    assert!(matches!(site.next().await, Told::Received(it, text) if it == key && text == "hello"));
    for _ in 0..CROWD {
        assert_ne!(site.left().await.0, key);
    }
    drop(newcomer);
    assert_eq!(site.left().await.0, key);
    assert_eq!(site.ask(|room, lines| (room.paths.len(), lines.len())).await, (0, 0));
}

#[tokio::test]
async fn a_crowd_that_talks_at_once_is_answered_to_the_last_one() {
    let (_site, addr) = site(defaults()).await;
    let mut crowd = JoinSet::new();
    for i in 0..300 {
        crowd.spawn(async move {
            let mut socket = connect(addr, "/echo").await;
            for j in 0..20 {
                let message = format!("{i} {j} {}", "y".repeat(i * j));
                soon(socket.send(message.clone())).await.unwrap();
                assert_eq!(soon(socket.recv()).await.unwrap(), Some(message.into()));
            }
            assert!(soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
        });
    }
    while let Some(done) = soon(crowd.join_next()).await {
        done.unwrap();
    }
}
