//! The admin listener.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use taiwa::Server;
use taiwa_server::{admin::Admin, api::Limits, hub::Counters};

use crate::{
    asking::{ask, refused},
    probe::{Client, KEY, SOON, listening, site},
};

async fn get(admin: &Admin, path: &str) -> Response<Bytes> {
    let request = Request::get(path).body(()).unwrap();
    tokio::time::timeout(SOON, admin.answer(&request)).await.expect("in time")
}

/// Reads samples, each on a line of its own; `name{labels}` and the value.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|it| !it.starts_with('#'));
    let sample =
        |line: &'_ str| line.rsplit_once(' ').map(|(name, value)| (name.len(), value.parse()));
    lines
        .map(|line| {
            let (end, value) = sample(line).expect(line);
            (&line[..end], value.expect(line))
        })
        .collect()
}

#[tokio::test]
async fn what_happens_is_measured() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let mut ada = Client::connect(&address, "channel=news:a").await;
    let bob = Client::connect(&address, "channel=news:a").await;
    ask(&site, "publish", json!({ "channel": "news:a", "text": "hello" })).await;
    ask(&site, "publish", json!({ "channel": "news:a", "text": "hello", "id": "1" })).await;
    ask(&site, "publish", json!({ "channel": "news:a", "text": "hello", "id": "1" })).await;
    refused(&site, "publish", "wrong", "{}").await;
    refused(&site, "publish", KEY, "{}").await;
    assert_eq!(ada.hear().await, "said news:a text hello");
    let body = json!({ "session": bob.session });
    ask(&site, "disconnect", body).await;
    let admin = Admin::of(&site).gauge("webhooks_waiting", "Requests that wait", || 7).counters(
        "auth",
        "Tokens",
        "result",
        || vec![("granted", 3), ("expired", 1)],
    );
    let until = tokio::time::Instant::now() + SOON;
    let text = loop {
        let response = get(&admin, "/metrics").await;
        assert_eq!(response.status(), 200);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(response.headers()["content-type"], kind);
        let text = String::from_utf8(response.into_body().to_vec()).unwrap();
        // The one who was sent away may still be on the way out.
        if samples(&text).get("taiwa_conversations_closed_total") == Some(&1.0) {
            break text;
        }
        assert!(tokio::time::Instant::now() < until, "{text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let samples = samples(&text);
    for (name, value) in [
        ("taiwa_build_info{version=\"0.1.0\"}", 1.0),
        ("taiwa_ready", 1.0),
        ("taiwa_shards", 2.0),
        ("taiwa_connections{transport=\"websocket\"}", 1.0),
        ("taiwa_connections{transport=\"stream\"}", 0.0),
        ("taiwa_conversations{dialect=\"probe\"}", 1.0),
        ("taiwa_conversations_opened_total", 2.0),
        ("taiwa_sessions{state=\"connected\"}", 1.0),
        ("taiwa_subscriptions", 1.0),
        ("taiwa_channels", 1.0),
        ("taiwa_publications_total", 2.0),
        ("taiwa_publications_repeated_total", 1.0),
        ("taiwa_deliveries_total", 4.0),
        ("taiwa_slow_consumers_total{action=\"disconnect\"}", 0.0),
        ("taiwa_resumptions_total{result=\"gap\"}", 0.0),
        ("taiwa_limit_hits_total{limit=\"other\"}", 0.0),
        ("taiwa_api_requests_total{command=\"publish\",status=\"200\"}", 3.0),
        ("taiwa_api_requests_total{command=\"publish\",status=\"401\"}", 1.0),
        ("taiwa_api_requests_total{command=\"publish\",status=\"422\"}", 1.0),
        ("taiwa_webhooks_waiting", 7.0),
        ("taiwa_auth_total{result=\"granted\"}", 3.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}\n{text}");
    }
    let out = samples["taiwa_messages_total{direction=\"out\"}"];
    assert!((5.0..=6.0).contains(&out), "two greetings, three or four publications: {text}");
    assert!(samples["taiwa_message_bytes_total{direction=\"out\"}"] > 5.0 * out);
    if cfg!(target_os = "linux") {
        assert!(samples["process_resident_memory_bytes"] > 1e6, "{text}");
        assert!(samples["process_cpu_seconds_total"] > 0.0, "{text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains(&ada.session));
}

#[tokio::test]
async fn every_counter_of_the_hub_has_a_sample_of_its_own() {
    // Which sample tells which counter; a new counter fails here until it is told.
    let told: BTreeMap<&str, &str> = [
        ("published", "taiwa_publications_total"),
        ("delivered", "taiwa_deliveries_total"),
        ("refused_publications", "taiwa_refusals_total{what=\"publication\"}"),
        ("refused_subscriptions", "taiwa_refusals_total{what=\"subscription\"}"),
        ("refused_connections", "taiwa_refusals_total{what=\"connection\"}"),
        ("repeated", "taiwa_publications_repeated_total"),
        ("recovered", "taiwa_resumptions_total{result=\"recovered\"}"),
        ("gaps", "taiwa_resumptions_total{result=\"gap\"}"),
        ("resumed", "taiwa_resumptions_total{result=\"resumed\"}"),
        ("resumed_anew", "taiwa_resumptions_total{result=\"anew\"}"),
        ("slow_disconnected", "taiwa_slow_consumers_total{action=\"disconnect\"}"),
        ("slow_dropped", "taiwa_slow_consumers_total{action=\"drop\"}"),
        ("slow_replaced", "taiwa_slow_consumers_total{action=\"replace\"}"),
        ("slow_paused", "taiwa_slow_consumers_total{action=\"pause\"}"),
        ("rate_disconnected", "taiwa_limit_hits_total{limit=\"commands_per_second\"}"),
        ("rate_refused", "taiwa_limit_hits_total{limit=\"publications_per_second\"}"),
        ("limit_hits", "taiwa_limit_hits_total{limit=\"other\"}"),
        ("app_deadlines", "taiwa_app_deadlines_total"),
        ("calls", "taiwa_client_calls_total"),
        ("duplicates", "taiwa_node_faults_total{what=\"duplicate\"}"),
        ("unread", "taiwa_node_faults_total{what=\"unread\"}"),
        ("parts_lost", "taiwa_node_faults_total{what=\"part_lost\"}"),
    ]
    .into();
    let site = site(Limits::default());
    let metrics = get(&Admin::of(&site), "/metrics").await.into_body();
    let text = String::from_utf8(metrics.to_vec()).unwrap();
    let samples = samples(&text);
    for (counter, _) in Counters::default().fields() {
        let sample = told.get(counter).unwrap_or_else(|| panic!("{counter} is not told"));
        assert!(samples.contains_key(sample), "{sample} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_alive_and_not_ready() {
    let site = site(Limits::default());
    let admin = Admin::of(&site);
    assert_eq!(get(&admin, "/ready").await.status(), 200);
    assert_eq!(get(&admin, "/health").await.status(), 200);
    site.readiness().go_away();
    assert_eq!(get(&admin, "/ready").await.status(), 503);
    assert_eq!(get(&admin, "/health").await.status(), 200);
    assert!(
        get(&admin, "/metrics")
            .await
            .body()
            .windows(14)
            .any(|it| it == b"\ntaiwa_ready 0\n"[..14].as_ref())
    );
    site.shut_down(Duration::from_secs(1)).await.unwrap();
    assert_eq!(get(&admin, "/health").await.status(), 503, "a shard has ended");
    assert_eq!(get(&admin, "/metrics").await.status(), 503);
}

#[tokio::test]
async fn shutting_down_is_told_at_once() {
    let site = site(Limits::default());
    let admin = Admin::of(&site);
    let ending = site.shut_down(Duration::from_secs(1));
    let mut ending = std::pin::pin!(ending);
    let ended = tokio::time::timeout(Duration::ZERO, &mut ending).await;
    assert_eq!(get(&admin, "/ready").await.status(), 503);
    match ended {
        Ok(ended) => ended.unwrap(),
        Err(_) => ending.await.unwrap(),
    }
}

#[tokio::test]
async fn it_listens_on_an_address_of_its_own_and_has_nothing_else() {
    let site = site(Limits::default());
    let admin = Admin::of(&site);
    assert_eq!(get(&admin, "/").await.status(), 404);
    assert_eq!(get(&admin, "/api/v1/info").await.status(), 404);
    let post = Request::post("/metrics").body(()).unwrap();
    let response = admin.answer(&post).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(admin.serve(server).into_future());
    let tcp = tokio::net::TcpStream::connect(address.to_string()).await.unwrap();
    let (mut tcp, request) = (tcp, b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut tcp, request).await.unwrap();
    let mut answer = String::new();
    let reading = tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut answer);
    tokio::time::timeout(SOON, reading).await.unwrap().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nready\n"),
        "{answer}"
    );
    let refused = taiwa::connect(&format!("ws://{address}/")).await;
    assert!(refused.is_err());
}
