//! `interop`: our binary and our library against programs that others wrote; see interop/run.py.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    again::again,
    outcome::Outcome,
    process::{self, listen},
    workspace::Workspace,
};

/// The whole run, browsers included, takes a small part of it.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);
const BUILD_MAX: Duration = Duration::from_secs(30 * 60);

/// Runs the checks whose names begin with one of `names`, all of them if there is none.
pub(crate) fn run(workspace: &Workspace, names: &[&str]) -> Outcome {
    let built = build(workspace);
    let found = |names: &[&str]| check(workspace, names).unwrap_or_else(Outcome::failure);
    match built {
        Ok(()) => {
            let first = found(names);
            let groups = groups(&first);
            again(first, &groups, || found(&groups.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        Err(why) => Outcome::failure(why),
    }
}

/// The peers and sides that something failed with: `ws/server` of `ws/server/fragments: why`.
fn groups(outcome: &Outcome) -> Vec<String> {
    let group = |why: &String| {
        let parts: Vec<_> = why.split(':').next().unwrap_or_default().split('/').collect();
        parts[..parts.len().min(2)].join("/")
    };
    let groups: BTreeSet<_> = outcome.failed.iter().map(group).collect();
    groups.into_iter().collect()
}

/// Builds what the checks run.
pub(crate) fn build(workspace: &Workspace) -> Result<(), String> {
    process::run(&mut workspace.release_build(&["--bin", "taiwa"]), BUILD_MAX)?;
    let game = ["-p", "taiwa-examples", "--bin", "game"];
    process::run(&mut workspace.release_build(&game), BUILD_MAX)?;
    let library = ["-p", "taiwa", "--example", "interop_client", "--example", "interop_session"];
    process::run(&mut workspace.release_build(&library), BUILD_MAX)
}

fn check(workspace: &Workspace, names: &[&str]) -> Result<Outcome, String> {
    let mut script = workspace.command(workspace.venv("python"));
    script.arg("-u").arg(workspace.root.join("interop/run.py"));
    script.arg("--taiwa").arg(workspace.release("taiwa"));
    script.arg("--library").arg(workspace.release("examples/interop_client"));
    script.arg("--python").arg(workspace.venv("python"));
    for name in names {
        script.args(["--only", name]);
    }
    let (lines, end) = listen(&mut script, RUN_MAX)?;
    Ok(read(&lines, end))
}

/// Counts `ok NAME`, `FAIL NAME: why` and `skip NAME: why`, one a line.
pub(crate) fn read(lines: &[String], end: Result<(), String>) -> Outcome {
    let mut outcome = Outcome::default();
    for line in lines {
        match line.split_once(' ') {
            Some(("ok", _)) => outcome.passed += 1,
            Some(("FAIL", what)) => outcome.failed.push(what.into()),
            Some(("skip", what)) => outcome.skipped.push(what.into()),
            _ => {}
        }
    }
    match end {
        Err(why) if outcome.failed.is_empty() => outcome.failed.push(why),
        Ok(()) if !outcome.failed.is_empty() => {
            outcome.failed.push("exit code 0 all the same".into())
        }
        _ => {}
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_check_and_the_exit_code_must_agree() {
        let lines = ["ok ws/a", "FAIL ws/b: no", "skip bun: not here", "noise"].map(String::from);
        let outcome = read(&lines, Err("exit status: 1".into()));
        assert_eq!(outcome.passed, 1);
        assert_eq!(outcome.failed, ["ws/b: no"]);
        assert_eq!(outcome.skipped, ["bun: not here"]);
        assert_eq!(groups(&outcome), ["ws/b"]);
        assert_eq!(read(&lines, Ok(())).failed.len(), 2);
        assert_eq!(read(&lines[..1], Err("signal: 9".into())).failed, ["signal: 9"]);
    }
}
