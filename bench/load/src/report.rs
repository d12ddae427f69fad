//! The results: all rounds as data, and one table for readers.

use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    goals,
    options::Options,
    rounds::Visit,
    rows::Row,
    server::{Role, Server},
    summary::{self, Spread, Summary},
};

/// What was measured, and under which circumstances.
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    pub(crate) servers: &'a [Server],
    pub(crate) visits: &'a [Visit],
    pub(crate) machine: Value,
    pub(crate) compiler: String,
    pub(crate) autogroup: String,
    /// The share of one core that others used just before and just after.
    pub(crate) others: (f64, f64),
}

/// Others may use this share of one core before the figures carry a warning.
const OTHERS_MAX: f64 = 0.1;

impl Report<'_> {
    /// Writes `YYYY-MM-DD.json` and `README.md`.
    pub(crate) fn write(&self) -> Result<(), String> {
        let folder = &self.options.results;
        fs::create_dir_all(folder).map_err(|it| it.to_string())?;
        let date = date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()));
        let json = serde_json::to_string_pretty(&self.data(&date)).map_err(|it| it.to_string())?;
        fs::write(folder.join(format!("{date}.json")), json + "\n").map_err(|it| it.to_string())?;
        fs::write(folder.join("README.md"), self.readme(&date)).map_err(|it| it.to_string())
    }

    fn data(&self, date: &str) -> Value {
        let rows: Vec<Value> =
            self.options.rows.iter().enumerate().map(|it| self.row(it)).collect();
        let servers: Vec<Value> = self
            .servers
            .iter()
            .map(|it| json!({ "name": it.name, "version": it.version, "ours": it.role == Role::Ours }))
            .collect();
        json!({
            "date": date,
            "command": self.options.command,
            "machine": self.machine,
            "compiler": self.compiler,
            "profile": "release, opt-level 3, lto thin, no target-cpu",
            "scheduling_group": self.autogroup,
            "others_cpu_share_before": self.others.0,
            "others_cpu_share_after": self.others.1,
            "rounds": self.options.rounds,
            "servers": servers,
            "rows": rows,
        })
    }

    fn row(&self, (at, row): (usize, &Row)) -> Value {
        let (summaries, best) = summary::of_row(at, row, self.servers, self.visits);
        let name = |server: usize| self.servers[server].name;
        let spread = |it: &Option<Spread>| {
            it.map(|it| json!({ "min": it.min, "median": it.median, "max": it.max }))
        };
        let summaries: Vec<Value> = summaries
            .iter()
            .map(|it| {
                json!({
                    "server": name(it.server),
                    row.figure(): spread(&it.figure),
                    "ratio_to_best_rival": spread(&it.ratio),
                    "ratio_to_yardstick": spread(&it.ratio_to_yardstick),
                    "per_second": spread(&it.per_second),
                    "latency_us_p50": spread(&it.latency_us_p50),
                    "latency_us_p99": spread(&it.latency_us_p99),
                    "peak_growth_bytes": spread(&it.peak_growth_bytes),
                    "lost_share": spread(&it.lost_share),
                    "full_latency_us_p99": spread(&it.full_latency_us_p99),
                    "steady_cpu_us_per_delivery": spread(&it.steady_cpu_us_per_delivery),
                    "nodes_cpu_us_per_publication": spread(&it.nodes_cpu_us_per_publication),
                    "broker_cpu_us_per_publication": spread(&it.broker_cpu_us_per_publication),
                    "server_cpu_us_per_message": spread(&it.server_cpu_us_per_message),
                    "load_cpu_us_per_message": spread(&it.load_cpu_us_per_message),
                    "failed_visits": it.failures.0,
                })
            })
            .collect();
        let absent: Vec<Value> =
            self.absent(row).map(|(server, why)| json!({ "server": server, "why": why })).collect();
        let visits: Vec<Value> = self
            .visits
            .iter()
            .filter(|it| it.row == at)
            .map(|it| {
                let mut visit = json!({ "round": it.round + 1, "server": name(it.server) });
                match &it.outcome {
                    Ok(figures) => visit["figures"] = figures.clone(),
                    Err(why) => visit["failed"] = json!(why),
                }
                visit
            })
            .collect();
        json!({
            "name": row.name,
            "told": row.told,
            "figure": row.figure(),
            "best_rival": best.map(name),
            "not_measured": absent,
            "summary": summaries,
            "visits": visits,
        })
    }

    /// Who does not take part in a row, and why.
    fn absent(&self, row: &Row) -> impl Iterator<Item = (&str, &str)> {
        let (task, over) = (row.task(), row.over());
        let wanted = self.servers.iter().filter(move |it| self.options.wants(row, it));
        wanted.filter_map(move |it| Some((it.name, it.refusal(task, over)?)))
    }

    fn absent_by_reason(&self, row: &Row) -> Vec<(&str, Vec<&str>)> {
        let mut reasons: Vec<(&str, Vec<&str>)> = vec![];
        for (server, why) in self.absent(row) {
            match reasons.iter_mut().find(|(it, _)| *it == why) {
                Some((_, servers)) => servers.push(server),
                None => reasons.push((why, vec![server])),
            }
        }
        reasons
    }

    fn readme(&self, date: &str) -> String {
        let mut page = format!(
            "# Results of {date}\n\n\
             Written by `{}`, which also repeats it; all rounds are in [{date}.json]({date}.json).\n\
             What is measured and how: [bench/README.md]({}README.md).\n\n",
            self.options.command,
            self.way_up()
        );
        let _ = writeln!(
            page,
            "{}; {} cores; Linux {}; {}; {} rounds; scheduling group {}.",
            self.machine["cpu"].as_str().unwrap_or("unknown CPU"),
            self.machine["cores"],
            self.machine["kernel"].as_str().unwrap_or("of unknown version"),
            self.compiler,
            self.options.rounds,
            self.autogroup,
        );
        if self.others.0.max(self.others.1) > OTHERS_MAX {
            let _ = writeln!(
                page,
                "\n**The machine was not quiet**: others used {:.0} % of one core just before and {:.0} % just after. \
                 Believe the ratios more than the figures, and neither much.",
                self.others.0 * 100.0,
                self.others.1 * 100.0
            );
        }
        page += "\nEach figure is the median of its rounds, with the least and the greatest. Less is better, save for the \
                 rate.\nThe ratios are paired: the figure divided by the best rival's, or the yardstick's, in the same round. \
                 Ratios between 0.9 and 1.1 are a tie.\nGrowth is the peak of the resident memory, less what was \
                 resident when a small message had gone through; the worst round. Most rows are measured in three of \
                 the rounds: those with long visits, and those whose figures lie close together.\n\n\
                 | row | server | figure | ratio to the best rival | to the yardstick | per second | p50 µs | p99 µs | beside |\n\
                 |---|---|--:|--:|--:|--:|--:|--:|--:|\n";
        for (at, row) in self.options.rows.iter().enumerate() {
            let (summaries, _) = summary::of_row(at, row, self.servers, self.visits);
            let mut first = format!("**{}**<br>{}", row.told, row.unit());
            for summary in &summaries {
                let _ = writeln!(page, "{}", self.line(&first, summary));
                first.clear();
            }
            for (why, servers) in self.absent_by_reason(row) {
                let _ = writeln!(
                    page,
                    "|  | {} | – ({why}) | – | – | – | – | – | – |",
                    servers.join("; ")
                );
            }
        }
        page += &goals::table(&self.options.rows, self.servers, self.visits);
        page += "\nVersions: ";
        let mut versions: Vec<&str> = self.servers.iter().map(|it| it.version.as_str()).collect();
        versions.dedup();
        page += &versions.join(", ");
        page += ".\n";
        page
    }

    /// The way from the results to bench/: they may lie in a folder of their own.
    fn way_up(&self) -> String {
        let canonical = |it: &Path| it.canonicalize().unwrap_or_else(|_| it.to_owned());
        let results = canonical(&self.options.results);
        let below = results.strip_prefix(canonical(&self.options.bench)).ok();
        "../".repeat(below.map_or(1, |it| it.components().count()))
    }

    fn line(&self, first: &str, summary: &Summary) -> String {
        let server = &self.servers[summary.server];
        let name = match server.role {
            Role::Ours => format!("**{}**", server.name),
            Role::Rival => server.name.to_owned(),
            Role::Yardstick | Role::SecondYardstick => format!("*{}*", server.name),
        };
        let failed = match &summary.failures {
            (0, _) => String::new(),
            (count, why) => format!(
                "failed {count} of {}: {} ",
                self.options.rounds,
                why.as_deref().unwrap_or_default().replace('|', "/")
            ),
        };
        let spread = |it: Option<Spread>| it.map_or("–".to_owned(), with_extremes);
        let median = |it: Option<Spread>| it.map_or("–".to_owned(), |it| number(it.median));
        format!(
            "| {first} | {name} | {failed}{} | {} | {} | {} | {} | {} | {} |",
            spread(summary.figure),
            spread(summary.ratio),
            median(summary.ratio_to_yardstick),
            median(summary.per_second),
            median(summary.latency_us_p50),
            median(summary.latency_us_p99),
            beside(summary),
        )
    }
}

