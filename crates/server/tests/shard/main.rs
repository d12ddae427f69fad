//! Shards as a server uses them: our client and others over real sockets on loopback, a small room above.

mod crowd;
mod echo;
mod ends;
#[cfg(unix)]
mod foreign;
mod letters;
mod raw;
mod slow;

use std::{
    collections::BTreeMap, future::Future, net::SocketAddr, num::NonZeroUsize, sync::Arc,
    time::Duration,
};

use taiwa::{Client, Config, Error, Keepalive, Server, Upgrade, WebSocket};
use taiwa_proto::Payload;
use taiwa_server::shard::{Above, Key, Left, Lines, Opening, Post, Settings, Shards, Unsent};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

/// No test waits longer.
async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

/// Runs on a shard's thread.
type Job = Box<dyn FnOnce(&mut Room, &mut Lines) + Send>;

/// What a room tells its test.
#[derive(Debug)]
enum Told {
    Joined(Key, Opening),
    Received(Key, String),
    Left(Key, Left),
    Room(Key),
}

/// Sends back what comes to `/echo`, to all what comes to `/all`, and tells its test what comes elsewhere.
struct Room {
    paths: BTreeMap<Key, Box<str>>,
    tell: UnboundedSender<Told>,
    /// Paused at each of its messages.
    pauses: Option<Key>,
}

impl Room {
    fn new(tell: UnboundedSender<Told>) -> Self {
        Self { paths: BTreeMap::new(), tell, pauses: None }
    }

    fn tell(&self, told: Told) {
        // A test that has seen enough does not listen any more.
        let _ = self.tell.send(told);
    }
}

impl Above for Room {
    type Opening = Opening;
    type Letter = Job;

    fn joined(&mut self, key: Key, opening: Opening, _lines: &mut Lines) {
        self.paths.insert(key, opening.path.clone());
        self.tell(Told::Joined(key, opening));
    }

    fn received(&mut self, key: Key, message: Payload<'_>, lines: &mut Lines) {
        match &*self.paths[&key] {
            "/echo" => {
                match lines.send_slice(key, message.kind(), message.as_slice()) {
                    Ok(()) | Err(Unsent::Misuse(taiwa::Misuse::Closing)) => {}
                    Err(unsent) => panic!("{unsent}"),
                }
                // Who does not read what comes back is not read.
                if 100_000 < lines.queued_bytes(key) {
                    lines.pause(key);
                    lines.await_room(key);
                }
            }
            "/all" => {
                let message = message.into_message().into();
                for key in self.paths.keys() {
                    lines.send_prepared(*key, &message).unwrap();
                }
            }
            "/flood" => {}
            _ => {
                if self.pauses == Some(key) {
                    lines.pause(key);
                }
                let text = String::from_utf8_lossy(message.as_slice()).into_owned();
                self.tell(Told::Received(key, text));
            }
        }
    }

    fn left(&mut self, key: Key, left: Left, lines: &mut Lines) {
        assert!(!lines.is_open(key) && lines.queued_bytes(key) == 0);
        self.paths.remove(&key).expect("it is told once");
        self.tell(Told::Left(key, left));
    }

    fn letter(&mut self, job: Job, lines: &mut Lines) {
        job(self, lines);
    }

    fn room(&mut self, key: Key, lines: &mut Lines) {
        match &*self.paths[&key] {
            "/echo" => lines.resume(key),
            _ => self.tell(Told::Room(key)),
        }
    }
}

/// Shards behind a server.
struct Site {
    shards: Shards<Room>,
    told: UnboundedReceiver<Told>,
}

impl Site {
    fn new(shards: usize) -> Self {
        let (tell, told) = unbounded_channel();
        let settings =
            Settings { shards: NonZeroUsize::new(shards).unwrap(), ..Settings::default() };
        let above = move |_, _| Room::new(tell.clone());
        Self { shards: Shards::start(&settings, above).unwrap(), told }
    }

    /// Has a server hand over its connections.
    fn behind(&self, server: Server) {
        let posts = Arc::clone(self.shards.posts());
        let next = std::sync::atomic::AtomicUsize::new(0);
        let serving = server.serve(move |upgrade: Upgrade| {
            let turn = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            hand_over(posts[turn % posts.len()].clone(), upgrade)
        });
        tokio::spawn(serving.into_future());
    }

    async fn next(&mut self) -> Told {
        soon(self.told.recv()).await.expect("a shard runs")
    }

    async fn joined(&mut self) -> (Key, Opening) {
        match self.next().await {
            Told::Joined(key, opening) => (key, opening),
            told => panic!("{told:?}"),
        }
    }

    async fn left(&mut self) -> (Key, Left) {
        match self.next().await {
            Told::Left(key, left) => (key, left),
            told => panic!("{told:?}"),
        }
    }

    /// Has the first shard do something, and returns what came of it.
    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Room, &mut Lines) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.shards.posts()[0].send(Box::new(|room, lines| {
            let _ = answer.send(job(room, lines));
        }));
        soon(answered).await.expect("the shard runs")
    }
}

async fn hand_over(post: Post<Room>, upgrade: Upgrade) -> Result<(), Error> {
    let opening = Opening::of(&upgrade);
    let raw = upgrade.accept_raw().await?;
    post.join(raw, opening).map_err(Error::Io)
}

/// One shard behind a server with this configuration.
async fn site(config: Config) -> (Site, SocketAddr) {
    let site = Site::new(1);
    let server = Server::bind("127.0.0.1:0").await.unwrap().config(config);
    let addr = server.local_addr().unwrap();
    site.behind(server);
    (site, addr)
}

/// What a server has by default.
fn defaults() -> Config {
    Config { keepalive: Some(Keepalive::default()), ..Config::default() }
}

async fn connect(addr: SocketAddr, path: &str) -> WebSocket {
    soon(taiwa::connect(&format!("ws://{addr}{path}"))).await.unwrap()
}

fn client() -> Client {
    Client::builder().build().unwrap()
}
