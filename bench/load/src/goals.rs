//! What ours are to reach in some rows, and whether they did.

use std::fmt::Write;

use crate::{
    report::number,
    rivals::{ONE_SHARD, TWO_SHARDS},
    rounds::Visit,
    rows::Row,
    server::{Role, Server},
    summary::{Seen, Spread},
};

/// Whom a goal compares with.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The best rival, whatever it is made of.
    Best,
    /// The best that runs on tokio, too.
    Tokio,
    Bun,
    /// npm's socket.io.
    SocketIo,
}

impl Against {
    fn counts(self, it: &Server) -> bool {
        it.role == Role::Rival
            && match self {
                // It is the same program as without recovery, with more to do.
                Self::Best => it.name != "socket.io, recovery",
                Self::Tokio => !["bun", "picows", "ws", "socket.io"].contains(&it.name),
                Self::Bun => it.name == "bun",
                Self::SocketIo => it.name == "socket.io",
            }
    }
}

/// What one of ours is to reach.
#[derive(Debug, Clone, Copy)]
enum Aim {
    /// At most so many times the yardstick's figure.
    Yardstick(f64),
    /// At most so many times the best one's figure.
    Rival(Against, f64),
    /// At most this figure.
    Figure(f64),
    /// At most so many times what it says that it keeps for one who reads nothing.
    Unread(f64),
    /// At least so many times the rate of one shard, had the load cost as much.
    OneShard(f64),
}

#[derive(Debug, Clone, Copy)]
struct Goal {
    server: &'static str,
    rows: &'static [&'static str],
    aims: &'static [Aim],
}

