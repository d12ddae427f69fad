//! Runs the program and peers for it; every wait has an end.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// More than anything here takes, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn taiwa(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa"));
    command.args(args).env_remove("TAIWA_LOG").env_remove("TAIWA_CONFIG");
    command
}

/// What a finished program leaves.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Outcome {
    pub fn stdout_text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stderr: {}", self.stderr);
        self
    }
}

/// Returns an address of this machine that nobody has, over TCP and over UDP, and that the system gives to nobody by itself:
/// its port lies below those.
pub fn free_addr() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id().wrapping_mul(97) % 10_000;
    for _ in 0..10_000 {
        let offset = begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let addr = (Ipv4Addr::LOCALHOST, 10_000 + (offset % 10_000) as u16);
        if TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            return format!("{}:{}", addr.0, addr.1);
        }
    }
    panic!("all ports are taken");
}

/// A running program, killed when dropped.
pub struct Running {
    pub child: Child,
    stdout: Option<mpsc::Receiver<Vec<u8>>>,
    stderr: mpsc::Receiver<Vec<u8>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Some(read_all(child.stdout.take().unwrap()));
        let stderr = read_all(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Writes the input from a thread, so that no pipe can fill up.
    pub fn feed(&mut self, input: impl Into<Vec<u8>>) {
        let (mut stdin, input) = (self.child.stdin.take().unwrap(), input.into());
        // A program that ended early has closed the pipe.
        thread::spawn(move || stdin.write_all(&input));
    }

    pub fn finish(mut self) -> Outcome {
        drop(self.child.stdin.take());
        self.finish_with_open_stdin()
    }

    pub fn finish_with_open_stdin(mut self) -> Outcome {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => panic!("still running after {PATIENCE:?}"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let stdout = self.stdout.take().unwrap().recv_timeout(PATIENCE).unwrap();
        let stderr = self.stderr.recv_timeout(PATIENCE).unwrap();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Outcome { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = tell.send(all);
    });
    told
}

/// Runs `taiwa` to its end.
pub fn run(args: &[&str], input: impl Into<Vec<u8>>) -> Outcome {
    let mut running = Running::start(taiwa(args));
    running.feed(input);
    running.finish()
}

/// Runs `taiwa connect` with `url` to its end.
pub fn connect(url: &str, args: &[&str], input: impl Into<Vec<u8>>) -> Outcome {
    run(&[&["connect", url], args].concat(), input)
}

/// A folder of one test's own, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("taiwa-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs taiwa here, with these variables.
    pub fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let mut command = taiwa(args);
        command.current_dir(&self.0).envs(variables.iter().copied());
        Running::start(command).finish()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `taiwa serve`, killed when dropped.
pub struct Server {
    pub child: Child,
    /// As printed, `http://127.0.0.1:1234/` or `unix:/path`.
    pub url: String,
    /// `127.0.0.1:1234`.
    pub addr: String,
    /// Lines of the log.
    log: mpsc::Receiver<String>,
    rest_of_stdout: mpsc::Receiver<Vec<u8>>,
}

impl Server {
    pub fn start(args: &[&str]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let mut command = taiwa(&args);
        command.stdin(Stdio::null());
        Self::run(command)
    }

    /// Runs a command that serves and prints where.
    pub fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = tell.send((line, stdout));
        });
        let (line, stdout) = told.recv_timeout(PATIENCE).unwrap();
        let url = line.trim_end().to_owned();
        assert!(!url.is_empty(), "no line with a URL");
        let addr = url.split('/').nth(2).unwrap_or_default().to_owned();
        Self { child, url, addr, log, rest_of_stdout: read_all(stdout) }
    }

    /// The WebSocket URL of a path.
    pub fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    /// Waits for a line of the log with `part` in it.
    #[track_caller]
    pub fn await_log(&self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while let Ok(line) = self.log.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        panic!("no {part:?} in the log:\n{seen}");
    }

    /// Waits until so many connections are live.
    #[track_caller]
    pub fn await_live(&self, total: usize) {
        let end = Instant::now() + PATIENCE;
        let url = self.ws("/.taiwa/connections");
        let part = format!("{{\"total\":{total},");
        while Instant::now() < end {
            let report = connect(&url, &["-1", "-q"], "").expect(0);
            if report.stdout_text().starts_with(&part) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("never {total} connections");
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for its end; returns the exit code and what stdout had after the first line.
    pub fn finish(mut self) -> (Option<i32>, Vec<u8>) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let rest = self.rest_of_stdout.recv_timeout(PATIENCE).unwrap();
                return (status.code(), rest);
            }
            assert!(Instant::now() < end, "the server still runs");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends bytes, returns all that comes until the server closes.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        String::from_utf8(response).unwrap()
    }

    /// Opens a WebSocket by hand.
    pub fn open(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            self.addr
        );
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A server that does `answer` to one connection, with the request's head; returns its URL, and what
/// `answer` returned once it has.
pub fn peer<T: Send + 'static>(
    answer: impl FnOnce(TcpStream, String) -> T + Send + 'static,
) -> (String, mpsc::Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = read_head(&mut stream);
        let _ = tell.send(answer(stream, head));
    });
    (url, told)
}

/// A server that accepts the handshake, sends `frames`, and then does `rest`.
pub fn frames_peer<T: Send + 'static>(
    frames: impl Into<Vec<u8>>,
    rest: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, mpsc::Receiver<T>) {
    let frames = frames.into();
    peer(move |mut stream, head| {
        accept(&mut stream, &head);
        let _ = stream.write_all(&frames);
        rest(stream)
    })
}

fn accept(stream: &mut TcpStream, head: &str) {
    let key = head
        .lines()
        .find(|it| it.to_ascii_lowercase().starts_with("sec-websocket-key:"))
        .and_then(|it| it.split_once(':'))
        .map(|(_, key)| key.trim())
        .unwrap();
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(digest)
    );
    stream.write_all(response.as_bytes()).unwrap();
}

/// Reads until the client ends the connection.
pub fn drain(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

/// A Close frame from a server.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = vec![0x88, 2 + reason.len() as u8];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}
