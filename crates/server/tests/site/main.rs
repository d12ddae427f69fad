//! The server over real sockets on loopback, with a dialect that does what its clients say.

mod crowd;
mod doors;
mod drain;
mod embedded;
mod emit;
mod ends;
mod http;
mod moves;
mod puppet;
mod sockets;
mod threshold;
mod turned_away;
mod webtransport;

use std::{future::Future, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use ::http::{Method, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use taiwa::{Config, Keepalive, Origins, Server, WebSocket};
use taiwa_core::{Answer, App, Asked, Question};
use taiwa_server::{Anyone, HostLimits, Running, Site, hub, shard};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

use puppet::Puppets;

/// No test waits longer.
async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

/// Lets everybody in, and answers calls with what it was called with.
struct Echoes;

impl App for Echoes {
    fn ask(&self, question: Question) -> Asked {
        match question {
            Question::Call { payload, .. } => Asked::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(Answer::Payload(payload))
            })),
            other => Anyone.ask(other),
        }
    }
}

/// A server with puppets.
struct Stage {
    running: Running,
    addr: SocketAddr,
    told: UnboundedReceiver<String>,
    /// What was told and not asked for yet.
    heard: Vec<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Of how many shards a stage consists, and what it allows.
struct Terms {
    shards: usize,
    limits: HostLimits,
    origins: Origins,
    config: Config,
    /// Conversations of one address; 0 for no limit.
    of_one_address: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            shards: 1,
            limits: HostLimits::default(),
            origins: Origins::default(),
            config: Config { keepalive: Some(Keepalive::default()), ..Config::default() },
            of_one_address: 0,
        }
    }
}

impl Stage {
    async fn new() -> Self {
        Self::with(Terms::default()).await
    }

    /// Starts a site, without a server before it.
    fn site(terms: &Terms) -> (Running, UnboundedReceiver<String>) {
        let (tell, told) = unbounded_channel();
        let count = NonZeroUsize::new(terms.shards).expect("a shard");
        let site = Site::new(hub::Settings::open(), Arc::new(Echoes))
            .dialect(Puppets::new(tell.clone()))
            .dialect(Puppets::strangers(tell.clone()))
            .dialect(Puppets::late(tell))
            .shards(shard::Settings { shards: count, ..shard::Settings::default() })
            .limits(terms.limits.clone())
            .origins(terms.origins.clone())
            .address_conversations_max(terms.of_one_address)
            .request_bytes_max(100_000);
        (site.start().expect("there are threads"), told)
    }

    async fn with(terms: Terms) -> Self {
        let (running, told) = Self::site(&terms);
        let server = Server::bind("127.0.0.1:0").await.expect("a free port");
        let server = server.config(terms.config).origins(terms.origins);
        let addr = server.local_addr().expect("it is bound");
        tokio::spawn(running.serve(server, |_| async { None }).into_future());
        Self::of(running, addr, told)
    }

    /// Makes a stage of a site that is served.
    fn of(running: Running, addr: SocketAddr, told: UnboundedReceiver<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { running, addr, told, heard: vec![], client }
    }

    async fn connect(&self, target: &str) -> WebSocket {
        soon(taiwa::connect(&format!("ws://{}{target}", self.addr))).await.expect("it opens")
    }

    /// Waits until a puppet tells this, whatever others tell, and returns what follows it in what was told.
    async fn hears(&mut self, what: &str) -> String {
        self.hears_any(&[what]).await
    }

    async fn hears_any(&mut self, what: &[&str]) -> String {
        loop {
            let found = self.heard.iter().enumerate().find_map(|(at, it)| {
                let begun = what.iter().find(|what| it.starts_with(**what))?;
                Some((at, begun.len()))
            });
            if let Some((at, begun)) = found {
                return self.heard.remove(at)[begun..].trim().to_owned();
            }
            let told = timeout(Duration::from_secs(20), self.told.recv()).await;
            match told {
                Ok(told) => self.heard.push(told.expect("there are puppets")),
                Err(_) => panic!("nobody told {what:?}, but {:?}", self.heard),
            }
        }
    }

    /// Asserts that no puppet has told this so far.
    fn has_not_heard(&mut self, what: &str) {
        while let Ok(told) = self.told.try_recv() {
            self.heard.push(told);
        }
        assert!(!self.heard.iter().any(|it| it.starts_with(what)), "{:?}", self.heard);
    }

    fn request(&self, method: Method, target: &str, orders: &str) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://{}{target}", self.addr));
        request.body(Full::from(orders.to_owned())).expect("a request")
    }

    /// Sends a request and waits for the head of its answer.
    async fn ask(&self, request: Request<Full<Bytes>>) -> Response<hyper::body::Incoming> {
        soon(self.client.request(request)).await.expect("it is answered")
    }

    /// Has a puppet do something by a request, and returns status and body.
    async fn post(&self, target: &str, orders: &str) -> (u16, String) {
        read(self.ask(self.request(Method::POST, target, orders)).await).await
    }

    /// Opens a conversation over HTTP that lives on after its request, and returns its address.
    async fn open(&self, name: &str, orders: &str) -> String {
        let target = format!("/http?name={name}");
        let (status, address) =
            self.post(&target, &format!("alarm 600000; {orders}; reply address")).await;
        assert_eq!((status, address.len()), (200, 68), "{address}");
        address
    }

    /// Waits until no conversation is left.
    async fn is_empty(&self) {
        soon(async {
            loop {
                let shards = self.running.control().look(10).await;
                if shards.iter().all(|it| it.dialects.is_empty() && it.lines == [0; 3]) {
                    assert_eq!(shards.iter().map(|it| it.queued_bytes).sum::<usize>(), 0);
                    let sum = |of: fn(&taiwa_server::Tally) -> u64| {
                        shards.iter().map(|it| of(&it.tally)).sum::<u64>()
                    };
                    assert_eq!(sum(|it| it.opened), sum(|it| it.ended));
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = soon(response.into_body().collect()).await.expect("a whole body").to_bytes();
    (status, String::from_utf8(body.into()).expect("a text"))
}

/// Says something, and waits for the next message.
async fn said(socket: &mut WebSocket) -> String {
    let message = soon(socket.recv()).await.expect("it is open").expect("a message");
    message.as_text().expect("a text").to_owned()
}

/// Waits for the end, and returns code and reason.
async fn closed(socket: &mut WebSocket) -> (u16, String) {
    while soon(socket.recv()).await.expect("no fault").is_some() {}
    let closed = socket.closed().expect("it has ended");
    (closed.code.into(), closed.reason.as_str().to_owned())
}
