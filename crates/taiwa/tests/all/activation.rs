//! Sockets that whoever starts the server has opened for it.

use std::{
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream as StdStream},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use taiwa::{Activated, Client, Error, Server, Upgrade, WebSocket};
use tokio::{net::UnixStream, sync::Notify, time::sleep};

use super::{connect, soon, tools};

/// Says to the test below that it runs as the child of another.
const ROLE: &str = "TAIWA_TEST_ACTIVATED";

/// Is started by the others in a process of its own; by itself it does nothing.
#[tokio::test]
async fn a_child_serves_what_it_is_handed() {
    match std::env::var(ROLE).as_deref() {
        Ok("all") => serve(Server::from_activation().unwrap(), "all".into()).await,
        Ok("names") => {
            let Activated { listeners, udp, .. } = Activated::take().unwrap();
            assert!(udp.is_empty());
            let names: Vec<_> = listeners.iter().map(|(name, _)| name.clone()).collect();
            let again = Activated::take().map(drop).unwrap_err();
            assert_eq!(again.kind(), std::io::ErrorKind::NotFound, "they can be taken once");
            let mut listeners = listeners.into_iter().map(|(_, it)| it);
            let first = Server::from_listener(listeners.next().unwrap()).unwrap();
            let server = listeners.try_fold(first, Server::listen_on).unwrap();
            serve(server, names.join(" ")).await;
        }
        Ok("error") => match Server::from_activation() {
            Ok(_) => eprintln!("[no error]"),
            Err(error) => eprintln!("[{:?}: {error}]", error.kind()),
        },
        _ => {}
    }
}

/// Greets each client with `word`; ends when one asks for `/stop`.
async fn serve(server: Server, word: String) {
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = server.serve(move |upgrade: Upgrade| {
        if upgrade.uri().path() == "/stop" {
            stop.notify_one();
        }
        let word = word.clone();
        async move {
            let mut socket = upgrade.accept().await?;
            socket.send(word).await?;
            socket.recv().await.map(drop)
        }
    });
    soon(serving.with_shutdown(async move { stopped.notified().await }).into_future())
        .await
        .unwrap();
}

/// What runs the child, in a shell's words.
fn child(role: &str) -> (Vec<String>, String) {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let test = "activation::a_child_serves_what_it_is_handed".to_owned();
    (vec![program, test, "--exact".into(), "--nocapture".into()], format!("{ROLE}={role}"))
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    async fn succeeds(&mut self) {
        soon(async {
            loop {
                match self.0.try_wait().unwrap() {
                    Some(status) => return assert!(status.success(), "{status}"),
                    None => sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
    }
}

/// Starts the child by a shell, which has descriptors to give away as 0 and 1.
fn start(role: &str, script: &str, first: OwnedFd, second: OwnedFd) -> Command {
    let (words, environment) = child(role);
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!("{script}; export {environment}; exec \"$0\" \"$@\" </dev/null >/dev/null"));
    command.args(words).stdin(Stdio::from(first)).stdout(Stdio::from(second));
    command
}

const GIVE: &str = "exec 3<&0 4<&1; export LISTEN_PID=$$ LISTEN_FDS=2";

async fn greeting(socket: &mut WebSocket) -> String {
    soon(socket.recv()).await.unwrap().unwrap().as_text().unwrap().to_owned()
}

async fn connect_unix(path: &Path, target: &str) -> Result<WebSocket, Error> {
    let stream = UnixStream::connect(path).await?;
    let client = Client::builder().build().unwrap();
    let url = format!("ws://localhost{target}");
    soon(client.connect_over(stream, &url)).await.map(|(socket, _)| socket)
}

#[tokio::test]
async fn descriptors_from_three_on_are_served_and_have_names() {
    for (role, names, expected) in [
        ("all", "true", "all"),
        ("names", "true", "unknown unknown"),
        ("names", "export LISTEN_FDNAMES=web:local", "web local"),
        ("names", "export LISTEN_FDNAMES=web", "web unknown"),
    ] {
        let folder = tools::Folder::new();
        let path = folder.0.join("a.sock");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        let unix = UnixListener::bind(&path).unwrap();
        let script = format!("{GIVE}; {names}");
        let mut command = start(role, &script, tcp.into(), unix.into());
        let mut running = Running(command.stderr(Stdio::null()).spawn().unwrap());
        // The shell has its copies, and so has `command`.
        drop(command);
        assert_eq!(greeting(&mut connect(addr).await).await, expected);
        let mut socket = connect_unix(&path, "/stop").await.unwrap();
        assert_eq!(greeting(&mut socket).await, expected);
        assert_eq!(soon(socket.recv()).await.unwrap(), None);
        running.succeeds().await;
        assert!(path.exists(), "it belongs to who made it");
        assert!(std::net::TcpStream::connect(addr).is_err());
    }
}

#[test]
fn what_is_no_socket_for_us_is_an_error() {
    let none = "[NotFound: no sockets were handed over to this process]";
    for (script, expected) in [
        ("true", none),
        ("export LISTEN_FDS=1", none),
        ("export LISTEN_PID=1 LISTEN_FDS=1", none),
        ("export LISTEN_PID=$$ LISTEN_FDS=0", none),
        ("export LISTEN_PID=x LISTEN_FDS=1", "[InvalidInput: malformed LISTEN_PID]"),
        ("export LISTEN_PID=$$ LISTEN_FDS=x", "[InvalidInput: malformed LISTEN_FDS]"),
        ("export LISTEN_PID=$$ LISTEN_FDS=-1", "[InvalidInput: malformed LISTEN_FDS]"),
        ("export LISTEN_PID=$$ LISTEN_FDS=99999999999", "[InvalidInput: malformed LISTEN_FDS]"),
        (
            "exec 3</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1",
            "[InvalidInput: descriptor 3 is neither a stream socket nor one of UDP]",
        ),
        // A connection is no listener.
        (
            "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1",
            "[InvalidInput: the socket does not listen]",
        ),
        (
            "exec 3<&1 4</dev/null; export LISTEN_PID=$$ LISTEN_FDS=2",
            "[InvalidInput: descriptor 4 is neither a stream socket nor one of UDP]",
        ),
    ] {
        let (connected, _other) = StdStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = start("error", script, connected.into(), listener.into());
        command.env_remove("LISTEN_PID").env_remove("LISTEN_FDS").env_remove("LISTEN_FDNAMES");
        let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut running.stderr.take().unwrap(), &mut said).unwrap();
        assert!(running.wait().unwrap().success(), "{script}: {said}");
        assert!(said.contains(expected), "{script}: {said}");
    }
}

#[tokio::test]
async fn systemds_own_tool_activates_a_server() {
    if tools::lacks("systemd-socket-activate") {
        return;
    }
    let folder = tools::Folder::new();
    let path = folder.0.join("a.sock");
    let (words, environment) = child("names");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("-l").arg(&path).arg("--fdname=chat").arg("-E").arg(environment).args(words);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(quiet.spawn().unwrap());
    soon(async {
        while StdStream::connect(&path).is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut socket = connect_unix(&path, "/stop").await.unwrap();
    assert_eq!(greeting(&mut socket).await, "chat");
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    running.succeeds().await;
}
