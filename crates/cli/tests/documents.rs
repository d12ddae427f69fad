//! Every configuration that a document shows is one that `taiwa config check` accepts.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use support::{Running, run, taiwa};

/// A block of TOML and where it begins.
struct Block {
    file: PathBuf,
    line: usize,
    text: String,
}

/// Returns the blocks that begin with a line "```toml".
fn blocks(file: &Path) -> Vec<Block> {
    let text = fs::read_to_string(file).unwrap();
    let mut found: Vec<Block> = vec![];
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match (inside, line.trim()) {
            (false, "```toml") => {
                found.push(Block { file: file.into(), line: number + 1, text: String::new() });
                inside = true;
            }
            (true, "```") => inside = false,
            (true, _) => {
                let block = &mut found.last_mut().unwrap().text;
                block.push_str(line);
                block.push('\n');
            }
            (false, _) => {}
        }
    }
    assert!(!inside, "{}: a block of TOML has no end", file.display());
    found
}

/// Returns the documents for users: README.md, and all below docs/ and in the rooms of the dialects.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries.map(|it| it.unwrap().path()).collect::<Vec<_>>()
    };
    let rooms = entries("dialects").into_iter().map(|it| it.join("README.md"));
    let mut found = vec![root.join("README.md")];
    found.extend(
        entries("docs")
            .into_iter()
            .chain(rooms)
            .filter(|it| it.extension().is_some_and(|it| it == "md")),
    );
    found
}

#[test]
fn the_configuration_of_each_example_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let all = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path().join("taiwa.toml"));
    let all: Vec<_> = all.filter(|it| it.exists()).collect();
    assert!(!all.is_empty(), "the examples are gone");
    for file in all {
        let mut check = taiwa(&["config", "check", file.to_str().unwrap()]);
        // What users put into the environment, too.
        check.env("TAIWA_AUTH__JWT__SECRETS", "a secret of at least thirty-two bytes");
        check.env("TAIWA_WEBHOOKS__SECRETS", "a secret of at least twenty-four bytes");
        check.env("TAIWA_API__KEYS", "key-of-the-program-with-news");
        let checked = Running::start(check).finish();
        assert_eq!(checked.code, Some(0), "{}: {}", file.display(), checked.stderr);
    }
}

#[test]
fn each_configuration_in_the_documents_is_accepted() {
    let all: Vec<_> = documents().iter().flat_map(|it| blocks(it)).collect();
    assert!(all.len() >= 5, "only {} configurations: are these the documents?", all.len());
    for Block { file, line, text } in all {
        let name = format!("taiwa-test-document-{}-{line}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, &text).unwrap();
        let checked = run(&["config", "check", path.to_str().unwrap()], "");
        fs::remove_file(&path).unwrap();
        let place = format!("{}:{line}", file.display());
        assert_eq!(checked.code, Some(0), "{place}: {}\n{text}", checked.stderr);
    }
}
