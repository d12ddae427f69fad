//! What the framework's own integration tests prove, as far as it takes more than a scene; and the table of all of them.

use std::{fmt::Write, fs, path::Path, time::Instant};

use taiwa_core::scenes::play;
use taiwa_phoenix::Phoenix;

#[track_caller]
fn check(scene: &str) {
    if let Err(fault) = play(&Phoenix::default(), scene, Instant::now()) {
        panic!("{fault}");
    }
}

#[test]
fn the_101st_channel_is_refused_by_default() {
    for (vsn, via) in [("1.0.0", "phoenix-v1"), ("2.0.0", "phoenix-v2")] {
        let mut scene =
            format!(">: WS /socket/websocket?vsn={vsn}\n? 1 connect via={via}\n! 1 connected\n");
        for n in 1..=101 {
            let (said, reply) = match vsn {
                "1.0.0" => (
                    format!(
                        r#"{{"topic":"room:{n}","event":"phx_join","payload":{{}},"ref":"{n}"}}"#
                    ),
                    format!(
                        r#"{{"topic":"room:{n}","event":"phx_reply","payload":{{"status":"error","response":{{"reason":"too many channels joined"}}}},"ref":"{n}"}}"#
                    ),
                ),
                _ => (
                    format!(r#"["{n}","{n}","room:{n}","phx_join",{{}}]"#),
                    format!(
                        r#"["{n}","{n}","room:{n}","phx_reply",{{"status":"error","response":{{"reason":"too many channels joined"}}}}]"#
                    ),
                ),
            };
            let token = n + 1;
            let asked = format!("? {token} subscribe room:{n} via={via} last join-leave json {{}}");
            let expected = if n <= 100 { asked } else { format!("< {reply}") };
            writeln!(scene, "> {said}\n{expected}").unwrap();
        }
        check(&scene);
    }
}

#[test]
fn of_a_batch_the_first_100_messages_count() {
    let said = |n: u32| format!(r#"[null,"{n}","phoenix","heartbeat",{{}}]"#);
    let heard =
        |n: u32| format!(r#"[null,"{n}","phoenix","phx_reply",{{"status":"ok","response":{{}}}}]"#);
    let headers = |line: &str| {
        format!(
            "{line} cache-control: no-store\n{line} content-type: application/json; charset=utf-8\n{line} \n"
        )
    };
    let mut scene =
        ">: GET /socket/longpoll?vsn=2.0.0\n? 1 connect via=phoenix-v2-text\n! 1 connected\n"
            .to_owned();
    let token = r#""token":"lp-address-of-the-scene","#;
    scene += &format!("<: 200\n{}<| {{{token}\"status\":410,\"messages\":[]}}\n", headers("<|"));
    scene += ">: POST /socket/longpoll?vsn=2.0.0&token=lp-address-of-the-scene\n";
    scene += ">| content-type: application/x-ndjson\n>| \n";
    for n in 1..=101 {
        scene += &format!(">| {}\n", said(n));
    }
    scene += &format!("<1: 200\n{}<1| {{\"status\":200}}\n", headers("<1|"));
    scene += ">: GET /socket/longpoll?vsn=2.0.0&token=lp-address-of-the-scene\n";
    scene += "<2: poll application/json; charset=utf-8\n<2| cache-control: no-store\n<2| \n";
    scene += &format!("<2| {{{token}\n? flow 2\n");
    for n in 1..=100 {
        scene += &format!("<2 {}\n", heard(n));
    }
    check(&(scene + "? flow none\n"));
}

/// README.md has a row for each of the framework's tests: what it names in backquotes is a test here, what it names in
/// quotation marks a scene.
#[test]
fn the_table_of_the_frameworks_tests_names_tests_and_scenes_that_are_there() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(room.join(path)).unwrap();
    let scenes = fs::read_dir(room.join("tests/scenes")).unwrap();
    let scenes: String =
        scenes.map(|it| fs::read_to_string(it.unwrap().path()).unwrap() + "\n").collect();
    let code =
        read("tests/framework.rs") + &read("src/lib.rs") + &read("../../crates/server/src/cors.rs");
    let readme = read("README.md");
    let (_, table) = readme.split_once("| the framework's test |").expect("the table");
    let rows: Vec<&str> = table.lines().skip(2).take_while(|it| it.starts_with('|')).collect();
    assert_eq!(rows.len(), 28 + 20);
    for row in rows {
        let proof = row.trim_matches('|').split('|').nth(1).expect("a second cell").trim();
        let scene = proof.split('"').skip(1).step_by(2).filter(|it| !it.is_empty());
        for title in scene {
            assert!(scenes.lines().any(|it| it == format!("= {title}")), "no scene {title:?}");
        }
        for test in proof.split('`').skip(1).step_by(2) {
            assert!(code.contains(&format!("fn {test}()")), "no test {test:?}");
        }
        assert!(proof.contains(['"', '`']) || proof.starts_with("not "), "{row}");
    }
}
