//! `taiwa`'s client in browsers: conformance/browser, against a server of ours.

use std::{path::Path, time::Duration};

use super::BUILD_MAX;
use crate::{
    interop,
    outcome::Outcome,
    process::{self, Server, Stream, listen},
    workspace::Workspace,
};

const MANIFEST: [&str; 2] = ["--manifest-path", "conformance/browser/Cargo.toml"];
/// The browsers, and the folder of interop/ that drives each.
const BROWSERS: [(&str, &str); 2] =
    [("/usr/bin/chromium", "chromium"), ("/usr/bin/firefox-esr", "firefox")];
const START_MAX: Duration = Duration::from_secs(15);
/// A hundred checks, most of which take milliseconds.
const RUN_MAX: Duration = Duration::from_secs(5 * 60);

/// Lints and documents the client as it is on wasm32, builds the checks and what serves them, and has each
/// browser run them.
///
/// A browser that is not installed is skipped.
pub(super) fn run(workspace: &Workspace, target: &str) -> Outcome {
    let mut outcome = Outcome::of(lint(workspace, target));
    let (there, missing): (Vec<_>, Vec<_>) =
        BROWSERS.into_iter().partition(|(program, _)| Path::new(program).exists());
    for (program, _) in missing {
        outcome.add(Outcome::skip(format!("{program} is not there to run taiwa's client in")));
    }
    if there.is_empty() {
        return outcome;
    }
    let folder = match build(workspace, target) {
        Ok(folder) => folder,
        Err(why) => {
            outcome.add(Outcome::failure(why));
            return outcome;
        }
    };
    for (_, browser) in there {
        outcome.add(check(workspace, &folder, browser).unwrap_or_else(Outcome::failure));
    }
    outcome
}

fn lint(workspace: &Workspace, target: &str) -> Result<(), String> {
    let clippy = ["clippy", "--quiet", "--target", target];
    let deny = ["--", "-D", "warnings"];
    let library = [&clippy[..], &["-p", "taiwa", "--all-features"], &deny].concat();
    let checks = [&clippy[..], &MANIFEST, &["-p", "taiwa-browser-checks"], &deny].concat();
    for args in [library, checks] {
        process::run(workspace.cargo(&args).env("CARGO_TARGET_DIR", &workspace.target), BUILD_MAX)?;
    }
    let document = ["doc", "--quiet", "-p", "taiwa", "--no-deps", "--target", target];
    process::run(workspace.cargo(&document).env("RUSTDOCFLAGS", "-D warnings"), BUILD_MAX)
}

/// Returns the folder with the module and its glue.
fn build(workspace: &Workspace, target: &str) -> Result<String, String> {
    let checks = ["-p", "taiwa-browser-checks", "--target", target];
    for args in [
        [&["build", "--quiet"], &MANIFEST[..], &["-p", "taiwa-browser-glue"]].concat(),
        [&["build", "--quiet"], &MANIFEST[..], &checks].concat(),
        ["build", "--quiet", "-p", "taiwa-conformance", "--bin", "browser-peer"].to_vec(),
    ] {
        process::run(workspace.cargo(&args).env("CARGO_TARGET_DIR", &workspace.target), BUILD_MAX)?;
    }
    let module = workspace.target.join(target).join("debug/taiwa_browser_checks.wasm");
    let folder = workspace.tools().join("browser").to_string_lossy().into_owned();
    let mut glue = workspace.command(workspace.target.join("debug/taiwa-browser-glue"));
    process::run(glue.arg(module).arg(&folder), BUILD_MAX)?;
    Ok(folder)
}

fn check(workspace: &Workspace, folder: &str, browser: &str) -> Result<Outcome, String> {
    let mut peer = workspace.command(workspace.target.join("debug/browser-peer"));
    let peer = Server::start(peer.arg(folder), Stream::Out)?;
    let url = peer.tells(START_MAX, |line| line.starts_with("http").then(|| line.to_owned()))?;
    let mut driver = workspace.command("node");
    driver.arg(workspace.root.join("interop").join(browser).join("wasm.mjs")).arg(url);
    let (lines, end) = listen(&mut driver, RUN_MAX)?;
    let mut outcome = interop::read(&lines, end);
    for why in &mut outcome.failed {
        *why = format!("{browser}: {why}");
    }
    Ok(outcome)
}
