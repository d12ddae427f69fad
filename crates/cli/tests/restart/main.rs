//! A server is exchanged for the next one under thousands of clients that keep publishing: nobody is refused, they come back
//! spread over the time of the drain, nothing is lost, nothing comes twice, and where something can't be recovered they
//! are told so.
#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod client;
mod ledger;
mod socket;

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use support::{Server, taiwa};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use broker::Broker;
use client::{Act, Plan, Record, live};

/// From the first goodbye to the last.
const PERIOD: Duration = Duration::from_secs(8);
/// Clients that share a channel.
const TOGETHER: usize = 10;
/// How long nothing may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the next process comes to the sockets of the one before.
enum Passing {
    /// Both get the same socket from who starts them.
    Activation(TcpListener),
    /// Each opens its own.
    ReusePort(SocketAddr),
}

impl Passing {
    fn start(&self, given: &[&str]) -> Server {
        let mut command = match self {
            Self::Activation(listener) => {
                let mut command = Command::new("/bin/sh");
                let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" </dev/null";
                command.args([
                    "-c",
                    script,
                    env!("CARGO_BIN_EXE_taiwa"),
                    "serve",
                    "--listen",
                    "activation",
                ]);
                command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
                command
            }
            Self::ReusePort(addr) => {
                let addr = addr.to_string();
                let mut command = taiwa(&["serve", "--listen", &addr, "--reuse-port", "true"]);
                command.stdin(Stdio::null());
                command
            }
        };
        command.args(["--log", "warn", "--drain-period", "8s"]).args(given);
        command.env_remove("TAIWA_LOG").env_remove("TAIWA_CONFIG");
        Server::run(command)
    }
}

/// What became of an exchange.
struct Exchange {
    records: Vec<Record>,
    /// When the first process was told to end, and when it had.
    told: Instant,
    ended: Instant,
}

/// Returns as many of so many clients as this process may have sockets, which is told if it is fewer.
fn possible(clients: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (_, may_have) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, may_have, may_have).unwrap();
    let room = usize::try_from(may_have).unwrap_or(usize::MAX).saturating_sub(BESIDE);
    if room < clients {
        eprintln!("{may_have} open files are too few for {clients} clients");
    }
    clients.min(room) / TOGETHER * TOGETHER
}

/// Open files of the test beside its clients.
const BESIDE: usize = 200;

/// Exchanges a server under so many clients.
async fn exchange(passing: Passing, clients: usize, given: &[&str], recovers: bool) -> Exchange {
    let clients = possible(clients);
    let first = passing.start(given);
    let addr = first.addr.parse().unwrap();
    let passing = match passing {
        Passing::ReusePort(_) => Passing::ReusePort(addr),
        other => other,
    };
    let (act, acts) = watch::channel(Act::Arriving);
    let (there, mut come) = watch::channel(0);
    let plan = Arc::new(Plan {
        addr,
        channels: clients / TOGETHER,
        pause: Duration::from_secs(8),
        patience: PATIENCE,
        recovers,
        there,
    });
    let mut living = JoinSet::new();
    for number in 0..clients {
        living.spawn(live(number, plan.clone(), acts.clone()));
        // Not more at once than the kernel lets wait.
        while *come.borrow() + 200 < number {
            timeout(PATIENCE, come.changed()).await.expect("they come").unwrap();
        }
    }
    timeout(PATIENCE, come.wait_for(|it| *it == clients)).await.expect("all come").unwrap();
    act.send_replace(Act::Publishing);
    sleep(Duration::from_secs(2)).await;
    let second = tokio::task::block_in_place(|| passing.start(given));
    let told = Instant::now();
    first.signal("-TERM");
    let (code, _) = tokio::task::block_in_place(|| first.finish());
    assert_eq!(code, Some(0));
    let ended = Instant::now();
    sleep(Duration::from_secs(3)).await;
    act.send_replace(Act::Quiet);
    sleep(Duration::from_secs(2)).await;
    act.send_replace(Act::Over);
    let mut records = vec![];
    while let Some(record) = timeout(PATIENCE, living.join_next()).await.expect("they end") {
        records.push(record.unwrap());
    }
    drop(second);
    Exchange { records, told, ended }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_clients_that_keep_publishing_lose_nothing_and_hear_nothing_twice() {
    let Some(broker) = tokio::task::block_in_place(Broker::find) else { return };
    let passing = Passing::Activation(TcpListener::bind("127.0.0.1:0").unwrap());
    let exchange = exchange(passing, 5_000, &["--broker", &broker.url], true).await;
    ledger::check(&exchange, PERIOD);
    ledger::check_broker(&exchange);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_move_to_the_next_process_by_the_socket_of_both() {
    let passing = Passing::Activation(TcpListener::bind("127.0.0.1:0").unwrap());
    let exchange = exchange(passing, 1_000, &[], false).await;
    ledger::check(&exchange, PERIOD);
    ledger::check_memory(&exchange);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_move_to_the_next_process_by_a_shared_port() {
    let passing = Passing::ReusePort("127.0.0.1:0".parse().unwrap());
    let exchange = exchange(passing, 500, &[], false).await;
    ledger::check(&exchange, PERIOD);
    ledger::check_memory(&exchange);
}
