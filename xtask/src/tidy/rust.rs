//! Rules for Rust files: their length, their functions' length, their first line, leftovers.

use super::{
    masked::{line, words},
    tree::Text,
};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Finds files that are too long; tests do not count.
pub(super) fn long_files(texts: &[Text]) -> Vec<String> {
    let rust = texts.iter().filter(|it| it.is_rust());
    rust.filter_map(|text| {
        let lines = text.without_tests().lines().count();
        (lines > FILE_LINES_MAX)
            .then(|| format!("{}: {lines} lines, at most {FILE_LINES_MAX}", text.path))
    })
    .collect()
}

/// Finds functions that are too long, from the line with `fn` to the closing brace. Tests count.
pub(super) fn long_functions(texts: &[Text]) -> Vec<String> {
    let mut faults = vec![];
    for text in texts.iter().filter(|it| it.is_rust()) {
        for (name, first, last) in functions(&text.code) {
            let lines = last - first + 1;
            if lines > FUNCTION_LINES_MAX {
                faults.push(format!(
                    "{}:{first}: fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}",
                    text.path
                ));
            }
        }
    }
    faults
}

/// Returns name, first and last line of every function with a body.
fn functions(code: &str) -> Vec<(&str, usize, usize)> {
    let mut found = vec![];
    for at in words(code, "fn") {
        let rest = &code[at + 2..];
        let name = rest.trim_start().split(|it: char| !it.is_alphanumeric() && it != '_').next();
        // `fn(u8) -> u8` is a type.
        let Some(name) = name.filter(|it| !it.is_empty()) else { continue };
        if let Some(end) = body_end(rest) {
            found.push((name, line(code, at), line(code, at + 2 + end)));
        }
    }
    found
}

/// Returns the place of the brace that closes the first body in `rest`; `None` where a semicolon
/// comes first (a function of a trait without a body) or the braces do not match.
fn body_end(rest: &str) -> Option<usize> {
    let (mut round, mut curly) = (0, 0);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b';' if round == 0 && curly == 0 => return None,
            b'{' => curly += 1,
            b'}' => {
                curly -= 1;
                // A constant in braces within the signature is inside `<>` or `[]`; a body is not.
                if curly == 0 && round == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Finds files that do not begin with `//!` and a sentence.
pub(super) fn first_lines(texts: &[Text]) -> Vec<String> {
    let rust = texts.iter().filter(|it| it.is_rust());
    rust.filter(|it| {
        let first = it.content.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|it| it.trim().len() <= 3)
    })
    .map(|it| format!("{}:1: the first line says what the file is for, after `//! `", it.path))
    .collect()
}

/// Finds code that panics because it was never written, and tests that never run.
pub(super) fn leftovers(texts: &[Text]) -> Vec<String> {
    let mut faults = vec![];
    for text in texts {
        for (sign, why) in [
            ("todo!", "is not written yet"),
            ("unimplemented!", "is not written yet"),
            ("#[ignore]", "needs a reason: #[ignore = \"why\"]"),
        ] {
            for (at, _) in text.code.match_indices(sign) {
                faults.push(format!("{}:{}: {sign} {why}", text.path, line(&text.code, at)));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    fn function(lines: usize) -> String {
        format!("fn long<const N: usize>(x: [u8; 4]) -> u8 {{\n{}}}\n", "x;\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_has_500_lines_without_its_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(900));
        let good = text("a.rs", &("\n".repeat(500) + &tests));
        assert_eq!(long_files(&[good]), [""; 0]);
        let bad = text("a.rs", &("\n".repeat(501) + &tests));
        assert_eq!(long_files(&[bad]), ["a.rs: 501 lines, at most 500"]);
        assert_eq!(long_files(&[text("x/tests.rs", &"\n".repeat(900))]), [""; 0]);
    }

    #[test]
    fn a_function_has_70_lines() {
        assert_eq!(long_functions(&[text("a.rs", &function(70))]), [""; 0]);
        let bad = format!("// fn\nconst F: fn(u8) = f;\n{}", function(71));
        let faults = long_functions(&[text("a.rs", &bad)]);
        assert_eq!(faults, ["a.rs:3: fn long has 71 lines, at most 70"]);
    }

    #[test]
    fn braces_in_literals_do_not_end_a_function() {
        let source = "trait T { fn none(&self) -> [u8; 2]; }\n\
            fn a() {\n let x = \"}\"; // }\n let y = '}';\n}\n fn b() where u8: Copy { }";
        let code = super::super::masked::mask(source);
        assert_eq!(functions(&code), [("a", 2, 5), ("b", 6, 6)]);
    }

    #[test]
    fn the_first_line_says_what_the_file_is_for() {
        assert_eq!(first_lines(&[text("a.rs", "//! What it is for.\n")]), [""; 0]);
        for bad in ["", "use x;\n", "//!\n//! Late.\n", "\n//! Late.\n", "// No.\n"] {
            assert_eq!(first_lines(&[text("a.rs", bad)]).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_written_is_found() {
        let good = "// todo!()\nlet x = \"unimplemented!()\";\n#[ignore = \"slow\"]\n";
        assert_eq!(leftovers(&[text("a.rs", good)]), [""; 0]);
        let bad = "fn a() { todo!() }\nfn b() { unimplemented!() }\n#[ignore]\n";
        assert_eq!(leftovers(&[text("a.rs", bad)]).len(), 3);
    }
}
