//! NATS with JetStream: a server of its own for each scene.

use std::{
    fs,
    io::{self, Read},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use taiwa_core::Cluster;
use taiwa_nats::{Nats, Settings, connect};

use crate::{
    fixture::{Fixture, Kept, Later},
    redis::free_port,
};

/// So long a server may take until it answers.
const READY: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    /// What else stands in its configuration.
    more: String,
    process: Mutex<Option<Child>>,
}

pub(crate) async fn fixture() -> Option<Box<dyn Fixture>> {
    let server = Server::begin(|_| JETSTREAM.into()).await?;
    Some(Box::new(server))
}

/// What lets a server have JetStream; its folder is added.
pub(crate) const JETSTREAM: &str =
    "jetstream { store_dir: STORE, max_mem: 256MB, max_file: 1GB }\n";

impl Server {
    /// Makes one in a folder of its own, with these lines in its configuration.
    pub(crate) async fn begin(more: impl FnOnce(&Path) -> String) -> Option<Self> {
        let found = Command::new("nats-server").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|it| it.success()) {
            println!("skipped: there is no nats-server; `cargo xtask setup` installs it");
            return None;
        }
        let port = free_port();
        // The name is free on this machine: the port was.
        let folder = std::env::temp_dir().join(format!("taiwa-nats-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let more = more(&folder).replace("STORE", &format!("{:?}", folder.join("store")));
        let server = Self { port, folder, more, process: Mutex::default() };
        server.run().await;
        Some(server)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::parse(&format!("nats://127.0.0.1:{}", self.port)).unwrap()
    }

    /// Starts the program, and waits until it has JetStream.
    async fn run(&self) {
        let config = self.folder.join("nats.conf");
        let text = format!("listen: \"127.0.0.1:{}\"\nmax_payload: 4MB\n{}", self.port, self.more);
        fs::write(&config, text).unwrap();
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let child = Command::new("nats-server")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.process.lock().unwrap() = Some(child);
        let begun = Instant::now();
        while self.greeting().is_err() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < READY, "nats-server does not answer: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads the line that it sends first.
    fn greeting(&self) -> io::Result<()> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut first = [0; 4];
        socket.read_exact(&mut first)?;
        if &first == b"INFO" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn end(&self) {
        let child = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            // A process that stands still ends all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.lock().unwrap().as_ref().expect("it runs").id();
        let sent = Command::new("kill").args([name, &id.to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Fixture for Server {
    fn join(&self) -> Later<'_, Cluster> {
        Box::pin(async move {
            let begun = Instant::now();
            loop {
                match connect(self.settings()).await {
                    Ok(nats) => break Cluster::of::<Nats>(&nats),
                    Err(it) => assert!(begun.elapsed() < READY, "{it}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
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
            self.end();
            if kept == Kept::Nothing {
                fs::remove_dir_all(self.folder.join("store")).unwrap();
            }
        })
    }

    fn start(&self) -> Later<'_, ()> {
        Box::pin(self.run())
    }

    fn freeze(&self) -> Later<'_, ()> {
        Box::pin(async move { self.signal("-STOP") })
    }

    fn thaw(&self) -> Later<'_, ()> {
        Box::pin(async move { self.signal("-CONT") })
    }
}
