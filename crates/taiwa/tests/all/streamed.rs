//! Large messages through a process of its own whose memory the kernel measures.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use taiwa::{Client, CloseCode, Config, Deflate, Error, Kind, Upgrade, WebSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

use super::{bind, run};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What may be resident beyond what was after the first megabytes.
const GROWTH_MAX: usize = 256 * KIB;
/// Bytes after which threads, tables and first buffers are there.
const WARM: usize = 16 * MIB;
/// Bytes from one look at the memory to the next.
const LOOK: usize = MIB;
/// Tells the measured process what to do: role, direction, compression, bytes, and
/// where its server is.
const TASK: &str = "TAIWA_STREAMED_TASK";

/// 1 GiB; with compression, which is slow in a debug build, 64 MiB there. `TAIWA_STREAMED_MIB` says
/// otherwise.
fn len(is_compressed: bool) -> usize {
    let given = std::env::var("TAIWA_STREAMED_MIB").ok();
    let given = given.map(|it| it.parse::<usize>().expect("a number of MiB") * MIB);
    let is_slow = cfg!(debug_assertions) && is_compressed;
    given.unwrap_or(if is_slow { 64 * MIB } else { 1024 * MIB })
}

/// Bytes by their place, so that none can be missing.
struct Pattern(Vec<u8>);

impl Pattern {
    const PERIOD: usize = 251;

    fn new() -> Self {
        Self((0..64 * KIB + Self::PERIOD).map(|it| (it % Self::PERIOD) as u8).collect())
    }

    fn at(&self, place: usize, len: usize) -> &[u8] {
        &self.0[place % Self::PERIOD..][..len]
    }
}

/// Looks at the memory of the process now and then.
#[derive(Default)]
struct Looks {
    before: usize,
    grown: usize,
    next: usize,
}

impl Looks {
    fn at(&mut self, place: usize) {
        if place < self.next {
            return;
        }
        self.next = place + LOOK;
        let now = resident();
        if place < WARM {
            // The most: the allocator gives pages back and takes them again.
            self.before = self.before.max(now);
        } else {
            self.grown = self.grown.max(now.saturating_sub(self.before));
        }
    }

    fn grown(self) -> usize {
        assert_ne!(self.before, 0, "nobody looked");
        self.grown
    }
}

/// Sends a message of `len` bytes; returns how much the process grew meanwhile.
async fn write(mut socket: WebSocket, len: usize) -> usize {
    let (pattern, mut looks, mut place) = (Pattern::new(), Looks::default(), 0);
    let mut message = socket.send_stream(Kind::Binary);
    while place < len {
        let n = (len - place).min(64 * KIB);
        message.write_all(pattern.at(place, n)).await.unwrap();
        place += n;
        looks.at(place);
    }
    message.finish().await.unwrap();
    assert!(socket.close(CloseCode::NORMAL, "").await.unwrap().clean);
    looks.grown()
}

/// Receives a message of `len` bytes; returns how much the process grew meanwhile.
async fn read(mut socket: WebSocket, len: usize) -> usize {
    let (pattern, mut looks, mut place) = (Pattern::new(), Looks::default(), 0);
    let mut message = socket.recv_stream().await.unwrap().expect("a message");
    let mut buffer = vec![0; 64 * KIB];
    loop {
        let n = message.read(&mut buffer).await.unwrap();
        if n == 0 {
            break;
        }
        assert!(buffer[..n] == *pattern.at(place, n), "damaged at {place}");
        place += n;
        looks.at(place);
    }
    assert_eq!(place, len);
    drop(message);
    assert_eq!(socket.recv().await.unwrap(), None);
    looks.grown()
}

/// Returns the bytes that are resident and were allocated: no pages of the program itself. The kernel
/// counts each page for it, where the numbers in `/proc/self/status` may be off by hundreds of KiB.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = pages.lines().find_map(|it| it.strip_prefix("Anonymous:")).expect("a field");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * KIB
}

fn config(is_compressed: bool) -> Config {
    Config { deflate: is_compressed.then(Deflate::default), ..Config::default() }
}

