//! Placeholders: where in a JSON text its attachments stand.

use bytes::Bytes;
use serde::Deserialize;

use super::{Args, Fault};

/// Stands in the text in place of an attachment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placeholder {
    #[serde(rename = "_placeholder")]
    is_placeholder: bool,
    num: usize,
}

/// Takes placeholders out of arguments and puts attachments in their places.
///
/// # Errors
///
/// A fault unless each attachment has one place.
pub(crate) fn joined(args: Args, mut attachments: Vec<Bytes>) -> Result<Args, Fault> {
    if attachments.is_empty() {
        return Ok(args);
    }
    let text = &args.pieces[0];
    let mut whole = Args { pieces: vec![], attachments: vec![] };
    let mut used = vec![false; attachments.len()];
    let (mut start, mut at, mut in_string) = (0, 0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => at += 1,
            b'{' if !in_string => {
                if let Some((number, len)) = placeholder(&text[at..]) {
                    let Some(used @ false) = used.get_mut(number) else {
                        return Err(Fault("illegal attachments"));
                    };
                    *used = true;
                    whole.pieces.push(text.slice(start..at));
                    whole.attachments.push(std::mem::take(&mut attachments[number]));
                    at += len;
                    start = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if used.contains(&false) {
        return Err(Fault("illegal attachments"));
    }
    whole.pieces.push(text.slice(start..));
    Ok(whole)
}

/// Reads a placeholder at the beginning of a text: its number, and how long it is.
fn placeholder(text: &[u8]) -> Option<(usize, usize)> {
    // Most objects are told apart by their first letters.
    let inside = text[1..].trim_ascii_start();
    if !inside.starts_with(b"\"_placeholder\"") && !inside.starts_with(b"\"num\"") {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Placeholder>();
    let found = stream.next()?.ok().filter(|it| it.is_placeholder)?;
    Some((found.num, stream.byte_offset()))
}

/// Writes arguments with placeholders, behind something.
pub(crate) fn written(args: &Args, before: &str) -> Vec<u8> {
    let mut out = before.as_bytes().to_vec();
    for (number, piece) in args.pieces.iter().enumerate() {
        if number > 0 {
            let number = number - 1;
            out.extend_from_slice(format!("{{\"_placeholder\":true,\"num\":{number}}}").as_bytes());
        }
        out.extend_from_slice(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &'static str, attachments: usize, expected: Option<(&[&str], &[u8])>) {
        let bytes = (0..attachments).map(|it| Bytes::from(vec![it as u8])).collect();
        let found = joined(Args::json(text.into()), bytes).ok();
        let found = found.map(|it| {
            let numbers: Vec<u8> = it.attachments.iter().map(|it| it[0]).collect();
            (it.pieces, numbers)
        });
        let expected = expected.map(|(pieces, order)| {
            (pieces.iter().map(|it| Bytes::from(it.to_string())).collect(), order.to_vec())
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn each_attachment_has_one_place() {
        let one = "{\"_placeholder\":true,\"num\":0}";
        check(one, 1, Some((&["", ""], &[0])));
        check(
            "1,{\"a\": { \"num\" : 0, \"_placeholder\":true }}",
            1,
            Some((&["1,{\"a\": ", "}"], &[0])),
        );
        check(
            "[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]",
            2,
            Some((&["[", ",", "]"], &[1, 0])),
        );
        check("\"{\\\"_placeholder\\\":true,\\\"num\\\":0}\"", 1, None);
        check("{\"_placeholder\":false,\"num\":0}", 1, None);
        check("{\"_placeholder\":true,\"num\":1}", 1, None);
        check("{\"_placeholder\":true,\"num\":-1}", 1, None);
        check("{\"_placeholder\":true,\"num\":\"0\"}", 1, None);
        check(one, 2, None);
        check("[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]", 1, None);
        check("[1]", 0, Some((&["[1]"], &[])));
    }

    #[test]
    fn without_attachments_a_placeholder_is_an_object_like_others() {
        check(
            "{\"_placeholder\":true,\"num\":0}",
            0,
            Some((&["{\"_placeholder\":true,\"num\":0}"], &[])),
        );
    }

    #[test]
    fn what_was_joined_is_written_alike() {
        let text = "{\"_placeholder\":true,\"num\":0},\"é\\\"{\",{\"b\":{\"_placeholder\":true,\"num\":1}}";
        let args = joined(Args::json(text.into()), vec!["x".into(), "y".into()]).unwrap();
        assert_eq!(written(&args, ""), text.as_bytes());
    }
}
