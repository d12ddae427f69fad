//! `suites`: the test suites that the authors of a protocol wrote, against `taiwa serve`. They are no packages, so whoever
//! runs them tells where they are.

mod h2spec;

use std::{env, fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    autobahn::machine,
    outcome::{Outcome, Tally},
    process::{self, Server, Stream, ask},
    workspace::Workspace,
};
pub(crate) use h2spec::h2spec;

/// Where the suites of Socket.IO are, if no argument says so.
const VARIABLE: &str = "TAIWA_SOCKETIO_SUITES";
const TESTBED: &str = "conformance/socketio/testbed.toml";
const RESULTS: &str = "conformance/socketio/results.json";
/// The address is written in the suites.
const LISTEN: &str = "127.0.0.1:3000";

const BUILD_MAX: Duration = Duration::from_secs(30 * 60);
const START_MAX: Duration = Duration::from_secs(20);
/// A good run takes five seconds.
const SUITE_MAX: Duration = Duration::from_secs(120);

/// One suite for mocha.
struct Suite {
    name: &'static str,
    /// Its folder in that of all suites, with its own `node_modules`.
    folder: &'static str,
    /// How many tests it had on 2026-11-22; fewer prove less.
    tests_min: u64,
}

const SUITES: [Suite; 3] = [
    Suite { name: "Engine.IO v4", folder: "engine.io-protocol/v4-test-suite", tests_min: 25 },
    Suite { name: "Engine.IO v3", folder: "engine.io-protocol/v3-test-suite", tests_min: 23 },
    Suite { name: "Socket.IO v5", folder: "socket.io-protocol/v5-test-suite", tests_min: 32 },
];

/// Runs the three suites of Socket.IO's authors below `folder`, or below the one that the variable names, and writes
/// conformance/socketio/results.json if all of them ran.
pub(crate) fn socketio(workspace: &Workspace, tally: &mut Tally, folder: Option<&str>) {
    let named = env::var(VARIABLE).ok();
    let folder = folder.or(named.as_deref()).map(|it| workspace.root.join(it));
    let lacks = SUITES.iter().find(|it| {
        folder.as_ref().is_none_or(|folder| !folder.join(it.folder).join("test-suite.js").exists())
    });
    if let Some(Suite { folder: lost, .. }) = lacks {
        let why = format!("no {lost} in the folder that the argument or {VARIABLE} names");
        return tally.stage("suites of Socket.IO", || Outcome::skip(why));
    }
    let folder = folder.expect("the suites are in it");
    tally.stage("build", || {
        let mut binary = workspace.release_build(&["--bin", "taiwa"]);
        Outcome::of(process::run(&mut binary, BUILD_MAX))
    });
    let mut reports = vec![];
    for suite in &SUITES {
        tally.stage(suite.name, || match suite.run(workspace, &folder.join(suite.folder)) {
            Ok(report) => {
                let outcome = suite.read(&report);
                reports.push(json!({ "suite": suite.name, "tests": report["stats"]["tests"],
                    "passed": report["stats"]["passes"], "pending": report["stats"]["pending"],
                    "failed": names(&report["failures"]), "millis": report["stats"]["duration"] }));
                outcome
            }
            Err(why) => Outcome::failure(why),
        });
    }
    if reports.len() == SUITES.len() {
        tally.stage("results", || Outcome::of(write(workspace, RESULTS, reports)));
    }
}

impl Suite {
    /// Runs it against a server of its own, and returns what mocha reports.
    fn run(&self, workspace: &Workspace, folder: &Path) -> Result<Value, String> {
        let mut serve = workspace.command(workspace.release("taiwa"));
        serve.args(["serve", "--listen", LISTEN, "--log", "warn", "--config", TESTBED]);
        let server = Server::start(&mut serve, Stream::Out)?;
        server.tells(START_MAX, |line| line.contains("http").then_some(()))?;
        let file = workspace.tools().join("mocha.json");
        // What an earlier run left must not pass for the result of this one.
        let _ = fs::remove_file(&file);
        let mut mocha = workspace.command("node");
        mocha.current_dir(folder);
        mocha.args(["node_modules/mocha/bin/mocha", "--exit", "--reporter", "json"]);
        mocha.arg("--reporter-option").arg(format!("output={}", file.display()));
        // Its exit code is the number of failures.
        let end =
            process::run(mocha.arg("test-suite.js").stdout(std::process::Stdio::null()), SUITE_MAX);
        let text =
            fs::read_to_string(&file).map_err(|it| format!("{}: {it}; {end:?}", file.display()))?;
        serde_json::from_str(&text).map_err(|it| format!("{}: {it}", file.display()))
    }

    fn read(&self, report: &Value) -> Outcome {
        let count = |word: &str| report["stats"][word].as_u64().unwrap_or(0);
        let mut outcome = Outcome { failed: names(&report["failures"]), ..Outcome::default() };
        outcome.passed = u32::try_from(count("passes")).unwrap_or(u32::MAX);
        outcome.skipped = names(&report["pending"]);
        if count("passes") + count("failures") < self.tests_min {
            outcome.failed.push(format!("less than {} tests ran", self.tests_min));
        }
        outcome
    }
}

/// The names of tests in one of mocha's lists, failed ones with the reason.
fn names(list: &Value) -> Vec<String> {
    let name = |it: &Value| {
        let title = it["fullTitle"].as_str().unwrap_or("a test without a name");
        match it["err"]["message"].as_str() {
            Some(why) => format!("{title}: {why}"),
            None => title.to_owned(),
        }
    };
    list.as_array().into_iter().flatten().map(name).collect()
}

fn write(workspace: &Workspace, results: &str, reports: Vec<Value>) -> Result<(), String> {
    let tell = |program: &str, args: &[&str]| {
        ask(workspace.command(program).args(args)).unwrap_or_else(|_| "unknown".into())
    };
    let record = json!({
        "date": tell("date", &["-u", "+%Y-%m-%d"]),
        "commit": tell("git", &["rev-parse", "--short=12", "HEAD"]),
        "versions": { "taiwa": env!("CARGO_PKG_VERSION"), "node": tell("node", &["--version"]) },
        "machine": machine(),
        "suites": reports,
    });
    let text = serde_json::to_string_pretty(&record).map_err(|it| it.to_string())?;
    let path = workspace.root.join(results);
    fs::write(&path, text + "\n").map_err(|it| format!("{}: {it}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(passes: u64, failures: &[&str]) -> Value {
        let failed: Vec<Value> = failures
            .iter()
            .map(|it| json!({ "fullTitle": it, "err": { "message": "no" } }))
            .collect();
        json!({ "stats": { "passes": passes, "failures": failures.len() }, "failures": failed,
            "pending": [{ "fullTitle": "later", "err": {} }] })
    }

    #[test]
    fn a_failed_test_fails_and_so_does_a_suite_that_ran_too_few() {
        let suite = &SUITES[0];
        let whole = suite.read(&report(25, &[]));
        assert_eq!((whole.passed, whole.failed.len()), (25, 0));
        assert_eq!(whole.skipped, ["later"]);
        assert_eq!(suite.read(&report(24, &["a"])).failed, ["a: no"]);
        assert_eq!(suite.read(&report(24, &[])).failed, ["less than 25 tests ran"]);
        assert_eq!(suite.read(&json!({})).failed.len(), 1);
    }
}