fn client(is_compressed: bool) -> Client {
    Client::builder().config(config(is_compressed)).build().unwrap()
}

/// Waits for the one connection of a server.
async fn one_socket(
    server: taiwa::Server,
    is_compressed: bool,
) -> mpsc::UnboundedReceiver<WebSocket> {
    let (tell, told) = mpsc::unbounded_channel();
    run(server.config(config(is_compressed)).serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            tell.send(upgrade.accept().await?).map_err(drop).expect("it is waited for");
            std::future::pending::<Result<(), Error>>().await
        }
    }));
    told
}

/// Killed when dropped.
struct Measured(Child);

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this test program again, for one role. Its lines come out of the channel.
fn start(task: &str) -> (Measured, mpsc::UnboundedReceiver<String>) {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "streamed::one_end_of_a_large_message", "--ignored", "--nocapture"])
        .env(TASK, task)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = child.stdout.take().expect("piped");
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    (Measured(child), told)
}

/// Waits for a line that says `name`, and returns what it says of it.
async fn said(lines: &mut mpsc::UnboundedReceiver<String>, name: &str) -> String {
    loop {
        let line = lines.recv().await.expect("the measured process goes on");
        if let Some((_, rest)) = line.split_once(name) {
            return rest.trim().to_owned();
        }
    }
}

#[tokio::test]
#[ignore = "run by the next one, in a process of its own"]
async fn one_end_of_a_large_message() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut task = task.split(' ');
    let mut next = || task.next().expect("five words");
    let (role, direction, is_compressed) = (next(), next(), next() == "compressed");
    let (len, addr): (usize, _) = (next().parse().expect("a number"), next());
    let socket = if role == "server" {
        let (server, addr) = bind().await;
        let mut sockets = one_socket(server, is_compressed).await;
        println!("listens: {addr}");
        sockets.recv().await.expect("a socket")
    } else {
        client(is_compressed).connect(&format!("ws://{addr}/")).await.unwrap()
    };
    assert_eq!(socket.deflate().is_some(), is_compressed);
    let grown =
        if direction == "reads" { read(socket, len).await } else { write(socket, len).await };
    println!("grown: {grown}");
}

async fn measure(role: &str, direction: &str, compression: &str) -> usize {
    let is_compressed = compression == "compressed";
    let len = len(is_compressed);
    let task = |addr: &str| format!("{role} {direction} {compression} {len} {addr}");
    let (_child, mut lines, socket) = if role == "server" {
        let (child, mut lines) = start(&task("-"));
        let addr = said(&mut lines, "listens: ").await;
        let socket = client(is_compressed).connect(&format!("ws://{addr}/")).await.unwrap();
        (child, lines, socket)
    } else {
        let (server, addr) = bind().await;
        let mut sockets = one_socket(server, is_compressed).await;
        let (child, lines) = start(&task(&addr.to_string()));
        (child, lines, sockets.recv().await.expect("a socket"))
    };
    if direction == "reads" {
        write(socket, len).await
    } else {
        read(socket, len).await
    };
    said(&mut lines, "grown: ").await.parse().expect("a number")
}

#[tokio::test]
async fn a_large_message_goes_through_in_256_kib() {
    for compression in ["plain", "compressed"] {
        for (role, direction) in
            [("server", "reads"), ("server", "writes"), ("client", "reads"), ("client", "writes")]
        {
            let begun = std::time::Instant::now();
            let measured = measure(role, direction, compression);
            let grown = timeout(Duration::from_secs(600), measured).await.expect("in time");
            let (mib, kib) = (len(compression == "compressed") / MIB, grown / KIB);
            let took = begun.elapsed();
            println!("{role} {direction} {mib} MiB {compression}: {kib} KiB more, {took:?}");
            assert!(grown <= GROWTH_MAX, "{role} {direction} {compression}: {grown} bytes");
        }
    }
}

#[test]
fn what_is_held_is_seen_by_the_measurement() {
    let mut looks = Looks::default();
    looks.at(MIB);
    let held = vec![7; 32 * MIB];
    looks.at(WARM);
    assert!(held[31 * MIB] == 7 && 28 * MIB < looks.grown());
}
