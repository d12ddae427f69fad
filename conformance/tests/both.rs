//! The program that conformance/browser runs in a browser, run natively: one source for both targets.

#[path = "../browser/checks/src/both.rs"]
mod both;

use std::{future::IntoFuture, time::Duration};

use taiwa::{Error, Server, Upgrade};
use tokio::time::timeout;

#[tokio::test]
async fn the_browsers_program_runs_natively() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/echo", server.local_addr().unwrap());
    tokio::spawn(
        server
            .serve(|upgrade: Upgrade| async move {
                let mut socket = upgrade.subprotocol(["v1.check"]).accept().await?;
                while let Some(message) = socket.recv().await? {
                    socket.send(message).await?;
                }
                Ok::<(), Error>(())
            })
            .into_future(),
    );
    let heard = timeout(Duration::from_secs(10), both::converse(&url)).await;
    let heard = heard.expect("in time").unwrap();
    assert_eq!(heard, ["v1.check", "dialogue", "対話", "1000"]);
}
