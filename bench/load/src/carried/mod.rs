//! WebSockets over any version of HTTP, with or without TLS, and the datagrams of WebTransport: what a row does with them.
//!
//! This end runs on tokio, one thread, with the crates `h2`, `quinn` and `taiwa-h3`: it costs more than the one on raw epoll,
//! so that rates and latencies are compared with each other alone. What the server uses is measured as in all other rows.

mod datagrams;
mod dial;
mod echo;
mod fan_out;
mod half;
mod handshakes;
mod idle;
mod socket;

use std::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bench_order::Over;
pub(crate) use datagrams::{datagrams_echoed, datagrams_taken};
pub(crate) use echo::echo;
pub(crate) use fan_out::fan_out;
pub(crate) use handshakes::handshakes;
pub(crate) use idle::idle;
use tokio::{
    runtime::{Builder, Runtime},
    select,
    task::yield_now,
    time::sleep,
};

use crate::{certificate::Certificate, clients::Rest, noise::Noise, server::Running};

/// How long nothing at all may happen while something is due.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The pause after which we look whether we were interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// Carries clients to one server.
pub(crate) struct Carrier<'a> {
    over: Over,
    path: &'a str,
    server: &'a Running,
    certificate: &'a Certificate,
    interrupted: &'a AtomicBool,
    runtime: Runtime,
    noise: RefCell<Noise>,
    /// Counts whatever comes from the server.
    heard: Cell<u64>,
    /// TCP connections so far.
    connected: Cell<u32>,
}

impl<'a> Carrier<'a> {
    pub(crate) fn new(
        over: Over,
        path: &'a str,
        server: &'a Running,
        certificate: &'a Certificate,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            over,
            path,
            server,
            certificate,
            interrupted,
            runtime: runtime.map_err(|it| it.to_string())?,
            noise: RefCell::new(Noise::random()),
            heard: Cell::new(0),
            connected: Cell::new(0),
        })
    }

    /// Does some work, together with the connections that were opened before.
    ///
    /// # Errors
    /// Those of `work`; nothing came for [`SILENCE_MAX`]; we were interrupted.
    fn run<T>(
        &self,
        rest: Rest,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        self.runtime.block_on(async {
            select! {
                done = work => done,
                why = self.watch() => Err(why),
                () = look(rest) => unreachable!("it goes on for ever"),
            }
        })
    }

    /// Waits until nothing came for too long.
    async fn watch(&self) -> String {
        let (mut heard, mut since) = (self.heard.get(), Instant::now());
        loop {
            sleep(LOOK).await;
            if self.interrupted.load(Ordering::Relaxed) {
                return "interrupted".into();
            }
            if self.heard.get() != heard {
                (heard, since) = (self.heard.get(), Instant::now());
            } else if since.elapsed() > SILENCE_MAX {
                return format!("nothing came for {} s", SILENCE_MAX.as_secs());
            }
        }
    }

    fn hear(&self) {
        self.heard.set(self.heard.get() + 1);
    }
}

/// Keeps this thread from sleeping, if that is wanted, and never returns.
async fn look(rest: Rest) {
    loop {
        match rest {
            Rest::Sleep => std::future::pending().await,
            Rest::Look => yield_now().await,
        }
    }
}

fn told(why: impl ToString) -> String {
    why.to_string()
}
