//! Where things are: the root of the project, cargo, the target folder.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The project on this machine.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds, and where the tools keep what they install.
    pub(crate) target: PathBuf,
    /// What `cargo metadata --no-deps` says.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self, String> {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path", manifest])
            .output()
            .map_err(|it| format!("cargo does not start: {it}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|it| format!("cargo metadata: {it}"))?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).ok_or(format!("cargo metadata without {key}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, metadata })
    }

    /// Starts a command in the root of the project.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&self.root);
        command
    }

    /// Starts a cargo command in the root of the project. What it builds is built once, and takes less room without the
    /// parts for building it again.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).args(args).env("CARGO_INCREMENTAL", "0");
        command
    }

    /// Starts a release build, but for link-time optimization, which takes half of a build's time and changes no behaviour:
    /// for checks that need speed and measure none.
    pub(crate) fn release_build(&self, args: &[&str]) -> Command {
        let mut command = self.cargo(&[&["build", "--quiet", "--release"], args].concat());
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command
    }

    /// Returns where a release build puts a binary.
    pub(crate) fn release(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Returns the folder in which the tools keep what they install and write.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Returns a program of the Python environment that `setup` makes.
    pub(crate) fn venv(&self, program: &str) -> PathBuf {
        self.tools().join("venv/bin").join(program)
    }
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
