//! The command line. `cargo xtask bench` builds everything and fills in the paths.

use std::{env, path::PathBuf, time::Duration};

use crate::{
    goals,
    rows::{ROWS, Row},
    server::Server,
};

/// Tells what the command line may be.
pub(crate) fn usage() -> String {
    let rows: Vec<&str> = ROWS.iter().map(|it| it.name).collect();
    let rows: Vec<String> = rows.chunks(6).map(|it| it.join(", ")).collect();
    format!(
        "\
usage: cargo xtask bench [--rounds N] [--quick] [--goals] [--only ROW].. [--server NAME].. [--wait-quiet SECONDS]

  --rounds N     visit every server N times in each row, in most rows three times at most; 5 unless told
  --quick        one round of short visits: proves that all works, measures nothing
  --goals        only the rows that goals are about, and of the servers only those that the goals are about or compare with;
                 the results go to bench/results/goals/
  --only ROW     only this row, in every round; more may be named, and a name may end with * for all that begin so:
                 {}
  --server NAME  only this server; more may be named
  --wait-quiet S wait at most S seconds until others leave the machine alone; 60 unless told

Only a run of all rows and servers, or goals, that is not quick is written into bench/results/, unless told otherwise by
--results FOLDER.",
        rows.join(",\n                 ")
    )
}

const ROUNDS: usize = 5;
const QUIET_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    /// Only what goals are about.
    pub(crate) goals: bool,
    pub(crate) rows: Vec<Row>,
    /// The servers that take part, if not all.
    pub(crate) only_servers: Vec<String>,
    pub(crate) quiet_max: Duration,
    /// Where the servers are that the bench's own workspace builds.
    pub(crate) servers: PathBuf,
    /// The binary `taiwa`.
    pub(crate) taiwa: PathBuf,
    /// The Python that has those from PyPI.
    pub(crate) python: PathBuf,
    /// The version of both of ours.
    pub(crate) taiwa_version: String,
    /// The folder bench/.
    pub(crate) bench: PathBuf,
    pub(crate) results: PathBuf,
    /// What the user typed, to be repeated in the results.
    pub(crate) command: String,
}

impl Options {
    /// What holds unless something else is said.
    fn unsaid() -> Self {
        Self {
            rounds: ROUNDS,
            quick: false,
            goals: false,
            rows: vec![],
            only_servers: vec![],
            quiet_max: QUIET_MAX,
            servers: PathBuf::new(),
            taiwa: PathBuf::new(),
            python: PathBuf::new(),
            taiwa_version: String::new(),
            bench: PathBuf::new(),
            results: PathBuf::new(),
            command: "cargo xtask bench".into(),
        }
    }

    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self::unsaid();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--servers" => options.servers = value()?.into(),
                "--taiwa" => options.taiwa = value()?.into(),
                "--python" => options.python = value()?.into(),
                "--taiwa-version" => options.taiwa_version = value()?.clone(),
                "--bench" => options.bench = value()?.into(),
                "--results" => {
                    let folder = value()?;
                    // The first one is not the user's.
                    if !options.results.as_os_str().is_empty() {
                        options.command += &format!(" --results {folder}");
                    }
                    options.results = folder.into();
                }
                "--quick" => {
                    options.quick = true;
                    options.command += " --quick";
                }
                "--goals" => {
                    options.goals = true;
                    options.command += " --goals";
                }
                "--rounds" => {
                    let value = value()?;
                    let rounds = value.parse().ok().filter(|it| (1..=1000).contains(it));
                    options.rounds = rounds.ok_or("--rounds is a number from 1 to 1000")?;
                    options.command += &format!(" --rounds {value}");
                }
                "--wait-quiet" => {
                    let seconds = value()?.parse().ok().filter(|it| *it <= 3600);
                    let seconds =
                        seconds.ok_or("--wait-quiet is a number of seconds up to 3600")?;
                    options.quiet_max = Duration::from_secs(seconds);
                }
                "--only" => {
                    let name = value()?;
                    let rows = named(name);
                    if rows.is_empty() {
                        return Err(format!("there is no row {name}"));
                    }
                    options.rows.extend(rows);
                    let quoted = if name.ends_with('*') { &format!("'{name}'") } else { name };
                    options.command += &format!(" --only {quoted}");
                }
                "--server" => {
                    let name = value()?;
                    options.only_servers.push(name.clone());
                    options.command += &format!(" --server {name:?}");
                }
                _ => return Err(format!("{word} is not known")),
            }
        }
        if options.rows.is_empty() {
            options.rows = ROWS.to_vec();
        }
        if options.goals {
            options.rows.retain(goals::is_about);
            options.rows = options.rows.into_iter().map(Row::with_memory_once).collect();
        }
        if options.quick {
            options.rounds = 1;
            options.quiet_max = Duration::ZERO;
        }
        Ok(options)
    }

    /// Tells whether a server's figure in a row is wanted.
    pub(crate) fn wants(&self, row: &Row, server: &Server) -> bool {
        !self.goals || goals::wants(row, server)
    }

    pub(crate) fn from_environment() -> Result<Self, String> {
        Self::parse(&env::args().skip(1).collect::<Vec<_>>())
    }
}

/// Finds a row by its name, or those whose names begin so if it ends with an asterisk.
fn named(name: &str) -> Vec<Row> {
    let is_it = |row: &&Row| match name.strip_suffix('*') {
        Some(beginning) => row.name.starts_with(beginning),
        None => row.name == name,
    };
    ROWS.iter().filter(is_it).map(|it| it.in_every_round()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_is_repeated_without_paths() {
        let options = parse("--servers /tmp/x --rounds 3 --only idle --wait-quiet 9").unwrap();
        assert_eq!(options.command, "cargo xtask bench --rounds 3 --only idle");
        assert_eq!((options.rounds, options.rows.len()), (3, 1));
        let options = parse("--results /tmp/x --only idle-* --results bench/results/y").unwrap();
        let command = "cargo xtask bench --only 'idle-*' --results bench/results/y";
        assert_eq!(options.command, command);
        assert_eq!(parse("").unwrap().rows.len(), ROWS.len());
        assert_eq!(parse("--quick").unwrap().rounds, 1);
    }

    #[test]
    fn an_asterisk_names_several_rows() {
        let rows = parse("--only datagrams-* --only idle").unwrap().rows;
        let names: Vec<&str> = rows.iter().map(|it| it.name).collect();
        assert_eq!(names, ["datagrams-echo", "datagrams-take", "idle"]);
        assert!(parse("--only x*").is_err());
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let mut names: Vec<&str> = ROWS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn goals_are_about_some_rows() {
        let rows = parse("--goals").unwrap().rows;
        assert!(rows.iter().any(|it| it.name == "echo-16"));
        assert!(rows.iter().all(|it| it.name != "resume"));
        let idle = rows.iter().find(|it| it.name == "idle").unwrap();
        assert_eq!(idle.rounds_max, 1, "it is memory");
        assert_eq!(parse("--goals --only echo-16 --only resume").unwrap().rows.len(), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--rounds", "--rounds 0", "--only nothing", "--fast", "--wait-quiet -1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
