//! The headers by which both sides agree on what a session speaks (draft 16 §3.3): structured fields (RFC 9651), of strings alone.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header by which a client offers protocols, the best first.
pub const AVAILABLE: HeaderName = HeaderName::from_static("wt-available-protocols");
/// The header by which a server chooses one.
pub const CHOSEN: HeaderName = HeaderName::from_static("wt-protocol");

/// The most protocols of a client's that are looked at. Those behind are passed over, as if they were not offered.
pub const OFFERED_MAX: usize = 100;

/// Writes a list of strings (RFC 9651 §4.1.1); `None` if one has a character that is not of printable ASCII, or is there twice.
///
/// ```
/// use taiwa_h3::webtransport::protocols::write_list;
///
/// assert_eq!(write_list(&["v2", "v\"1"]).unwrap(), r#""v2", "v\"1""#);
/// assert_eq!(write_list(&["é"]), None);
/// ```
pub fn write_list<S: AsRef<str>>(protocols: &[S]) -> Option<HeaderValue> {
    let mut text = String::new();
    for (index, protocol) in protocols.iter().map(S::as_ref).enumerate() {
        if protocols[..index].iter().any(|it| it.as_ref() == protocol) {
            return None;
        }
        if index > 0 {
            text.push_str(", ");
        }
        push_string(protocol, &mut text)?;
    }
    HeaderValue::try_from(text).ok()
}

/// Writes one string (RFC 9651 §4.1.6); `None` as [`write_list`].
pub fn write_item(protocol: &str) -> Option<HeaderValue> {
    let mut text = String::new();
    push_string(protocol, &mut text)?;
    HeaderValue::try_from(text).ok()
}

