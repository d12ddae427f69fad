//! What each command does to clients, and what it answers.

use http::Request;
use serde_json::{Value, json};
use taiwa_server::api::Limits;

use crate::{
    asking::{ask, request, send},
    probe::{Client, KEY, listening, site},
};

#[tokio::test]
async fn a_publication_reaches_its_subscribers_as_it_was_written() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "user=ada&channel=news:a").await;
    let body = r#"{"channel": "news:a", "data":  {"b": 1.50,  "a": "\u00e9"}, "receipt": true,
        "event": "headline", "key": "k", "tags": {"z": "1", "y": "2"}}"#;
    let answer = send(&site, request("publish", KEY, body)).await;
    assert_eq!(answer.body["delivered"], 1, "{}", answer.body);
    assert_eq!(
        (&answer.body["position"]["offset"], &answer.body["repeated"]),
        (&json!(1), &json!(false))
    );
    let heard = ada.hear().await;
    assert_eq!(
        heard,
        r#"said news:a event=headline key=k y=2 z=1 json {"b": 1.50,  "a": "\u00e9"}"#
    );
    for (payload, heard) in [
        (json!({ "text": "対話" }), "said news:a text 対話"),
        (json!({ "base64": "AP8=" }), "said news:a binary b\"\\0\\xff\""),
        (json!({ "base64": "AP8" }), "said news:a binary b\"\\0\\xff\""),
        (json!({ "data": null }), "said news:a json null"),
        (json!({ "text": "" }), "said news:a text "),
    ] {
        let mut body = payload;
        body["channel"] = "news:a".into();
        ask(&site, "publish", body).await;
        assert_eq!(ada.hear().await, heard);
    }
}

#[tokio::test]
async fn what_is_said_twice_under_one_identifier_is_said_once() {
    let site = site(Limits::default());
    let first = ask(&site, "publish", json!({ "channel": "a", "data": 1, "id": "x" })).await;
    let again = ask(&site, "publish", json!({ "channel": "a", "data": 1, "id": "x" })).await;
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    assert_eq!(first["position"], again["position"]);
    for key in ["x", "\"x\""] {
        let mut request = request("publish", KEY, r#"{"channel": "a", "data": 1}"#);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        assert_eq!(send(&site, request).await.body["repeated"], true, "{key}");
    }
    let mut request = request("publish", KEY, r#"{"channel": "a", "data": 1, "id": "x"}"#);
    request.headers_mut().insert("idempotency-key", "other".parse().unwrap());
    assert_eq!(send(&site, request).await.body["repeated"], true, "the field counts");
}

#[tokio::test]
async fn a_broadcast_has_a_result_for_each_channel() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "channel=news:a").await;
    let mut bob = Client::connect(&address, "channel=news:b").await;
    let channels = json!(["news:a", "nowhere:x", "news:b"]);
    let body = json!({ "channels": channels, "text": "hi", "receipt": true, "id": "once" });
    let results = ask(&site, "broadcast", body).await["results"].clone();
    assert_eq!(results[0]["channel"], "news:a");
    assert_eq!(results[0]["published"]["delivered"], 1);
    assert_eq!(
        (&results[1]["error"]["code"], &results[1]["published"]),
        (&json!("not_found"), &Value::Null)
    );
    assert_eq!(results[2]["published"]["delivered"], 1);
    assert_eq!(ada.hear().await, "said news:a text hi");
    assert_eq!(bob.hear().await, "said news:b text hi");
}

#[tokio::test]
async fn history_is_read_in_both_directions_and_forgotten() {
    let site = site(Limits::default());
    for number in 1..=5 {
        ask(&site, "publish", json!({ "channel": "h", "data": number, "tags": { "n": "x" } }))
            .await;
    }
    ask(&site, "publish", json!({ "channel": "h", "data": 6, "transient": true })).await;
    ask(&site, "publish", json!({ "channel": "h", "base64": "/w==" })).await;
    let all = ask(&site, "history", json!({ "channel": "h" })).await;
    let said = all["publications"].as_array().unwrap();
    assert_eq!(said.len(), 6, "what is transient leaves no trace: {all}");
    assert_eq!((&said[0]["data"], &said[0]["tags"]["n"]), (&json!(1), &json!("x")));
    assert_eq!((&said[5]["base64"], &said[5]["data"]), (&json!("/w=="), &Value::Null));
    assert!(said[0]["at_ms"].as_u64().unwrap() > 1_600_000_000_000);
    let since = said[1]["position"].clone();
    let numbers = |answer: Value| {
        let list = answer["publications"].as_array().unwrap().clone();
        list.into_iter().map(|it| it["data"].clone()).collect::<Vec<_>>()
    };
    let body = json!({ "channel": "h", "since": since, "limit": 2.0 });
    assert_eq!(numbers(ask(&site, "history", body).await), [3, 4]);
    let body = json!({ "channel": "h", "since": since, "reverse": true });
    assert_eq!(numbers(ask(&site, "history", body).await), [1]);
    let nothing = ask(&site, "history", json!({ "channel": "h", "limit": 0 })).await;
    assert_eq!((&nothing["publications"], &nothing["position"]), (&json!([]), &all["position"]));
    assert_eq!(ask(&site, "history_remove", json!({ "channel": "h" })).await, json!({}));
    let empty = ask(&site, "history", json!({ "channel": "h" })).await;
    assert_eq!(empty["publications"], json!([]));
}

