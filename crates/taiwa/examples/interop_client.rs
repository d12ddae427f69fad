//! Proves the client against a server that others wrote; `interop/run.py` starts both.
//!
//! ```text
//! interop_client ORIGIN DEFLATE_MODES CLOSE_ANSWER TLS_ORIGIN AUTHORITY [http2] [no-pings]
//! ```
//!
//! The server echoes on `/echo`, closes with 4002 on `/close`, pings on `/ping` and answers the Pong with a
//! message, and sends one byte more than a mebibyte on `/big`. `DEFLATE_MODES` names, with commas between,
//! the offers of permessage-deflate that it takes; `CLOSE_ANSWER` is the code with which it answers 4001.
//! `TLS_ORIGIN` is the same server behind a certificate that the one in the file `AUTHORITY` signed.
//! With `http2` all of it goes over HTTP/2, most of it over one connection; with `no-pings` the server can't ping.
//! Each check prints `ok NAME`, `FAIL NAME: why` or `skip NAME: why`.

use std::{env, error::Error, future::Future, process::ExitCode, sync::OnceLock, time::Duration};

use taiwa::{Client, ClientBuilder, CloseCode, Deflate, HttpVersion, Message, Side, WebSocket};
use tokio::time::timeout;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const CHECK_MAX: Duration = Duration::from_secs(10);
const MEBIBYTE: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [origin, modes, close_answer, tls_origin, authority, options @ ..] = arguments.as_slice()
    else {
        eprintln!(
            "usage: interop_client ORIGIN DEFLATE_MODES CLOSE_ANSWER TLS_ORIGIN AUTHORITY [http2] [no-pings]"
        );
        return ExitCode::from(2);
    };
    if options.iter().any(|it| it == "http2") {
        VERSION.set(HttpVersion::Http2).expect("it is said once, before anybody asks");
    }
    let Ok(close_answer) = close_answer.parse::<u16>() else {
        eprintln!("CLOSE_ANSWER is a close code");
        return ExitCode::from(2);
    };
    plain(origin, close_answer).await;
    if options.iter().any(|it| it == "no-pings") {
        println!("skip pong: the server has no ping");
    } else {
        check("pong", pong(&format!("{origin}/ping"))).await;
    }
    for (name, offer) in offers() {
        let taken = modes.split(',').any(|mode| mode == name);
        check(&format!("deflate-{name}"), deflate(&format!("{origin}/echo"), offer, taken)).await;
    }
    check("tls", tls(&format!("{tls_origin}/echo"), authority)).await;
    check("tls-untrusted", tls_untrusted(&format!("{tls_origin}/echo"))).await;
    ExitCode::SUCCESS
}

async fn plain(origin: &str, close_answer: u16) {
    let echo = format!("{origin}/echo");
    let echo = echo.as_str();

    check("text", round_trip(echo, &["dialogue".into()])).await;
    check("japanese", round_trip(echo, &["対話は、二人から始まる。𠮷野家".into()])).await;
    check("empty", round_trip(echo, &["".into(), Message::Binary(Vec::new().into())])).await;
    check("binary", round_trip(echo, &[Message::Binary((0..=255).collect())])).await;
    let lengths = [1, 125, 126, 127, 65_535, 65_536].map(noise);
    check("lengths", round_trip(echo, &lengths)).await;
    check("mebibyte", round_trip(echo, &[noise(MEBIBYTE)])).await;
    check("pipelined", pipelined(echo)).await;
    check("ping", ping(echo)).await;
    check("close", close(echo, close_answer)).await;
    check("server-close", server_close(&format!("{origin}/close"))).await;
    check("oversize", oversize(&format!("{origin}/big"))).await;
}

async fn check(name: &str, body: impl Future<Output = Outcome>) {
    match timeout(CHECK_MAX, body).await {
        Ok(Ok(())) => println!("ok {name}"),
        Ok(Err(why)) => println!("FAIL {name}: {why}"),
        Err(_) => println!("FAIL {name}: not done after {CHECK_MAX:?}"),
    }
}

/// Which version of HTTP is proven.
static VERSION: OnceLock<HttpVersion> = OnceLock::new();

fn builder() -> ClientBuilder {
    Client::builder().http_version(*VERSION.get_or_init(|| HttpVersion::Http1))
}

/// Opens a WebSocket by a client that all checks share.
async fn open(url: &str) -> Result<WebSocket, taiwa::Error> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let client = match CLIENT.get() {
        Some(client) => client,
        None => {
            let client = builder().build()?;
            CLIENT.get_or_init(|| client)
        }
    };
    client.connect(url).await
}

