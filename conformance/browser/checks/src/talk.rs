//! Messages there and back.

use taiwa::{CloseCode, Message};

use crate::{Here, both};

pub(crate) async fn text_and_bytes_come_back(here: Here) {
    let mut socket = here.open("/echo").await;
    let all: Vec<u8> = (0..=255).collect();
    let messages =
        [Message::from("dialogue"), "対話 𠮷".into(), "".into(), all.into(), vec![].into()];
    for message in &messages {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.recv().await.unwrap().as_ref(), Some(message));
    }
    let closed = socket.close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
    assert_eq!(socket.recv().await.unwrap(), None);
}

pub(crate) async fn sixteen_mebibytes_come_back(here: Here) {
    let limits = taiwa::Limits { message_bytes_max: 16 << 20, ..Default::default() };
    let mut socket = here.open_by(here.client().limits(limits), "/echo").await;
    let bytes: Vec<u8> = (0..16_u32 << 20).map(|it| (it.wrapping_mul(it) >> 7) as u8).collect();
    socket.send(bytes.clone()).await.unwrap();
    assert!(socket.recv().await.unwrap() == Some(bytes.into()));
    let text = "対".repeat((16 << 20) / 3);
    socket.send(&text[..]).await.unwrap();
    assert!(socket.recv().await.unwrap() == Some(text.into()));
}

pub(crate) async fn many_messages_keep_their_order(here: Here) {
    let mut socket = here.open("/echo").await;
    for index in 0..2000_u32 {
        match index % 2 {
            0 => socket.try_send(index.to_string()).unwrap(),
            _ => socket.try_send(index.to_be_bytes().to_vec()).unwrap(),
        }
    }
    for index in 0..2000_u32 {
        let due = match index % 2 {
            0 => Message::from(index.to_string()),
            _ => index.to_be_bytes().to_vec().into(),
        };
        assert_eq!(socket.recv().await.unwrap(), Some(due));
    }
}

pub(crate) async fn subprotocol_is_agreed_on(here: Here) {
    let client = here.client().subprotocols(["v2.check", "v1.check"]);
    let socket = here.open_by(client, "/echo").await;
    assert_eq!(socket.subprotocol(), Some("v1.check"));
    assert_eq!(here.open("/echo").await.subprotocol(), None);
}

pub(crate) async fn deflate_is_agreed_on(here: Here) {
    let mut socket = here.open("/echo").await;
    let params = socket.deflate().expect("the server compresses and browsers offer");
    // Firefox tells no parameters.
    let told = socket.extensions().contains("server_no_context_takeover");
    assert_eq!(params.server_no_context_takeover, told, "{params:?}");
    let text = "taiwa 対話 ".repeat(7000);
    socket.send(&text[..]).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(text.into()));
    let client = here.client().build().unwrap();
    let socket = client.connect(&format!("{}/deaf", here.raw)).await.unwrap();
    assert_eq!(socket.deflate(), None);
}

pub(crate) async fn one_program_runs_here_too(here: Here) {
    let heard = both::converse(&format!("{}/echo", here.server)).await.unwrap();
    assert_eq!(heard, ["v1.check", "dialogue", "対話", "1000"]);
}
