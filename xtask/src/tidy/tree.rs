//! The text files of the project.

use std::{fs, path::Path};

use super::masked;

/// Files that are read: what people write by hand.
const ENDINGS: &[&str] =
    &["rs", "md", "toml", "py", "js", "mjs", "ts", "json", "html", "css", "go", "sh", "yml", "txt"];

/// One file.
#[derive(Debug)]
pub(super) struct Text {
    /// Its path from the root, with `/`.
    pub(super) path: String,
    /// What is in it.
    pub(super) content: String,
    /// A Rust file with its comments and literals blanked; empty for any other file.
    pub(super) code: String,
}

impl Text {
    /// Reads a file that is already in memory.
    pub(super) fn new(path: String, content: String) -> Self {
        let code = if path.ends_with(".rs") { masked::mask(&content) } else { String::new() };
        Self { path, content, code }
    }

    /// Tells whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tells whether the whole file is tests.
    pub(super) fn is_test(&self) -> bool {
        let file = self.path.rsplit('/').next().expect("split yields at least one part");
        file == "tests.rs" || self.path.contains("/tests/")
    }

    /// Returns the code before the tests at the bottom of the file.
    pub(super) fn without_tests(&self) -> &str {
        let end = self.code.find("#[cfg(test)]\nmod tests {").unwrap_or(self.code.len());
        if self.is_test() { "" } else { &self.code[..end] }
    }
}

/// Reads all text files below `root`, but for what tools make.
pub(super) fn read(root: &Path) -> Result<Vec<Text>, String> {
    let mut texts = vec![];
    walk(root, "", &mut texts)?;
    texts.sort_by(|a, b| a.path.cmp(&b.path));
    if texts.is_empty() {
        return Err(format!("no text file below {}", root.display()));
    }
    Ok(texts)
}

fn walk(folder: &Path, prefix: &str, texts: &mut Vec<Text>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|it| format!("{}: {it}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let made = matches!(name.as_str(), "target" | "node_modules" | "corpus" | "__pycache__");
        let hidden = name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".cargo");
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && !made && !hidden {
            walk(&entry.path(), &format!("{path}/"), texts)?;
        }
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if kind.is_file() && (ENDINGS.contains(&ending) || prefix == ".ci/") {
            match fs::read_to_string(entry.path()) {
                Ok(content) => texts.push(Text::new(path, content)),
                Err(why) => return Err(format!("{path}: {why}")),
            }
        }
    }
    Ok(())
}
