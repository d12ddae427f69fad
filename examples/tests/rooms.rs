//! Runs `rooms` and talks to it as clients of Socket.IO do.
#![cfg(unix)]

use std::{future::Future, panic::Location, process::Stdio, time::Duration};

use taiwa::{Error, WebSocket};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// No test waits longer.
#[track_caller]
fn soon<T>(it: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let waited = timeout(Duration::from_secs(20), it).await;
        waited.unwrap_or_else(|_| panic!("{caller} waits in vain"))
    }
}

/// Starts the program on a free port and returns its address.
async fn start() -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rooms"));
    command.arg("127.0.0.1:0").stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it was built");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let line = soon(lines.next_line()).await.expect("a text").expect("a line");
    let addr = line.strip_prefix("http://").and_then(|it| it.strip_suffix('/'));
    (child, addr.expect("a URL").to_owned())
}

async fn open(addr: &str) -> Result<WebSocket, Error> {
    let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
    let mut socket = soon(taiwa::connect(&url)).await?;
    assert!(hear(&mut socket).await.starts_with("0{"), "Engine.IO opens");
    Ok(socket)
}

/// Comes into the namespace under a name.
async fn chat(addr: &str, name: &str) -> Result<WebSocket, Error> {
    let mut socket = open(addr).await?;
    socket.send(format!(r#"40/chat,{{"token":"{name}"}}"#)).await?;
    let answer = hear(&mut socket).await;
    assert!(answer.starts_with(r#"40/chat,{"sid":""#), "{answer}");
    Ok(socket)
}

async fn hear(socket: &mut WebSocket) -> String {
    let message = soon(socket.recv()).await.expect("no fault").expect("it is open");
    message.as_text().expect("a text").to_owned()
}

#[track_caller]
fn check<'a>(socket: &'a mut WebSocket, expected: &'a str) -> impl Future<Output = ()> + use<'a> {
    let caller = Location::caller();
    async move { assert_eq!(hear(socket).await, expected, "{caller}") }
}

#[tokio::test]
async fn clients_join_rooms_speak_in_them_and_answer_together() -> Result<(), Error> {
    let (_child, addr) = start().await;
    let (mut ann, mut bob, mut eve) =
        (chat(&addr, "ann").await?, chat(&addr, "bob").await?, chat(&addr, "eve").await?);
    ann.send(r#"42/chat,0["join","lobby"]"#).await?;
    check(&mut ann, r#"43/chat,0["lobby"]"#).await;
    bob.send(r#"42/chat,0["join","lobby"]"#).await?;
    check(&mut bob, r#"43/chat,0["lobby"]"#).await;
    check(&mut ann, r#"42/chat,["joined","bob","lobby"]"#).await;
    // Eve is not in the room, and may not listen by herself.
    eve.send(r#"42/chat,7["taiwa:subscribe","/chat:lobby"]"#).await?;
    let refused = hear(&mut eve).await;
    assert!(refused.starts_with(r#"43/chat,7[{"error":"#), "{refused}");
    bob.send(r#"42/chat,1["say","lobby","hello"]"#).await?;
    check(&mut ann, r#"42/chat,["message","bob","hello"]"#).await;
    let (mut heard, mut both) = (hear(&mut bob).await, vec![hear(&mut bob).await]);
    both.push(std::mem::take(&mut heard));
    both.sort();
    assert_eq!(both, [r#"42/chat,["message","bob","hello"]"#, "43/chat,1[null]"]);

    ann.send(r#"42/chat,2["ask","lobby",3]"#).await?;
    for (socket, answer) in [(&mut ann, "yes"), (&mut bob, "no")] {
        let asked = hear(socket).await;
        let id = asked.strip_prefix("42/chat,").and_then(|it| it.strip_suffix(r#"["ready?",3]"#));
        let id: u64 = id.expect(&asked).parse().expect("a number");
        socket.send(format!(r#"43/chat,{id}["{answer}"]"#)).await?;
    }
    let told = hear(&mut ann).await;
    let answers = told.strip_prefix("43/chat,2[[").and_then(|it| it.strip_suffix("]]"));
    let mut answers: Vec<_> = answers.expect(&told).split(',').collect();
    answers.sort_unstable();
    assert_eq!(answers, [r#""no""#, r#""yes""#]);

    // Who is nobody stays outside, and the main namespace is none.
    let mut nobody = open(&addr).await?;
    nobody.send("40/chat,").await?;
    let refused = hear(&mut nobody).await;
    assert!(refused.starts_with("44/chat,{"), "{refused}");
    nobody.send("40").await?;
    let refused = hear(&mut nobody).await;
    assert!(refused.starts_with(r#"44{"message":"Invalid namespace""#), "{refused}");
    Ok(())
}