#[tokio::test]
async fn presence_channels_and_sessions_tell_who_is_where() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let ada = Client::connect(&address, "user=ada&channel=news:a").await;
    let _again = Client::connect(&address, "user=ada&channel=news:a").await;
    let _nameless = Client::connect(&address, "channel=news:b").await;
    let stats = ask(&site, "presence_stats", json!({ "channel": "news:a" })).await;
    assert_eq!(stats, json!({ "sessions": 2, "users": 1 }));
    let members = ask(&site, "presence", json!({ "channel": "news:a" })).await["members"].clone();
    let members = members.as_array().unwrap();
    let mine = members.iter().find(|it| it["session"] == *ada.session).expect("ada is there");
    assert_eq!(members.len(), 2);
    assert_eq!(
        mine,
        &json!({
            "session": ada.session, "user": "ada", "info": { "seen": true }, "dialect": "probe",
        })
    );
    let channels = ask(&site, "channels", json!({})).await;
    assert_eq!(
        channels,
        json!({ "more": false, "channels": [
        { "channel": "news:a", "subscribers": 2 }, { "channel": "news:b", "subscribers": 1 },
    ] })
    );
    let some = ask(&site, "channels", json!({ "prefix": "news:", "limit": 1 })).await;
    assert_eq!(some["channels"].as_array().unwrap().len(), 1);
    assert_eq!(some["more"], true);
    assert_eq!(ask(&site, "channels", json!({ "prefix": "old" })).await["channels"], json!([]));
    let mine = ask(&site, "sessions", json!({ "user": "ada" })).await;
    assert_eq!((mine["sessions"].as_array().unwrap().len(), &mine["more"]), (2, &json!(false)));
    let one = &mine["sessions"][0];
    assert_eq!((&one["meta"]["secret"], &one["address"]), (&json!(1), &json!("127.0.0.1")));
    let state = ask(&site, "session", json!({ "session": one["session"] })).await;
    assert_eq!((&state["user"], &state["connected"]), (&json!("ada"), &json!(true)), "{state}");
    assert_eq!(state["channels"].as_array().map(Vec::len), Some(1), "{state}");
    let some = ask(&site, "sessions", json!({ "limit": 2 })).await;
    assert_eq!((some["sessions"].as_array().unwrap().len(), &some["more"]), (2, &json!(true)));
}

#[tokio::test]
async fn a_backend_subscribes_and_unsubscribes_its_clients() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "user=ada").await;
    let mut bob = Client::connect(&address, "user=bob").await;
    let body = json!({
        "user": "ada", "channel": "news:vip", "data": { "welcome": true }, "info": { "rank": 1 },
        "expires_after_s": 3600, "join_leave": false,
    });
    assert_eq!(ask(&site, "subscribe", body.clone()).await, json!({ "affected": 1 }));
    assert_eq!(ada.hear().await, r#"subscribed news:vip json {"welcome":true}"#);
    assert_eq!(
        ask(&site, "subscribe", body).await,
        json!({ "affected": 0 }),
        "she is there already"
    );
    let body = json!({ "session": bob.session, "channel": "news:vip" });
    assert_eq!(ask(&site, "subscribe", body).await, json!({ "affected": 1 }));
    assert_eq!(bob.hear().await, "subscribed news:vip ");
    let body =
        json!({ "channel": "news:vip", "text": "psst", "except": [bob.session], "receipt": true });
    assert_eq!(ask(&site, "publish", body).await["delivered"], 1);
    assert_eq!(ada.hear().await, "said news:vip text psst");
    let members = ask(&site, "presence", json!({ "channel": "news:vip" })).await["members"].clone();
    let ranks = members.as_array().unwrap().iter().filter(|it| it["channel_info"]["rank"] == 1);
    assert_eq!(ranks.count(), 1);
    let body = json!({ "all": true, "channel": "news:vip" });
    assert_eq!(ask(&site, "unsubscribe", body.clone()).await, json!({ "affected": 2 }));
    assert!(bob.hear().await.starts_with("unsubscribed"), "and hears nothing before it");
    assert!(ada.hear().await.starts_with("unsubscribed"));
    assert_eq!(ask(&site, "unsubscribe", body).await, json!({ "affected": 0 }));
}

