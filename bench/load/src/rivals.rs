//! Who takes part: ours, and the rivals without whom a figure says nothing.

use std::{
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    options::Options,
    server::{Server, Task},
};

/// Returns all servers.
///
/// # Errors
/// One is not installed: a table without a rival is a defect.
pub(crate) fn all(options: &Options) -> Result<Vec<Server>, String> {
    let lock = options.bench.join("Cargo.lock");
    let lock = fs::read_to_string(lock).map_err(|it| format!("Cargo.lock: {it}"))?;
    let built = |name: &str| options.servers.join(format!("bench-{name}"));
    let locked = |name: &str| {
        locked_version(&lock, name).ok_or(format!("{name} is not in bench/Cargo.lock"))
    };
    let rival = |name, krate: &str, program: &str, args: &[&str]| {
        Ok::<Server, String>(Server {
            name,
            version: format!("{krate} {}", locked(krate)?),
            ours: false,
            path: "/",
            program: built(program),
            args: args.iter().map(ToString::to_string).collect(),
            refuses: |task| (task == Task::FanOutDeflate).then_some("it has no permessage-deflate"),
        })
    };
    let ours = |name, program| Server {
        name,
        version: format!("taiwa {}", options.taiwa_version),
        ours: true,
        path: "/",
        program,
        args: vec![],
        refuses: |_| None,
    };
    let serve = Server {
        path: "/echo",
        args: ["serve", "--listen", "127.0.0.1:0"].map(str::to_owned).into(),
        refuses: |task| (task != Task::Echo).then_some("the row is about libraries"),
        ..ours("taiwa serve", options.taiwa.clone())
    };
    let servers = vec![
        ours("taiwa", built("taiwa")),
        serve,
        rival("fastwebsockets", "fastwebsockets", "fastwebsockets", &[])?,
        rival("tokio-tungstenite", "tokio-tungstenite", "tokio-tungstenite", &[])?,
        rival(
            "tokio-tungstenite, 4 KiB",
            "tokio-tungstenite",
            "tokio-tungstenite",
            &["--read-buffer=4096"],
        )?,
        rival("tokio-websockets", "tokio-websockets", "tokio-websockets", &[])?,
        bun(&options.bench)?,
    ];
    match servers.iter().find(|it| !it.program.is_file()) {
        Some(server) => Err(format!("{} is not built", server.name)),
        None => Ok(servers),
    }
}

/// The program of the package `bun` lies in another package, of which npm installs the one that fits this machine;
/// if npm runs install scripts it is moved into `bun` itself.
fn bun(bench: &Path) -> Result<Server, String> {
    let modules = bench.join("node_modules");
    let others = fs::read_dir(modules.join("@oven")).into_iter().flatten().flatten();
    let programs = iter::once(modules.join("bun/bin/bun.exe"))
        .chain(others.map(|it| it.path().join("bin/bun")));
    let answering = |program: PathBuf| {
        let output = Command::new(&program).arg("--version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| (program, version.trim().to_owned()))
    };
    let mut answering = programs.filter_map(answering);
    let (program, version) =
        answering.next().ok_or("bun is not installed, or does not run here")?;
    let script = bench.join("servers/bun/server.mjs").to_string_lossy().into_owned();
    Ok(Server {
        name: "bun",
        version: format!("bun {version}"),
        ours: false,
        path: "/",
        program,
        args: vec![script],
        refuses: |_| None,
    })
}

fn locked_version(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"ab\"\nversion = \"1.2\"\n\n[[package]]\nname = \"b\"\n";
        assert_eq!(locked_version(lock, "ab"), Some("1.2".into()));
        assert_eq!(locked_version(lock, "b"), None);
    }
}
