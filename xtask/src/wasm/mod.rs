//! `wasm`: proves that `taiwa-proto` builds for wasm32 and needs nothing from the world, and that `taiwa`'s
//! client works in a browser.

mod browser;
mod module;

use std::{fs, time::Duration};

use crate::{
    outcome::Outcome,
    process::{self, ask},
    workspace::Workspace,
};

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGE: &str = "taiwa-conformance-wasm";
const EXPORTS: &[&str] = &["accept", "ask", "echo", "open", "pass", "speak"];
/// Fetching takes seconds, or is not possible.
const FETCH_MAX: Duration = Duration::from_secs(2 * 60);
const BUILD_MAX: Duration = Duration::from_secs(10 * 60);

/// Builds conformance/wasm and reads the sections of the module; then runs conformance/browser.
///
/// Skipped where the compiler has no standard library for wasm32 and none can be fetched: neither Debian nor a
/// package registry has one.
pub(crate) fn run(workspace: &Workspace) -> Outcome {
    match std_for_wasm(workspace) {
        Ok(()) => {
            let mut outcome = Outcome::of(check(workspace));
            outcome.add(browser::run(workspace, TARGET));
            outcome
        }
        Err(why) => Outcome::skip(why),
    }
}

fn check(workspace: &Workspace) -> Result<(), String> {
    let target = workspace.target.join("wasm");
    let mut build =
        workspace.cargo(&["build", "--quiet", "--release", "-p", PACKAGE, "--target", TARGET]);
    process::run(build.arg("--target-dir").arg(&target), BUILD_MAX)?;
    let path = target.join(TARGET).join("release").join(PACKAGE.replace('-', "_") + ".wasm");
    let bytes = fs::read(&path).map_err(|it| format!("{}: {it}", path.display()))?;
    let module = module::read(&bytes)?;
    println!("    {} bytes, exports {}", bytes.len(), module.exports.join(" "));
    if !module.imports.is_empty() {
        return Err(format!("taiwa-proto imports {}", module.imports.join(", ")));
    }
    // Without its exports the linker would have thrown away what is to be proven.
    match EXPORTS.iter().find(|it| !module.exports.iter().any(|name| name == **it)) {
        Some(missing) => Err(format!("the module does not export {missing}")),
        None => Ok(()),
    }
}

/// Looks for the standard library for wasm32 and asks rustup for it if it is not there. Debian's
/// compilers have none that is new enough.
fn std_for_wasm(workspace: &Workspace) -> Result<(), String> {
    let mut rustc = workspace.command(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    let folder = ask(rustc.args(["--print", "target-libdir", "--target", TARGET]))?;
    let is_there = || fs::read_dir(&folder).is_ok_and(|mut it| it.next().is_some());
    if is_there() {
        return Ok(());
    }
    let asked =
        process::run(workspace.command("rustup").args(["target", "add", TARGET]), FETCH_MAX);
    match is_there() {
        true => Ok(()),
        false => Err(format!(
            "the compiler has no standard library for {TARGET}; by hand: rustup target add {TARGET} ({})",
            asked.err().unwrap_or_default()
        )),
    }
}