#[tokio::test]
async fn a_backend_tells_and_calls_its_clients() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "user=ada").await;
    let told = ask(&site, "tell", json!({ "user": "ada", "data": [1] })).await;
    assert_eq!(told, json!({ "affected": 1 }));
    assert_eq!(ada.hear().await, "told json [1]");
    let args = json!({ "session": ada.session, "event": "greet", "args": [1, "two"] });
    assert_eq!(ask(&site, "tell", args).await, json!({ "affected": 1 }));
    assert_eq!(ada.hear().await, r#"told event=greet list json [1,"two"]"#);
    for (payload, is_list) in [(json!({ "args": [1] }), "true"), (json!({ "data": [1] }), "false")]
    {
        for (verb, whom) in [("call", "session"), ("call_all", "user")] {
            let mut body = json!({ "method": "list" });
            body[whom] = [&ada.session[..], "ada"][usize::from(whom == "user")].into();
            body.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
            let answer = ask(&site, verb, body).await;
            let answer = if verb == "call" { &answer } else { &answer["answers"][0] };
            assert_eq!(answer["text"], *is_list, "{verb} {payload}");
        }
    }
    assert_eq!(ask(&site, "tell", json!({ "user": "eve", "text": "" })).await["affected"], 0);
    let call = |payload: Value| {
        let mut body = json!({ "session": ada.session, "method": "echo", "deadline_ms": 5000 });
        body.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
        body
    };
    // A probe answers what it heard; its socket must be read for that.
    for payload in
        [json!({ "data": { "a": [1] } }), json!({ "text": "t" }), json!({ "base64": "AP8=" })]
    {
        let answer = ask(&site, "call", call(payload.clone()));
        assert_eq!(answer.await, payload);
    }
}

#[tokio::test]
async fn a_backend_says_arguments_side_by_side_and_binary_ones_among_them() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "channel=news:a").await;
    for (body, heard) in [
        (json!({ "args": [1, "two"], "event": "add" }), "event=add list json [1,\"two\"]"),
        (json!({ "data": [1] }), "json [1]"),
        (
            json!({ "args": ["file", { "base64": "AP8=" }, 2], "binary": true }),
            r#"list Mixed(Mixed { pieces: [b"[\"file\",", b",2]"], attachments: [b"\0\xff"] })"#,
        ),
        (
            json!({ "data": { "a": [{ "base64": "AP8" }], "b": { "base64": "%" } }, "binary": true }),
            r#"Mixed(Mixed { pieces: [b"{\"a\":[", b"],\"b\":{\"base64\":\"%\"}}"], attachments: [b"\0\xff"] })"#,
        ),
        (
            json!({ "data": { "base64": "AP8=", "more": 1 }, "binary": true }),
            r#"json {"base64":"AP8=","more":1}"#,
        ),
        (json!({ "data": { "base64": "AP8=" } }), r#"json {"base64":"AP8="}"#),
    ] {
        let mut body = body;
        body["channel"] = "news:a".into();
        ask(&site, "publish", body).await;
        assert_eq!(ada.hear().await, format!("said news:a {heard}"));
    }
    let past = ask(&site, "history", json!({ "channel": "news:a" })).await;
    let past = past["publications"].as_array().unwrap();
    let lists: Vec<_> = past.iter().map(|it| it["is_list"] == true).collect();
    assert_eq!(lists, [true, false, true, false, false, false]);
    let mixed = json!({ "pieces": ["[\"file\",", ",2]"], "attachments": ["AP8="] });
    assert_eq!(past[2]["mixed"], mixed);
}

