//! `bench`: measures us beside our rivals; see bench/README.md.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    outcome::Outcome,
    process::{self, ask},
    shown,
    workspace::Workspace,
};

const INSTALL_MAX: Duration = Duration::from_secs(10 * 60);
const BUILD_MAX: Duration = Duration::from_secs(30 * 60);
/// Five rounds of everything take about an hour.
const RUN_MAX: Duration = Duration::from_secs(3 * 60 * 60);

/// Installs and builds all servers and the load generator, and hands the rest of the command line to the latter.
pub(crate) fn run(workspace: &Workspace, args: &[&str]) -> Outcome {
    let built = install(workspace).and_then(|()| build(workspace));
    Outcome::of(built.and_then(|()| measure(workspace, args)))
}

/// The rivals that come from npm and PyPI.
fn install(workspace: &Workspace) -> Result<(), String> {
    install_python(workspace)?;
    let folder = workspace.root.join("bench");
    let lock = folder.join("package-lock.json");
    let lock = fs::read(lock).map_err(|it| format!("bench/package-lock.json: {it}"))?;
    let stamp = folder.join("node_modules/.lock-installed");
    if fs::read(&stamp).is_ok_and(|it| it == lock) {
        return Ok(());
    }
    let mut npm = workspace.command("npm");
    npm.current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]);
    process::run(&mut npm, INSTALL_MAX)?;
    fs::write(stamp, lock).map_err(|it| it.to_string())
}

fn install_python(workspace: &Workspace) -> Result<(), String> {
    let named = workspace.root.join("bench/requirements.txt");
    let names = fs::read(&named).map_err(|it| format!("bench/requirements.txt: {it}"))?;
    let venv = target(workspace).join("venv");
    let stamp = venv.join(".requirements-installed");
    if fs::read(&stamp).is_ok_and(|it| it == names) {
        return Ok(());
    }
    let mut make = workspace.command("python3");
    process::run(make.args(["-m", "venv"]).arg(&venv), INSTALL_MAX)?;
    let mut pip = workspace.command(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&named);
    process::run(&mut pip, INSTALL_MAX)?;
    fs::write(stamp, names).map_err(|it| it.to_string())
}

/// Builds everything, each with the release profile of its workspace (they are the same), and for any machine of this
/// kind whatever flags the user's own shell has.
fn build(workspace: &Workspace) -> Result<(), String> {
    let cargo = |args: &[&str]| {
        let mut command = workspace.cargo(&["build", "--quiet", "--release"]);
        command.args(args).arg("--target-dir").arg(target(workspace));
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        process::run(&mut command, BUILD_MAX)
    };
    cargo(&["--manifest-path", "bench/Cargo.toml"])?;
    cargo(&["--bin", "taiwa"])
}

fn measure(workspace: &Workspace, args: &[&str]) -> Result<(), String> {
    let built = target(workspace).join("release");
    let bench = workspace.root.join("bench");
    let said = |word: &str| args.contains(&word);
    let results = match ["--quick", "--only", "--server"].into_iter().any(said) {
        true => target(workspace).join("results"),
        false if said("--goals") => bench.join("results/goals"),
        false => bench.join("results"),
    };
    let mut command = Command::new(built.join("bench-load"));
    command.current_dir(&workspace.root);
    command.arg("--servers").arg(&built).arg("--taiwa").arg(built.join("taiwa"));
    command.arg("--python").arg(target(workspace).join("venv/bin/python"));
    command.arg("--bench").arg(bench).arg("--results").arg(&results);
    // What the user says comes last, and counts: where the results go, too.
    command.args(["--taiwa-version", &version(workspace)?]).args(args);
    process::run(&mut command, RUN_MAX)?;
    let named = args.iter().skip_while(|it| **it != "--results").nth(1);
    let results = named.map_or(results, |it| workspace.root.join(it));
    if results == workspace.root.join("bench/results/goals") {
        shown::renew(&workspace.root)?;
    }
    println!("    results: {}", results.join("README.md").display());
    Ok(())
}

/// The version of our crates, and which state of them this is.
fn version(workspace: &Workspace) -> Result<String, String> {
    let packages = workspace.metadata["packages"].as_array().ok_or("no packages")?;
    let ours = packages.iter().find(|it| it["name"] == "taiwa").ok_or("no package taiwa")?;
    let version = ours["version"].as_str().ok_or("no version")?;
    let git = |args: &[&str]| ask(workspace.command("git").args(args));
    // Whoever has no clone but an archive has the version alone.
    let Ok(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return Ok(version.into()) };
    let changed = git(&["status", "--porcelain", "--", "crates", "Cargo.toml"])?;
    let changed = if changed.is_empty() { "" } else { " with changes" };
    Ok(format!("{version} ({commit}{changed})"))
}

fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bench")
}
