//! `bench`: measures us beside our rivals; see bench/.

use std::time::Duration;

use crate::{outcome::Outcome, process, workspace::Workspace};

const RUN_MAX: Duration = Duration::from_secs(60 * 60);

/// Hands the rest of the command line to the program in bench/.
pub(crate) fn run(workspace: &Workspace, args: &[&str]) -> Outcome {
    let manifest = workspace.root.join("bench/Cargo.toml");
    if !manifest.exists() {
        return Outcome::skip("there is no bench yet");
    }
    let mut command = workspace.cargo(&["run", "--quiet", "--release", "--manifest-path"]);
    command.arg(manifest).arg("--").args(args);
    Outcome::of(process::run(&mut command, RUN_MAX))
}
