//! The static table (RFC 9204 Appendix A), and how to find something in it.

/// Name and value of each entry, by index.
const ENTRIES: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// Returns name and value of the entry at `index`.
pub(super) fn entry(index: u64) -> Option<(&'static str, &'static str)> {
    ENTRIES.get(usize::try_from(index).ok()?).copied()
}

/// What the table has of a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Name and value, at this index.
    Line(u64),
    /// The name alone, first at this index.
    Name(u64),
    /// Nothing.
    Nothing,
}

/// Looks for the best entry for a field line.
pub(super) fn find(name: &[u8], value: &[u8]) -> Found {
    let Some([begin, end]) = BY_LENGTH.begins.get(name.len()..).and_then(<[_]>::first_chunk) else {
        return Found::Nothing;
    };
    let mut found = Found::Nothing;
    for (index, entry) in &BY_LENGTH.entries[*begin..*end] {
        if entry.0.as_bytes() != name {
            continue;
        }
        if entry.1.as_bytes() == value {
            return Found::Line(*index);
        }
        if found == Found::Nothing {
            found = Found::Name(*index);
        }
    }
    found
}

/// Bytes of the longest name.
const NAME_BYTES_MAX: usize = 32;

/// The entries by the length of their names: few names have the same, and most lines of a response are looked for.
struct ByLength {
    /// With their indices; those of one length in the order of the table.
    entries: [(u64, (&'static str, &'static str)); ENTRIES.len()],
    /// Where those of each length begin, and where the last of them end.
    begins: [usize; NAME_BYTES_MAX + 2],
}

static BY_LENGTH: ByLength = {
    let mut entries = [(0, ENTRIES[0]); ENTRIES.len()];
    let mut begins = [0; NAME_BYTES_MAX + 2];
    let (mut placed, mut length) = (0, 0);
    while length <= NAME_BYTES_MAX {
        begins[length] = placed;
        let (mut at, mut index) = (0, 0);
        while at < ENTRIES.len() {
            if ENTRIES[at].0.len() == length {
                entries[placed] = (index, ENTRIES[at]);
                placed += 1;
            }
            (at, index) = (at + 1, index + 1);
        }
        length += 1;
    }
    begins[NAME_BYTES_MAX + 1] = placed;
    assert!(placed == ENTRIES.len(), "a name is longer");
    ByLength { entries, begins }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_where_the_rfc_has_them() {
        let rows = [
            (0, ":authority", ""),
            (1, ":path", "/"),
            (15, ":method", "CONNECT"),
            (25, ":status", "200"),
            (57, "strict-transport-security", "max-age=31536000; includesubdomains"),
            (71, ":status", "500"),
            (
                85,
                "content-security-policy",
                "script-src 'none'; object-src 'none'; base-uri 'none'",
            ),
            (98, "x-frame-options", "sameorigin"),
        ];
        for (index, name, value) in rows {
            assert_eq!(entry(index), Some((name, value)));
        }
        assert_eq!(entry(99), None);
        assert_eq!(entry(u64::MAX), None);
    }

    #[test]
    fn every_entry_is_found_and_a_name_at_its_first() {
        for (index, (name, value)) in (0..).zip(ENTRIES) {
            assert_eq!(find(name.as_bytes(), value.as_bytes()), Found::Line(index));
        }
        assert_eq!(find(b":status", b"418"), Found::Name(24));
        // As long as another name, as none, and longer than all.
        for name in [&b"sec-websocket-version"[..], b"xge", b"", b"x", &[b'x'; 32], &[b'x'; 33]] {
            assert_eq!(find(name, b"13"), Found::Nothing, "{}", name.escape_ascii());
        }
        assert_eq!(find(&[b'x'; 1000], b""), Found::Nothing);
    }
}
