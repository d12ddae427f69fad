//! The prompt of `taiwa connect`, on a pseudo-terminal that Python has.
#![cfg(unix)]

mod support;

use std::process::Command;

use support::{Running, Server};

#[test]
fn a_person_types_and_reads_above_the_line() {
    let server = Server::start(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prompt.py");
    let mut python = Command::new("python3");
    python.args([script, env!("CARGO_BIN_EXE_taiwa"), &format!("ws://{}", server.addr)]);
    let outcome = Running::start(python).finish().expect(0);
    assert_eq!(outcome.stdout_text(), "ok\n");
}