const fn goal(server: &'static str, rows: &'static [&'static str], aims: &'static [Aim]) -> Goal {
    Goal { server, rows, aims }
}

const SERVER: &str = "taiwa serve";
const LIBRARY: &str = "taiwa";
const LIBRARY_ROWS: &[&str] = &[
    "echo-16",
    "echo-16-c1000",
    "echo-16-x16",
    "echo-1k-x16",
    "echo-16k",
    "echo-16k-x16",
    "echo-latin-x16",
    "echo-japanese-x16",
    "echo-1m",
    "echo-16m",
];
const TOGETHER_ROWS: &[&str] = &["echo-16-x16", "echo-1k-x16", "echo-16k-x16"];
const PUBLISH_ROWS: &[&str] = &["publish-64-1k", "publish-64-10k"];
const PUBLISH_TOGETHER_ROWS: &[&str] = &["publish-64-1k-x16", "publish-64-10k-x16"];
/// An idle session of a dialect that has rooms and resumes.
const SESSION: &[Aim] = &[Aim::Figure(2048.0), Aim::Rival(Against::SocketIo, 0.20)];
const SLOW: &[Aim] = &[Aim::Unread(1.0)];

const fn both(yardstick: f64, rival: f64) -> [Aim; 2] {
    [Aim::Yardstick(yardstick), Aim::Rival(Against::Best, rival)]
}

const GOALS: [Goal; 21] = [
    goal(SERVER, &["echo-16", "echo-16-c1000"], &both(1.10, 1.0)),
    goal(SERVER, TOGETHER_ROWS, &both(1.25, 0.75)),
    goal(SERVER, &["echo-latin-x16", "echo-japanese-x16"], &both(2.0, 0.75)),
    goal(SERVER, &["echo-1m", "echo-16m"], &both(1.15, 0.95)),
    goal(SERVER, &["handshakes"], &both(1.10, 1.0)),
    goal(SERVER, PUBLISH_ROWS, &both(1.12, 0.90)),
    goal(SERVER, PUBLISH_TOGETHER_ROWS, &both(1.20, 0.80)),
    goal(SERVER, &["echo-deflate"], &[Aim::Rival(Against::Bun, 0.60)]),
    goal(SERVER, &["echo-16-h1", "handshakes-h1"], &[Aim::Rival(Against::Bun, 1.0)]),
    goal(SERVER, &["idle"], &[Aim::Figure(256.0), Aim::Rival(Against::Bun, 1.0)]),
    goal("taiwa serve, centrifuge", &["sessions-1"], SESSION),
    goal("taiwa serve, socket.io", &["sessions-1"], SESSION),
    goal("taiwa serve, socket.io, recovery", &["sessions-1"], SESSION),
    goal(TWO_SHARDS, &["two-shards-echo", "two-shards-publish"], &[Aim::OneShard(1.6)]),
    goal(SERVER, &["slow-reader"], SLOW),
    goal("taiwa serve, drop-oldest", &["slow-reader"], SLOW),
    goal("taiwa serve, keep-latest", &["slow-reader"], SLOW),
    goal("taiwa serve, pause", &["slow-reader"], SLOW),
    goal(LIBRARY, &["fan-out-deflate"], &[Aim::Rival(Against::Bun, 0.30)]),
    goal(LIBRARY, LIBRARY_ROWS, &[Aim::Yardstick(1.25), Aim::Rival(Against::Tokio, 1.0)]),
    goal(LIBRARY, &["idle"], &[Aim::Figure(2560.0), Aim::Rival(Against::Tokio, 1.0)]),
];

/// Tells whether some goal is about a row.
pub(crate) fn is_about(row: &Row) -> bool {
    GOALS.iter().any(|it| it.rows.contains(&row.name))
}

/// Tells whether a server's figure in a row says something about a goal.
pub(crate) fn wants(row: &Row, server: &Server) -> bool {
    let wants = |aim: &Aim| match aim {
        Aim::Yardstick(_) => matches!(server.role, Role::Yardstick | Role::SecondYardstick),
        Aim::Rival(against, _) => against.counts(server),
        Aim::OneShard(_) => server.name == ONE_SHARD,
        // What rivals keep is to be seen beside it.
        Aim::Unread(_) => Against::Best.counts(server),
        Aim::Figure(_) => false,
    };
    let about = GOALS.iter().filter(|it| it.rows.contains(&row.name));
    about.into_iter().any(|it| it.server == server.name || it.aims.iter().any(wants))
}

/// Writes a table of the goals whose rows were measured; nothing if there is none.
pub(crate) fn table(rows: &[Row], servers: &[Server], visits: &[Visit]) -> String {
    let mut lines = String::new();
    for goal in &GOALS {
        for (row_at, row) in rows.iter().enumerate().filter(|(_, it)| goal.rows.contains(&it.name))
        {
            let seen = Seen { row_at, row, visits };
            let ours = servers.iter().position(|it| it.name == goal.server);
            // Others may have been chosen.
            if let Some(ours) = ours.filter(|it| seen.of(*it).next().is_some()) {
                lines += &line(goal, &seen, servers, ours);
            }
        }
    }
    if lines.is_empty() {
        return lines;
    }
    "\n## Goals\n\nThe medians of the ratios, which are paired round by round, and what they are to be at most. Of two shards it is \
     to be at least: their rate divided by that of one, had a message cost the load as much as with one.\n\n\
     | row | of | figure | to the yardstick | to | ratio | goal | met |\n|---|---|--:|--:|---|--:|---|---|\n"
        .to_owned()
        + &lines
}

fn line(goal: &Goal, seen: &Seen<'_>, servers: &[Server], ours: usize) -> String {
    let find = |is_it: &dyn Fn(&Server) -> bool| servers.iter().position(is_it);
    let figure = seen.figure(ours).map(|it| it.median);
    let yardstick = find(&|it| it.role == Role::Yardstick);
    let to_yardstick = yardstick.and_then(|it| seen.ratio(ours, it)).map(|it| it.median);
    let (mut with, mut ratio) = ("–", None);
    let (mut words, mut met) = (vec![], Some(true));
    for aim in goal.aims {
        let (is, most, what) = match *aim {
            Aim::Yardstick(most) => (to_yardstick, most, "× the yardstick"),
            Aim::Figure(most) => (figure, most, "in all"),
            Aim::Rival(against, most) => {
                let rival = best(against, seen, servers);
                with = rival.map_or("–", |it| servers[it].name);
                ratio = rival.and_then(|it| seen.ratio(ours, it)).map(|it| it.median);
                (ratio, most, "× the rival")
            }
            Aim::Unread(most) => {
                with = "its own limit";
                let limit = seen.spread(ours, "unread_bytes_max");
                ratio = figure.and_then(|it| Some(it / limit?.median));
                (ratio, most, "× its limit")
            }
            Aim::OneShard(least) => {
                with = "one shard";
                let one = find(&|it| it.name == ONE_SHARD);
                ratio = one.and_then(|one| scaling(seen, one, ours)).map(|it| it.median);
                words.push(format!("at least {} × one shard", number(least)));
                met = met.and_then(|met| Some(met && ratio? >= least));
                continue;
            }
        };
        words.push(format!("{} {what}", number(most)));
        met = met.and_then(|met| Some(met && is? <= most));
    }
    let told = |it: Option<f64>| it.map_or("–".to_owned(), number);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {with} | {} | {} | {} |",
        seen.row.name,
        goal.server,
        told(figure),
        told(to_yardstick),
        told(ratio),
        words.join(", "),
        met.map_or("not measured", |it| if it { "yes" } else { "**no**" })
    );
    out
}

