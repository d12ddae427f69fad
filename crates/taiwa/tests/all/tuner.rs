//! Settings that change while a server runs.

use taiwa::{CloseCode, Config, Error, Limits, Origins, Tuner, Tuning};

use super::{bind, echo, run, soon};

fn tuning(message_bytes_max: usize, connections_max: usize) -> Tuning {
    let limits = Limits { message_bytes_max, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    Tuning { config, origins: Origins::SameHost, connections_max }
}

#[tokio::test]
async fn new_connections_are_by_the_new_settings_and_old_ones_go_on() {
    let tuner = Tuner::default();
    let (server, addr) = bind().await;
    run(server.tuned_by(&tuner).serve(echo));
    let url = format!("ws://{addr}/");
    let mut old = soon(taiwa::connect(&url)).await.unwrap();

    tuner.tune(tuning(4, 2));
    let mut new = soon(taiwa::connect(&url)).await.unwrap();
    soon(new.send("five!")).await.unwrap();
    assert_eq!(soon(new.recv()).await.unwrap(), None);
    assert_eq!(new.closed().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    soon(old.send("five!")).await.unwrap();
    assert_eq!(soon(old.recv()).await.unwrap(), Some("five!".into()));

    // Those that came before are counted.
    tuner.tune(tuning(100, 1));
    assert!(matches!(soon(taiwa::connect(&url)).await, Err(Error::Refused(_))));
    let request = || taiwa::connect(&url);
    tuner.tune(tuning(100, 10));
    let mut more = soon(request()).await.unwrap();
    soon(more.send("five!")).await.unwrap();
    assert_eq!(soon(more.recv()).await.unwrap(), Some("five!".into()));
}

#[tokio::test]
async fn what_was_set_before_the_server_began_counts() {
    let tuner = Tuner::default();
    tuner.tune(tuning(4, 10));
    let (server, addr) = bind().await;
    run(server.tuned_by(&tuner).serve(echo));
    drop(tuner);
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.unwrap();
    soon(socket.send("five!")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
}
