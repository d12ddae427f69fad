//! What ours are to reach in some rows, and whether they did.

use std::fmt::Write;

use crate::{
    report::number,
    rounds::Visit,
    rows::Row,
    server::{Role, Server},
    summary,
};

/// Whom a goal compares with.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The best rival, whatever it is made of.
    Best,
    /// The best that runs on tokio, too.
    Tokio,
    Bun,
}

/// What one of ours is to reach in a row, as multiples of others' figures, or as the figure itself.
#[derive(Debug, Clone, Copy)]
struct Goal {
    server: &'static str,
    rows: &'static [&'static str],
    yardstick: Option<f64>,
    rival: (Against, f64),
    figure: Option<f64>,
}

const fn goal(
    server: &'static str,
    rows: &'static [&'static str],
    yardstick: Option<f64>,
    rival: (Against, f64),
) -> Goal {
    Goal { server, rows, yardstick, rival, figure: None }
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

const GOALS: [Goal; 13] = [
    goal(SERVER, &["echo-16", "echo-16-c1000"], Some(1.10), (Against::Best, 1.0)),
    goal(
        SERVER,
        &["echo-16-x16", "echo-1k-x16", "echo-16k-x16"],
        Some(1.25),
        (Against::Best, 0.75),
    ),
    goal(SERVER, &["echo-latin-x16", "echo-japanese-x16"], Some(2.0), (Against::Best, 0.75)),
    goal(SERVER, &["echo-1m", "echo-16m"], Some(1.15), (Against::Best, 0.95)),
    goal(SERVER, &["handshakes"], Some(1.10), (Against::Best, 1.0)),
    goal(SERVER, &["publish-64-1k", "publish-64-10k"], Some(1.12), (Against::Best, 0.90)),
    goal(SERVER, &["publish-64-1k-x16", "publish-64-10k-x16"], Some(1.20), (Against::Best, 0.80)),
    goal(SERVER, &["echo-deflate"], None, (Against::Bun, 0.60)),
    goal(SERVER, &["echo-16-h1", "handshakes-h1"], None, (Against::Bun, 1.0)),
    Goal { figure: Some(256.0), ..goal(SERVER, &["idle"], None, (Against::Bun, 1.0)) },
    goal(LIBRARY, &["fan-out-deflate"], None, (Against::Bun, 0.30)),
    goal(LIBRARY, LIBRARY_ROWS, Some(1.25), (Against::Tokio, 1.0)),
    Goal { figure: Some(2560.0), ..goal(LIBRARY, &["idle"], None, (Against::Tokio, 1.0)) },
];

/// Writes a table of the goals whose rows were measured; nothing if there is none.
pub(crate) fn table(rows: &[Row], servers: &[Server], visits: &[Visit]) -> String {
    let mut lines = String::new();
    for goal in &GOALS {
        for (at, row) in rows.iter().enumerate().filter(|(_, it)| goal.rows.contains(&it.name)) {
            if let Some(ours) = servers.iter().position(|it| it.name == goal.server) {
                lines += &line(goal, at, row, servers, visits, ours);
            }
        }
    }
    if lines.is_empty() {
        return lines;
    }
    "\n## Goals\n\nThe medians of the paired ratios, and what they are to be at most.\n\n\
     | row | of | figure | to the yardstick | to | ratio | goal | met |\n|---|---|--:|--:|---|--:|---|---|\n"
        .to_owned()
        + &lines
}

fn line(
    goal: &Goal,
    at: usize,
    row: &Row,
    servers: &[Server],
    visits: &[Visit],
    ours: usize,
) -> String {
    let seen = summary::Seen { row_at: at, row, visits };
    let yardstick = servers.iter().position(|it| it.role == Role::Yardstick);
    let to_yardstick = yardstick.and_then(|it| seen.ratio(ours, it)).map(|it| it.median);
    let rival = best(goal.rival.0, &seen, servers);
    let to_rival = rival.and_then(|it| seen.ratio(ours, it)).map(|it| it.median);
    let figure = seen.figure(ours).map(|it| it.median);
    let wanted = [
        (goal.yardstick, to_yardstick, "× the yardstick"),
        (Some(goal.rival.1), to_rival, "× the rival"),
        (goal.figure, figure, "in all"),
    ];
    let (mut words, mut met) = (vec![], Some(true));
    for (most, is, what) in wanted {
        let Some(most) = most else { continue };
        words.push(format!("{} {what}", number(most)));
        met = met.and_then(|met| Some(met && is? <= most));
    }
    let told = |it: Option<f64>| it.map_or("–".to_owned(), number);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} | {} |",
        row.name,
        goal.server,
        told(figure),
        told(to_yardstick),
        rival.map_or("–", |it| servers[it].name),
        told(to_rival),
        words.join(", "),
        met.map_or("not measured", |it| if it { "yes" } else { "**no**" })
    );
    out
}

/// Finds the best of those that a goal compares with, none of whose visits failed.
fn best(against: Against, seen: &summary::Seen<'_>, servers: &[Server]) -> Option<usize> {
    let counts = |it: &Server| match against {
        Against::Best => true,
        Against::Tokio => !["bun", "picows", "ws", "socket.io"].contains(&it.name),
        Against::Bun => it.name == "bun",
    };
    let rivals = servers.iter().enumerate().filter(|(_, it)| it.role == Role::Rival && counts(it));
    let figures = rivals.filter_map(|(at, _)| {
        let right = seen.failures(at).0 == 0;
        Some((at, seen.figure(at).filter(|_| right)?.median))
    });
    figures.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    #[test]
    fn every_goal_is_about_a_row_that_there_is() {
        for name in GOALS.iter().flat_map(|it| it.rows) {
            assert!(ROWS.iter().any(|it| it.name == *name), "{name}");
        }
    }
}
