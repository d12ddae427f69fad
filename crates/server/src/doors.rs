//! Where clients come in: the path, the subprotocol and the transport lead to a dialect.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use taiwa_core::{Dialect, Door, Refusal, RefusalKind, Request, Response, Transport};

use crate::body::response;

/// The doors of all dialects, in the order in which they are tried.
pub(crate) struct Doors(Vec<(Door, Arc<dyn Dialect>)>);

impl Doors {
    pub(crate) fn new(dialects: &[Arc<dyn Dialect>]) -> Self {
        let each = |it: &Arc<dyn Dialect>| {
            let dialect = it.clone();
            it.doors().iter().map(move |door| (*door, dialect.clone())).collect::<Vec<_>>()
        };
        let mut doors: Vec<_> = dialects.iter().flat_map(each).collect();
        // A path of its own before one that is the beginning of many, the longest first; among equals those with
        // subprotocols first, then in the order of the dialects.
        doors.sort_by_key(|(door, _)| {
            let open = door.path.ends_with('*');
            (open, usize::MAX - door.path.len(), door.subprotocols.is_empty())
        });
        Self(doors)
    }

    /// Finds the dialect for a client and the subprotocol to agree on.
    pub(crate) fn find<'a>(
        &self,
        transport: Transport,
        path: &str,
        offered: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<(&Arc<dyn Dialect>, Option<&'static str>)> {
        self.0.iter().find_map(|(door, dialect)| {
            if !door.transports.contains(&transport) || !leads(door.path, path) {
                return None;
            }
            if door.subprotocols.is_empty() {
                return Some((dialect, None));
            }
            let mut agreed =
                offered.clone().filter_map(|it| door.subprotocols.iter().find(|ours| **ours == it));
            agreed.next().map(|it| (dialect, Some(*it)))
        })
    }

    /// Finds the name of a dialect.
    pub(crate) fn name(&self, name: &str) -> Option<&'static str> {
        self.0.iter().map(|(_, dialect)| dialect.name()).find(|it| *it == name)
    }

    /// Tells whether a path is one of a dialect over HTTP.
    pub(crate) fn has_http(&self, path: &str) -> bool {
        self.find(Transport::Http, path, std::iter::empty()).is_some()
    }
}

fn leads(door: &str, path: &str) -> bool {
    match door.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => door == path,
    }
}

/// Makes the words of core out of those of HTTP.
pub(crate) fn request(method: &str, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Request {
    // All values lie in one piece of memory.
    let mut values = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    headers.values().for_each(|it| values.extend_from_slice(it.as_bytes()));
    let mut values = values.freeze();
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().into(), values.split_to(value.len()))
    };
    Request {
        method: method.into(),
        path: uri.path().into(),
        query: uri.query().unwrap_or_default().into(),
        headers: headers.iter().map(header).collect(),
        body,
    }
}

/// Tells why a request reaches no conversation: in the words of its dialect, otherwise by a line of text with the status that
/// such a refusal has.
pub(crate) fn turned_away(
    dialect: &dyn Dialect,
    request: &Request,
    why: &Refusal,
) -> http::Response<Bytes> {
    turned_away_with(status(why), dialect, request, why)
}

/// Tells it as [`turned_away`] does, but with this status where the dialect has no words of its own.
pub(crate) fn turned_away_with(
    status: u16,
    dialect: &dyn Dialect,
    request: &Request,
    why: &Refusal,
) -> http::Response<Bytes> {
    if let Some(Response::Whole { status, headers, body }) = dialect.turn_away(request, why) {
        return response(status, headers, body);
    }
    let mut headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
    if let RefusalKind::Rate(wait) = why.kind {
        headers.push(("retry-after", (wait.as_secs() + 1).to_string()));
    }
    response(status, headers, Bytes::from(format!("{}\n", why.text.trim_end_matches('\n'))))
}

/// The kind of refusal that a dialect's own status is.
pub(crate) fn nobody(status: u16, text: &str) -> Refusal {
    let kind = match status {
        401 => RefusalKind::Unauthorized,
        403 => RefusalKind::Forbidden,
        404 | 410 => RefusalKind::NotFound,
        429 => RefusalKind::Limit,
        400..=499 => RefusalKind::BadRequest,
        _ => RefusalKind::Unavailable,
    };
    Refusal::new(kind, text)
}

/// The status by which a refusal is told at the door.
fn status(refusal: &Refusal) -> u16 {
    match refusal.kind {
        RefusalKind::BadRequest => 400,
        RefusalKind::Unauthorized | RefusalKind::Expired => 401,
        RefusalKind::Forbidden => 403,
        RefusalKind::NotFound => 404,
        RefusalKind::Rate(_) | RefusalKind::Limit => 429,
        _ => 503,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use taiwa_core::{Conversation, Knock};

    use super::*;

    struct Room(&'static str, &'static [Door]);

    impl Dialect for Room {
        fn name(&self) -> &'static str {
            self.0
        }

        fn doors(&self) -> &[Door] {
            self.1
        }

        fn open(&self, _: &Knock<'_>, _: Instant) -> Result<Box<dyn Conversation>, Refusal> {
            Err(Refusal::new(RefusalKind::NotAvailable, "nobody is in"))
        }
    }

    const WS: &[Transport] = &[Transport::WebSocket];
    const HTTP: &[Transport] = &[Transport::Http];

    #[track_caller]
    fn check(transport: Transport, path: &str, offered: &[&str], expected: &str) {
        let dialects: [Arc<dyn Dialect>; 3] = [
            Arc::new(Room(
                "any",
                &[
                    Door { path: "*", subprotocols: &[], transports: WS },
                    Door { path: "*", subprotocols: &["any"], transports: WS },
                ],
            )),
            Arc::new(Room("sse", &[Door { path: "/sse*", subprotocols: &[], transports: HTTP }])),
            Arc::new(Room(
                "fuge",
                &[
                    Door { path: "/c/ws", subprotocols: &["pb", "json"], transports: WS },
                    Door { path: "/c/ws", subprotocols: &[], transports: WS },
                ],
            )),
        ];
        let doors = Doors::new(&dialects);
        let found = doors.find(transport, path, offered.iter().copied());
        let text = found.map_or("none".into(), |(it, agreed)| {
            format!("{} {}", it.name(), agreed.unwrap_or("-"))
        });
        assert_eq!(text, expected, "{path} {offered:?}");
    }

    #[test]
    fn the_nearest_door_counts_and_of_equals_the_one_whose_subprotocol_is_offered() {
        let (ws, http) = (Transport::WebSocket, Transport::Http);
        check(ws, "/chat", &[], "any -");
        check(ws, "/chat", &["other", "any"], "any any");
        check(ws, "/c/ws", &[], "fuge -");
        check(ws, "/c/ws", &["x", "json", "pb"], "fuge json");
        check(ws, "/c/ws", &["x"], "fuge -");
        check(ws, "/sse/x", &[], "any -");
        check(http, "/sse/x", &[], "sse -");
        check(http, "/c/ws", &[], "none");
    }
}
