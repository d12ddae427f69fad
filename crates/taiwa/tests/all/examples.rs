//! The examples run.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

/// Ends a program with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example, built in the profile and the folder of this test.
fn example(name: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let profile = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("we run");
        let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/test");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-q", "--example", "echo_server", "--example", "echo_client"]);
        cargo.arg("--target-dir").arg(profile.parent().expect("target/<profile>"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.expect("cargo runs").success());
        profile.to_owned()
    });
    Command::new(profile.join("examples").join(name))
}

fn url_of(server: &mut Program) -> String {
    let mut url = String::new();
    let stdout = server.0.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut url).expect("it says where it is");
    url.trim().to_owned()
}

#[test]
fn the_echo_client_hears_its_word_from_the_echo_server() {
    let mut server = example("echo_server");
    let mut server =
        Program(server.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("it is built"));
    let url = url_of(&mut server);
    let output = example("echo_client").arg(url).arg("こんにちは").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "こんにちは\nclosed with 1000\n");
    assert!(output.status.success(), "{output:?}");
}

/// A server that has run out of descriptors waits and goes on.
#[cfg(unix)]
#[test]
fn the_server_survives_the_want_of_descriptors() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 24; exec \"$0\" 127.0.0.1:0"]);
    let server = shell.arg(example("echo_server").get_program());
    let mut server = Program(server.stdout(Stdio::piped()).spawn().expect("it is built"));
    let url = url_of(&mut server);
    let addr = url.trim_start_matches("ws://").trim_end_matches('/');

    let crowd: Vec<_> = (0..60).map(|_| TcpStream::connect(addr).expect("it listens")).collect();
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.0.try_wait().expect("it can be asked").is_none(), "it ended");
    drop(crowd);
    let output = example("echo_client").arg(url).arg("still there").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "still there\nclosed with 1000\n");
}
