//! What `taiwa serve` has to keep for a client of HTTP/3, as the kernel counts it.

use std::{fs, path::PathBuf, time::Duration};

use taiwa_conformance::{
    http3::{Certificate, Outcome, RawQuic, Stream, frame, head, websocket},
    process::Process,
};
use taiwa_h3::varint::VarInt;
use tokio::time::timeout;

const KIB: usize = 1 << 10;

/// A server in a process of its own, and what its clients trust.
struct House {
    process: Process,
    certificate: Certificate,
    folder: PathBuf,
}

impl House {
    fn serve(name: &str, args: &[&str]) -> Self {
        let certificate = Certificate::default();
        let folder = std::env::temp_dir().join(format!("taiwa-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        let (chain_pem, key_pem) = certificate.pem();
        fs::write(&chain, chain_pem).and_then(|()| fs::write(&key, key_pem)).expect("files");
        let tls = ["--tls-cert", chain.to_str().expect("text"), "--tls-key"];
        let args = [&tls[..], &[key.to_str().expect("text")], args].concat();
        Self { process: Process::serve(&args), certificate, folder }
    }

    async fn client(&self) -> RawQuic {
        RawQuic::connect(self.process.addr(), &self.certificate).await
    }

    /// Runs `act`, and returns by how much the server grew for each of `count`.
    async fn growth(&self, count: usize, act: impl AsyncFnOnce(&Self)) -> usize {
        // Threads, lazily made tables and the first buffers are no growth.
        for _ in 0..3 {
            self.client().await.is_served().await;
        }
        let resident = self.process.resident();
        act(self).await;
        let each = self.process.resident_max().saturating_sub(resident) / count;
        self.client().await.is_served().await;
        eprintln!("{} KiB each", each / KIB);
        each
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn bombs_of_qpack_are_refused_and_cost_no_more_than_a_head() {
    let house = House::serve("bombs", &[]);
    // 85 bytes and more for each byte, had they all been kept.
    let bomb = frame(1, &[&[0, 0][..], &[0xc0 | 58; 16_000]].concat());
    let growth = house.growth(8, async |house| {
        for _ in 0..8 {
            let client = house.client().await;
            let mut streams = vec![];
            for _ in 0..100 {
                streams.push(client.bidi(&bomb).await);
            }
            for stream in &mut streams {
                assert_eq!(stream.outcome().await, Outcome::Answers(431));
            }
        }
    });
    let growth = growth.await;
    assert!(growth < 2_000 * KIB, "{growth} bytes a connection of 100 bombs");
}

#[tokio::test]
async fn heads_that_do_not_end_cost_what_came_of_them() {
    let house = House::serve("heads", &[]);
    // HEADERS as long as is allowed, of which half comes.
    let mut half = vec![1];
    VarInt::from_u32(16 << 10).write(&mut half);
    half.extend([0; 8 << 10]);
    let mut open: Vec<(RawQuic, Vec<Stream>)> = vec![];
    let growth = house.growth(4 * 200, async |house| {
        for _ in 0..4 {
            let client = house.client().await;
            let mut streams = vec![];
            for _ in 0..200 {
                streams.push(client.bidi(&half).await);
            }
            client.is_served().await;
            open.push((client, streams));
        }
    });
    let growth = growth.await;
    assert!(growth < 40 * KIB, "{growth} bytes a stream of 8 KiB");
}

#[tokio::test]
async fn who_talks_and_never_listens_is_held_up_at_the_window() {
    let args = ["--message-max", "64KiB", "--outbox-max", "64KiB", "--write-timeout", "30s"];
    let house = House::serve("talks", &args);
    let (mut clients, mut open) = (vec![], vec![]);
    let growth = house.growth(64, async |house| {
        // A client without windows: no echo of it ever arrives.
        let mut transport = quinn::TransportConfig::default();
        transport.stream_receive_window(1024_u32.into());
        let (addr, certificate) = (house.process.addr(), &house.certificate);
        let client = RawQuic::knock_with(addr, certificate, transport).await;
        let _control = client.uni(&taiwa_conformance::http3::control()).await;
        // A masked message of 16 KiB in a DATA frame.
        let message = [&[0x82, 0xfe, 0x40, 0, 0, 0, 0, 0][..], &[7; 16 << 10]].concat();
        let message = frame(0, &message);
        for _ in 0..64 {
            let mut stream = client.bidi(&head(&websocket("/echo"))).await;
            let mut written = 0;
            let flooding = async {
                for _ in 0..256 {
                    stream.send.write_all(&message).await.expect("open");
                    written += message.len();
                }
            };
            let stalled = timeout(Duration::from_millis(50), flooding).await;
            assert!(stalled.is_err(), "4 MiB wait somewhere");
            open.push(stream);
        }
        clients.push(client);
    });
    let growth = growth.await;
    // Of each: the window, an outbox, a message that is read, and what QUIC has to send.
    assert!(growth < 512 * KIB, "{growth} bytes a socket");
}
