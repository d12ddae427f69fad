//! `test`: everything that must hold, in one command; it goes on after a failure to show them all.

use std::{process::Command, time::Duration};

use crate::{
    again::again,
    api, autobahn, instructions, interop,
    outcome::{Outcome, Tally},
    process::{self, ask, listen},
    setup, tidy, wasm,
    workspace::Workspace,
};

/// Building everything on two cores is the longest part of a stage.
const STAGE_MAX: Duration = Duration::from_secs(30 * 60);

/// Runs every stage.
pub(crate) fn run(workspace: &Workspace, tally: &mut Tally) {
    tally.stage("setup", || setup::run(workspace));
    tally.stage("format", || format(workspace));
    tally.stage("tidy", || tidy::run(workspace));
    tally.stage("clippy", || clippy(workspace));
    tally.stage("tests", || tests(workspace));
    // Behind what builds most of what it needs.
    tally.stage("instructions", || instructions::run(workspace, instructions::Mode::Compare, &[]));
    tally.stage("documentation", || documentation(workspace));
    tally.stage("interface", || api::run(workspace, api::Mode::Compare));
    tally.stage("minimum Rust", || api::minimum_rust(workspace));
    tally.stage("wasm", || wasm::run(workspace));
    tally.stage("licences", || licences(workspace));
    autobahn::sample(workspace, tally);
    tally.stage("interop", || interop::run(workspace, &[]));
}

fn cargo(workspace: &Workspace, args: &[&str]) -> Outcome {
    Outcome::of(process::run(&mut workspace.cargo(args), STAGE_MAX))
}

/// Workspaces of their own, beside the root's.
const BENCH: [&str; 2] = ["--manifest-path", "bench/Cargo.toml"];
const FUZZ: [&str; 2] = ["--manifest-path", "fuzz/Cargo.toml"];
const BROWSER: [&str; 2] = ["--manifest-path", "conformance/browser/Cargo.toml"];

