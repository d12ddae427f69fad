//! `taiwa serve` in a process of its own, measured by the kernel.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use crate::{Sender, raw::RawClient};

/// What the kernel counts processor time in: `sysconf(_SC_CLK_TCK)` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    /// Starts `taiwa serve` on a free port with further arguments, and waits until it says where.
    ///
    /// # Panics
    /// If it can't be built or does not start.
    pub fn serve(args: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "off"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        let (send, said) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            send.send(line)
        });
        // Kills the child, should it say nothing.
        let mut process = Self { child, addr: ([0, 0, 0, 0], 0).into() };
        let line = said.recv_timeout(Duration::from_secs(20)).expect("a line in time");
        process.addr = line
            .trim()
            .split_once("://")
            .and_then(|(_, it)| it.trim_end_matches('/').parse().ok())
            .unwrap_or_else(|| panic!("no URL: {line:?}"));
        process
    }

    /// Returns where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the bytes that are resident now.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// Returns the most bytes that ever were resident.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn resident_max(&self) -> usize {
        self.status("VmHWM:")
    }

    /// Returns the processor time that it took so far.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("alive");
        // Behind the name, which is in brackets: state is the third field, utime and stime the 14th and 15th.
        let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
        TICK * fields.skip(11).take(2).map(|it| it.parse::<u32>().expect("ticks")).sum()
    }

    /// Has a client say something to `/echo` and hear it.
    ///
    /// # Panics
    /// If it does not.
    pub fn echoes(&self) {
        let mut client = RawClient::connect(self.addr, "/echo", false);
        client.write(&Sender(taiwa_proto::Role::Client).frame(0x81, b"still there?"));
        let echoed = client.read_frames(1, Duration::from_secs(5));
        assert_eq!(echoed, b"\x81\x0cstill there?");
    }

    fn status(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("alive");
        let line = status.lines().find_map(|it| it.strip_prefix(name)).expect("a field");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary: `TAIWA_BIN`, or built beside this test.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("TAIWA_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("a path");
        let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
        let target = profile.parent().expect("target");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "--quiet", "--package", "taiwa-cli"]);
        build.env("CARGO_TARGET_DIR", target).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "taiwa-cli builds");
        profile.join("taiwa")
    })
}
