//! `miri`: runs the tests around the two `unsafe` blocks under Miri, which sees undefined behaviour.

use std::time::Duration;

use crate::{
    outcome::Outcome,
    process::{self, ask},
    workspace::Workspace,
};

const RUN_MAX: Duration = Duration::from_secs(15 * 60);
/// Tests that make texts in every way, and those of the code that hands bytes in place, whole and in
/// parts; a minute under Miri. Those that compress take many.
const TESTS: [&str; 9] = [
    "message::",
    "header::",
    "mask::",
    "close::",
    "reader::onto::",
    "reader::tests::a_frame",
    "parts::tests::bytes_can_be_read",
    "parts::tests::text_that_is_thrown",
    "parts::tests::a_message_may_not_come",
];

/// Skipped where no nightly compiler with Miri is installed.
pub(crate) fn run(workspace: &Workspace) -> Outcome {
    // `+nightly` is rustup's, so the cargo that runs this very program will not do.
    let miri = |args: &[&str]| {
        let mut command = workspace.command("cargo");
        command.args(["+nightly", "miri"]).args(args);
        command
    };
    if ask(&mut miri(&["--version"])).is_err() {
        return Outcome::skip("no Miri: rustup component add miri rust-src --toolchain nightly");
    }
    let mut command = miri(&["test", "--quiet", "-p", "taiwa-proto", "--lib"]);
    command.arg("--target-dir").arg(workspace.target.join("miri")).arg("--").args(TESTS);
    Outcome::of(process::run(&mut command, RUN_MAX))
}