/// Writes what only some rows have.
fn beside(summary: &Summary) -> String {
    if let Some(growth) = summary.peak_growth_bytes {
        return format!("{} of growth", bytes(growth.max));
    }
    if let Some(last) = summary.last_is_back_ms {
        return format!("{} ms until all are back", number(last.median));
    }
    if let Some(lost) = summary.lost_share {
        return format!("{} % lost", number(lost.median * 100.0));
    }
    if let Some(before) = summary.before_a_message {
        return format!("{} before a message", number(before.median));
    }
    if let Some(most) = summary.unread_bytes_max {
        return format!("keeps {} at most by its own documentation", bytes(most.median));
    }
    if let (Some(server), Some(load)) =
        (summary.server_cpu_us_per_message, summary.load_cpu_us_per_message)
    {
        let (server, load) = (number(server.median), number(load.median));
        return format!("{server} CPU µs of the server, {load} of the load");
    }
    let Some(steady) = summary.steady_cpu_us_per_delivery else { return "–".into() };
    let median = |it: Option<Spread>| it.map_or("–".to_owned(), |it| number(it.median));
    format!(
        "at the full rate p99 {} µs, {} of the CPU µs the broker's; {} CPU µs at the fixed rate",
        median(summary.full_latency_us_p99),
        median(summary.broker_cpu_us_per_delivery),
        number(steady.median)
    )
}

fn with_extremes(it: Spread) -> String {
    format!("**{}** ({}–{})", number(it.median), number(it.min), number(it.max))
}

fn bytes(value: f64) -> String {
    match value / 1024.0 {
        kib @ 0.0..1024.0 => format!("{} KiB", number(kib)),
        kib => format!("{} MiB", number(kib / 1024.0)),
    }
}

/// Three digits that count; thousands apart.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{:.0}", value.abs());
            let mut out = String::from(if value < 0.0 { "-" } else { "" });
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
    }
}

/// The date in the proleptic Gregorian calendar, UTC.
fn date(unix_seconds: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, unix_seconds / 86_400);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_735_689_599), "2024-12-31");
        assert_eq!(date(1_735_689_600), "2025-01-01");
    }

    #[test]
    fn bytes_are_told_in_units_that_fit() {
        assert_eq!([0.0, 131_072.0, 1e9].map(bytes), ["0.00 KiB", "128 KiB", "954 MiB"]);
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        let told = [0.987, 12.34, 123.4, 1234.0, 1_234_567.0, -23_456.0].map(number);
        assert_eq!(told, ["0.99", "12.3", "123", "1,234", "1,234,567", "-23,456"]);
    }
}