fn push_string(string: &str, text: &mut String) -> Option<()> {
    // RFC 9651 §4.1.6: "If input_string contains characters in the range %x00-1f or %x7f-ff [...] fail serialization."
    if !string.bytes().all(|it| matches!(it, b' '..=b'~')) {
        return None;
    }
    text.push('"');
    for char in string.chars() {
        if matches!(char, '"' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('"');
    Some(())
}

/// Reads what a client offers, the first [`OFFERED_MAX`]: nothing if the header is missing or wrong.
///
/// Draft 16 §3.3: "Any value type other than String MUST be treated as an error that causes the entire field to be ignored".
pub fn read_list(headers: &HeaderMap) -> Vec<String> {
    parse_list(headers).unwrap_or_default()
}

fn parse_list(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut offered = Vec::new();
    for line in headers.get_all(AVAILABLE) {
        let mut text = Text(line.to_str().ok()?.as_bytes());
        text.skip(b" ");
        // RFC 9651 §4.2: a line of the field may be empty.
        while !text.0.is_empty() {
            let protocol = text.string()?;
            text.parameters()?;
            if offered.len() < OFFERED_MAX {
                offered.push(protocol);
            }
            text.skip(b" \t");
            if text.0.is_empty() {
                break;
            }
            text.take(b',')?;
            text.skip(b" \t");
            // RFC 9651 §4.2.1: "If input_string is empty, there is a trailing comma; fail parsing."
            if text.0.is_empty() {
                return None;
            }
        }
    }
    Some(offered)
}

/// Reads what a server chose: `None` if the header is missing or wrong.
pub fn read_item(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(CHOSEN).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let mut text = Text(line.to_str().ok()?.as_bytes());
    text.skip(b" ");
    let protocol = text.string()?;
    text.parameters()?;
    text.skip(b" ");
    text.0.is_empty().then_some(protocol)
}

/// What is not read yet.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn skip(&mut self, chars: &[u8]) {
        while let [first, rest @ ..] = self.0
            && chars.contains(first)
        {
            self.0 = rest;
        }
    }

    fn take(&mut self, char: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[char])?;
        Some(())
    }

    /// Takes as much as is allowed, and tells how much that is.
    fn run(&mut self, is_allowed: impl Fn(u8) -> bool) -> usize {
        let len = self.0.iter().take_while(|it| is_allowed(**it)).count();
        self.0 = &self.0[len..];
        len
    }

    /// RFC 9651 §4.2.5.
    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut string = String::new();
        loop {
            let (&char, rest) = self.0.split_first()?;
            self.0 = rest;
            match char {
                b'"' => return Some(string),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    matches!(escaped, b'"' | b'\\').then(|| string.push(escaped.into()))?;
                }
                b' '..=b'~' => string.push(char.into()),
                _ => return None,
            }
        }
    }

    /// Passes over parameters (RFC 9651 §4.2.3.2): draft 16 §3.3 has them ignored, whatever they are.
    fn parameters(&mut self) -> Option<()> {
        while self.0.first() == Some(&b';') {
            self.take(b';')?;
            self.skip(b" ");
            matches!(self.0.first()?, b'a'..=b'z' | b'*').then_some(())?;
            self.run(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
            if self.0.first() == Some(&b'=') {
                self.take(b'=')?;
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// Passes over any bare item (RFC 9651 §4.2.3.1).
    fn bare_item(&mut self) -> Option<()> {
        let is_number = |it: u8| it.is_ascii_digit() || it == b'.';
        let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&it);
        match *self.0.first()? {
            b'"' => self.string().map(drop),
            b'?' => {
                self.take(b'?')?;
                (self.run(|it| matches!(it, b'0' | b'1')) == 1).then_some(())
            }
            // A byte sequence, between colons.
            b':' => {
                self.take(b':')?;
                self.run(|it| it.is_ascii_alphanumeric() || b"+/=".contains(&it));
                self.take(b':')
            }
            // A display string.
            b'%' => {
                self.take(b'%')?;
                self.string().map(drop)
            }
            b'@' | b'-' | b'0'..=b'9' => {
                let _date = self.take(b'@');
                let _sign = self.take(b'-');
                (self.run(is_number) > 0).then_some(())
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => (self.run(is_token) > 0).then_some(()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_list(lines: &[&str], expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AVAILABLE, line.parse().expect("a header"));
        }
        assert_eq!(read_list(&headers), expected, "{lines:?}");
    }

    #[track_caller]
    fn check_item(line: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.append(CHOSEN, line.parse().expect("a header"));
        assert_eq!(read_item(&headers).as_deref(), expected, "{line}");
    }

    #[test]
    fn what_is_written_is_read() {
        let protocols = ["v2", "", "a \"quoted\" \\one", "x,y;z"];
        let mut headers = HeaderMap::new();
        headers.insert(AVAILABLE, write_list(&protocols).expect("printable"));
        assert_eq!(read_list(&headers), protocols);
        for protocol in protocols {
            headers.insert(CHOSEN, write_item(protocol).expect("printable"));
            assert_eq!(read_item(&headers).as_deref(), Some(protocol));
        }
    }

    #[test]
    fn what_a_structured_field_can_not_say_is_not_written() {
        for protocol in ["é", "a\nb", "\x7f"] {
            assert_eq!((write_item(protocol), write_list(&[protocol])), (None, None));
        }
        assert_eq!(write_list(&["a", "b", "a"]), None);
    }

    #[test]
    fn parameters_are_passed_over() {
        let all = r#""a";x;y=1;z=-2.5;s="p;,\"";t=to/ken:1;b=:aGk=:;f=?0;d=@1700000000;u=%"f%c3%bc" , "b""#;
        check_list(&[all], &["a", "b"]);
        check_item(r#" "a"; x=?1 "#, Some("a"));
        check_list(&[r#""a""#, "", r#" "b","c" "#], &["a", "b", "c"]);
    }

    #[test]
    fn other_types_and_nonsense_make_the_whole_field_count_for_nothing() {
        for line in [
            "",
            "a",
            "1",
            "?1",
            "(\"a\")",
            r#""a", b"#,
            r#""a", 2"#,
            r#""a","#,
            r#""a" "b""#,
            r#""a"#,
            r#""a\n""#,
            r#""a";"#,
            r#""a";X=1"#,
            r#""a";x="#,
            r#""a";x=?2"#,
            r#""a";x=:a"#,
            r#""a";x=(1)"#,
        ] {
            check_list(&[line], &[]);
            check_item(line, None);
        }
        check_list(&[r#""a""#, "b"], &[]);
        check_item(r#""a", "b""#, None);
        let mut twice = HeaderMap::new();
        twice.append(CHOSEN, HeaderValue::from_static("\"a\""));
        twice.append(CHOSEN, HeaderValue::from_static("\"a\""));
        assert_eq!(read_item(&twice), None);
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let many = vec!["\"a\""; OFFERED_MAX + 5].join(",");
        let mut headers = HeaderMap::new();
        headers.insert(AVAILABLE, many.parse().expect("a header"));
        assert_eq!(read_list(&headers).len(), OFFERED_MAX);
    }
}