/// Finds the best of those that a goal compares with, none of whose visits failed.
fn best(against: Against, seen: &Seen<'_>, servers: &[Server]) -> Option<usize> {
    let rivals = servers.iter().enumerate().filter(|(_, it)| against.counts(it));
    let figures = rivals.filter_map(|(at, _)| {
        let right = seen.failures(at).0 == 0;
        Some((at, seen.figure(at).filter(|_| right)?.median))
    });
    figures.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

/// How many times as much two shards do as one, in the same round. Load and server share the cores, so what the load takes for a
/// message counts; had that been as with one shard, all CPU time of a message would have been another share of what it was.
fn scaling(seen: &Seen<'_>, one: usize, two: usize) -> Option<Spread> {
    let of = |server, round, name: &str| {
        let values = seen.values(server, name);
        values.into_iter().find(|it| it.0 == round).map(|it| it.1)
    };
    let ratios = seen.values(two, "us_per_message").into_iter().filter_map(|(round, took)| {
        let served = of(two, round, "server_cpu_us_per_message")?;
        let loaded = of(two, round, "load_cpu_us_per_message")?;
        let loaded_by_one = of(one, round, "load_cpu_us_per_message")?;
        let rate = of(one, round, "us_per_message")? / took;
        Some(rate * (served + loaded) / (served + loaded_by_one))
    });
    Spread::of(ratios.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::ROWS;

    #[test]
    fn every_goal_is_about_a_row_that_there_is() {
        for name in GOALS.iter().flat_map(|it| it.rows) {
            assert!(ROWS.iter().any(|it| it.name == *name), "{name}");
        }
    }

    #[test]
    fn two_shards_are_compared_at_the_cost_of_the_load_of_one() {
        let visit = |server, took: f64, served: f64, loaded: f64| Visit {
            row: 0,
            server,
            round: 0,
            outcome: Ok(json!({
                "us_per_message": took,
                "server_cpu_us_per_message": served,
                "load_cpu_us_per_message": loaded,
            })),
        };
        let row = ROWS.iter().find(|it| it.name == "two-shards-echo").unwrap();
        let scaling = |visits: &[Visit]| {
            let seen = Seen { row_at: 0, row, visits };
            scaling(&seen, 0, 1).map(|it| (it.median * 100.0).round() / 100.0)
        };
        // Both cores are busy all the time.
        let equal = [visit(0, 10.0, 6.0, 4.0), visit(1, 5.0, 6.0, 4.0)];
        assert_eq!(scaling(&equal), Some(2.0));
        let dearer_load = [visit(0, 10.0, 6.0, 4.0), visit(1, 6.0, 6.0, 6.0)];
        assert_eq!(scaling(&dearer_load), Some(2.0));
        let dearer_server = [visit(0, 10.0, 6.0, 4.0), visit(1, 6.0, 8.0, 4.0)];
        assert_eq!(scaling(&dearer_server), Some(1.67));
        assert_eq!(scaling(&equal[1..]), None);
    }
}
