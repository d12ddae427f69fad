//! Goes through the cases of an Autobahn server as a client; `cargo xtask autobahn` starts both.
//!
//! ```text
//! autobahn_client ORIGIN AGENT PARALLEL FORGETFUL_FROM [ROOT_PEM [http2]]
//! ```
//!
//! The server counts its cases on `/getCaseCount`, runs one on `/runCase` (we echo every message) and writes
//! its report after `/updateReports`. From the case `FORGETFUL_FROM` on, the first of group 13, our offer
//! includes `client_no_context_takeover`. With `http2` all of it goes over one connection of HTTP/2. The verdicts are the report's; the exit code tells only whether
//! all cases were gone through.

use std::{
    env, fs,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use taiwa::{Client, Deflate, Error, HttpVersion, Limits, WebSocket};
use tokio::{task::JoinSet, time::timeout};

/// Group 9 sends messages of 16 MiB, and some in 65,536 fragments.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
const FRAGMENTS_MAX: u32 = 100_000;

/// The server itself gives up on a case after 100 s.
const CASE_MAX: Duration = Duration::from_secs(120);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [origin, agent, parallel, forgetful_from, root @ ..] = arguments.as_slice() else {
        eprintln!("usage: autobahn_client ORIGIN AGENT PARALLEL FORGETFUL_FROM [ROOT_PEM [http2]]");
        return ExitCode::from(2);
    };
    let (Ok(parallel), Ok(forgetful_from)) = (parallel.parse(), forgetful_from.parse()) else {
        eprintln!("PARALLEL and FORGETFUL_FROM are numbers");
        return ExitCode::from(2);
    };
    let suite = Suite { origin: origin.clone(), agent: agent.clone(), forgetful_from };
    let version = match root.get(1).map(String::as_str) {
        Some("http2") => HttpVersion::Http2,
        _ => HttpVersion::Http1,
    };
    match run(suite, parallel, root.first(), version).await {
        Ok(cases) => {
            println!("went through {cases} cases");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("autobahn_client: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Where the cases are, and which of them want which offer.
struct Suite {
    origin: String,
    agent: String,
    forgetful_from: usize,
}

async fn run(
    suite: Suite,
    parallel: usize,
    root: Option<&String>,
    version: HttpVersion,
) -> Outcome<usize> {
    let root = root.map(fs::read).transpose()?;
    let clients = Arc::new(Clients::new(root.as_deref(), version)?);
    let suite = Arc::new(suite);
    let count: usize =
        ask(&clients.plain, &format!("{}/getCaseCount", suite.origin)).await?.parse()?;
    let next = Arc::new(AtomicUsize::new(1));
    let mut lanes = JoinSet::new();
    for _ in 0..parallel {
        let (clients, suite, next) = (clients.clone(), suite.clone(), next.clone());
        lanes.spawn(async move {
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case > count {
                    return Ok(());
                }
                run_case(&clients, &suite, case).await?;
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        let outcome: Outcome<()> = lane?;
        outcome?;
    }
    let Suite { origin, agent, .. } = &*suite;
    // The server may end before it has said goodbye; its report is what counts.
    let _ = ask(&clients.plain, &format!("{origin}/updateReports?agent={agent}")).await;
    Ok(count)
}

/// One client for each way of offering compression.
struct Clients {
    /// For the server's own questions.
    plain: Client,
    /// Keeps its window from message to message: for the cases that leave the choice to us.
    dedicated: Client,
    /// Offers `client_no_context_takeover`: the server of group 13 asks for it, and may only if it
    /// was offered.
    shared: Client,
}

impl Clients {
    fn new(root: Option<&[u8]>, version: HttpVersion) -> Result<Self, Error> {
        // Everything is compressed: what is not takes another road through the suite.
        let kept = Deflate {
            message_bytes_min: 0,
            window_bits: 15,
            keep_our_context: true,
            keep_peer_context: true,
            ..Deflate::default()
        };
        let limits = Limits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            fragments_max: FRAGMENTS_MAX,
            ..Limits::default()
        };
        let client = |deflate: Option<Deflate>| {
            let mut builder =
                Client::builder().limits(limits.clone()).keepalive(None).http_version(version);
            if let Some(root) = root {
                builder = builder.root_certificate_pem(root);
            }
            match deflate {
                Some(deflate) => builder.compression(deflate).build(),
                None => builder.build(),
            }
        };
        Ok(Self {
            plain: client(None)?,
            shared: client(Some(Deflate { keep_our_context: false, ..kept.clone() }))?,
            dedicated: client(Some(kept))?,
        })
    }
}

/// Returns the text that the server sends on a URL, empty if it only closes.
async fn ask(client: &Client, url: &str) -> Outcome<String> {
    let answer = async {
        let mut socket = client.connect(url).await?;
        let mut text = String::new();
        while let Some(message) = socket.recv().await? {
            text.push_str(message.as_text().ok_or("an answer in binary")?);
        }
        Ok(text)
    };
    timeout(CASE_MAX, answer).await?
}

async fn run_case(clients: &Clients, suite: &Suite, case: usize) -> Outcome<()> {
    let Suite { origin, agent, forgetful_from } = suite;
    let client = if case < *forgetful_from { &clients.dedicated } else { &clients.shared };
    let url = format!("{origin}/runCase?case={case}&agent={agent}");
    let mut socket = client.connect(&url).await.map_err(|it| format!("case {case}: {it}"))?;
    match timeout(CASE_MAX, echo(&mut socket)).await {
        // Most cases break a rule on purpose; how we took it is for the server to judge.
        Ok(_) => Ok(()),
        Err(_) => Err(format!("case {case} is not over after {CASE_MAX:?}").into()),
    }
}

async fn echo(socket: &mut WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}
