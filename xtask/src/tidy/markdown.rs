//! Rules for Markdown: every relative link leads somewhere.

use std::{collections::BTreeMap, path::Path};

use super::tree::Text;

/// Finds links to files that are not there and to headings that are not there.
pub(super) fn links(texts: &[Text], root: &Path) -> Vec<String> {
    let pages: BTreeMap<&str, &Text> = texts.iter().map(|it| (it.path.as_str(), it)).collect();
    let mut faults = vec![];
    for page in texts.iter().filter(|it| it.path.ends_with(".md")) {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in targets(&page.content) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let Some(path) =
                (if file.is_empty() { Some(page.path.clone()) } else { join(folder, file) })
            else {
                faults.push(format!("{}: {target} leads out of the project", page.path));
                continue;
            };
            let there = pages.contains_key(path.as_str()) || root.join(&path).exists();
            if !there {
                faults.push(format!("{}: {target} leads nowhere", page.path));
            } else if let Some(target_page) = pages.get(path.as_str())
                && path.ends_with(".md")
                && !heading.is_empty()
                && !headings(&target_page.content).any(|it| it == heading)
            {
                faults.push(format!("{}: no heading for {target}", page.path));
            }
        }
    }
    faults
}

/// Returns where the relative links of a page lead. Code is no link.
fn targets(page: &str) -> impl Iterator<Item = &str> {
    prose(page).flat_map(|line| {
        let unquoted = line.split('`').step_by(2);
        unquoted.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| {
            let target = rest.split([')', ' ']).next()?;
            let scheme = target.split_once(':').map(|(scheme, _)| scheme);
            let away = scheme.is_some_and(|it| it.bytes().all(|it| it.is_ascii_alphanumeric()));
            (!away && !target.is_empty()).then_some(target)
        })
    })
}

/// Returns the anchors of a page's headings, as code hosts derive them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    prose(page).filter(|it| it.starts_with('#')).map(|it| {
        let title = it.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    })
}

/// Returns the lines outside of code blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// Joins a folder and a relative path; `None` when it leads above the root.
fn join(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|it| !it.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[track_caller]
    fn check(path: &str, content: &str, faults: usize) {
        let other = text("docs/other.md", "# Its Title: 1\n```\n# not a heading\n```\n");
        let found = links(&[text(path, content), other], Path::new("/nowhere"));
        assert_eq!(found.len(), faults, "{found:?}");
    }

    #[test]
    fn links_that_resolve_pass() {
        check("a.md", "[x](docs/other.md) [y](https://example.com/z) [m](mailto:a@b)", 0);
        check("docs/a.md", "[x](./other.md#its-title-1) [y](../docs/other.md)", 0);
        check("a.md", "# Here I am\n[x](#here-i-am)", 0);
        check("a.md", "`[x](nowhere)`\n```\n[x](nowhere)\n```\n", 0);
    }

    #[test]
    fn links_that_do_not_resolve_are_found() {
        check("a.md", "[x](other.md) and [y](docs/missing.md)", 2);
        check("docs/a.md", "[x](other.md#no-such-title)", 1);
        check("docs/a.md", "[x](other.md#not-a-heading)", 1);
        check("a.md", "[x](../outside.md)", 1);
        check("a.md", "[x](#gone)", 1);
    }
}
