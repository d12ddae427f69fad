//! The examples run.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use super::{
    soon,
    tools::{Folder, Tool},
};

/// Ends a program with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs an example to its end beside the servers of the test, and returns what it printed.
pub(crate) async fn printed(
    name: &'static str,
    prepare: impl FnOnce(&mut Command) + Send + 'static,
) -> (bool, String) {
    let built = tokio::task::spawn_blocking(move || example(name));
    let mut command = built.await.expect("no panic");
    prepare(&mut command);
    let run = tokio::task::spawn_blocking(move || command.output().expect("it is built"));
    let output = super::soon(run).await.expect("no panic");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An example, built in the profile and the folder of this test.
fn example(name: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let profile = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("we run");
        let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/test");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-q", "--examples", "--all-features"]);
        cargo.arg("--target-dir").arg(profile.parent().expect("target/<profile>"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.expect("cargo runs").success());
        profile.to_owned()
    });
    Command::new(profile.join("examples").join(name))
}

fn url_of(server: &mut Program) -> String {
    let mut url = String::new();
    let stdout = server.0.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut url).expect("it says where it is");
    url.trim().to_owned()
}

#[test]
fn the_echo_client_hears_its_word_from_the_echo_server() {
    let mut server = example("echo_server");
    let mut server =
        Program(server.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("it is built"));
    let url = url_of(&mut server);
    let output = example("echo_client").arg(url).arg("こんにちは").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "こんにちは\nclosed with 1000\n");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn both_ends_show_their_certificates_and_log_keys_where_the_environment_says() {
    let folder = Folder::new();
    let keys = folder.0.join("keys.txt");
    for (path, is_logged) in [("", false), (keys.to_str().unwrap(), true)] {
        let output = example("tls").env("SSLKEYLOGFILE", path).output().unwrap();
        let told = "Hello client, you have shown 1 certificate\n";
        assert_eq!(String::from_utf8_lossy(&output.stdout), told, "{output:?}");
        assert_eq!(keys.exists(), is_logged);
    }
    let keys = std::fs::read_to_string(keys).unwrap();
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 "] {
        assert_eq!(keys.lines().filter(|it| it.starts_with(label)).count(), 1, "{keys}");
    }
}

#[tokio::test]
async fn the_reconnecting_client_finds_its_server_again() {
    let start = |addr: &str| Tool::start(example("echo_server").arg(addr));
    let mut server = start("127.0.0.1:0");
    let url = server.says("ws://127.0.0.1:", 1).await.trim().to_owned();
    let addr = url.trim_start_matches("ws://").trim_end_matches('/');
    let client = Tool::start(example("reconnect").arg(&url));
    for round in 1..=2 {
        client.says("received: subscribe\n", round).await;
        drop(server);
        client.says("no connection (", round).await;
        server = start(addr);
    }
    let said = client.says("received: subscribe\n", 3).await;
    assert_eq!(said.matches("connected: 101").count(), 3, "{said}");
}

/// A server that has run out of descriptors waits and goes on.
#[cfg(unix)]
#[test]
fn the_server_survives_the_want_of_descriptors() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 24; exec \"$0\" 127.0.0.1:0"]);
    let server = shell.arg(example("echo_server").get_program());
    let mut server = Program(server.stdout(Stdio::piped()).spawn().expect("it is built"));
    let url = url_of(&mut server);
    let addr = url.trim_start_matches("ws://").trim_end_matches('/');

    let crowd: Vec<_> = (0..60).map(|_| TcpStream::connect(addr).expect("it listens")).collect();
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.0.try_wait().expect("it can be asked").is_none(), "it ended");
    drop(crowd);
    let output = example("echo_client").arg(url).arg("still there").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "still there\nclosed with 1000\n");
}

/// Starts an example that serves and says where.
fn serving(name: &str, args: &[&str]) -> (Program, String) {
    let mut server = example(name);
    let server = server.args(args).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn();
    let mut server = Program(server.expect("it is built"));
    let url = url_of(&mut server);
    (server, url)
}

