//! The examples of tokio-tungstenite 0.30: `use tokio_tungstenite::…` means the facade, the rest is theirs.

use std::sync::LazyLock;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::tools::Tool,
    borrowed::{Borrowed, Built},
    client, free_addr, receives, soon, tcp, two_cases,
};

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let examples = Borrowed {
        package: "tokio-tungstenite",
        import: "taiwa::compat::tungstenite as tokio_tungstenite",
        dependencies: r#"
            env_logger = { version = "0.11", default-features = false }
            futures-channel = { version = "0.3", default-features = false, features = ["std"] }
            futures-util = { version = "0.3", default-features = false, features = ["sink", "std"] }
            http-body-util = "0.1"
            hyper = { version = "1", default-features = false, features = ["http1", "server"] }
            hyper-util = { version = "0.1", default-features = false, features = ["tokio"] }
            log = "0.4"
            tokio = { version = "1", default-features = false, features = ["io-std", "macros", "net", "rt-multi-thread", "time"] }
        "#,
    };
    examples.build()
});

fn example(name: &str) -> std::process::Command {
    BUILT.command(name)
}

#[tokio::test]
async fn its_client_talks_to_its_echo_server() {
    let addr = free_addr();
    let _server = Tool::start(example("echo-server").arg(&addr));
    drop(tcp(&addr).await);
    let mut client = Tool::start(example("client").arg(format!("ws://{addr}/")));
    client.says("successfully completed", 1).await;
    client.say("対話\n".as_bytes());
    let escaped = "対話".as_bytes().escape_ascii().to_string();
    client.says(&escaped, 1).await;
    assert!(!client.has_ended());
}

#[tokio::test]
async fn its_chat_server_tells_others_what_one_says() {
    chat("server", "/").await;
}

#[tokio::test]
async fn its_server_behind_hyper_tells_others_what_one_says() {
    let addr = chat("server-custom-accept", "/socket").await;
    let _server = Tool::start(example("server-custom-accept").arg(&addr));
    let mut plain = tcp(&addr).await;
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(plain.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("Hello World!"), "{answer}");
}

async fn chat(server: &str, path: &str) -> String {
    let addr = free_addr();
    let server = Tool::start(example(server).arg(&addr));
    drop(tcp(&addr).await);
    let url = format!("ws://{addr}{path}");
    let mut clients: Vec<Tool> = (0..3).map(|_| Tool::start(example("client").arg(&url))).collect();
    server.says("WebSocket connection established", 3).await;
    clients[0].say(b"first\n");
    clients[1].says("first", 1).await;
    clients[2].says("first", 1).await;
    clients[2].say(b"second\n");
    let said = clients[0].says("second", 1).await;
    assert!(!said.contains("first"), "{said}");
    drop(clients.remove(0));
    server.says("disconnected", 1).await;
    addr
}

#[tokio::test]
async fn its_server_with_headers_talks_to_the_blocking_client() {
    // Both ends in one program, started at once: on a busy machine its client may come first, and fails.
    let mut program = Tool::start(example("server-headers").env("RUST_LOG", "debug"));
    for _ in 0..20 {
        while !program.has_ended() && !program.said().contains("Received: ") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        if !program.has_ended() {
            break;
        }
        assert!(program.said().contains("UnableToConnect"), "{}", program.said());
        program = Tool::start(example("server-headers").env("RUST_LOG", "debug"));
    }
    let said = program.says("Received: Hello WebSocket", 1).await;
    for part in ["path is: /socket", "Response HTTP code: 101", "mycustomheader: "] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[tokio::test]
async fn its_server_with_an_interval_ticks_and_echoes() {
    let addr = format!("127.0.0.1:{}", BUILT.port(9002));
    let program = Tool::start(&mut example("interval-server"));
    let mut socket = client(&addr).await;
    assert_eq!(receives(&mut socket).await, "tick");
    socket.send("hello").await.unwrap();
    assert_eq!(receives(&mut socket).await, "hello");
    assert_eq!(receives(&mut socket).await, "tick");
    // It drops the connection at once when it sees a Close frame, before the answer is written.
    let closed = soon(socket.close(taiwa::CloseCode::NORMAL, "bye")).await;
    assert!(matches!(closed, Err(taiwa::Error::Lost)), "{closed:?}");
    // The port is another example's, too.
    drop(program);
    let _program = Tool::start(&mut example("autobahn-server"));
    let mut socket = client(&addr).await;
    socket.send("hello").await.unwrap();
    assert_eq!(receives(&mut socket).await, "hello");
}

#[tokio::test]
async fn its_autobahn_client_runs_two_cases() {
    let mut told = two_cases(BUILT.port(9001)).await;
    let mut program = Tool::start(&mut example("autobahn-client"));
    for case in [1, 2] {
        let echo = format!("Some(Some(\"echo /runCase?case={case}&agent=Tungstenite\"))");
        assert_eq!(soon(told.recv()).await, Some(echo));
    }
    assert_eq!(soon(told.recv()).await.unwrap(), "/updateReports?agent=Tungstenite");
    soon(async {
        while !program.has_ended() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}
