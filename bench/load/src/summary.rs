//! Medians and ratios, paired round by round.

use crate::{
    rounds::Visit,
    rows::Row,
    server::{Role, Server},
};

/// A median with its extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { min, median, max })
    }
}

/// What all rounds say of one server in one row.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) server: usize,
    /// The compared figure; `None` if every visit failed.
    pub(crate) figure: Option<Spread>,
    /// That figure divided by the best rival's of the same round.
    pub(crate) ratio: Option<Spread>,
    /// That figure divided by the yardstick's of the same round.
    pub(crate) ratio_to_yardstick: Option<Spread>,
    /// Messages, connections or mebibytes.
    pub(crate) per_second: Option<Spread>,
    pub(crate) latency_us_p50: Option<Spread>,
    pub(crate) latency_us_p99: Option<Spread>,
    pub(crate) peak_growth_bytes: Option<Spread>,
    pub(crate) last_is_back_ms: Option<Spread>,
    /// Bytes of an idle connection that was never used.
    pub(crate) before_a_message: Option<Spread>,
    /// The share of the datagrams that were lost.
    pub(crate) lost_share: Option<Spread>,
    pub(crate) full_latency_us_p99: Option<Spread>,
    /// The compared figure at a fixed rate.
    pub(crate) steady_cpu_us_per_delivery: Option<Spread>,
    /// What of the compared figure is the broker's.
    pub(crate) broker_cpu_us_per_delivery: Option<Spread>,
    /// Of both nodes together.
    pub(crate) nodes_cpu_us_per_publication: Option<Spread>,
    pub(crate) broker_cpu_us_per_publication: Option<Spread>,
    /// What it says that it keeps at most for one who reads nothing.
    pub(crate) unread_bytes_max: Option<Spread>,
    pub(crate) server_cpu_us_per_message: Option<Spread>,
    pub(crate) load_cpu_us_per_message: Option<Spread>,
    /// The visits that failed, and why the first of them did.
    pub(crate) failures: (usize, Option<String>),
}

/// What was seen in one row.
pub(crate) struct Seen<'a> {
    pub(crate) row_at: usize,
    pub(crate) row: &'a Row,
    pub(crate) visits: &'a [Visit],
}

impl Seen<'_> {
    pub(crate) fn of(&self, server: usize) -> impl Iterator<Item = &Visit> {
        self.visits.iter().filter(move |it| it.row == self.row_at && it.server == server)
    }

    /// Returns a figure of each round.
    pub(crate) fn values(&self, server: usize, name: &str) -> Vec<(usize, f64)> {
        let value = |it: &Visit| Some((it.round, it.outcome.as_ref().ok()?[name].as_f64()?));
        self.of(server).filter_map(value).collect()
    }

    pub(crate) fn spread(&self, server: usize, name: &str) -> Option<Spread> {
        Spread::of(self.values(server, name).into_iter().map(|(_, it)| it).collect())
    }

    /// Returns the compared figure.
    pub(crate) fn figure(&self, server: usize) -> Option<Spread> {
        self.spread(server, self.row.figure())
    }

    /// Returns how many visits failed, and why the first of them did.
    pub(crate) fn failures(&self, server: usize) -> (usize, Option<String>) {
        let mut reasons = self.of(server).filter_map(|it| it.outcome.as_ref().err());
        let first = reasons.next().cloned();
        (reasons.count() + usize::from(first.is_some()), first)
    }

    /// Divides the figure of one by that of another in the same round.
    pub(crate) fn ratio(&self, server: usize, to: usize) -> Option<Spread> {
        let reference = self.values(to, self.row.figure());
        let own = self.values(server, self.row.figure());
        let pairs = own.into_iter().filter_map(|(round, value)| {
            let (_, other) = reference.iter().find(|it| it.0 == round)?;
            Some(value / other)
        });
        Spread::of(pairs.collect())
    }
}

