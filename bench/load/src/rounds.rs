//! The order of visits: all servers of a row in turn, the next round in another order, so that whatever changes on
//! the machine in the meantime changes for all of them.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::{machine::Cores, options::Options, rows::Effort, server::Server};

/// One server measured once.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) row: usize,
    pub(crate) server: usize,
    pub(crate) round: usize,
    pub(crate) outcome: Result<Value, String>,
}

/// Visits every server in every row, as many times as there are rounds, or as often as the row wants at most.
///
/// # Errors
/// Only if interrupted. A server that fails is a visit with an `Err`.
pub(crate) fn run(
    options: &Options,
    servers: &[Server],
    effort: Effort,
    cores: Cores,
    interrupted: &AtomicBool,
) -> Result<Vec<Visit>, String> {
    let mut visits = vec![];
    let Options { rows, rounds, .. } = options;
    let rounds = *rounds;
    for round in 0..rounds {
        for (row_at, row) in rows.iter().enumerate().filter(|(_, it)| round < it.rounds_max) {
            for server_at in order(servers.len(), round) {
                let server = &servers[server_at];
                if server.refusal(row.task(), row.over()).is_some() || !options.wants(row, server) {
                    continue;
                }
                // A fresh process each time: what one row made a server allocate is not the next row's.
                let outcome = server
                    .start(row.task(), row.over(), cores)
                    .and_then(|running| row.visit(&running, server, effort, cores, interrupted));
                if interrupted.load(Ordering::Relaxed) {
                    return Err("interrupted".into());
                }
                let figure = match &outcome {
                    Ok(figures) => {
                        format!(
                            "{:10.2} {}",
                            figures[row.figure()].as_f64().unwrap_or(f64::NAN),
                            row.unit()
                        )
                    }
                    Err(why) => format!("FAILED: {why}"),
                };
                println!("{}/{rounds}  {:<18} {:<25} {figure}", round + 1, row.name, server.name);
                visits.push(Visit { row: row_at, server: server_at, round, outcome });
            }
        }
    }
    Ok(visits)
}

/// Starts one further on each round, and goes backwards every other round: nobody always follows the same one.
fn order(servers: usize, round: usize) -> Vec<usize> {
    let forwards = (0..servers).map(|it| (it + round) % servers);
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_visits_all_in_another_order() {
        let orders: Vec<_> = (0..4).map(|it| order(4, it)).collect();
        assert_eq!(orders, [[0, 1, 2, 3], [0, 3, 2, 1], [2, 3, 0, 1], [2, 1, 0, 3]]);
    }
}
