//! `instructions`: how many instructions the paths of each message take, beside what bench/results/instructions.json says.
//!
//! Times differ from run to run and from machine to machine; counts hardly do. So a test can tell whether one grew.

mod profile;
mod scenes;

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    outcome::Outcome,
    process::{self, ask},
    workspace::Workspace,
};
use scenes::{Cost, SCENES, Scene};

const BUILD_MAX: Duration = Duration::from_secs(30 * 60);

/// What is done with the counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Compare them with the file.
    Compare,
    /// Write the file.
    Update,
}

/// Counts, and compares or writes.
pub(crate) fn run(workspace: &Workspace, mode: Mode, names: &[&str]) -> Outcome {
    if let Some(why) = why_not(workspace, mode) {
        return Outcome::skip(why);
    }
    if let Err(why) = build(workspace) {
        return Outcome::failure(why);
    }
    let recorded = match recorded(workspace) {
        Ok(recorded) => recorded,
        Err(_) if mode == Mode::Update => Map::new(),
        Err(why) => return Outcome::failure(why),
    };
    let mut outcome = Outcome::default();
    let mut counts = recorded.clone();
    let chosen = |it: &&Scene| names.is_empty() || names.contains(&it.name);
    for scene in SCENES.iter().filter(chosen) {
        outcome.add(Outcome::of(check(scene, workspace, mode, &recorded, &mut counts)));
    }
    if mode == Mode::Update && outcome.failed.is_empty() {
        outcome.add(Outcome::of(write(workspace, counts)));
    }
    outcome
}

/// The counts are those of one compiler and one kind of processor.
fn why_not(workspace: &Workspace, mode: Mode) -> Option<String> {
    if ask(workspace.command("valgrind").arg("--version")).is_err() {
        return Some("valgrind is not installed: apt-get install valgrind".into());
    }
    let recorded = file(workspace).ok()?;
    let (ours, theirs) = (compiler(workspace), recorded["compiler"].as_str().unwrap_or_default());
    (mode == Mode::Compare && ours != theirs)
        .then(|| format!("the counts were taken with {theirs}, here is {ours}"))
}

fn compiler(workspace: &Workspace) -> String {
    let version = ask(workspace.command("rustc").arg("--version")).unwrap_or_default();
    format!("{version}, {}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The crates whose instructions count. They are built as for a release, and everything else as for tests: that is there already.
const CRATES: &[&str] =
    &["proto", "core", "hub", "taiwa", "server", "plain", "centrifuge", "socketio", "counts"];

fn build(workspace: &Workspace) -> Result<(), String> {
    let all = ["build", "--quiet", "--workspace", "--all-features", "--example", "hot_paths"];
    let mut cargo = workspace.cargo(&all);
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    for name in CRATES {
        let package = if *name == "taiwa" { "taiwa".to_owned() } else { format!("taiwa-{name}") };
        // One unit each: how the compiler cuts a crate in pieces decides what it inlines.
        for setting in
            ["opt-level=3", "debug-assertions=false", "overflow-checks=false", "codegen-units=1"]
        {
            cargo.args(["--config", &format!("profile.dev.package.{package}.{setting}")]);
        }
    }
    process::run(&mut cargo, BUILD_MAX)
}

fn check(
    scene: &Scene,
    workspace: &Workspace,
    mode: Mode,
    recorded: &Map<String, Value>,
    counts: &mut Map<String, Value>,
) -> Result<(), String> {
    let Scene { name, unit, .. } = scene;
    let count = || scene.count(workspace).map_err(|it| format!("{name}: {it}"));
    let mut cost = count()?;
    if scene.allocating_max < cost.allocating {
        // Beside other work a turn of the fan-out may be cut in two, and a list grow in one run and not in the other.
        println!("    {name} asks for memory ({:.1}); counted once more", cost.allocating);
        cost = count()?;
    }
    let Cost { instructions, allocating } = cost;
    println!(
        "    {name}: {instructions:.1} instructions for one {unit}, {allocating:.1} to give it memory"
    );
    if scene.allocating_max < allocating {
        return Err(format!("{name} asks for memory: {allocating:.1} instructions for one {unit}"));
    }
    match mode {
        Mode::Compare => {
            compare(cost, recorded.get(*name).unwrap_or(&Value::Null), scene.growth_max)
                .map_err(|it| format!("{name}: {it}"))
        }
        Mode::Update => {
            let rounded = |it: f64, to: f64| (it * to).round() / to + 0.0;
            let row = json!({
                "for_one": unit,
                "instructions": rounded(instructions, 10.0),
                "allocating": rounded(allocating, 10.0),
            });
            counts.insert((*name).to_owned(), row);
            Ok(())
        }
    }
}

/// Compares a scene with its row of the file.
fn compare(cost: Cost, row: &Value, growth_max: f64) -> Result<(), String> {
    let instructions = row["instructions"].as_f64();
    let instructions =
        instructions.ok_or("not in bench/results/instructions.json; see --update")?;
    if instructions * growth_max < cost.instructions {
        let by = (cost.instructions / instructions - 1.0) * 100.0;
        let now = cost.instructions;
        return Err(format!(
            "{now:.1} instructions were {instructions}: {by:.1} % more. If that has a good reason, say it in the commit and \
             run `cargo xtask instructions --update`"
        ));
    }
    if cost.instructions * growth_max < instructions {
        println!(
            "    that is less than the file says: `cargo xtask instructions --update` keeps it so"
        );
    }
    Ok(())
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("bench/results/instructions.json")
}

fn file(workspace: &Workspace) -> Result<Value, String> {
    let told = |why: &dyn std::fmt::Display| format!("bench/results/instructions.json: {why}");
    let text = fs::read_to_string(path(workspace)).map_err(|it| told(&it))?;
    serde_json::from_str(&text).map_err(|it| told(&it))
}

fn recorded(workspace: &Workspace) -> Result<Map<String, Value>, String> {
    match file(workspace)?["scenes"].take() {
        Value::Object(scenes) => Ok(scenes),
        _ => Err("bench/results/instructions.json: there are no scenes".into()),
    }
}

fn write(workspace: &Workspace, scenes: Map<String, Value>) -> Result<(), String> {
    let file = json!({
        "about": "Written by `cargo xtask instructions --update`; bench/README.md says what is counted.",
        "compiler": compiler(workspace),
        "scenes": scenes,
    });
    let text = serde_json::to_string_pretty(&file).map_err(|it| it.to_string())?;
    fs::write(path(workspace), text + "\n").map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_by_more_than_a_twentieth_fails() {
        let row = json!({ "instructions": 100.0, "allocating": 0.0 });
        let cost = |instructions| Cost { instructions, allocating: 0.0 };
        assert_eq!(compare(cost(104.9), &row, 1.05), Ok(()));
        assert_eq!(compare(cost(50.0), &row, 1.05), Ok(()));
        assert!(compare(cost(105.1), &row, 1.05).unwrap_err().contains("5.1 % more"));
        assert!(compare(cost(100.0), &Value::Null, 1.05).is_err());
    }
}
