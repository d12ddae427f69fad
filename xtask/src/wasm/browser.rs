//! `taiwa`'s client in Chromium: conformance/browser, against a server of ours.

use std::{path::Path, time::Duration};

use super::BUILD_MAX;
use crate::{
    interop,
    outcome::Outcome,
    process::{self, Server, Stream, ask, listen},
    workspace::Workspace,
};

const MANIFEST: [&str; 2] = ["--manifest-path", "conformance/browser/Cargo.toml"];
const CHROMIUM: &str = "/usr/bin/chromium";
const START_MAX: Duration = Duration::from_secs(15);
/// A hundred checks, most of which take milliseconds.
const RUN_MAX: Duration = Duration::from_secs(5 * 60);

/// Lints and documents the client as it is on wasm32, builds the checks and what serves them, and has Chromium run them.
///
/// Skipped where there is no Chromium to run them.
pub(super) fn run(workspace: &Workspace, target: &str) -> Outcome {
    let mut outcome = Outcome::of(lint(workspace, target));
    if !Path::new(CHROMIUM).exists() {
        outcome.add(Outcome::skip(format!("{CHROMIUM} is not there to run taiwa's client in")));
        return outcome;
    }
    match build(workspace, target).and_then(|folder| check(workspace, &folder)) {
        Ok(checks) => outcome.add(checks),
        Err(why) => outcome.add(Outcome::failure(why)),
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

fn check(workspace: &Workspace, folder: &str) -> Result<Outcome, String> {
    let mut peer = workspace.command(workspace.target.join("debug/browser-peer"));
    let peer = Server::start(peer.arg(folder), Stream::Out)?;
    let url = peer.tells(START_MAX, |line| line.starts_with("http").then(|| line.to_owned()))?;
    if ask(workspace.command("node").arg("--version")).is_err() {
        return Err("node is not there to drive Chromium".into());
    }
    let mut driver = workspace.command("node");
    driver.arg(workspace.root.join("interop/chromium/wasm.mjs")).arg(url);
    let (lines, end) = listen(&mut driver, RUN_MAX)?;
    Ok(interop::read(&lines, end))
}
