//! A server on unix sockets, and on sockets that others made.

use std::{
    io::ErrorKind,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};

use taiwa::{Addr, Client, Error, Listener, Server, Upgrade, WebSocket};
use tokio::{
    net::{TcpListener, TcpSocket, UnixListener, UnixStream},
    sync::oneshot,
};

use super::{connect, echo, handshake, run, soon, tools::Folder};

async fn connect_unix(path: &Path, target: &str) -> Result<WebSocket, Error> {
    let stream = UnixStream::connect(path).await?;
    let client = Client::builder().build().unwrap();
    let url = format!("ws://localhost{target}");
    soon(client.connect_over(stream, &url)).await.map(|(socket, _)| socket)
}

async fn echoes(socket: &mut WebSocket) {
    soon(socket.send("x")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
}

#[tokio::test]
async fn a_server_on_a_unix_socket_knows_who_connects() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    let server = Server::bind_unix(&path).await.unwrap();
    assert_eq!(server.addrs().unwrap(), [Addr::from(path.clone())]);
    assert_eq!(server.local_addr().unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    let here = path.clone();
    run(server.serve(move |upgrade: Upgrade| {
        assert_eq!(*upgrade.peer_addr(), Addr::Unix(None));
        assert_eq!(*upgrade.local_addr(), Addr::from(here.clone()));
        let peer = upgrade.peer_credentials().unwrap();
        let us = std::fs::metadata("/proc/self").unwrap();
        assert_eq!((peer.uid, peer.gid), (us.uid(), us.gid()));
        assert_eq!(peer.pid, Some(std::process::id() as i32));
        echo(upgrade)
    }));
    let mut socket = connect_unix(&path, "/chat").await.unwrap();
    assert_eq!(socket.peer_addr(), None);
    echoes(&mut socket).await;
    assert!(soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
}

#[tokio::test]
async fn one_server_listens_on_tcp_and_unix_and_answers_ordinary_requests_on_both() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    let server = Server::bind("127.0.0.1:0").await.unwrap().listen_unix(&path).await.unwrap();
    let addr = server.local_addr().unwrap();
    assert_eq!(server.addrs().unwrap(), [Addr::Tcp(addr), Addr::from(path.clone())]);
    let server = server.http(|request: http::Request<taiwa::RequestBody>| async move {
        let extensions = request.extensions();
        let told = extensions.get::<std::net::SocketAddr>().is_some();
        let text = format!("{} {told}", extensions.get::<Addr>().unwrap());
        http::Response::new(http_body_util::Full::new(bytes::Bytes::from(text)))
    });
    run(server.serve(echo));
    echoes(&mut connect(addr).await).await;
    echoes(&mut connect_unix(&path, "/").await.unwrap()).await;
    let Err(Error::Refused(response)) = connect_to_page(&path).await else { panic!() };
    assert_eq!(&response.body()[..], b"unix: false");
}

/// Asks for a page where a client expects a WebSocket.
async fn connect_to_page(path: &Path) -> Result<(), Error> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = tokio::io::duplex(4096);
    let (mut from, mut to) = tokio::io::split(far);
    let page = UnixStream::connect(path).await?;
    let (mut page_from, mut page_to) = page.into_split();
    page_to.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    tokio::spawn(async move { tokio::io::copy(&mut page_from, &mut to).await });
    tokio::spawn(async move { from.read_to_end(&mut Vec::new()).await });
    let client = Client::builder().build().unwrap();
    soon(client.connect_over(near, "ws://a/")).await.map(drop)
}

#[tokio::test]
async fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    // std leaves the file of a dropped listener where it is.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind_unix(&path).await.unwrap();
    let again = Server::bind_unix(&path).await.map(drop).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AddrInUse, "{again}");
    run(server.serve(echo));
    echoes(&mut connect_unix(&path, "/").await.unwrap()).await;

    let file = folder.0.join("notes.txt");
    std::fs::write(&file, "keep me").unwrap();
    let refused = Server::bind_unix(&file).await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddrInUse, "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");
    // Not even what a link leads to is touched.
    let link = folder.0.join("link.sock");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(Server::bind_unix(&link).await.is_err());
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "keep me");
}

