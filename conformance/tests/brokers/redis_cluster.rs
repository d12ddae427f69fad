//! Redis Cluster: three primaries of its own for each scene, with replicas if they are asked for.

use std::{path::Path, time::Duration};

use taiwa_core::Cluster;
use taiwa_redis::Settings;

use crate::{
    fixture::{Fixture, Kept, Later},
    node::SOON,
    redis::{Server, free_port},
};

pub(crate) const PRIMARIES: usize = 3;

/// Several servers that share 16,384 slots.
pub(crate) struct Servers {
    /// The primaries first, each replica in their order.
    pub(crate) all: Vec<Server>,
    buses: Vec<u16>,
    /// Where they speak TLS, to each other as well; none if they do not.
    secured: Vec<u16>,
}

pub(crate) async fn fixture() -> Option<Box<dyn Fixture>> {
    // Who is frozen for a scene is not taken for dead.
    Some(Box::new(Servers::begin(PRIMARIES, "60000").await?))
}

impl Servers {
    /// Starts so many servers, or says why there are none. Who is silent for so many ms is dead.
    pub(crate) async fn begin(count: usize, silence_ms: &str) -> Option<Self> {
        Self::begin_with(count, silence_ms, None).await
    }

    /// Starts so many servers, which speak TLS if they get a certificate and its key, each in a file.
    pub(crate) async fn begin_with(
        count: usize,
        silence_ms: &str,
        certificate: Option<(&str, &str)>,
    ) -> Option<Self> {
        let mut servers = Self { all: vec![], buses: vec![], secured: vec![] };
        for _ in 0..count {
            let bus = free_port();
            let bus_port = bus.to_string();
            let more = ["--cluster-enabled", "yes", "--cluster-node-timeout", silence_ms];
            let more = [&more[..], &["--cluster-port", &bus_port]].concat();
            let mut more = [&more[..], &["--cluster-replica-validity-factor", "0"]].concat();
            let tls = certificate.map(|_| free_port());
            let tls_port = tls.map(|it| it.to_string()).unwrap_or_default();
            servers.secured.extend(tls);
            if let Some((certificate, key)) = certificate {
                more.extend(["--tls-cluster", "yes", "--tls-port", &tls_port]);
                more.extend(["--tls-cert-file", certificate, "--tls-ca-cert-file", certificate]);
                more.extend(["--tls-key-file", key, "--tls-auth-clients", "no"]);
            }
            servers.all.push(Server::prepare(&more, 0)?);
            servers.buses.push(bus);
        }
        servers.run().await;
        Some(servers)
    }

    /// Writes into each folder who they are, as they would find out by asking one another.
    fn introduce(&self, to: usize, folder: &Path) {
        let mut text = String::new();
        for (number, server) in self.all.iter().enumerate() {
            let port = self.secured.get(number).unwrap_or(&server.port);
            let (id, bus) = (name(number), self.buses[number]);
            let myself = if number == to { "myself," } else { "" };
            let (first, last) = slots(number % PRIMARIES);
            text += &match number {
                0..PRIMARIES => format!(
                    "{id} 127.0.0.1:{port}@{bus} {myself}master - 0 0 {} connected {first}-{last}\n",
                    number + 1
                ),
                _ => format!(
                    "{id} 127.0.0.1:{port}@{bus} {myself}slave {} 0 0 {} connected\n",
                    name(number % PRIMARIES),
                    number % PRIMARIES + 1
                ),
            };
        }
        text += "vars currentEpoch 6 lastVoteEpoch 0\n";
        std::fs::write(folder.join("nodes.conf"), text).unwrap();
    }

    async fn run(&self) {
        for (number, server) in self.all.iter().enumerate() {
            self.introduce(number, &server.folder);
            server.run().await;
        }
        let ready = async {
            let is_ready = |it: &Server| {
                let ready = it.tell(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
                ready && !it.tell(&["INFO", "replication"]).contains("master_link_status:down")
            };
            while !self.all.iter().all(is_ready) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(SOON, ready).await.expect("they find each other");
    }

    pub(crate) fn settings(&self) -> Settings {
        let plain = self.all[0].settings();
        match self.secured.first() {
            None => plain,
            Some(port) => {
                let secured = Settings::parse(&format!("rediss://127.0.0.1:{port}")).unwrap();
                Settings { address: secured.address, tls: secured.tls, ..plain }
            }
        }
    }

    /// Returns the number of the server that has a key, at the beginning.
    pub(crate) fn place_of(&self, key: &str) -> usize {
        let slot = self.slot_of(key);
        (0..PRIMARIES).find(|it| (slots(*it).0..=slots(*it).1).contains(&slot)).unwrap()
    }

    pub(crate) fn slot_of(&self, key: &str) -> usize {
        self.all[0].tell(&["CLUSTER", "KEYSLOT", key]).trim().parse().unwrap()
    }
}

/// The identifier of a server.
pub(crate) fn name(number: usize) -> String {
    format!("{:040x}", number + 1)
}

/// The first and the last slot of a primary.
fn slots(number: usize) -> (usize, usize) {
    (number * 16_384 / PRIMARIES, (number + 1) * 16_384 / PRIMARIES - 1)
}

impl Fixture for Servers {
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
            for server in &self.all {
                if kept == Kept::Everything {
                    server.finish().await;
                } else {
                    server.end().unwrap();
                    std::fs::remove_dir_all(&server.folder).unwrap();
                    std::fs::create_dir_all(&server.folder).unwrap();
                }
            }
        })
    }

    fn start(&self) -> Later<'_, ()> {
        Box::pin(self.run())
    }

    fn freeze(&self) -> Later<'_, ()> {
        Box::pin(async { self.all.iter().for_each(|it| it.signal("-STOP")) })
    }

    fn thaw(&self) -> Later<'_, ()> {
        Box::pin(async { self.all.iter().for_each(|it| it.signal("-CONT")) })
    }
}
