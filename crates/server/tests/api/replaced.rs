//! An API and a site that are exchanged while they work, and an API without keys.

use std::sync::Arc;

use serde_json::json;
use taiwa_server::{
    Anyone, Site,
    api::{Api, Key, Limits},
    hub::Settings,
};

use crate::{
    asking::{ask, refused},
    probe::{Client, KEY, Probe, listening, site},
};

#[tokio::test]
async fn another_key_and_path_take_the_place_of_the_first() {
    let site = site(Limits::default());
    let desk = site.api().unwrap();
    desk.replace(Api::new(vec![Key::new("new", "abracadabra").unwrap()], Limits::default()));
    let status = refused(&site, "info", KEY, "{}").await.0;
    assert_eq!(status, 401);
    let body = r#"{"channel": "news:a", "data": "too long"}"#;
    let limits = Limits::default().with(|it| it.payload_bytes_max = 4);
    desk.replace(Api::new(vec![Key::new("new", KEY).unwrap()], limits));
    assert_eq!(refused(&site, "publish", KEY, body).await.0, 413);
    let elsewhere = Api::new(vec![Key::new("new", KEY).unwrap()], Limits::default());
    desk.replace(elsewhere.path("/other").unwrap());
    assert!(desk.claims("/other/v1/info") && !desk.claims("/api/v1/info"));
    desk.replace(Api::new(vec![], Limits::default()));
    assert!(!desk.claims("/api/v1/info"), "without keys there is no API");
}

#[tokio::test]
async fn an_api_without_keys_lets_everybody_do_all() {
    let site = site(Limits::default());
    site.api().unwrap().replace(Api::without_keys(Limits::default()));
    let no_key = "";
    ask(&site, "publish", json!({"channel": "news:a", "data": 1})).await;
    assert_eq!(refused(&site, "publish", no_key, "{}").await.0, 422);
    assert!(site.api().unwrap().claims("/api/v1/info"));
}

#[tokio::test]
async fn a_site_that_takes_the_place_of_another_keeps_who_is_connected() {
    let running = site(Limits::default());
    let address = listening(&running).await;
    let mut ada = Client::connect(&address, "user=ada&channel=news:a").await;
    let mut other = Settings::open();
    other.limits = taiwa_server::hub::Limits::default().with(|it| it.payload_bytes_max = 4);
    running.adopt(Site::new(other, Arc::new(Anyone)).dialect(Probe)).await;
    let body = r#"{"channel": "news:a", "data": "too long"}"#;
    assert_eq!(refused(&running, "publish", KEY, body).await.0, 429);
    ask(&running, "publish", json!({"channel": "news:a", "data": 1})).await;
    assert_eq!(ada.hear().await, "said news:a json 1");
    // Another app, which says nothing of anybody.
    let _bob = Client::connect(&address, "channel=a").await;
    let listed = ask(&running, "presence", json!({"channel": "a"})).await;
    assert!(
        listed["members"].as_array().is_some_and(|it| it.len() == 1)
            && listed["members"][0].get("info").is_none(),
        "{listed}"
    );
    // And no dialect: nobody comes in, and who is in stays.
    running.adopt(Site::new(Settings::open(), Arc::new(Anyone))).await;
    assert!(taiwa::connect(&format!("ws://{address}/probe")).await.is_err());
    ask(&running, "publish", json!({"channel": "news:a", "data": 2})).await;
    assert_eq!(ada.hear().await, "said news:a json 2");
}
