//! The examples of docs/api.md: each command is run by a shell, and answers as the page says.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use taiwa_server::api::Limits;

use crate::probe::{KEY, listening, site};

/// What differs from server to server and from day to day.
const VARIES: [&str; 2] = ["epoch", "at_ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_what_comes_back() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: curl is not installed");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let page = fs::read_to_string(page).unwrap();
    let site = site(Limits::default());
    let url = format!("http://{}/api/v1", listening(&site).await);
    let mut count = 0;
    for part in page.split("```sh\n").skip(1) {
        let (script, rest) = part.split_once("```\n```json\n").expect("an answer behind a command");
        let (answer, _) = rest.split_once("```").expect("an end");
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("URL", &url).env("KEY", KEY).env("no_proxy", "*");
        let run = tokio::task::spawn_blocking(move || shell.output().unwrap());
        let output = run.await.unwrap();
        let got = serde_json::from_slice::<Value>(&output.stdout);
        let mut got = got.unwrap_or_else(|it| panic!("{script}: {it}: {output:?}"));
        let mut wanted = serde_json::from_str::<Value>(answer).expect(answer);
        blank(&mut got);
        blank(&mut wanted);
        assert_eq!(got, wanted, "{script}");
        count += 1;
    }
    assert!(count >= 8, "{count} examples");
}

/// Keeps of what varies whether it is a number or a text.
fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match VARIES.contains(&name.as_str()) {
                    true if value.is_u64() => *value = 0.into(),
                    true if value.is_string() => *value = "".into(),
                    _ => blank(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}