/// Sums one row up, the best server first, those without any figure last. Also returns the best rival.
pub(crate) fn of_row(
    row_at: usize,
    row: &Row,
    servers: &[Server],
    visits: &[Visit],
) -> (Vec<Summary>, Option<usize>) {
    let seen = Seen { row_at, row, visits };
    let spread = |server: usize, name: &str| seen.spread(server, name);
    // One that gave a wrong answer even once is no measure for others.
    let right = |role: Role| {
        let is_it = move |it: &usize| servers[*it].role == role;
        (0..servers.len()).filter(is_it).filter(|it| seen.failures(*it).0 == 0)
    };
    let best = right(Role::Rival)
        .filter_map(|it| Some((it, seen.figure(it)?.median)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(it, _)| it);
    let yardstick = right(Role::Yardstick).next();
    let summary = |server: usize| Summary {
        server,
        figure: seen.figure(server),
        ratio: best.and_then(|it| seen.ratio(server, it)),
        ratio_to_yardstick: yardstick.and_then(|it| seen.ratio(server, it)),
        per_second: spread(server, "messages_per_second")
            .or_else(|| spread(server, "connections_per_second"))
            .or_else(|| spread(server, "publications_per_second"))
            .or_else(|| spread(server, "deliveries_per_second"))
            .or_else(|| spread(server, "sessions_per_second"))
            .or_else(|| spread(server, "datagrams_per_second"))
            .or_else(|| spread(server, "mib_per_second")),
        latency_us_p50: spread(server, "latency_us_p50"),
        latency_us_p99: spread(server, "latency_us_p99"),
        peak_growth_bytes: spread(server, "peak_growth_bytes"),
        last_is_back_ms: spread(server, "last_is_back_ms"),
        before_a_message: spread(server, "bytes_per_connection_before_a_message"),
        lost_share: spread(server, "lost_share"),
        full_latency_us_p99: spread(server, "full_latency_us_p99"),
        steady_cpu_us_per_delivery: spread(server, "steady_cpu_us_per_delivery"),
        broker_cpu_us_per_delivery: spread(server, "broker_cpu_us_per_delivery"),
        nodes_cpu_us_per_publication: spread(server, "nodes_cpu_us_per_publication"),
        broker_cpu_us_per_publication: spread(server, "broker_cpu_us_per_publication"),
        unread_bytes_max: spread(server, "unread_bytes_max"),
        server_cpu_us_per_message: spread(server, "server_cpu_us_per_message"),
        load_cpu_us_per_message: spread(server, "load_cpu_us_per_message"),
        failures: seen.failures(server),
    };
    let taking_part = (0..servers.len()).filter(|it| seen.of(*it).next().is_some());
    let mut all: Vec<Summary> = taking_part.map(summary).collect();
    let place = |it: &Summary| it.figure.map_or(f64::INFINITY, |it| it.median);
    all.sort_by(|a, b| place(a).total_cmp(&place(b)));
    (all, best)
}

#[cfg(test)]
mod tests {
    use bench_order::Over;
    use serde_json::json;

    use super::*;
    use crate::{rows::ROWS, tongue::Tongue};

    #[test]
    fn a_median_lies_in_the_middle() {
        let spread =
            |values: &[f64]| Spread::of(values.to_vec()).map(|it| (it.min, it.median, it.max));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratios_are_paired_by_round_and_never_against_one_that_failed() {
        let server = |name, role| Server {
            name,
            version: String::new(),
            role,
            path: "/",
            tongue: Tongue::Plain,
            program: "x".into(),
            args: vec![],
            wants_task: true,
            between: None,
            over: &[Over::Http1Clear],
            certificate: None,
            shards: None,
            unread_max: None,
            refuses: |_| None,
        };
        let servers = [
            server("ours", Role::Ours),
            server("steady", Role::Rival),
            server("wrong", Role::Rival),
            server("limit", Role::Yardstick),
        ];
        let visit = |server, round, outcome: Result<f64, &str>| Visit {
            row: 0,
            server,
            round,
            outcome: outcome
                .map(|it| json!({ "cpu_us_per_message": it }))
                .map_err(ToString::to_string),
        };
        let visits = [
            visit(0, 0, Ok(8.0)),
            visit(1, 0, Ok(4.0)),
            visit(2, 0, Ok(1.0)),
            visit(0, 1, Ok(6.0)),
            visit(1, 1, Ok(6.0)),
            visit(2, 1, Err("changed bytes")),
            visit(3, 0, Ok(2.0)),
            visit(3, 1, Ok(2.0)),
        ];
        let (all, best) = of_row(0, &ROWS[0], &servers, &visits);
        assert_eq!(best, Some(1));
        let of = |server| all.iter().find(|it| it.server == server).unwrap();
        assert_eq!(of(0).ratio, Some(Spread { min: 1.0, median: 1.5, max: 2.0 }));
        let ratio = Spread { min: 3.0, median: 3.5, max: 4.0 };
        assert_eq!(of(0).ratio_to_yardstick, Some(ratio), "which is no rival");
        assert_eq!(of(2).failures, (1, Some("changed bytes".into())));
    }
}