#[tokio::test]
async fn who_hears_several_channels_can_hear_it_once_and_some_not_at_all() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "user=ada&channel=news:a").await;
    let mut bob = Client::connect(&address, "user=bob&channel=news:b").await;
    let both = json!({ "user": "ada", "channel": "news:b" });
    assert_eq!(ask(&site, "subscribe", both).await["affected"], 1);
    assert!(ada.hear().await.starts_with("subscribed"));
    let counts = async |more: Value| {
        let mut body = json!({ "channels": ["news:a", "news:b"], "text": "hi", "receipt": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let results = ask(&site, "broadcast", body).await["results"].clone();
        [0, 1].map(|it| results[it]["published"]["delivered"].as_u64().unwrap())
    };
    assert_eq!(counts(json!({})).await, [1, 2]);
    assert_eq!(counts(json!({ "once_each": true })).await, [1, 1]);
    assert_eq!(counts(json!({ "except_channels": ["news:a"] })).await, [0, 1]);
    assert_eq!(counts(json!({ "volatile": true, "once_each": true })).await, [1, 1]);
    let publish = json!({
        "channel": "news:b", "text": "ho", "receipt": true, "except_channels": ["news:a"], "volatile": true,
    });
    let told = ask(&site, "publish", publish).await;
    assert_eq!((&told["delivered"], &told["position"]), (&json!(1), &Value::Null));
    let mut heard = vec![];
    while heard.last().is_none_or(|it| it != "said news:b text ho") {
        heard.push(bob.hear().await);
    }
    assert_eq!(heard.len(), 5);
    for name in ["news:a", "news:b", "news:a", "news:a"] {
        assert_eq!(ada.hear().await, format!("said {name} text hi"));
    }
}

#[tokio::test]
async fn a_backend_reaches_who_is_in_a_channel_by_the_link_that_is() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "user=ada&scope=news").await;
    let mut bob = Client::connect(&address, "user=bob&channel=news:b").await;
    let list = ask(&site, "sessions", json!({ "in_channel": "news:r" })).await;
    let [one] = &list["sessions"].as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&one["user"], &one["scope"]), (&json!("ada"), &json!("news")));
    for (user, count) in [("ada", 1), ("bob", 0)] {
        let both = json!({ "in_channel": "news:r", "user": user });
        let list = ask(&site, "sessions", both).await;
        assert_eq!(list["sessions"].as_array().unwrap().len(), count, "{user}");
    }
    let link = format!("{}.1", ada.session);
    for (whom, heard) in [
        (json!({ "in_channel": "news:r" }), "told by 1 event=greet json 1"),
        (json!({ "session": ada.session }), "told event=greet json 1"),
        (json!({ "session": link }), "told by 1 event=greet json 1"),
        (json!({ "session": ada.session, "scope": "news" }), "told by 1 event=greet json 1"),
        (json!({ "user": "ada", "scope": "news" }), "told by 1 event=greet json 1"),
    ] {
        let mut body = whom;
        body["event"] = "greet".into();
        body["data"] = 1.into();
        assert_eq!(ask(&site, "tell", body.clone()).await, json!({ "affected": 1 }), "{body}");
        assert_eq!(ada.hear().await, heard, "{body}");
    }
    let none = json!({ "all": true, "scope": "none", "data": 1 });
    assert_eq!(ask(&site, "tell", none).await["affected"], 0);
    // Rooms are joined and left by all who are in one.
    let join = json!({ "in_channel": "news:r", "channel": "news:next" });
    assert_eq!(ask(&site, "subscribe", join).await["affected"], 1);
    assert_eq!(ada.hear().await, "subscribed news:next ");
    let leave = json!({ "in_channel": "news:next", "channel": "news:r" });
    assert_eq!(ask(&site, "unsubscribe", leave).await["affected"], 1);
    assert!(ada.hear().await.starts_with("unsubscribed"));
    let away = ask(&site, "disconnect", json!({ "in_channel": "news:next" })).await;
    assert_eq!(away["affected"], 1);
    assert_eq!(ada.end().await.0, 4000);
    ask(&site, "publish", json!({ "channel": "news:b", "text": "still" })).await;
    assert_eq!(bob.hear().await, "said news:b text still");
}

