//! `fuzz`: runs each fuzz target for some seconds. Its corpus is replayed by `cargo test` anyway,
//! on stable; this verb looks for new inputs and needs cargo-fuzz and a nightly compiler.

use std::time::Duration;

use crate::{
    outcome::Outcome,
    process::{self, ask},
    workspace::Workspace,
};

/// How long each target runs unless told.
pub(crate) const SECONDS: u32 = 30;

/// Building the first target builds the fuzzer's own library too.
const BUILD_MAX: Duration = Duration::from_secs(20 * 60);

/// Runs all targets, one after the other; each is one check.
pub(crate) fn run(workspace: &Workspace, seconds: u32) -> Outcome {
    let folder = workspace.root.join("fuzz");
    if !folder.join("Cargo.toml").exists() {
        return Outcome::skip("there is no fuzz target yet");
    }
    if ask(workspace.command("cargo-fuzz").arg("--version")).is_err() {
        return Outcome::skip("cargo-fuzz is not installed: cargo install --locked cargo-fuzz");
    }
    let fuzz = |args: &[&str]| {
        let mut command = workspace.command("cargo");
        // `cargo xtask` sets the toolchain it runs on; the fuzzer needs a nightly one.
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
        command.args(["+nightly", "fuzz"]).args(args);
        command
    };
    let targets = match ask(&mut fuzz(&["list"])) {
        Ok(targets) => targets,
        Err(why) => return Outcome::failure(why),
    };
    let time = format!("-max_total_time={seconds}");
    let mut outcome = Outcome::default();
    for target in targets.lines() {
        // What is found stays out of the committed corpus until somebody looks at it.
        let found = folder.join("target/found").join(target);
        if let Err(why) = std::fs::create_dir_all(&found) {
            return Outcome::failure(format!("{}: {why}", found.display()));
        }
        let corpora = [found.display().to_string(), format!("corpus/{target}")];
        let mut command = fuzz(&["run", target, &corpora[0], &corpora[1], "--", &time]);
        command.args(["-timeout=10", "-rss_limit_mb=4096"]).current_dir(&folder);
        let within = BUILD_MAX + Duration::from_secs(u64::from(seconds));
        let result = process::run(&mut command, within);
        outcome.add(Outcome::of(result.map_err(|why| format!("{target}: {why}"))));
    }
    outcome
}
