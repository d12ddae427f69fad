//! How `taiwa serve` ends: after SIGTERM its clients leave one after the other, after SIGINT all at once.

use std::{process, time::Duration};

use taiwa_server::Running;
use tokio::{sync::watch, time::sleep};
use tracing::info;

use crate::{
    config::settings::Settings,
    exit::Exit,
    listen::Listen,
    present::Present,
    signals::{Signal, Signals},
    supervisor::Supervisor,
};

/// How long clients may take to say goodbye, and then webhooks to take what waits for them.
pub(crate) const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(5);
/// How long they may when the server is told to end a second time, and all the rest together.
const AT_ONCE_WITHIN: Duration = Duration::from_millis(500);

/// What SIGTERM begins.
#[derive(Clone, Copy, Debug)]
struct Drain {
    wait: Duration,
    period: Duration,
    /// The next process gets newcomers by the same ports.
    for_successor: bool,
}

impl Drain {
    fn of(settings: &Settings) -> Self {
        let time = |it: crate::args::Time| it.0.unwrap_or_default();
        let mut places = settings.listen.iter();
        Self {
            wait: time(settings.times.drain_wait),
            period: time(settings.times.drain_period),
            for_successor: places.all(|it| match it {
                Listen::Tcp(_) => settings.reuse_port,
                Listen::Activation => true,
                Listen::Unix(_) => false,
            }),
        }
    }

    /// Returns how long the end takes at most.
    fn total(&self) -> Duration {
        self.wait + self.period + 3 * SHUT_DOWN_WITHIN
    }
}

/// Tells listeners when to leave shared sockets to the next process.
#[derive(Clone, Debug)]
pub(crate) struct Leaving(watch::Receiver<bool>);

impl Leaving {
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (leave, left) = watch::channel(false);
        (leave, Self(left))
    }

    /// Waits until it is time to leave; for ever, if that never comes.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut left = self.0.clone();
        async move {
            if left.wait_for(|it| *it).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

/// Waits until the server has to end, and begins with it.
pub(crate) async fn end(
    mut signals: Signals,
    running: Running,
    present: Present,
    leave: watch::Sender<bool>,
    supervisor: Supervisor,
) {
    let mut within = SHUT_DOWN_WITHIN;
    tokio::select! {
        signal = signals.next() => {
            running.readiness().go_away();
            let drain = Drain::of(&present.now().settings);
            supervisor.stopping(drain.total());
            match signal {
                Signal::Interrupt => info!("{signal:?}: closing all connections"),
                Signal::Terminate => tokio::select! {
                    () = lead_out(&running, drain, &leave) => {}
                    signal = signals.next() => {
                        info!("{signal:?}: closing all connections at once");
                        within = AT_ONCE_WITHIN;
                        exit_after(2 * AT_ONCE_WITHIN, signal);
                    }
                    _ = running.ended() => {}
                },
            }
        }
        // A channel without its owner would fall silent, and nobody would know.
        _ = running.ended() => {}
    }
    // While the listeners' connections end: bodies that go on end with their conversations.
    tokio::spawn(async move { running.shut_down(within).await });
    tokio::spawn(async move {
        let signal = signals.next().await;
        process::exit(Exit::from(signal) as i32);
    });
}

/// Lets the clients leave.
async fn lead_out(running: &Running, drain: Drain, leave: &watch::Sender<bool>) {
    let Drain { wait, period, for_successor } = drain;
    if !wait.is_zero() {
        info!(seconds = wait.as_secs_f64(), "Terminate: not ready, waiting");
        sleep(wait).await;
    }
    info!(seconds = period.as_secs_f64(), "Terminate: clients leave");
    // The next process gets the newcomers; who was accepted before is still let in, or told when to come again.
    leave.send_replace(true);
    match for_successor {
        true => running.drain_for_successor(period).await,
        false => running.drain(period).await,
    }
}

/// Ends the program, whatever keeps it.
fn exit_after(within: Duration, signal: Signal) {
    tokio::spawn(async move {
        sleep(within).await;
        process::exit(Exit::from(signal) as i32);
    });
}
