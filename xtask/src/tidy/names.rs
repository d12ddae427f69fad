//! Rules for names: a word that fits everything says nothing.

use super::{masked, tree::Text};

const EMPTY: &[&str] =
    &["util", "helper", "common", "manager", "handler", "context", "data", "base", "impl"];

/// Finds files, modules and types whose name holds a word that says nothing.
pub(super) fn faults(texts: &[Text]) -> Vec<String> {
    let mut faults = vec![];
    for text in texts {
        for part in text.path.split('/') {
            // What is before the first dot: `foo.test.js` is about `foo`.
            let name = part.trim_start_matches('.').split('.').next().unwrap_or_default();
            if let Some(word) = empty(name) {
                faults.push(format!("{}: `{word}` in a path says nothing", text.path));
                break;
            }
        }
        for (place, name) in definitions(&text.code) {
            if let Some(word) = empty(name) {
                let line = masked::line(&text.code, place);
                faults.push(format!("{}:{line}: `{word}` in {name} says nothing", text.path));
            }
        }
    }
    faults
}

/// Returns place and name of every module and type that the code defines.
fn definitions(code: &str) -> Vec<(usize, &str)> {
    let mut found = vec![];
    for keyword in ["mod", "struct", "enum", "trait", "union", "type"] {
        for at in masked::words(code, keyword) {
            // `type Data = ..` inside an `impl` has the name that a foreign trait gave it.
            let indent = code[..at].rsplit('\n').next().unwrap_or_default();
            if keyword == "type" && indent.starts_with(' ') && !indent.contains("pub") {
                continue;
            }
            let rest = code[at + keyword.len()..].trim_start();
            let end = rest.bytes().position(|it| !masked::is_word(it)).unwrap_or(rest.len());
            if end > 0 {
                found.push((at, &rest[..end]));
            }
        }
    }
    found
}

/// Returns the word of the name that says nothing, in the singular or the plural.
fn empty(name: &str) -> Option<&'static str> {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() || !letter.is_alphanumeric() {
            spaced.push(' ');
        }
        spaced.extend(letter.to_lowercase().filter(|it| it.is_alphanumeric()));
    }
    let mut words = spaced.split(' ');
    words.find_map(|word| {
        EMPTY.iter().copied().find(|it| word == *it || word.strip_suffix('s') == Some(it))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[test]
    fn empty_words_are_found_in_paths_modules_and_types() {
        for bad in ["src/util.rs", "utils/a.py", "src/frame_helpers.rs", "base.mjs", "data/x.json"]
        {
            assert_eq!(faults(&[text(bad, "")]).len(), 1, "{bad}");
        }
        for bad in [
            "mod common;",
            "pub struct ConnectionManager;",
            "enum HandlerKind {}",
            "trait Context {}",
            "pub(crate) type FrameData = u8;",
            "mod imp; mod impl_detail;",
        ] {
            assert_eq!(faults(&[text("a.rs", bad)]).len(), 1, "{bad}");
        }
    }

    #[test]
    fn other_words_and_foreign_names_pass() {
        let good = "struct Database; mod base64; struct Base64; enum Handled {}\n\
            use std::task::Context; // struct Data\n\
            impl Body for Page {\n    type Data = Bytes;\n}\n\
            fn handler(data: &[u8], context: &Context) {}";
        assert_eq!(faults(&[text("src/basement.rs", good)]), [""; 0]);
    }
}
