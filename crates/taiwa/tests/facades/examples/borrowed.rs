//! Examples of a published crate, built against a facade: their source comes out of cargo's own folders
//! and goes into a workspace below the target folder, with one import added to each file.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use super::super::published::source_of;

/// The examples of one crate.
pub(crate) struct Borrowed {
    /// The published crate.
    pub(crate) package: &'static str,
    /// The import that is added.
    pub(crate) import: &'static str,
    /// `[dependencies]` of the examples.
    pub(crate) dependencies: &'static str,
}

/// Programs that are built, and the ports that stand in for those fixed in their source.
pub(crate) struct Built {
    folder: PathBuf,
    package: &'static str,
    ports: Vec<(u16, u16)>,
}

impl Built {
    /// The command for an example.
    pub(crate) fn command(&self, example: &str) -> Command {
        Command::new(self.folder.join(name(self.package, example)))
    }

    /// The port that stands in for `fixed` in an example.
    pub(crate) fn port(&self, fixed: u16) -> u16 {
        self.ports.iter().find(|it| it.0 == fixed).expect("it is one of theirs").1
    }
}

fn name(package: &str, example: &str) -> String {
    format!("{package}-{example}")
}

/// Ports that the examples listen on or connect to.
const FIXED: [u16; 4] = [3012, 8080, 9001, 9002];

impl Borrowed {
    /// Builds all examples; panics with what the compiler says.
    pub(crate) fn build(&self) -> Built {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in there");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("facades").join(self.package);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace");
        fs::create_dir_all(folder.join("src")).expect("room for a folder");
        let ports = ports(&folder.join("ports"));
        let mut programs = String::new();
        let sources = source_of(self.package).join("examples");
        for example in fs::read_dir(&sources).expect("a folder of examples") {
            let path = example.expect("a file").path();
            let Some(stem) = path.file_stem().and_then(|it| it.to_str()) else { continue };
            if path.extension().is_none_or(|it| it != "rs") {
                continue;
            }
            let source = fs::read_to_string(&path).expect("text");
            let file = folder.join("src").join(format!("{stem}.rs"));
            write(&file, &self.changed(&source, &ports));
            let name = name(self.package, stem);
            programs += &format!("[[bin]]\nname = {name:?}\npath = \"src/{stem}.rs\"\n");
        }
        let lock = fs::read_to_string(root.join("Cargo.lock")).expect("the versions that we use");
        let taiwa = root.join("crates/taiwa");
        let manifest = format!(
            "[workspace]\n[package]\nname = \"{}-examples\"\nedition = \"2021\"\nautobins = false\n\
             {programs}[dependencies.taiwa]\npath = {taiwa:?}\nfeatures = [\"compat-tungstenite\"]\n\
             [dependencies]\n{}\n[profile.dev]\ndebug = \"line-tables-only\"\n\
             [profile.dev.package.\"*\"]\nopt-level = 1\n",
            self.package, self.dependencies
        );
        // A changed lock file would build everything anew; cargo drops what is not needed from its own.
        let changed = write(&folder.join("Cargo.toml"), &manifest);
        if changed | write(&folder.join("Cargo.lock.origin"), &lock) {
            fs::write(folder.join("Cargo.lock"), lock).expect("room for a file");
        }
        build(&folder, target);
        Built { folder: target.join("debug"), package: self.package, ports }
    }

    /// Adds the import behind the inner documentation, and puts free ports in place of the fixed ones.
    fn changed(&self, source: &str, ports: &[(u16, u16)]) -> String {
        let docs = source.lines().take_while(|it| it.starts_with("//!")).map(|it| it.len() + 1);
        let (docs, rest) = source.split_at(docs.sum());
        let mut changed = format!("{docs}use {};\n{rest}", self.import);
        for (fixed, free) in ports {
            changed = changed.replace(&format!(":{fixed}"), &format!(":{free}"));
        }
        changed
    }
}

/// Writes a file unless it is there already, so that nothing is built anew for it.
fn write(path: &Path, content: &str) -> bool {
    let changed = fs::read_to_string(path).is_ok_and(|it| it != content) || !path.exists();
    if changed {
        fs::write(path, content).expect("room for a file");
    }
    changed
}

/// The ports of the last run, if they are free, or other ones.
fn ports(file: &Path) -> Vec<(u16, u16)> {
    let before = fs::read_to_string(file).unwrap_or_default();
    let before: Vec<u16> = before.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let bind = |ports: &[u16]| -> Option<Vec<TcpListener>> {
        ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port)).ok()).collect()
    };
    let free = match (before.len() == FIXED.len()).then(|| bind(&before)).flatten() {
        Some(_) => before,
        None => {
            let listeners = bind(&[0; FIXED.len()]).expect("free ports");
            listeners.iter().map(|it| it.local_addr().expect("it is bound").port()).collect()
        }
    };
    let text: Vec<String> = free.iter().map(u16::to_string).collect();
    write(file, &text.join(" "));
    FIXED.into_iter().zip(free).collect()
}

fn build(folder: &Path, target: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet", "--bins"]).current_dir(folder);
    let output = cargo.env("CARGO_TARGET_DIR", target).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
