//! The URL as people write it, made into one of RFC 6455 §3.

/// Adds `ws://` if there is no scheme, and percent-encodes what a request line can't carry.
pub(super) fn complete(url: &str) -> String {
    // The path of a unix socket has no rules of a URL's.
    if url.starts_with("ws+unix:") || url.starts_with("wss+unix:") {
        return url.to_owned();
    }
    let with_scheme = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => format!("ws://{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => format!("wss://{rest}"),
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => url.to_owned(),
        _ => format!("ws://{url}"),
    };
    let authority = with_scheme.find("://").expect("just added") + 3;
    let path = with_scheme[authority..]
        .find(['/', '?', '#'])
        .map_or(with_scheme.len(), |it| authority + it);
    let mut complete = with_scheme[..path].to_owned();
    for byte in with_scheme[path..].bytes() {
        // Everything else is either allowed or the library's to refuse.
        if byte <= b' ' || byte >= 0x7f || b"\"<>\\^`{|}".contains(&byte) {
            complete.push_str(&format!("%{byte:02X}"));
        } else {
            complete.push(byte.into());
        }
    }
    complete
}

/// Leaves out the user and the password: what is shown ends up in logs.
pub(super) fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sees_the_password() {
        for (url, shown) in [
            ("wss://me:secret@h:1/a@b?c=d@e", "wss://h:1/a@b?c=d@e"),
            ("ws://me:a@b@h", "ws://h"),
            ("ws://h/a@b", "ws://h/a@b"),
            ("ws+unix:/run/a@b.sock:/x", "ws+unix:/run/a@b.sock:/x"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }

    #[test]
    fn urls_are_completed() {
        for (written, complete_url) in [
            ("localhost:8000", "ws://localhost:8000"),
            ("localhost:8000/chat", "ws://localhost:8000/chat"),
            ("[::1]:8000/chat", "ws://[::1]:8000/chat"),
            ("example.org?next=http://x", "ws://example.org?next=http://x"),
            ("wss://example.org/feed?a=b&c=%20", "wss://example.org/feed?a=b&c=%20"),
            ("http://example.org", "ws://example.org"),
            ("HTTPS://example.org/", "wss://example.org/"),
            ("ws://h/対話?q=a b", "ws://h/%E5%AF%BE%E8%A9%B1?q=a%20b"),
            ("ws://h/{\"x\"}", "ws://h/%7B%22x%22%7D"),
            ("ftp://h/", "ftp://h/"),
            ("ws+unix:/run/a b.sock:/chat", "ws+unix:/run/a b.sock:/chat"),
        ] {
            assert_eq!(complete(written), complete_url, "{written}");
        }
    }
}
