//! What a program says to clients of the server that is part of it.

use std::time::Duration;

use taiwa_core::{Channel, Disconnect, Payload};

use super::{Stage, soon};

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

#[tokio::test]
async fn a_program_emits_to_channels_sessions_and_users() {
    let mut stage = Stage::new().await;
    let control = stage.running.control().clone();
    let (news, vip) = (channel("news"), channel("vip"));
    let mut sockets = vec![];
    for name in ["a", "b"] {
        let mut socket = stage.connect(&format!("/ws?name={name}")).await;
        socket.send("connect; listen news").await.unwrap();
        stage.hears(&format!("{name}: listen: subscribed")).await;
        sockets.push(socket);
    }
    let two = soon(control.to(&news).sessions(10)).await.unwrap();
    assert_eq!(two.len(), 2);
    soon(control.to(&news).emit("greet", &("hello", 2))).await.unwrap();
    for name in ["a", "b"] {
        assert_eq!(stage.hears(&format!("{name}: said")).await, r#"["hello",2]"#);
    }
    // One of them joins another room, and is left out.
    let one = control.to_session(two[0].session);
    assert_eq!(soon(one.join(&vip)).await.unwrap(), 1);
    assert_eq!(soon(one.join(&vip)).await.unwrap(), 0, "it is in it");
    soon(control.to(&news).except(&vip).emit("greet", &"only one")).await.unwrap();
    soon(control.to(&news).except_session(two[1].session).emit("greet", &"other")).await.unwrap();
    soon(control.to(&news).volatile().emit("greet", &"last")).await.unwrap();
    for name in ["a", "b"] {
        let first = stage.hears(&format!("{name}: said")).await;
        assert!(first == "\"only one\"" || first == "\"other\"", "{name}: {first}");
        assert_eq!(stage.hears(&format!("{name}: said")).await, "\"last\"");
    }
    soon(one.emit("greet", &(1, 2))).await.unwrap();
    let told = stage.hears_any(&["a: told", "b: told"]).await;
    assert_eq!(told, "list [1,2]");
    assert_eq!(soon(one.leave(&vip)).await.unwrap(), 1);
    assert_eq!(soon(one.leave(&vip)).await.unwrap(), 0);

    let within = Duration::from_secs(5);
    let answers = soon(control.to(&news).emit_with_ack("back", &"word", within)).await.unwrap();
    assert_eq!((answers.answers.len(), answers.late), (2, 0));
    for answer in answers.answers {
        assert_eq!(answer.answer.unwrap(), Payload::Json("\"word\"".into()));
    }
    assert_eq!(soon(one.join(&vip)).await.unwrap(), 1);
    let [first, second] = [0, 1].map(|it| two[it].session);
    for (emit, called) in [
        (control.to(&news).except(&vip), second),
        (control.to(&news).except_session(second), first),
    ] {
        let answers = soon(emit.emit_with_ack("back", &(), within)).await.unwrap();
        let sessions: Vec<_> = answers.answers.iter().map(|it| it.session).collect();
        assert_eq!(sessions, [called]);
    }
    let none = control.to_session(two[0].session).of("/none");
    soon(none.emit("greet", &"nobody")).await.unwrap();
    assert_eq!(soon(none.emit_with_ack("back", &(), within)).await.unwrap(), Default::default());
    let why = Disconnect::App { code: 4123, reason: "go".into(), may_return: false };
    assert_eq!(soon(none.end_links(why.clone())).await.unwrap(), 0, "it has no such link");
    assert_eq!(soon(control.to(&vip).end_links(why.clone())).await.unwrap(), 1);
    let away = ["a: sent away App", "b: sent away App"];
    stage.hears_any(&away).await;
    assert_eq!(soon(control.to(&news).disconnect(why)).await.unwrap(), 1);
    stage.hears_any(&away).await;
    stage.has_not_heard("a: told \"nobody\"");
    stage.has_not_heard("b: told \"nobody\"");
}
