//! `setup`: installs what the tests need and the machine lacks. Quick when all is there.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    outcome::Outcome,
    process::{self, ask},
    workspace::Workspace,
};

/// Debian's packages, and what each is for.
const DEBIAN: &[(&str, &str)] = &[
    ("chromium", "a browser"),
    ("curl", "a client of event streams"),
    ("firefox-esr", "another browser"),
    ("fonts-dejavu-core", "letters for the browsers"),
    ("golang-go", "the compiler of gorilla's peer"),
    ("golang-github-gorilla-websocket-dev", "gorilla's WebSocket library"),
    ("haproxy", "a proxy that speaks the PROXY protocol, and HTTP/2 to one side"),
    ("iproute2", "networks of their own for nodes that are cut off"),
    ("libuv1", "the loop of socketify"),
    ("microsocks", "a SOCKS 5 proxy between client and server"),
    ("nats-server", "what brokers/nats meets in"),
    ("nginx", "redirects, refusals and a proxy in front of our server"),
    ("openssl", "certificates, and TLS that is not ours, for tests"),
    ("pebble", "an ACME server, which signs certificates for the tests of crates/cli"),
    ("prometheus", "promtool, which checks and tests alerts"),
    ("redis-server", "the broker of the tests of brokers/redis"),
    ("socat", "TLS that is not ours, around Autobahn"),
    ("systemd", "checks of its units, and sockets that it opens for a server; nothing is started"),
    ("tinyproxy-bin", "an HTTP proxy between client and server"),
    ("valgrind", "callgrind, which counts instructions"),
];

/// The folders with packages from npm.
const NPM: &[&str] = &["interop", "examples/chat"];

/// What the conformance suites need from PyPI; interop/requirements.txt adds its own.
const AUTOBAHN: &str = "conformance/autobahn/requirements.txt";

const INSTALL_MAX: Duration = Duration::from_secs(15 * 60);

/// Installs in three steps; each is one check.
pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let mut outcome = Outcome::default();
    for (what, result) in [
        ("Debian packages", debian(workspace)),
        ("npm packages", npm(workspace)),
        ("Python packages", python(workspace)),
    ] {
        outcome.add(Outcome::of(result.map_err(|why| format!("{what}: {why}"))));
    }
    outcome
}

/// One call of apt-get for all that is missing.
fn debian(workspace: &Workspace) -> Result<(), String> {
    let mut missing: Vec<&str> =
        DEBIAN.iter().map(|(name, _)| *name).filter(|it| !is_installed(workspace, it)).collect();
    // Debian's own Python comes without what `-m venv` needs; other Pythons bring it.
    if ask(workspace.command("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(());
    }
    println!("    missing: {}", missing.join(" "));
    let by_hand = format!("install by hand: apt-get install {}", missing.join(" "));
    let root = ask(workspace.command("id").arg("-u")).is_ok_and(|it| it == "0");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("this is no Debian; the tests need its packages, {by_hand}"));
    }
    if !root {
        return Err(format!("only root may install Debian packages; {by_hand}"));
    }
    process::run(workspace.command("apt-get").args(["update", "-qq"]), INSTALL_MAX)?;
    let mut install = workspace.command("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(missing);
    process::run(&mut install, INSTALL_MAX)
}

fn is_installed(workspace: &Workspace, package: &str) -> bool {
    let mut query = workspace.command("dpkg-query");
    ask(query.args(["-W", "-f=${db:Status-Status}", package])).is_ok_and(|it| it == "installed")
}

/// The folders with a lock file of npm.
fn npm(workspace: &Workspace) -> Result<(), String> {
    NPM.iter().try_for_each(|it| {
        let folder = workspace.root.join(it);
        let stamp = folder.join("node_modules/.lock-installed");
        once(&[folder.join("package-lock.json")], &stamp, || {
            let mut npm = workspace.command("npm");
            npm.current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]);
            process::run(&mut npm, INSTALL_MAX)
        })
    })
}

/// A virtual environment with what the requirement files name.
fn python(workspace: &Workspace) -> Result<(), String> {
    let files: Vec<PathBuf> = [AUTOBAHN, "interop/requirements.txt"]
        .iter()
        .map(|it| workspace.root.join(it))
        .filter(|it| it.exists())
        .collect();
    once(&files, &workspace.tools().join("venv/.requirements-installed"), || {
        let venv = workspace.tools().join("venv");
        fs::create_dir_all(workspace.tools()).map_err(|it| it.to_string())?;
        if !workspace.venv("python").exists() {
            let mut make = workspace.command("python3");
            process::run(make.args(["-m", "venv"]).arg(&venv), INSTALL_MAX)?;
        }
        let mut pip = workspace.command(workspace.venv("pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        for file in &files {
            pip.arg("-r").arg(file);
        }
        process::run(&mut pip, INSTALL_MAX)
    })?;
    // It would replace a package of the others, so it stands beside them.
    let apart = [workspace.root.join("interop/http/requirements.txt")];
    let folder = workspace.tools().join("niquests");
    once(&apart, &folder.join(".requirements-installed"), || {
        let mut pip = workspace.command(workspace.venv("pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
        process::run(pip.arg(&folder).arg("-r").arg(&apart[0]), INSTALL_MAX)
    })
}

/// Installs unless it was done for files of just this content.
fn once(
    files: &[PathBuf],
    stamp: &Path,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let mut wanted = String::new();
    for file in files {
        wanted += &fs::read_to_string(file).map_err(|it| format!("{}: {it}", file.display()))?;
    }
    if fs::read_to_string(stamp).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).map_err(|it| format!("{}: {it}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_done_once_and_again_when_its_list_changes() {
        let folder = std::env::temp_dir().join(format!("taiwa-setup-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (list, stamp) = (folder.join("list"), folder.join("stamp"));
        let mut calls = 0;
        for (content, calls_after) in [("a", 1), ("a", 1), ("b", 2)] {
            fs::write(&list, content).unwrap();
            let count = || {
                calls += 1;
                Ok(())
            };
            once(std::slice::from_ref(&list), &stamp, count).unwrap();
            assert_eq!(calls, calls_after);
        }
        fs::write(&list, "c").unwrap();
        let fails = || Err("no".to_owned());
        assert_eq!(once(std::slice::from_ref(&list), &stamp, fails), Err("no".into()));
        assert_ne!(fs::read_to_string(&stamp).unwrap(), "c", "a failure leaves no stamp");
        fs::remove_dir_all(folder).unwrap();
    }
}
