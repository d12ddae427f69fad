//! A broker for the servers: the one that `TAIWA_TEST_BROKER` names, or a `redis-server` of the test's own.

use std::{
    env,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;

pub(crate) struct Broker {
    pub(crate) url: String,
    /// Ended with the test.
    server: Option<Child>,
}

impl Broker {
    /// `None`: there is none on this machine.
    pub(crate) fn find() -> Option<Self> {
        if let Ok(url) = env::var("TAIWA_TEST_BROKER") {
            return Some(Self { url, server: None });
        }
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if version.is_err() {
            eprintln!("skipped: redis-server is not installed (cargo xtask setup)");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &free.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(free).is_err() {
            assert_eq!(server.try_wait().unwrap(), None, "redis-server ended");
            assert!(Instant::now() < end, "redis-server starts");
            thread::sleep(Duration::from_millis(10));
        }
        Some(Self { url: format!("redis://{free}"), server: Some(server) })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
