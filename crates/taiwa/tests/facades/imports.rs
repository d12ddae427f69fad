//! Rewriting `use` declarations of Rust source: the one import that a facade asks to change.

/// Rewrites each path that is imported by `rename`, which gives the new path or `None` to leave it out.
/// Groups come apart: `use a::{b, c};` becomes `use a::b; use c;` if that is where `rename` puts them.
pub(crate) fn rewrite(source: &str, rename: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some(at) = next_use(rest) {
        let (before, found) = rest.split_at(at);
        text.push_str(before);
        let end = found.find(';').expect("a declaration ends");
        let mut leaves = Vec::new();
        flatten("", found["use ".len()..end].trim(), &mut leaves);
        for leaf in leaves {
            let (path, name) = match leaf.split_once(" as ") {
                Some((path, name)) => (path.trim(), Some(name.trim().to_owned())),
                None => (&leaf[..], None),
            };
            // `a::b::{self}` imports `a::b`.
            let path = path.strip_suffix("::self").unwrap_or(path);
            let Some(new) = rename(path) else { continue };
            let last = |it: &str| it.rsplit("::").next().unwrap_or(it).to_owned();
            let name = name.or_else(|| (last(path) != last(&new)).then(|| last(path)));
            let name = name.map(|it| format!(" as {it}")).unwrap_or_default();
            text.push_str(&format!("use {new}{name}; "));
        }
        rest = &found[end + 1..];
    }
    text + rest
}

/// Finds the next declaration: at the beginning of a line.
fn next_use(source: &str) -> Option<usize> {
    let mut at = 0;
    for line in source.split_inclusive('\n') {
        if line.trim_start().starts_with("use ") {
            return Some(at + line.len() - line.trim_start().len());
        }
        at += line.len();
    }
    None
}

/// Takes a tree of imports apart into paths.
fn flatten(prefix: &str, tree: &str, leaves: &mut Vec<String>) {
    let Some((path, group)) = tree.split_once('{') else {
        leaves.push(format!("{prefix}{}", tree.trim()));
        return;
    };
    let prefix = format!("{prefix}{}", path.trim());
    let group = group.trim().strip_suffix('}').expect("a group ends");
    let (mut depth, mut begun) = (0, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                flatten(&prefix, &group[begun..at], leaves);
                begun = at + 1;
            }
            _ => {}
        }
    }
    if !group[begun..].trim().is_empty() {
        flatten(&prefix, &group[begun..], leaves);
    }
}

#[test]
fn groups_come_apart_and_names_stay() {
    let rename = |path: &str| match path.strip_prefix("a::ws") {
        Some(rest) => Some(format!("taiwa::b{rest}")),
        None => (path != "gone").then(|| path.to_owned()),
    };
    for (source, expected) in [
        ("use a::ws::X;\n", "use taiwa::b::X; \n"),
        (
            "use a::{ws::{X, Y as Z,}, routing::any};",
            "use taiwa::b::X; use taiwa::b::Y as Z; use a::routing::any; ",
        ),
        ("x();\n  use a::ws::{self, X};", "x();\n  use taiwa::b as ws; use taiwa::b::X; "),
        ("use gone;\nuse std::str;\n", "\nuse std::str; \n"),
        ("// use x\nlet user = 1;", "// use x\nlet user = 1;"),
    ] {
        assert_eq!(rewrite(source, rename), expected);
    }
}
