//! `api`: the public interface of the libraries as a list in a file, so that no change of it goes unseen;
//! and the minimum supported Rust version.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    outcome::Outcome,
    process::{self, ask},
    workspace::Workspace,
};

/// Libraries, and where the list of each stands.
const LIBRARIES: [(&str, &str); 2] =
    [("taiwa-proto", "crates/proto/api.txt"), ("taiwa", "crates/taiwa/api.txt")];
/// rustdoc's JSON changes between releases of Rust; the reader is for the JSON of this one.
const RUST: &str = "1.95";
const RUN_MAX: Duration = Duration::from_secs(15 * 60);

/// Whether the lists are to be compared or written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A difference is a failure.
    Compare,
    /// The lists are brought to what is.
    Update,
}

/// Makes the lists and compares or writes them.
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Outcome {
    match rust_version(workspace) {
        Ok(version) if version.starts_with(&format!("{RUST}.")) => {}
        Ok(version) => {
            return Outcome::skip(format!("the lists are made by Rust {RUST}; this is {version}"));
        }
        Err(why) => return Outcome::failure(why),
    }
    let mut outcome = Outcome::default();
    for (library, file) in LIBRARIES {
        let result = list(workspace, library).and_then(|now| {
            let path = workspace.root.join(file);
            match mode {
                Mode::Update => fs::write(&path, now).map_err(|it| it.to_string()),
                Mode::Compare => compare(&fs::read_to_string(&path).unwrap_or_default(), &now)
                    .map_err(|changes| told(library, &changes)),
            }
        });
        outcome.add(Outcome::of(result));
    }
    outcome
}

/// Checks that the compiler in use is the one that is promised to do, or that the promised one does.
pub(crate) fn minimum_rust(workspace: &Workspace) -> Outcome {
    let promised = workspace.metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["name"] == "taiwa")
        .and_then(|it| it["rust_version"].as_str());
    let Some(promised) = promised else { return Outcome::failure("taiwa states no rust-version") };
    match rust_version(workspace) {
        Ok(version) if version.starts_with(&format!("{promised}.")) => {
            println!("    Rust {version} is the minimum; all other stages run with it");
            Outcome::of(Ok(()))
        }
        Ok(_) => {
            let with = format!("+{promised}");
            if ask(workspace.command("cargo").args([&with, "--version"])).is_err() {
                return Outcome::skip(format!(
                    "no Rust {promised}: rustup toolchain add {promised}"
                ));
            }
            let mut check = workspace.command("cargo");
            check.args([&with, "check", "--quiet", "-p", "taiwa", "--all-features"]);
            check.arg("--target-dir").arg(workspace.target.join("minimum"));
            Outcome::of(process::run(&mut check, RUN_MAX))
        }
        Err(why) => Outcome::failure(why),
    }
}

fn rust_version(workspace: &Workspace) -> Result<String, String> {
    let said = ask(workspace.command("rustc").arg("--version"))?;
    said.split(' ').nth(1).map(str::to_owned).ok_or(format!("rustc says {said:?}"))
}

/// One line for each public item.
fn list(workspace: &Workspace, library: &str) -> Result<String, String> {
    let mut cargo = workspace.cargo(&["rustdoc", "--quiet", "-p", library, "--lib"]);
    cargo.args(["--all-features", "--", "-Zunstable-options", "--output-format=json"]);
    process::run(cargo.env("RUSTDOC", rustdoc(workspace)?), RUN_MAX)?;
    let json = workspace.target.join(format!("doc/{}.json", library.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|it| it.to_string())?;
    Ok(api.items().map(|it| format!("{it}\n")).collect())
}

/// Returns a rustdoc that makes JSON, which a released one keeps to itself. Only rustdoc is asked in
/// this way, so nothing else is built anew.
fn rustdoc(workspace: &Workspace) -> Result<PathBuf, String> {
    let path = workspace.tools().join("rustdoc-json");
    let script = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";
    let write = |path: &Path| {
        fs::create_dir_all(workspace.tools())?;
        fs::write(path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write(&path).map_err(|it| it.to_string())?;
    Ok(path)
}

/// Names the lines that came and went.
fn compare(before: &str, now: &str) -> Result<(), Vec<String>> {
    let missing = |from: &str, of: &str, sign: &str| {
        let have: std::collections::HashSet<&str> = from.lines().collect();
        let lines = of.lines().filter(|it| !have.contains(it));
        lines.map(|it| format!("{sign} {it}")).collect::<Vec<_>>()
    };
    let changes = [missing(now, before, "-"), missing(before, now, "+")].concat();
    if changes.is_empty() { Ok(()) } else { Err(changes) }
}

fn told(library: &str, changes: &[String]) -> String {
    const SHOWN: usize = 40;
    let shown = changes.iter().take(SHOWN).map(|it| format!("\n      {it}")).collect::<String>();
    format!(
        "the public interface of {library} changed in {} lines; if that is meant, run `cargo xtask \
         api --update` and look at the difference:{shown}",
        changes.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_interface_is_told_line_by_line() {
        assert_eq!(compare("pub fn a()\npub fn b()\n", "pub fn a()\npub fn b()\n"), Ok(()));
        let changes = compare("pub fn a()\npub fn b()\n", "pub fn a()\npub fn c()\n");
        assert_eq!(changes, Err(vec!["- pub fn b()".into(), "+ pub fn c()".into()]));
        assert!(compare("", "pub fn a()\n").is_err(), "a missing list is a difference");
    }
}
