//! `suites h2spec`: the conformance tests for HTTP/2 by summerwind, with and without TLS. The program is no package, so
//! whoever runs it tells where it is.

use serde_json::{Value, json};

use super::{BUILD_MAX, START_MAX, write};
use crate::{
    outcome::{Outcome, Tally},
    process::{self, Server, Stream},
    workspace::Workspace,
};

const RESULTS: &str = "conformance/http2/results.json";
/// How many tests it had on 2026-11-22; fewer prove less.
const TESTS_MIN: u32 = 146;
/// Without TLS the port is HTTP/1.1's, too: what begins as neither is a bad request of that, which is answered in its words
/// before the connection ends. The test knows the words of HTTP/2 alone.
const PREFACE: &str = "2: Sends invalid connection preface";

/// Runs `program` against a server of ours with TLS and one without, and writes conformance/http2/results.json.
pub(crate) fn h2spec(workspace: &Workspace, tally: &mut Tally, program: &str) {
    tally.stage("build", || {
        let binary = ["build", "--quiet", "--bin", "taiwa"];
        Outcome::of(process::run(&mut workspace.cargo(&binary), BUILD_MAX))
    });
    let mut reports = vec![];
    for (name, serve, flags, excused) in [
        ("h2", &["--tls", "dev"][..], &["-t", "-k"][..], &[][..]),
        ("h2c", &[], &[], &[PREFACE][..]),
    ] {
        tally.stage(&format!("h2spec {name}"), || match run(workspace, program, serve, flags) {
            Ok(text) => {
                let (outcome, report) = read(name, &text, excused);
                reports.push(report);
                outcome
            }
            Err(why) => Outcome::failure(why),
        });
    }
    if reports.len() == 2 {
        tally.stage("results", || Outcome::of(write(workspace, RESULTS, reports)));
    }
}

/// Returns what it prints.
fn run(
    workspace: &Workspace,
    program: &str,
    serve: &[&str],
    flags: &[&str],
) -> Result<String, String> {
    let mut server = workspace.command(workspace.target.join("debug/taiwa"));
    server.args(["serve", "--listen", "127.0.0.1:0", "--log", "error"]).args(serve);
    let server = Server::start(&mut server, Stream::Out)?;
    let port = server.tells(START_MAX, |line| {
        let rest = line.split_once("://127.0.0.1:")?.1;
        Some(rest.split('/').next()?.to_owned())
    })?;
    let mut command = workspace.command(program);
    command.args(["-h", "127.0.0.1", "-p", &port, "--timeout", "4"]).args(flags);
    // Its exit code says whether all passed, as its last line does.
    let output = command.output().map_err(|it| format!("{program}: {it}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads what it prints: a line for each test, those that failed once more, and how many there were.
fn read(name: &str, text: &str, excused: &[&str]) -> (Outcome, Value) {
    let (tests, failures) = text.split_once("Failures:").unwrap_or((text, ""));
    let passed = tests.matches('✔').count();
    let mut failed: Vec<String> = failures
        .lines()
        .filter_map(|line| line.trim().strip_prefix('×'))
        .map(|it| it.trim().to_owned())
        .collect();
    let all = passed + failed.len();
    let report = json!({ "suite": format!("h2spec {name}"), "tests": all, "passed": passed, "failed": failed });
    failed.retain(|it| !excused.contains(&it.as_str()));
    if all < TESTS_MIN as usize {
        failed.push(format!("less than {TESTS_MIN} tests ran: {all}"));
    }
    let passed = u32::try_from(passed).unwrap_or(u32::MAX);
    (Outcome { passed, failed, ..Outcome::default() }, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_found_and_too_few_tests_fail() {
        let mut text = "        1: Sends something      ✔ 1: Sends something\n".repeat(145);
        assert_eq!(read("h2", &text, &[]).0.failed, ["less than 146 tests ran: 145"]);
        text +=
            "\nFailures: \n\n      × 2: Sends invalid connection preface\n        -> It MUST.\n";
        let (outcome, report) = read("h2c", &text, &[]);
        assert_eq!((outcome.passed, &outcome.failed[..]), (145, &[PREFACE.to_owned()][..]));
        assert_eq!(report["tests"], 146);
        assert!(read("h2c", &text, &[PREFACE]).0.failed.is_empty());
    }
}
