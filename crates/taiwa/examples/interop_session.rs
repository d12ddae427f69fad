//! Proves sessions of WebTransport against peers that others wrote; `interop/http/transport_foreign.mjs` starts both.
//!
//! ```text
//! interop_session serve CERT KEY                   prints `listening PORT`, `closed PATH CODE REASON` at each end
//! interop_session connect ORIGIN HASH [LACK]..     each check prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`
//! ```
//!
//! A server, ours or theirs, echoes on `/echo` each bidirectional stream on itself, each unidirectional one on one of its own,
//! and datagrams; on `/open` it opens a bidirectional stream, asks `who is there?`, and greets the line that comes back on a
//! unidirectional one; it closes with 4002 on `/close`, and refuses `/refused` with 404. `HASH` is the SHA-256 of its
//! certificate, in hexadecimal. What a peer can't do is a `LACK`: end its `streams`, tell a `close` of a session, `refuse` one.

use std::{env, error::Error, fs, process::ExitCode, time::Duration};

use taiwa::{
    Http3, Server, Upgrade,
    webtransport::{Client, Ending, ReceiveStream, SendStream, Session, SessionRequest},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::{interval, timeout},
};

type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const CHECK_MAX: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["serve", certificate, key] => serve(certificate, key).await,
        ["connect", origin, hash, lacks @ ..] => connect(origin, hash, lacks).await,
        _ => Err("usage: interop_session serve CERT KEY | connect ORIGIN HASH [LACK]..".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn serve(certificate: &str, key: &str) -> Fallible {
    let (certificate, key) = (fs::read(certificate)?, fs::read(key)?);
    let server = Server::bind("127.0.0.1:0").await?.tls(&certificate, &key)?;
    let port = server.local_addr()?.port();
    let server = server.http3(Http3::default()).webtransport(async |request: SessionRequest| {
        let path = request.path().to_owned();
        if path == "/refused" {
            return request.reject(404, "not here").await;
        }
        attend(&path, request.accept().await?).await;
        Ok::<(), taiwa::Error>(())
    });
    let serving = server.serve(|upgrade: Upgrade| upgrade.reject(404, "no WebSockets here"));
    println!("listening {port}");
    Ok(serving.await?)
}

async fn attend(path: &str, session: Session) {
    let attended = async {
        match path {
            "/close" => session.close(4002, "またね"),
            "/open" => greet(&session).await?,
            _ => echo(&session).await?,
        }
        Fallible::Ok(())
    };
    if let Err(error) = attended.await {
        eprintln!("{path}: {error}");
    }
    match session.closed().await {
        Ending::ByPeer(code, reason) => println!("closed {path} {code} {reason}"),
        other => println!("closed {path} - {other}"),
    }
}

async fn greet(session: &Session) -> Fallible {
    let (mut send, receive) = session.open_bi().await?.split();
    say(&mut send, b"who is there?").await?;
    let mut answer = String::new();
    BufReader::new(receive).read_line(&mut answer).await?;
    say(&mut session.open_uni().await?, format!("welcome, {answer}").as_bytes()).await
}

/// Echoes until the session ends.
async fn echo(session: &Session) -> Fallible {
    loop {
        tokio::select! {
            Some(stream) = session.accept_bi() => {
                tokio::spawn(async move {
                    let (mut send, mut receive) = stream.split();
                    tokio::io::copy(&mut receive, &mut send).await?;
                    send.shutdown().await
                });
            }
            Some(mut receive) = session.accept_uni() => {
                let session = session.clone();
                tokio::spawn(async move {
                    let mut send = session.open_uni().await?;
                    tokio::io::copy(&mut receive, &mut send).await?;
                    send.shutdown().await
                });
            }
            Some(datagram) = session.recv_datagram() => session.send_datagram(&datagram)?,
            else => return Ok(()),
        }
    }
}

async fn say(send: &mut SendStream, what: &[u8]) -> Fallible {
    send.write_all(what).await?;
    Ok(send.shutdown().await?)
}

/// A server of others.
struct Peer<'a> {
    client: Client,
    origin: &'a str,
    lacks: &'a [&'a str],
}

