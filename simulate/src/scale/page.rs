//! The tables of docs/scale.md.

use std::{fmt::Write, sync::LazyLock, time::Duration};

use super::{
    Costs, How, MACHINE, Plan, USES, Use,
    trials::{FanOut, Storm, Weather},
};

const GIB: f64 = (1u64 << 30) as f64;

/// How many connections are planned for.
const SIZES: [f64; 2] = [1e6, 1e7];

/// Writes a table.
type Table = fn() -> String;

/// The tables, by name.
const TABLES: [(&str, Table); 6] = [
    ("costs", costs),
    ("assumptions", assumptions),
    ("plan", plan),
    ("brokers", brokers),
    ("fan-out", fan_out),
    ("storm", storm),
];

/// Fills the tables of a page: what stands between `<!-- table: NAME -->` and `<!-- end -->`.
///
/// # Errors
/// A name that is none, or a table without an end.
pub fn filled(page: &str) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), page);
    while let Some((before, behind)) = rest.split_once("<!-- table: ") {
        let (name, behind) = behind.split_once(" -->").ok_or("a table's name has no end")?;
        let (_, after) =
            behind.split_once("<!-- end -->").ok_or_else(|| format!("{name} has no end"))?;
        let (_, table) =
            TABLES.iter().find(|it| it.0 == name).ok_or_else(|| format!("what is {name}?"))?;
        let _ = write!(text, "{before}<!-- table: {name} -->\n\n{}\n<!-- end -->", table());
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// Writes a number as people do: three digits that count, and commas.
fn number(value: f64) -> String {
    if 0.0 < value && value < 0.005 {
        return "under 0.01".into();
    }
    let digits = match value.abs() {
        it if it >= 100.0 || it == it.round() => 0,
        it if it >= 10.0 => 1,
        _ => 2,
    };
    let step = 10f64.powf((value.abs().log10().floor() - 2.0).max(0.0));
    let value = if value.abs() >= 1000.0 { (value / step).round() * step } else { value };
    let text = format!("{value:.digits$}");
    let (whole, part) = text.split_once('.').map_or((text.as_str(), ""), |it| it);
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if part.is_empty() { grouped } else { format!("{grouped}.{part}") }
}

fn percent(part: f64) -> String {
    format!("{} %", number((part * 1000.0).round() / 10.0))
}

fn seconds(time: Duration) -> String {
    format!("{} s", number((time.as_secs_f64() * 100.0).round() / 100.0))
}

fn costs() -> String {
    let mut text = "| what | costs | known by | source |\n|---|--:|---|---|\n".to_owned();
    for cost in Costs::committed().0.values() {
        let how = match cost.how {
            How::Measured => "measurement",
            How::Derived => "another measurement",
            How::Assumed => "**assumption**",
        };
        let figure = number(cost.figure);
        let _ =
            writeln!(text, "| {} | {figure} {} | {how} | {} |", cost.what, cost.unit, cost.source);
    }
    text
}

fn assumptions() -> String {
    let it = MACHINE;
    let mut text = "| assumption | figure |\n|---|--:|\n".to_owned();
    for (what, figure) in [
        ("processors of a node, a shard on each", number(it.cores)),
        ("what so many are worth, if one is worth 1", number(it.cores * it.cores_worth)),
        ("memory of a node", format!("{} GiB", number(it.memory_gib))),
        ("network of a node", format!("{} Gbit/s", number(it.network_gbit))),
        ("processors and network in use at the peak", percent(it.busy)),
        ("memory in use", percent(it.full)),
        ("connections of a node at most", number(it.connections_max)),
        ("one process of Redis in use at the peak", percent(it.broker_busy)),
        ("clients of a dead node come back within", format!("{} s", number(it.return_window_s))),
        ("a connection lives for", format!("{} s", number(it.connection_life_s))),
        ("a connection is pinged every", format!("{} s", number(it.ping_every_s))),
    ] {
        let _ = writeln!(text, "| {what} | {figure} |");
    }
    text.push_str("\n| use | |\n|---|---|\n");
    for Use { name, what, bytes, history, presence, .. } in &USES {
        let presence = if *presence { ", with presence" } else { "" };
        let (bytes, history) = (number(*bytes), number(*history));
        let _ = writeln!(
            text,
            "| **{name}** | {what}: {bytes} B, the last {history} are kept{presence} |"
        );
    }
    text
}

/// All plans, with their uses.
fn plans() -> impl Iterator<Item = (&'static Use, Plan)> {
    let of =
        |size| USES.iter().map(move |it| (it, Plan::new(size, it, &MACHINE, Costs::committed())));
    SIZES.into_iter().flat_map(of)
}

fn plan() -> String {
    let mut text = "| connections | use | publications a second | deliveries a second | nodes | decided by | \
                    connections of a node | its processors in use | its memory | its network | shards |\n\
                    |--:|---|--:|--:|--:|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (what, it) in plans() {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | **{}** | {} | {} | {} | {} GiB | {} Mbit/s | {} |",
            number(it.connections),
            what.name,
            number(it.publications),
            number(it.deliveries),
            number(it.nodes),
            it.needed.most().1,
            number(it.node.connections),
            percent(it.node.cores / MACHINE.cores),
            number(it.node.memory / GIB),
            number(it.node.bits / 1e6),
            number(it.nodes * MACHINE.cores),
        );
    }
    text
}