/// Every way of offering permessage-deflate that has a switch of its own.
fn offers() -> [(&'static str, Deflate); 3] {
    let small = Deflate { message_bytes_min: 0, ..Deflate::default() };
    let takeover = Deflate { keep_our_context: true, keep_peer_context: true, ..small.clone() };
    let window = Deflate { window_bits: 10, peer_window_bits: 10, ..takeover.clone() };
    [("no-takeover", small), ("takeover", takeover), ("window", window)]
}

/// Bytes in which a wrong mask or a lost byte shows.
fn noise(length: usize) -> Message {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    Message::Binary((0..length).map(next).collect())
}

async fn expect(socket: &mut WebSocket, sent: &Message) -> Outcome {
    let received = socket.recv().await?.ok_or("closed where a message was due")?;
    if received != *sent {
        let (was, now) = (sent.as_bytes().len(), received.as_bytes().len());
        let kinds = (sent.kind(), received.kind());
        return Err(format!("{was} bytes came back as {now} others; kinds {kinds:?}").into());
    }
    Ok(())
}

async fn hang_up(mut socket: WebSocket) -> Outcome {
    let closed = socket.close(CloseCode::NORMAL, "").await?;
    (closed.code == CloseCode::NORMAL && closed.clean)
        .then_some(())
        .ok_or_else(|| format!("{closed:?}").into())
}

async fn round_trip(url: &str, messages: &[Message]) -> Outcome {
    exchange(open(url).await?, messages).await
}

async fn exchange(mut socket: WebSocket, messages: &[Message]) -> Outcome {
    for message in messages {
        socket.send(message.clone()).await?;
        expect(&mut socket, message).await?;
    }
    hang_up(socket).await
}

async fn pipelined(url: &str) -> Outcome {
    let messages: Vec<Message> = (0..100)
        .map(|n| if n % 2 == 0 { noise(n) } else { format!("message {n}").into() })
        .collect();
    let mut socket = open(url).await?;
    for message in &messages {
        socket.send(message.clone()).await?;
    }
    for message in &messages {
        expect(&mut socket, message).await?;
    }
    hang_up(socket).await
}

async fn ping(url: &str) -> Outcome {
    let mut socket = open(url).await?;
    socket.send("before the ping").await?;
    let took = socket.ping().await?;
    if took.is_zero() || CHECK_MAX < took {
        return Err(format!("a round trip of {took:?}").into());
    }
    expect(&mut socket, &"before the ping".into()).await?;
    hang_up(socket).await
}

async fn pong(url: &str) -> Outcome {
    let mut socket = open(url).await?;
    expect(&mut socket, &"pong taiwa".into()).await?;
    hang_up(socket).await
}

async fn close(url: &str, answer: u16) -> Outcome {
    let mut socket = open(url).await?;
    let closed = socket.close(CloseCode::new(4001), "またね").await?;
    if closed.code.get() != answer || closed.by != Side::Us || !closed.clean {
        return Err(format!("{closed:?}").into());
    }
    Ok(())
}

async fn server_close(url: &str) -> Outcome {
    let mut socket = open(url).await?;
    if let Some(message) = socket.recv().await? {
        return Err(format!("{message:?} where a close was due").into());
    }
    let closed = socket.closed().ok_or("recv returned None on an open connection")?;
    if closed.code.get() != 4002 || &*closed.reason != "またね" || closed.by != Side::Peer {
        return Err(format!("{closed:?}").into());
    }
    Ok(())
}

async fn oversize(url: &str) -> Outcome {
    let mut socket = open(url).await?;
    match socket.recv().await {
        Err(error) if error.close_code() == Some(CloseCode::MESSAGE_TOO_BIG) => Ok(()),
        other => {
            Err(format!("{:?} where 1009 was due", other.map(|it| it.map(|it| it.kind()))).into())
        }
    }
}

async fn deflate(url: &str, offer: Deflate, taken: bool) -> Outcome {
    let client = builder().compression(offer).build()?;
    let socket = client.connect(url).await?;
    if socket.deflate().is_some() != taken {
        return Err(format!("negotiated {:?}", socket.deflate()).into());
    }
    let text: String = "taiwa 対話 ".chars().cycle().take(65_536).collect();
    let messages = [text.into(), "short".into(), noise(70_000), "".into(), noise(MEBIBYTE)];
    let thrice: Vec<Message> = messages.iter().cycle().take(3 * messages.len()).cloned().collect();
    exchange(socket, &thrice).await
}

async fn tls(url: &str, authority: &str) -> Outcome {
    let client = builder().root_certificate_pem(&std::fs::read(authority)?).build()?;
    let socket = client.connect(url).await?;
    exchange(socket, &["over TLS".into(), noise(MEBIBYTE)]).await
}

async fn tls_untrusted(url: &str) -> Outcome {
    match open(url).await {
        Err(taiwa::Error::Tls(_)) => Ok(()),
        other => Err(format!("{:?} where the certificate is nobody's", other.map(|_| ())).into()),
    }
}
