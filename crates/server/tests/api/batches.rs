//! Several commands in one request.

use serde_json::{Value, json};
use taiwa_server::api::Limits;

use crate::{
    asking::{ask, refused, request, send},
    probe::{KEY, site},
};

#[tokio::test]
async fn commands_are_done_in_order_and_each_has_its_own_result() {
    let site = site(Limits::default());
    let mut commands = vec![];
    for number in 0..20 {
        commands.push(json!({ "publish": { "channel": "a", "data": number } }));
    }
    commands.push(json!({ "presence": { "channel": "bare:a" } }));
    commands.push(json!({ "history": { "channel": "a", "limit": 100 } }));
    commands.push(json!({ "broadcast": { "channels": ["b", "c"], "text": "x" } }));
    let answer = ask(&site, "batch", json!({ "commands": commands })).await;
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 23);
    for (number, reply) in replies[..20].iter().enumerate() {
        assert_eq!(reply["publish"]["position"]["offset"], number + 1);
        assert_eq!(reply.as_object().unwrap().len(), 1, "{reply}");
    }
    assert_eq!(
        (&replies[20]["error"]["code"], &replies[20]["error"]["status"]),
        (&json!("not_available"), &json!(409))
    );
    let said = replies[21]["history"]["publications"].as_array().unwrap();
    let said = said.iter().map(|it| it["data"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(said, (0..20).collect::<Vec<_>>());
    assert_eq!(replies[22]["broadcast"]["results"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn commands_side_by_side_are_answered_in_their_order() {
    let site = site(Limits::default());
    let publish =
        |number: u64| json!({ "publish": { "channel": format!("c{number}"), "data": number } });
    let commands = (0..200).map(publish).collect::<Vec<_>>();
    let answer = ask(&site, "batch", json!({ "commands": commands, "parallel": true })).await;
    let replies = answer["replies"].as_array().unwrap();
    assert!(replies.iter().all(|it| it["publish"]["position"]["offset"] == 1), "{answer}");
    let reads = (0..200).map(|it| json!({ "history": { "channel": format!("c{it}") } }));
    let body = json!({ "commands": reads.collect::<Vec<_>>(), "parallel": true });
    let answer = ask(&site, "batch", body).await;
    for (number, reply) in answer["replies"].as_array().unwrap().iter().enumerate() {
        assert_eq!(reply["history"]["publications"][0]["data"], number);
    }
    assert_eq!(ask(&site, "batch", json!({ "commands": [] })).await, json!({ "replies": [] }));
}

#[tokio::test]
async fn nothing_of_a_batch_is_done_if_a_command_is_malformed() {
    let site = site(Limits::default());
    let good = json!({ "publish": { "channel": "a", "data": 1 } });
    for (bad, field) in [
        (json!({ "publish": { "channel": "", "data": 1 } }), "commands[1].publish.channel"),
        (json!({ "publish": { "channel": "a" } }), "commands[1].publish.data"),
        (json!({ "publsh": {} }), "commands[1]"),
        (json!({}), "commands[1]"),
        (json!({ "info": {}, "publish": {} }), "commands[1]"),
        (json!("info"), "commands[1]"),
        (json!({ "disconnect": { "all": true, "code": 1 } }), "commands[1].disconnect.code"),
    ] {
        let body = json!({ "commands": [good, bad] }).to_string();
        let (status, code, at) = refused(&site, "batch", KEY, body).await;
        assert_eq!(status, 422, "{bad}");
        assert_eq!(code, "invalid");
        assert!(at.starts_with(field), "{bad}: {at}");
    }
    let history = ask(&site, "history", json!({ "channel": "a" })).await;
    assert_eq!(history["publications"], json!([]), "nothing of it was done");
}

#[tokio::test]
async fn each_command_of_a_batch_needs_its_right() {
    let site = site(Limits::default());
    let body = json!({ "commands": [
        { "publish": { "channel": "news:a", "data": 1 } },
        { "publish": { "channel": "other", "data": 1 } },
        { "info": {} },
    ] });
    let answer = send(&site, request("batch", "key-of-news", body.to_string())).await;
    let code = |index: usize| answer.body["replies"][index]["error"]["code"].clone();
    assert_eq!((answer.status.as_u16(), code(0)), (200, Value::Null));
    assert_eq!((code(1), code(2)), (json!("forbidden"), json!("forbidden")));
}
