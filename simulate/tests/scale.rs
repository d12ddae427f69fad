//! What docs/scale.md says is what is computed, and what that rests on holds in simulations of real hubs.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::Value;
use taiwa_simulate::scale::{
    Costs, How, filled,
    trials::{FanOut, Storm, Weather},
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_page_has_the_tables_that_the_program_computes() {
    let page = fs::read_to_string(root().join("docs/scale.md")).unwrap();
    let computed = filled(&page).unwrap();
    assert!(page == computed, "run: cargo run -p taiwa-simulate --bin scale");
    for table in ["costs", "assumptions", "plan", "brokers", "fan-out", "storm"] {
        assert!(page.contains(&format!("<!-- table: {table} -->")), "the page has no {table}");
    }
}

/// The newest results in a folder.
fn results(folder: &str) -> Value {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    // Named by their date; counts of instructions lie beside them.
    let dated = |it: &String| it.starts_with(|it: char| it.is_ascii_digit());
    let newest = names.filter(|it| dated(it) && it.ends_with(".json")).max().unwrap();
    let path = root().join(folder).join(newest);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn costs_are_about_those_that_the_benchmark_measured() {
    let mut rows = BTreeMap::new();
    for all in [results("bench/results"), results("bench/results/channels")] {
        for row in all["rows"].as_array().unwrap() {
            rows.insert(row["name"].as_str().unwrap().to_owned(), row.clone());
        }
    }
    let mut compared = 0;
    for (name, cost) in &Costs::committed().0 {
        let Some([row, server, figure]) = &cost.bench else { continue };
        assert_ne!(cost.how, How::Assumed, "{name}");
        let summary = rows[row]["summary"].as_array().unwrap();
        let of_server = summary.iter().find(|it| it["server"] == server.as_str()).unwrap();
        let measured = of_server[figure]["median"].as_f64().unwrap();
        // Machines differ by a tenth and more; what is twice as much is another server.
        let ratio = cost.figure / measured;
        assert!((0.5..2.0).contains(&ratio), "{name}: {} here, {measured} measured", cost.figure);
        compared += 1;
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn the_broker_brings_a_publication_once_to_each_node_that_hears_the_channel() {
    for (nodes, channels, subscribers, seed) in
        [(2, 50, 1, 1), (4, 100, 3, 2), (8, 50, 20, 3), (3, 10, 100, 4)]
    {
        let it = FanOut::run(nodes, channels, subscribers, 3, seed);
        assert_eq!(it.load.published, it.said as u64, "{it:?}");
        assert_eq!(it.load.heard, 3 * it.on_nodes as u64, "one for each node, not for each shard");
        assert_eq!(it.load.subscribed, it.on_nodes as u64, "one subscription for each node");
        assert_eq!(it.delivered, it.said * subscribers, "{it:?}");
        assert_eq!(it.load.other, 0, "nothing else is asked");
        // What the plan takes for granted.
        let simulated = it.on_nodes as f64 / channels as f64;
        let off = (simulated - it.expected_nodes()).abs() / it.expected_nodes();
        assert!(off < 0.1, "{simulated} {}", it.expected_nodes());
    }
}

#[test]
fn clients_of_a_node_that_died_come_back_whole_to_the_others() {
    let calm = Weather {
        nodes: 4,
        sessions: 500,
        channels: 40,
        window: Duration::from_secs(2),
        each: Duration::from_millis(2),
    };
    let it = Storm::run(calm, 1);
    assert_eq!((it.back, it.whole), (500, 500), "{it:?}");
    assert!(it.last <= calm.window + Duration::from_millis(100), "{it:?}");
    assert!(it.waiting_most < 10, "a node with time to spare lets nobody wait: {it:?}");
    // All channels are heard on all nodes already: the broker has nothing to do.
    assert_eq!(it.load.subscribed, 0, "{it:?}");
    assert!(it.said > 30, "something was missed meanwhile");

    // All at once: those who wait are taken back at the speed of the nodes.
    let at_once = Weather { window: Duration::from_millis(50), ..calm };
    let it = Storm::run(at_once, 1);
    assert_eq!((it.back, it.whole), (500, 500), "{it:?}");
    assert!(it.waiting_most > 100, "{it:?}");
    let work = at_once.each * 500 / 3;
    assert!(it.last > work && it.last < work * 3 / 2, "{it:?}");

    // Where a channel has one subscriber the others begin to hear each channel once.
    let own = Weather { channels: 100_000, ..calm };
    let it = Storm::run(own, 1);
    assert_eq!((it.back, it.whole), (500, 500), "{it:?}");
    assert!((490..=500).contains(&it.load.subscribed), "{it:?}");
    assert_eq!(it.load.requests(), it.load.subscribed + it.load.other);
}
