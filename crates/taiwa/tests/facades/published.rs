//! Sources of published crates, and crates made of them that are built and run against ours.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

/// Where cargo keeps the source of a package that ours depends on.
pub(crate) fn source_of(package: &str) -> PathBuf {
    static METADATA: OnceLock<Value> = OnceLock::new();
    let metadata = METADATA.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--format-version=1", "--offline", "--all-features"]);
        // Packages for other platforms need not be here.
        cargo.args(["--filter-platform", &host()]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    });
    let packages = metadata["packages"].as_array().expect("a list");
    let found = packages.iter().find(|it| it["name"] == package && !it["source"].is_null());
    let manifest = found.expect("a dependency")["manifest_path"].as_str().expect("a path");
    Path::new(manifest).parent().expect("it is in a folder").to_owned()
}

/// The platform of this machine, as rustc calls it.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.lines().find_map(|it| it.strip_prefix("host: "));
    line.expect("rustc names its host").to_owned()
}

/// A crate below the target folder that depends on ours.
pub(crate) struct Made {
    folder: PathBuf,
}

impl Made {
    /// Begins a crate. `features` are ours; `dependencies` are lines of its `Cargo.toml`, and can only be
    /// packages that this workspace has locked.
    pub(crate) fn new(name: &str, features: &[&str], dependencies: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What a former run made is not to be built again.
        let _ = fs::remove_dir_all(&folder);
        let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
        // The profile is the workspace's, so that dependencies are not built twice.
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
             [dependencies]\ntaiwa = {{ path = {ours:?}, features = {features:?} }}\n{dependencies}\n\
             [profile.dev]\ndebug = \"line-tables-only\"\n[profile.dev.package.\"*\"]\nopt-level = 1\n"
        );
        let made = Self { folder };
        made.write("Cargo.toml", &manifest);
        let lock = fs::read_to_string(ours.join("../../Cargo.lock")).expect("there is a lock");
        made.write("Cargo.lock", &lock);
        made
    }

    /// Writes a file of it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Runs its tests; returns how many passed.
    #[track_caller]
    pub(crate) fn test(&self) -> usize {
        let output = self.cargo("test").output().expect("cargo runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "in {:?}:\n{stdout}\n{stderr}", self.folder);
        let results = stdout.lines().filter_map(|it| it.strip_prefix("test result: ok. "));
        results.map(|it| it.split(' ').next().unwrap_or("").parse::<usize>().unwrap_or(0)).sum()
    }

    /// A cargo command in it, offline, with the target folder and the profile of this test.
    pub(crate) fn cargo(&self, command: &str) -> Command {
        let test = std::env::current_exe().expect("we run");
        let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/test");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg(command).args(["--offline", "--target-dir"]);
        cargo.arg(profile.parent().expect("target/<profile>"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.current_dir(&self.folder);
        cargo
    }
}