#[tokio::test]
async fn a_call_of_many_is_answered_with_the_answers_of_all() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let ada = Client::connect(&address, "user=ada&scope=news").await;
    let bob = Client::connect(&address, "user=bob&scope=news").await;
    let call = async |method: &str| {
        let body =
            json!({ "in_channel": "news:r", "method": method, "data": 7, "deadline_ms": 300 });
        ask(&site, "call_all", body).await
    };
    let mut sessions = [format!("{}.1", ada.session), format!("{}.1", bob.session)];
    sessions.sort();
    let told = call("echo").await;
    let answers = told["answers"].as_array().unwrap();
    let mut who: Vec<_> = answers.iter().map(|it| it["session"].as_str().unwrap()).collect();
    who.sort_unstable();
    assert_eq!(
        (who, answers[0]["data"].clone()),
        (sessions.each_ref().map(|it| &**it).to_vec(), json!(7))
    );
    let except = async |who: Value| {
        let mut body = json!({ "in_channel": "news:r", "method": "echo", "deadline_ms": 5000 });
        body.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        body["data"] = 8.into();
        let answers = ask(&site, "call_all", body).await["answers"].clone();
        answers.as_array().unwrap().iter().map(|it| it["session"].clone()).collect::<Vec<_>>()
    };
    let bob_alone = [Value::from(format!("{}.1", bob.session))];
    assert_eq!(except(json!({ "except": [ada.session] })).await, bob_alone);
    let join = json!({ "session": ada.session, "channel": "news:left-out" });
    assert_eq!(ask(&site, "subscribe", join).await["affected"], 1);
    assert_eq!(except(json!({ "except_channels": ["news:left-out"] })).await, bob_alone);
    let refused = call("no").await;
    let error = &refused["answers"][1]["error"];
    assert_eq!((&error["code"], &error["app_code"]), (&json!("refused"), &json!(77)));
    let silent = call("silent").await;
    assert_eq!(silent, json!({ "answers": [], "late": 2, "left_out": 0, "nodes_lost": 0 }));
    // One of them, by the name of its link or by its scope.
    for body in [
        json!({ "session": format!("{}.1", ada.session) }),
        json!({ "session": ada.session, "scope": "news" }),
    ] {
        let mut body = body;
        (body["method"], body["text"]) = ("echo".into(), "t".into());
        assert_eq!(ask(&site, "call", body).await, json!({ "text": "t" }));
    }
}

#[tokio::test]
async fn a_backend_refreshes_and_disconnects_its_clients() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "user=ada").await;
    let mut bob = Client::connect(&address, "user=bob").await;
    let body = json!({ "user": "ada", "expires_after_s": 3600 });
    assert_eq!(ask(&site, "refresh", body).await, json!({ "affected": 1 }));
    assert_eq!(ada.hear().await, "refreshed None", "she need not refresh by herself");
    assert_eq!(ask(&site, "refresh", json!({ "all": true })).await, json!({ "affected": 2 }));
    assert_eq!(
        (ada.hear().await, bob.hear().await),
        ("refreshed None".into(), "refreshed None".into())
    );
    let none = json!({ "all": true, "scope": "/chat" });
    assert_eq!(ask(&site, "disconnect", none).await, json!({ "affected": 0 }));
    let body = json!({
        "session": ada.session, "code": 4100, "reason": "またね", "may_return": true, "link_only": true,
    });
    assert_eq!(ask(&site, "disconnect", body).await, json!({ "affected": 1 }));
    assert_eq!(ada.end().await, (4100, "またね".to_owned()));
    assert_eq!(ask(&site, "disconnect", json!({ "user": "bob" })).await, json!({ "affected": 1 }));
    assert_eq!(bob.end().await, (4000, String::new()));
    let left = ask(&site, "sessions", json!({})).await;
    assert_eq!(left, json!({ "sessions": [], "more": false }));
}

#[tokio::test]
async fn info_adds_up_the_shards() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let _clients = [
        Client::connect(&address, "channel=a").await,
        Client::connect(&address, "channel=b").await,
        Client::connect(&address, "").await,
    ];
    ask(&site, "publish", json!({ "channel": "a", "data": 1 })).await;
    let info = ask(&site, "info", json!({})).await;
    assert_eq!((&info["sessions"], &info["subscriptions"]), (&json!(3), &json!(2)));
    let shards = info["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    let sum =
        |field: &str| shards.iter().map(|it| it["counters"][field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("published"), sum("delivered")), (1, 1));
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn both_headers_show_a_key_and_the_scheme_has_no_case() {
    let site = site(Limits::default());
    for (name, value) in [
        ("x-api-key", KEY.to_owned()),
        ("authorization", format!("bearer {KEY}")),
        ("authorization", format!("BEARER  {KEY} ")),
    ] {
        let request = Request::post("/api/v1/info").header(name, &value);
        let request = request.header("content-type", "application/json; charset=utf-8");
        let answer = send(&site, request.body("{}".into()).unwrap()).await;
        assert_eq!(answer.status, 200, "{name}: {value}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