#[tokio::test]
async fn the_file_is_removed_when_the_server_shuts_down_unless_it_is_anothers() {
    let folder = Folder::new();
    let (mine, taken) = (folder.0.join("mine.sock"), folder.0.join("taken.sock"));
    let server = Server::bind_unix(&mine).await.unwrap().listen_unix(&taken).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = run(server.serve(echo).with_shutdown(async { stopped.await.unwrap() }));
    let mut socket = connect_unix(&mine, "/").await.unwrap();
    echoes(&mut socket).await;
    std::fs::remove_file(&taken).unwrap();
    let other = UnixListener::bind(&taken).unwrap();
    stop.send(()).unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, taiwa::CloseCode::GOING_AWAY);
    soon(serving).await.unwrap().unwrap();
    assert!(!mine.exists());
    assert!(taken.exists());
    drop(other);
}

#[tokio::test]
async fn the_mode_of_the_file_is_settable() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    for mode in [0o600, 0o666] {
        let listener = Listener::unix_with_mode(&path, mode).await.unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
        let server = Server::from_listener(listener).unwrap();
        assert_eq!(server.addrs().unwrap(), [Addr::from(path.clone())]);
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_that_is_too_long_or_leads_nowhere_is_an_error() {
    let folder = Folder::new();
    assert!(Server::bind_unix(folder.0.join("x".repeat(200))).await.is_err());
    assert!(Server::bind_unix(folder.0.join("no/such/folder")).await.is_err());
    assert!(Server::bind_unix("").await.is_err());
}

#[tokio::test]
async fn sockets_from_outside_are_served_and_left_to_their_makers() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    let std_tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tokio_tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let std_unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let tokio_unix = UnixListener::bind(folder.0.join("b.sock")).unwrap();
    let server = Server::from_listener(std_tcp).unwrap();
    let server = server.listen_on(tokio_tcp).unwrap().listen_on(std_unix).unwrap();
    let server = server.listen_on(tokio_unix).unwrap();
    let addrs = server.addrs().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = run(server.serve(echo).with_shutdown(async { stopped.await.unwrap() }));
    for addr in &addrs {
        let mut socket = match addr {
            Addr::Tcp(addr) => connect(*addr).await,
            Addr::Unix(Some(path)) => connect_unix(path, "/").await.unwrap(),
            other => panic!("{other:?}"),
        };
        echoes(&mut socket).await;
    }
    stop.send(()).unwrap();
    soon(serving).await.unwrap().unwrap();
    assert!(path.exists(), "who made it removes it");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_address_is_served_when_it_comes_from_outside() {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream as StdStream},
    };
    let name = format!("taiwa-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let server = Server::from_listener(UnixListener::bind_addr(&address).unwrap()).unwrap();
    assert_eq!(server.addrs().unwrap(), [Addr::Unix(None)]);
    run(server.serve(echo));
    let stream = StdStream::connect_addr(&address).unwrap();
    stream.set_nonblocking(true).unwrap();
    let client = Client::builder().build().unwrap();
    let opened = client.connect_over(UnixStream::from_std(stream).unwrap(), "ws://localhost/");
    echoes(&mut soon(opened).await.unwrap().0).await;
}

#[tokio::test]
async fn a_socket_that_does_not_listen_is_refused() {
    let idle = TcpSocket::new_v4().unwrap();
    idle.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let idle = std::net::TcpListener::from(std::os::fd::OwnedFd::from(copy_of(idle)));
    let refused = Server::from_listener(idle).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
}

/// tokio's sockets give their descriptor away as a stream only.
fn copy_of(socket: TcpSocket) -> std::net::TcpStream {
    use std::os::fd::{AsFd, OwnedFd};
    let copy: OwnedFd = socket.as_fd().try_clone_to_owned().unwrap();
    copy.into()
}

#[test]
fn outside_of_a_runtime_a_listener_is_an_error_and_no_panic() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(Server::from_listener(listener).is_err());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    assert!(Server::from_listener(listener).is_err());
}

#[tokio::test]
async fn over_a_unix_socket_a_page_counts_as_one_that_came_through_a_proxy() {
    let folder = Folder::new();
    let path = folder.0.join("a.sock");
    let server = Server::bind_unix(&path).await.unwrap();
    run(server.serve(echo));
    for (origin, status) in [("http://a.example", 101), ("http://evil.example", 403)] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let request = handshake(&format!("Origin: {origin}\r\n"));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 13];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status} ").as_bytes(), "{origin}");
    }
}
