//! Rust with comments and literals blanked, so that a search finds code alone.

/// Returns the source with every comment, string and character literal replaced by spaces. Line
/// breaks stay, so that line numbers do.
pub(super) fn mask(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + literal(&bytes[at..], at > 0 && is_word(bytes[at - 1]));
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Returns the length of the comment or literal at the start of `rest`, 0 if there is none.
/// `amid_word` says that the byte before belongs to a word: the `r` of `for"` starts no literal.
fn literal(rest: &[u8], amid_word: bool) -> usize {
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, 0),
        [b'b' | b'c', b'"', ..] if !amid_word => quoted(rest, 1),
        [b'b', b'\'', ..] if !amid_word => character(rest, 1),
        [b'r', ..] if !amid_word => raw(rest, 1),
        [b'b' | b'c', b'r', ..] if !amid_word => raw(rest, 2),
        [b'\'', ..] => character(rest, 0),
        _ => 0,
    }
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], prefix: usize) -> usize {
    let mut at = prefix + 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`; `r#name` is a raw identifier, no literal.
fn raw(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|it| **it == b'#').count();
    let start = prefix + hashes;
    if rest.get(start) != Some(&b'"') {
        return 0;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let inside = &rest[start + 1..];
    match inside.windows(close.len()).position(|it| it == close) {
        Some(at) => start + 1 + at + close.len(),
        None => rest.len(),
    }
}

/// `'x'` and `'\n'` are literals, `'a` in `&'a str` is a lifetime.
fn character(rest: &[u8], prefix: usize) -> usize {
    let inside = &rest[prefix + 1..];
    let skipped = match inside.first() {
        Some(b'\\') => 2,
        Some(first) => [0x80, 0xc0, 0xe0, 0xf0].iter().filter(|it| *first >= **it).count().max(1),
        None => return 0,
    };
    // A multi-byte character has 0xc0, 0xe0 or 0xf0 above 0x80: two, three or four bytes.
    let end = inside.iter().skip(skipped).position(|it| *it == b'\'');
    match end {
        Some(0) => prefix + skipped + 2,
        Some(more) if inside[0] == b'\\' && more <= 10 => prefix + skipped + more + 2,
        _ => 0,
    }
}

/// Tells whether a byte may be part of an identifier.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Returns the places at which `word` stands alone in `code`.
pub(super) fn words(code: &str, word: &str) -> impl Iterator<Item = usize> {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let around = code.as_bytes();
        let before = at.checked_sub(1).is_some_and(|it| is_word(around[it]));
        let after = around.get(at + word.len()).is_some_and(|it| is_word(*it));
        !before && !after
    })
}

/// Returns the number of the line that holds the byte `at`, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|it| **it == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, code: &str) {
        assert_eq!(mask(source).split_whitespace().collect::<Vec<_>>().join(" "), code);
        assert_eq!(mask(source).len(), source.len());
    }

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        check("a // { fn\nb", "a b");
        check("a /* { /* nested } */ \" */ b", "a b");
        check(r#"f("} \" {", x)"#, "f( , x)");
        check(r##"f(r#"} " {"#, br"\", c"{", b"}\"")"##, "f( , , , )");
        check(r"m('{', '\'', '\\', '\u{7d}', b'}', 'é', '対', '🦀')", "m( , , , , , , , )");
        check("fn f<'a>(x: &'a str, y: &'static [u8]) { 'out: loop {} }", {
            "fn f<'a>(x: &'a str, y: &'static [u8]) { 'out: loop {} }"
        });
        check("r#fn r#type for\"s\" var", "r#fn r#type for var");
        check("unclosed \"{{{", "unclosed");
        check("ends in '", "ends in '");
        check("let c = ' '; b", "let c = ; b");
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("fn a fnb cfn _fn fn", "fn").collect::<Vec<_>>(), [0, 17]);
        assert_eq!(line("a\nb\nc", 4), 3);
    }
}