#[tokio::test]
async fn the_others_in_the_chat_hear_what_one_says() {
    let (_server, url) = serving("chat", &[]);
    let mut one = soon(taiwa::connect(&url)).await.expect("it listens");
    let mut other = soon(taiwa::connect(&url)).await.expect("it listens");
    // Who has got an answer to a ping is in the room.
    soon(one.ping()).await.expect("it answers");
    soon(other.ping()).await.expect("it answers");
    one.send("こんにちは").await.expect("it is open");
    let heard = soon(other.recv()).await.expect("it is open");
    assert_eq!(heard, Some("こんにちは".into()));
}

#[tokio::test]
async fn every_reader_of_the_broadcast_gets_the_same_prices() {
    let (_server, url) = serving("broadcast", &[]);
    let compressed = taiwa::Client::builder().compression(taiwa::Deflate::default());
    let mut one = soon(taiwa::connect(&url)).await.expect("it listens");
    let client = compressed.build().expect("good settings");
    let mut other = soon(client.connect(&url)).await.expect("it listens");
    assert!(one.deflate().is_none() && other.deflate().is_some());
    let first = soon(other.recv()).await.expect("it is open").expect("a price");
    let mut same = soon(one.recv()).await.expect("it is open").expect("a price");
    for _ in 0..10 {
        if same == first {
            break;
        }
        same = soon(one.recv()).await.expect("it is open").expect("a price");
    }
    assert_eq!(same, first);
    assert!(first.as_text().is_some_and(|it| it.contains("\"price\":")));
}

#[tokio::test]
async fn the_producer_is_no_faster_than_its_reader() {
    let (_server, url) = serving("backpressure", &[]);
    let mut reader = soon(taiwa::connect(&url)).await.expect("it listens");
    tokio::time::sleep(Duration::from_millis(300)).await;
    for expected in 0..10_000_u32 {
        let number = soon(reader.recv()).await.expect("it is open").expect("a number");
        assert_eq!(number.as_text(), Some(&expected.to_string()[..]));
    }
}

#[test]
fn a_file_goes_up_and_comes_down_again() {
    let folder = std::env::temp_dir().join(format!("taiwa-large-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (here, back) = (folder.join("here"), folder.join("back"));
    let content: Vec<u8> = (0..5_000_000_u32).map(|it| (it / 251) as u8).collect();
    std::fs::write(&here, &content).expect("there is room");
    let (_server, url) = serving("large_files", &["serve", &folder.to_string_lossy()]);
    for (verb, file) in [("put", &here), ("get", &back)] {
        let output = example("large_files").args([verb, &url]).arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(std::fs::read(&back).expect("it came back") == content);
    std::fs::remove_dir_all(&folder).expect("ours");
}

/// axum's graceful shutdown closes the sockets, and the program ends.
#[cfg(all(feature = "axum", unix))]
#[tokio::test]
async fn two_talk_in_the_chat_behind_axum_until_it_is_interrupted() {
    let server = tokio::task::spawn_blocking(|| {
        let mut command = example("axum_chat");
        command.arg("127.0.0.1:0").stdout(Stdio::piped());
        let mut server = Program(command.spawn().expect("it is built"));
        let url = url_of(&mut server);
        (server, url)
    });
    let (mut server, url) = server.await.expect("no panic");
    let url = format!("{}chat", url.replace("http", "ws"));
    let mut one = soon(taiwa::connect(&url)).await.unwrap();
    let mut two = soon(taiwa::connect(&url)).await.unwrap();
    // The room is entered a moment after the handshake: ask until it answers.
    soon(async {
        loop {
            two.send("?").await.unwrap();
            let answer = tokio::time::timeout(Duration::from_millis(100), one.recv()).await;
            if let Ok(answer) = answer {
                return assert_eq!(answer.unwrap(), Some("?".into()));
            }
        }
    })
    .await;
    one.send("hello").await.unwrap();
    while soon(two.recv()).await.unwrap().expect("it is open") != "hello".into() {}

    let pid = server.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("there is a kill").success());
    for mut socket in [one, two] {
        while soon(socket.recv()).await.unwrap().is_some() {}
        assert_eq!(socket.closed().unwrap().code, taiwa::CloseCode::GOING_AWAY);
    }
    let ended = tokio::task::spawn_blocking(move || server.0.wait());
    assert!(soon(ended).await.unwrap().unwrap().success());
}
