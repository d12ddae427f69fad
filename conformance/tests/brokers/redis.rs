//! Redis: a server of its own for each scene, which keeps what it has in an append-only file.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use taiwa_core::Cluster;
use taiwa_redis::Settings;

use crate::fixture::{Fixture, Kept, Later};

/// A server process of ours, and its folder.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
    more: Vec<String>,
    /// Which of its databases is talked about; one of several servers has but one.
    database: u32,
    child: Mutex<Option<Child>>,
}

pub(crate) async fn fixture() -> Option<Box<dyn Fixture>> {
    let server = Server::begin(&[]).await?;
    Some(Box::new(server))
}

impl Server {
    /// Starts one with more settings, in which `{folder}` is its folder; or says why there is none.
    pub(crate) async fn begin(more: &[&str]) -> Option<Self> {
        let server = Self::prepare(more, 1)?;
        server.run().await;
        Some(server)
    }

    /// Makes room for one that does not run yet.
    pub(crate) fn prepare(more: &[&str], database: u32) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if version.is_err() {
            eprintln!("skipped: redis-server is not installed (cargo xtask setup)");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("taiwa-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.display().to_string();
        let more = more.iter().map(|it| it.replace("{folder}", &path)).collect();
        Some(Self { port: free_port(), folder, more, database, child: Mutex::default() })
    }

    /// Tells the server something, as its own program for that does.
    pub(crate) fn tell(&self, command: &[&str]) -> String {
        let (port, database) = (self.port.to_string(), self.database.to_string());
        let output =
            Command::new("redis-cli").args(["-p", &port, "-n", &database]).args(command).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    pub(crate) fn settings(&self) -> Settings {
        let url = format!("redis://127.0.0.1:{}/{}", self.port, self.database);
        let mut settings = Settings::parse(&url).unwrap();
        // So that a scene in which a node dies is over sooner.
        settings.beat_every = Duration::from_millis(500);
        settings.gone_after = Duration::from_secs(3);
        settings
    }

    pub(crate) async fn run(&self) {
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--dir"])
            .arg(&self.folder)
            .args(&self.more)
            .stdout(log)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        let up = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                let ended = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
                assert_eq!(ended, None, "redis-server ended");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(crate::node::SOON, up).await.expect("redis-server starts");
    }

    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.lock().unwrap();
        let id = child.as_ref().expect("it runs").id().to_string();
        let done = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(done.success());
    }

    /// Lets it write its file to the end.
    pub(crate) async fn finish(&self) {
        self.signal("-TERM");
        let child = self.child.lock().unwrap().take();
        let status = tokio::task::spawn_blocking(move || child.unwrap().wait());
        status.await.unwrap().unwrap();
    }

    /// Kills the server.
    pub(crate) fn end(&self) -> io::Result<()> {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

/// Returns a port that nobody has, and that nobody is given by the system while it is not used yet: it lies below those.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (number % 12_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

impl Fixture for Server {
    fn join(&self) -> Later<'_, Cluster> {
        Box::pin(async {
            let node = taiwa_redis::connect(self.settings()).await.unwrap();
            Cluster::of(&node)
        })
    }

    fn kill(&self, node: Cluster) -> Later<'_, ()> {
        Box::pin(async move { drop(node) })
    }

    fn pass(&self, time: Duration) -> Later<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn stop(&self, kept: Kept) -> Later<'_, ()> {
        Box::pin(async move {
            if kept == Kept::Everything {
                self.finish().await;
            } else {
                self.end().unwrap();
                std::fs::remove_dir_all(&self.folder).unwrap();
                std::fs::create_dir_all(&self.folder).unwrap();
            }
        })
    }

    fn start(&self) -> Later<'_, ()> {
        Box::pin(self.run())
    }

    fn freeze(&self) -> Later<'_, ()> {
        Box::pin(async { self.signal("-STOP") })
    }

    fn thaw(&self) -> Later<'_, ()> {
        Box::pin(async { self.signal("-CONT") })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
