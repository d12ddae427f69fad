//! The server: with real sockets, and clients that wait for each answer, so that it has the same work each time.
//!
//! What is counted are the turns of its shard, and for handshakes all that tokio's one thread does, too.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use taiwa_centrifuge::Centrifuge;
use taiwa_plain::Plain;
use taiwa_server::{Anyone, Site, hub::Settings, shard};
use taiwa_socketio::SocketIo;
use tokio::runtime::Runtime;

use crate::client::Client;

const LISTENERS: u32 = 1000;
const FEW_LISTENERS: u32 = 100;
/// Longer than any scene takes under callgrind.
const NEVER: Duration = Duration::from_secs(3600);

/// A server on a thread of its own, and one for its shard.
struct House {
    _runtime: Runtime,
    port: u16,
}

impl House {
    fn open() -> Result<Self, String> {
        // Both ends of all connections are in this process.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|it| it.to_string())?;
        let wanted = u64::from(LISTENERS) * 2 + 100;
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).map_err(|it| it.to_string())?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            runtime.worker_threads(1).enable_all().build().map_err(|it| it.to_string())?;
        let port = runtime.block_on(async {
            // Nobody is asked whether it is there while it is counted.
            let mut socket_io = taiwa_socketio::Settings::default();
            socket_io.ping_every = NEVER;
            let one = std::num::NonZeroUsize::MIN;
            let site = Site::new(Settings::open(), std::sync::Arc::new(Anyone))
                .dialect(Plain::new(taiwa_plain::Settings::default()))
                .dialect(Centrifuge::new(taiwa_centrifuge::Settings::default()))
                .dialect(SocketIo::new(socket_io))
                .shards(shard::Settings { shards: one, ..shard::Settings::default() })
                .start()?;
            // No Ping comes between on a slow machine.
            let server = taiwa::Server::bind("127.0.0.1:0").await?.keepalive(None);
            let port = server.local_addr()?.port();
            tokio::spawn(site.serve(server, async |_| None).into_future());
            Ok::<_, std::io::Error>(port)
        });
        Ok(Self { _runtime: runtime, port: port.map_err(|it| it.to_string())? })
    }
}

/// Sends a text and waits for it to come back, again and again.
pub(crate) fn echo(events: u32) -> Result<(), String> {
    let house = House::open()?;
    let mut client = Client::open(house.port, "/echo")?;
    for _ in 0..events {
        client.send("sixteen letters!")?;
        is("sixteen letters!", &client.recv()?)?;
    }
    client.close()
}

/// One of many says something, and hears it as all others do.
pub(crate) fn fan_out(events: u32) -> Result<(), String> {
    let house = House::open()?;
    let mut crowd = Vec::new();
    for _ in 0..LISTENERS {
        crowd.push(Client::open(house.port, "/crowd?echo=true")?);
    }
    for event in 0..events {
        let said = format!("{event:0>64}");
        crowd[0].send(&said)?;
        crowd.iter_mut().try_for_each(|it| is(&said, &it.recv()?))?;
    }
    Ok(())
}

/// The same in the protocol of Centrifugo.
pub(crate) fn fan_out_centrifuge(events: u32) -> Result<(), String> {
    let house = House::open()?;
    let mut crowd = Vec::new();
    for _ in 0..FEW_LISTENERS {
        let mut client = Client::open(house.port, "/connection/websocket")?;
        client.send(r#"{"id":1,"connect":{}}"#)?;
        client.recv()?;
        client.send(r#"{"id":2,"subscribe":{"channel":"crowd"}}"#)?;
        client.recv()?;
        crowd.push(client);
    }
    for event in 0..events {
        let (id, said) = (event + 3, format!("{event:0>64}"));
        crowd[0]
            .send(&format!(r#"{{"id":{id},"publish":{{"channel":"crowd","data":"{said}"}}}}"#))?;
        // Who said it also hears that it was, before or behind it.
        crowd[0].recv()?;
        for client in &mut crowd {
            client.recv()?;
        }
    }
    Ok(())
}

/// The same in the protocol of Socket.IO, to as many as are plain ones.
pub(crate) fn fan_out_socketio(events: u32) -> Result<(), String> {
    let house = House::open()?;
    let mut crowd = Vec::new();
    for _ in 0..LISTENERS {
        let path = "/socket.io/?EIO=4&transport=websocket&channel=crowd";
        let mut client = Client::open(house.port, path)?;
        begins("0{", &client.recv()?)?;
        client.send("40")?;
        begins("40{", &client.recv()?)?;
        crowd.push(client);
    }
    for event in 0..events {
        let said = format!("{event:0>64}");
        crowd[0].send(&format!(r#"42["taiwa:publish","crowd","say","{said}"]"#))?;
        let due = format!(r#"42["say","{said}""#);
        crowd.iter_mut().try_for_each(|it| begins(&due, &it.recv()?))?;
    }
    Ok(())
}

/// Opens and closes one connection after the other.
pub(crate) fn handshakes(events: u32) -> Result<(), String> {
    let house = House::open()?;
    (0..events).try_for_each(|_| Client::open(house.port, "/echo")?.close())
}

fn begins(beginning: &str, said: &str) -> Result<(), String> {
    if said.starts_with(beginning) {
        Ok(())
    } else {
        Err(format!("{said:?} comes, not {beginning:?}"))
    }
}

fn is(expected: &str, said: &str) -> Result<(), String> {
    if said == expected { Ok(()) } else { Err(format!("{said:?} comes, not {expected:?}")) }
}
