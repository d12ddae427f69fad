//! What docs/coming-from-phoenix.md shows is what is tested.

use std::{fs, path::Path};

#[test]
fn the_lines_by_which_a_page_resumes_are_those_that_the_checks_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/coming-from-phoenix.md")).unwrap();
    let module = fs::read_to_string(root.join("interop/phoenix/resume.mjs")).unwrap();
    assert!(page.contains(&format!("```js\n{module}```\n")));
}

#[test]
fn settings_that_the_page_names_are_settings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/coming-from-phoenix.md")).unwrap();
    let settings = fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let (_, section) = settings.split_once("### `[dialects.phoenix]`").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let mut named = 0;
    for word in page.split('`').filter_map(|it| it.strip_prefix("dialects.phoenix.")) {
        assert!(section.contains(&format!("| `{word}` |")), "{word}");
        named += 1;
    }
    assert!(named >= 3, "{named}");
}