fn format(workspace: &Workspace) -> Outcome {
    let mut outcome = Outcome::default();
    let with_all = |of: [&'static str; 2]| [&["--all"][..], &of].concat();
    for of in [&["--all"][..], &with_all(BENCH), &FUZZ, &with_all(BROWSER)] {
        let args = [&["fmt"], of, &["--", "--check"]].concat();
        outcome.add(cargo(workspace, &args));
    }
    outcome
}

/// All code, tests included, without a warning; then `taiwa-proto` without its tests, by the longer
/// list of crates/proto/clippy.toml.
fn clippy(workspace: &Workspace) -> Outcome {
    let all = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    let pure = ["clippy", "--quiet", "-p", "taiwa-proto", "--lib", "--"];
    let lists = ["-D", "clippy::disallowed_methods", "-D", "clippy::disallowed_types"];
    let mut outcome = cargo(workspace, &all);
    outcome.add(cargo(workspace, &[&pure[..], &lists[..]].concat()));
    let folder = workspace.target.join("bench");
    let folder = ["--target-dir", &folder.to_string_lossy()];
    let bench = [&all[..2], &BENCH, &folder, &all[2..]].concat();
    outcome.add(cargo(workspace, &bench));
    outcome
}

fn tests(workspace: &Workspace) -> Outcome {
    let all = ["test", "--quiet", "--workspace", "--all-features", "--no-fail-fast"];
    let mut bench = workspace.cargo(&["test", "--quiet", "--no-fail-fast"]);
    bench.args(["-p", "bench-load", "-p", "bench-order", "-p", "bench-limits"]);
    bench.args(BENCH).arg("--target-dir").arg(workspace.target.join("bench"));
    let heard = |command: &mut Command| match listen(command, STAGE_MAX) {
        Ok((lines, end)) => (read(&lines, end), lines),
        Err(why) => (Outcome::failure(why), vec![]),
    };
    let (first, lines) = heard(&mut workspace.cargo(&all));
    let groups = failed_programs(&lines);
    let mut outcome = again(first.clone(), &groups, || {
        let mut command = workspace.cargo(&all);
        command.args(groups.iter().flat_map(|it| it.split(' ')));
        // A program that did not come to its end has not told which test is to blame: then all of them.
        if lines.iter().filter(|it| it.starts_with("test result: FAILED")).count() == groups.len() {
            command.args(["--", "--exact"]).args(&first.failed);
        }
        heard(&mut command).0
    });
    outcome.add(heard(&mut bench).0);
    outcome
}

/// Reads which test programs failed, as arguments of cargo, in what it says at its end: "`-p taiwa-cli --test tls`". None
/// if examples in documentation are among them, which cargo can't build one by one.
fn failed_programs(lines: &[String]) -> Vec<String> {
    let program = |line: &String| {
        let flags = line.strip_prefix("    `-p ")?.strip_suffix('`')?.split_once(' ')?.1;
        Some(flags.to_owned())
    };
    let programs: Vec<_> = lines.iter().filter_map(program).collect();
    if programs.iter().any(|it| it == "--doc") { vec![] } else { programs }
}

/// Counts what the test programs counted, and reads the names of failed tests in the list at the end.
fn read(lines: &[String], end: Result<(), String>) -> Outcome {
    let mut outcome = Outcome::default();
    for line in lines {
        let Some(counts) = line.strip_prefix("test result: ") else {
            let name = line.strip_prefix("    ").filter(|it| end.is_err() && is_test_name(it));
            if let Some(name) = name
                && !outcome.failed.iter().any(|it| it == name)
            {
                outcome.failed.push(name.into());
            }
            continue;
        };
        let count = |word: &str| -> u32 {
            let before = counts.split(&format!(" {word}")).next().unwrap_or_default();
            before.rsplit([' ', '.']).next().and_then(|it| it.parse().ok()).unwrap_or_default()
        };
        outcome.passed += count("passed");
        for _ in 0..count("ignored") {
            outcome.skipped.push("a test that says why in its #[ignore]".into());
        }
    }
    if let Err(why) = end
        && outcome.failed.is_empty()
    {
        outcome.failed.push(why);
    }
    outcome
}

/// Tells whether a line of the list of failures is the name of a test: a path, or what rustdoc
/// calls an example.
fn is_test_name(line: &str) -> bool {
    let example = line.contains(" - ") && line.contains("(line ");
    let path = line.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b':');
    !line.is_empty() && (example || path)
}

fn documentation(workspace: &Workspace) -> Outcome {
    let mut command =
        workspace.cargo(&["doc", "--quiet", "--workspace", "--all-features", "--no-deps"]);
    Outcome::of(process::run(command.env("RUSTDOCFLAGS", "-D warnings"), STAGE_MAX))
}

fn licences(workspace: &Workspace) -> Outcome {
    if ask(workspace.command("cargo-deny").arg("--version")).is_err() {
        return Outcome::skip("cargo-deny is not installed: cargo install --locked cargo-deny");
    }
    let args = ["deny", "--offline", "check", "bans", "licenses", "sources"];
    cargo(workspace, &args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_test_programs_add_up() {
        let output = "\
running 3 tests
...
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

failures:

    reader::tests::a_bad_byte_fails_at_once
    crates/taiwa/src/lib.rs - connect (line 12)

test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s
";
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        let outcome = read(&lines, Err("exit status: 101".into()));
        assert_eq!(outcome.passed, 15);
        assert_eq!(outcome.failed.len(), 2);
        assert_eq!(outcome.failed[0], "reader::tests::a_bad_byte_fails_at_once");
        assert_eq!(outcome.skipped.len(), 1);
    }

    #[test]
    fn programs_that_failed_are_named_by_cargo() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let end = "error: 2 targets failed:\n    `-p taiwa-cli --test tls`\n    `-p taiwa --lib`\n";
        assert_eq!(failed_programs(&lines(end)), ["--test tls", "--lib"]);
        assert_eq!(failed_programs(&lines("    `-p a --test b`\n    `-p a --doc`")), [""; 0]);
    }

    #[test]
    fn a_build_that_fails_is_a_failure() {
        assert_eq!(read(&[], Err("exit status: 101".into())).failed, ["exit status: 101"]);
    }
}
