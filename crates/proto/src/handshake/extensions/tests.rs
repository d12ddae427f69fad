//! `Sec-WebSocket-Extensions` by its grammar and its bounds.

use std::time::{Duration, Instant};

use super::*;

/// Reads `lines`; what is read is compared in the canonical form.
#[track_caller]
fn check(lines: &[&str], expected: Result<&str, ListFault>) {
    let read = parse_extensions(lines.iter().map(|it| it.as_bytes()));
    assert_eq!(read.map(|it| format_extensions(&it)).as_deref(), expected.as_ref().map(|it| *it));
}

#[test]
fn lists_are_read_in_order_over_several_lines() {
    check(&[], Ok(""));
    check(&["foo"], Ok("foo"));
    check(&["foo, bar; baz=2"], Ok("foo, bar; baz=2"));
    check(&["foo", "bar; baz=2"], Ok("foo, bar; baz=2"));
    check(&["foo;a;b=1 , foo;c"], Ok("foo; a; b=1, foo; c"));
}

#[test]
fn spaces_and_empty_elements_are_ignored() {
    check(&[" \tfoo ;\ta = 1 ; b\t,, bar , "], Ok("foo; a=1; b, bar"));
    check(&[",foo", "", " , "], Ok("foo"));
}

#[test]
fn quoted_values_lose_quotes_and_escapes() {
    check(&[r#"foo; a="10""#], Ok("foo; a=10"));
    check(&[r#"foo; a = "1\0\a" ; b"#], Ok("foo; a=10a; b"));
}

#[test]
fn a_quoted_value_that_is_no_token_is_malformed() {
    for value in
        [r#""""#, r#""a b""#, r#"" a""#, r#""a,b""#, r#""a\"""#, r#""a"#, r#""a\"#, "\"\u{e9}\""]
    {
        check(&[&format!("foo; a={value}")], Err(ListFault::Malformed));
    }
}

#[test]
fn a_line_that_is_no_list_is_malformed() {
    for line in [
        "",
        " ",
        ",",
        ",,",
        ";",
        "=",
        "foo;",
        "foo; ;a",
        "foo; a=",
        "foo; =1",
        "foo; a=1 2",
        "foo bar",
        "foo/bar",
        "foo; a==1",
        "foo; a=1=2",
        "f(o",
        "\"foo\"",
        "foo; \"a\"",
        "foo; a=\"1\"2",
        "f\u{e9}",
        "foo; a=\"1\" \"2\"",
        "foo\0",
        "foo; a=,bar",
    ] {
        check(&[line], Err(ListFault::Malformed));
    }
    check(&["foo", "bar;"], Err(ListFault::Malformed));
}

#[test]
fn names_of_properties_in_other_languages_are_only_names() {
    check(&["constructor; __proto__=1; toString"], Ok("constructor; __proto__=1; toString"));
}

#[test]
fn extensions_and_parameters_are_bounded() {
    let many = |count| vec!["x"; count].join(",");
    check(&[&many(EXTENSIONS_MAX)], Ok(&vec!["x"; EXTENSIONS_MAX].join(", ")));
    check(&[&many(EXTENSIONS_MAX + 1)], Err(ListFault::TooMany));
    check(&[&many(EXTENSIONS_MAX), "x"], Err(ListFault::TooMany));
    let many = |count| format!("x{}", "; y=1".repeat(count));
    check(&[&many(PARAMS_MAX)], Ok(&many(PARAMS_MAX)));
    check(&[&many(PARAMS_MAX + 1)], Err(ListFault::TooMany));
}

#[test]
fn reading_takes_linear_time() {
    let long = 512 << 10;
    let start = Instant::now();
    for line in [
        ",".repeat(long),
        " ".repeat(long),
        "x".repeat(long),
        ", ".repeat(long / 2),
        format!("x; a=\"{}", "\\a".repeat(long / 2)),
        format!("x{}y", " ".repeat(long)),
        format!("x;a{};", " ".repeat(long)),
    ] {
        let _ = parse_extensions([line.as_bytes()]);
    }
    // A quadratic reader needs minutes for half a million bytes.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