impl Peer<'_> {
    fn can(&self, what: &str) -> bool {
        !self.lacks.contains(&what)
    }

    async fn open(&self, path: &str) -> Result<Session, taiwa::Error> {
        self.client.connect(&format!("{}{path}", self.origin)).await
    }

    /// Hears what is due, and the end behind it if the peer ends its streams.
    async fn hear(&self, mut receive: ReceiveStream, due: &[u8]) -> Fallible {
        let mut heard = vec![0; due.len()];
        if self.can("streams") {
            heard.clear();
            receive.read_to_end(&mut heard).await?;
        } else {
            receive.read_exact(&mut heard).await?;
        }
        if heard == due {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&heard[..heard.len().min(60)]);
        Err(format!("{shown:?} of {} bytes where {} were due", heard.len(), due.len()).into())
    }

    async fn echoes(&self, session: &Session, what: &[u8]) -> Fallible {
        let (mut send, receive) = session.open_bi().await?.split();
        let (said, heard) = tokio::join!(say(&mut send, what), self.hear(receive, what));
        said.and(heard)
    }

    async fn bidirectional(&self) -> Fallible {
        let session = self.open("/echo").await?;
        for what in [&b"dialogue"[..], "対話".as_bytes(), b"", &vec![7; 1 << 20]] {
            self.echoes(&session, what).await?;
        }
        Ok(())
    }

    async fn unidirectional(&self) -> Fallible {
        let session = self.open("/echo").await?;
        for what in [&b"dialogue"[..], &vec![9; 1 << 18]] {
            let mut send = session.open_uni().await?;
            let hearing = async {
                let receive = session.accept_uni().await.ok_or("it ended")?;
                self.hear(receive, what).await
            };
            let (said, heard) = tokio::join!(say(&mut send, what), hearing);
            said.and(heard)?;
        }
        Ok(())
    }

    async fn opened_by_the_server(&self) -> Fallible {
        let session = self.open("/open").await?;
        let (mut send, receive) = session.accept_bi().await.ok_or("it ended")?.split();
        self.hear(receive, b"who is there?").await?;
        say(&mut send, "対話".as_bytes()).await?;
        let receive = session.accept_uni().await.ok_or("it ended")?;
        self.hear(receive, "welcome, 対話".as_bytes()).await
    }

    /// Any may be lost, so it is said until it is heard.
    async fn datagrams(&self) -> Fallible {
        let session = self.open("/echo").await?;
        let mut again = interval(Duration::from_millis(100));
        let heard = loop {
            tokio::select! {
                heard = session.recv_datagram() => break heard,
                _ = again.tick() => session.send_datagram("対話".as_bytes())?,
            }
        };
        let heard = heard.ok_or("it ended")?;
        if heard == "対話".as_bytes() { Ok(()) } else { Err(format!("{heard:?}").into()) }
    }

    /// Streams at once, and then more than any peer allows at once, one after the other.
    async fn many(&self) -> Fallible {
        let session = self.open("/echo").await?;
        let mut asked = vec![];
        for number in 0..40 {
            let text = format!("message {number}");
            let (mut send, receive) = session.open_bi().await?.split();
            say(&mut send, text.as_bytes()).await?;
            asked.push((text, receive));
        }
        for (text, receive) in asked {
            self.hear(receive, text.as_bytes()).await?;
        }
        // Streams that do not end are open for ever.
        let more = if self.can("streams") { 200 } else { 40 };
        for number in 0..more {
            self.echoes(&session, format!("message {number}").as_bytes()).await?;
        }
        Ok(())
    }

    async fn closes(&self) -> Fallible {
        let session = self.open("/closes").await?;
        self.echoes(&session, b"still here").await?;
        session.close(4001, "またね");
        // The program is not to end before it is said.
        self.bidirectional().await
    }

    async fn closed(&self) -> Fallible {
        match self.open("/close").await?.closed().await {
            Ending::ByPeer(4002, reason) if reason == "またね" => Ok(()),
            other => Err(format!("it ended so: {other}").into()),
        }
    }

    async fn refused(&self) -> Fallible {
        match self.open("/refused").await {
            Err(taiwa::Error::Refused(response)) if response.status() == 404 => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    async fn untrusted(&self) -> Fallible {
        let stranger = Client::builder().certificate_hash([7; 32]).build()?;
        match stranger.connect(&format!("{}/echo", self.origin)).await {
            Err(taiwa::Error::Tls(_)) => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }
}

async fn connect(origin: &str, hash: &str, lacks: &[&str]) -> Fallible {
    let hash = of_hex(hash).ok_or("HASH is 64 hexadecimal digits")?;
    let client = Client::builder().certificate_hash(hash).build()?;
    let peer = Peer { client, origin, lacks };
    check("bidirectional", peer.bidirectional()).await;
    check("unidirectional", peer.unidirectional()).await;
    check("opened-by-the-server", peer.opened_by_the_server()).await;
    check("datagrams", peer.datagrams()).await;
    check("many", peer.many()).await;
    check("closes", peer.closes()).await;
    if peer.can("close") {
        check("closed", peer.closed()).await;
    } else {
        println!("skip closed: the peer ends the connection, and no session");
    }
    if peer.can("refuse") {
        check("refused", peer.refused()).await;
    } else {
        println!("skip refused: the peer can refuse no session");
    }
    check("untrusted", peer.untrusted()).await;
    Ok(())
}

async fn check(name: &str, body: impl Future<Output = Fallible>) {
    match timeout(CHECK_MAX, body).await {
        Ok(Ok(())) => println!("ok {name}"),
        Ok(Err(error)) => println!("FAIL {name}: {error}"),
        Err(_) => println!("FAIL {name}: nothing after {CHECK_MAX:?}"),
    }
}

fn of_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().chunks(2).map(|it| std::str::from_utf8(it).ok());
    let bytes: Option<Vec<u8>> = digits.map(|it| u8::from_str_radix(it?, 16).ok()).collect();
    bytes?.try_into().ok()
}