fn brokers() -> String {
    let mut text = "| connections | use | statements a second | messages to nodes a second | to each node | channels heard | \
                    other requests a second | histories | processors in use | processes of Redis | when a node dies: back to each of the others | \
                    processors of one in use meanwhile | Redis in use meanwhile |\n\
                    |--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (what, it) in plans() {
        let (broker, loss) = (it.broker, it.loss);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} GiB | {} | **{}** | {} | {} | {} |",
            number(it.connections),
            what.name,
            number(broker.published),
            number(broker.messages),
            number(it.node.heard),
            number(broker.subscribed),
            number(broker.requests),
            number(broker.memory / GIB),
            number(broker.cores),
            number(broker.processes),
            number(loss.to_each),
            percent(loss.cores / MACHINE.cores),
            percent(loss.broker_busy),
        );
    }
    text
}

fn fan_out() -> String {
    let mut text = "| nodes | channels | subscribers of each | said | statements to the broker | heard by nodes | \
                    of each, simulated | by the arithmetic | channels begun at the broker | deliveries |\n\
                    |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for it in fan_outs() {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {} | {} |",
            it.nodes,
            it.channels,
            it.subscribers,
            number(it.said as f64),
            number(it.load.published as f64),
            number(it.load.heard as f64),
            it.load.heard as f64 / it.said as f64,
            it.expected_nodes(),
            number(it.load.subscribed as f64),
            number(it.delivered as f64),
        );
    }
    text
}

fn fan_outs() -> &'static [FanOut] {
    static ALL: LazyLock<Vec<FanOut>> = LazyLock::new(|| {
        let rows = [(4, 400, 1), (4, 400, 4), (8, 200, 10), (16, 100, 20), (8, 20, 200)];
        rows.map(|(nodes, channels, subscribers)| FanOut::run(nodes, channels, subscribers, 2, 7))
            .into()
    });
    &ALL
}

/// Returns how long a node of the plan needs for a client that comes back, as long as it does nothing else; for so many
/// times fewer clients, so many times as long.
fn each(fewer: f64) -> Duration {
    let costs = Costs::committed();
    let micros = costs.of("tls_us") + costs.of("resume_us");
    Duration::from_secs_f64(micros / 1e6 / (MACHINE.cores * MACHINE.cores_worth) * fewer)
}

fn storm() -> String {
    /// One simulated session stands for so many.
    const FEWER: f64 = 250.0;
    let mut text = "| nodes | sessions of each | come back within | back | nothing missed, nothing twice | the last was back after | \
                    waited at one node at most | requests to the broker for each who came back |\n\
                    |--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (nodes, window) in [(5, 10.0), (5, 1.0), (5, 0.05), (10, 10.0), (10, 1.0)] {
        let window = Duration::from_secs_f64(window);
        let weather = Weather { nodes, sessions: 1000, channels: 200, window, each: each(FEWER) };
        let it = Storm::run(weather, 11);
        let _ = writeln!(
            text,
            "| {nodes} | {} | {} | {} | {} | {} | {} | {:.2} |",
            number(1000.0 * FEWER),
            seconds(window),
            number(it.back as f64 * FEWER),
            percent(it.whole as f64 / it.back as f64),
            seconds(it.last),
            number(it.waiting_most as f64 * FEWER),
            it.load.requests() as f64 / it.back as f64,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_do() {
        for (value, text) in [
            (0.0, "0"),
            (0.0033, "under 0.01"),
            (1.25, "1.25"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1871.0, "1,870"),
            (250_000.0, "250,000"),
            (10_000_000.0, "10,000,000"),
            (1_666_666.7, "1,670,000"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn a_page_is_filled_where_it_says_so() {
        let page = "a\n<!-- table: assumptions -->\nold\n<!-- end -->\nb\n";
        let text = filled(page).unwrap();
        assert!(text.starts_with("a\n<!-- table: assumptions -->\n\n| assumption |"), "{text}");
        assert!(text.ends_with("<!-- end -->\nb\n") && !text.contains("old"), "{text}");
        assert_eq!(filled(&text).unwrap(), text);
        assert_eq!(filled("<!-- table: x -->\n<!-- end -->"), Err("what is x?".into()));
        assert_eq!(filled("<!-- table: plan -->"), Err("plan has no end".into()));
    }
}
