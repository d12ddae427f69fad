//! [`Tongue`]: how a client says in which channels it is, publishes and hears, with servers that have channels.

use serde_json::{Value, json};

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tongue {
    /// A WebSocket and nothing else: the URL names the channels, a message is said in the first of them.
    Plain,
    /// Centrifugo's protocol, JSON.
    Centrifuge,
    /// Socket.IO's, over a WebSocket from the beginning, with what the programs of `servers/` make of it.
    SocketIo,
    /// The same with what `taiwa serve` makes of it for pages without a program behind them: the URL names the channels.
    SocketIoPage,
}

/// What a client wants of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) channels: Vec<String>,
    /// It hears itself, and is in once it did.
    pub(crate) echo: bool,
    /// It may come back: what its channel says is to be kept for it.
    pub(crate) recoverable: bool,
    /// It comes back: where it was.
    pub(crate) since: Option<Place>,
}

/// Where a client was when it lost its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The epoch of the channel, or the session's secret.
    pub(crate) epoch: String,
    /// The position of what it heard last.
    pub(crate) offset: String,
}

/// What one message of a server amounts to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// The client is in all its channels; with what the server said about it.
    In(&'a str),
    /// Something was said in a channel: the whole message.
    Said(&'a str),
    /// It wants this answer.
    Asked(&'static str),
    /// What means nothing here.
    Else,
}

/// What a client says of itself while it waits to be in.
pub(crate) const HERE: &str = "\"here\"";
/// The number of the command to subscribe; to connect it is one less.
const SUBSCRIBE: u64 = 2;

impl Tongue {
    /// Returns what stands in the first line of the opening handshake.
    pub(crate) fn target(self, wish: &Wish) -> String {
        match self {
            Self::Plain => {
                let mut out = String::from("/?");
                for name in &wish.channels {
                    out += &format!("channel={name}&");
                }
                out + if wish.echo { "echo=true" } else { "echo=false" }
            }
            Self::Centrifuge => "/connection/websocket".into(),
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket".into(),
            Self::SocketIoPage => {
                let channels = wish.channels.iter().map(|it| format!("&channel={it}"));
                "/socket.io/?EIO=4&transport=websocket".to_owned() + &channels.collect::<String>()
            }
        }
    }

    /// Returns what a client says first, behind the opening handshake.
    pub(crate) fn greeting(self, wish: &Wish) -> Option<String> {
        match self {
            Self::Plain => wish.echo.then(|| HERE.into()),
            Self::Centrifuge => {
                let mut out = r#"{"id":1,"connect":{}}"#.to_owned();
                for (name, id) in wish.channels.iter().zip(SUBSCRIBE..) {
                    let mut subscribe = json!({ "channel": name });
                    if wish.recoverable {
                        subscribe["recoverable"] = true.into();
                    }
                    if let Some(Place { epoch, offset }) = &wish.since {
                        subscribe["recover"] = true.into();
                        subscribe["epoch"] = epoch.as_str().into();
                        subscribe["offset"] = offset.parse::<u64>().unwrap_or_default().into();
                    }
                    out += &format!("\n{}", json!({ "id": id, "subscribe": subscribe }));
                }
                Some(out)
            }
            Self::SocketIo => Some(match &wish.since {
                Some(Place { epoch, offset }) => {
                    format!("40{}", json!({ "pid": epoch, "offset": offset }))
                }
                None => format!("40{}", json!({ "channels": wish.channels })),
            }),
            Self::SocketIoPage => Some(match &wish.since {
                Some(Place { epoch, offset }) => {
                    format!("40{}", json!({ "pid": epoch, "offset": offset }))
                }
                None => "40".into(),
            }),
        }
    }

    /// Returns how many messages of the server tell that the client is in; 0 if the opening handshake does.
    pub(crate) fn answers(self, wish: &Wish) -> usize {
        match self {
            Self::Plain => usize::from(wish.echo),
            // Without a channel the client only connects.
            Self::Centrifuge => wish.channels.len().max(1),
            Self::SocketIo | Self::SocketIoPage => 1,
        }
    }

    /// Returns what a client says to publish a JSON text.
    pub(crate) fn publish(self, channel: &str, data: &str) -> String {
        match self {
            Self::Plain => data.into(),
            Self::Centrifuge => {
                format!(r#"{{"id":99,"publish":{{"channel":"{channel}","data":{data}}}}}"#)
            }
            Self::SocketIo => format!(r#"42["say","{channel}",{data}]"#),
            Self::SocketIoPage => format!(r#"42["taiwa:publish","{channel}","say",{data}]"#),
        }
    }

    /// Says what a line of a message means.
    ///
    /// # Errors
    /// The server refuses something.
    pub(crate) fn hear<'a>(self, line: &'a str, wish: &Wish) -> Result<Heard<'a>, String> {
        let is_refused = |it: &str| Err(format!("the server says {it}"));
        Ok(match self {
            Self::Plain if line == HERE => Heard::In(line),
            Self::Plain => Heard::Said(line),
            Self::Centrifuge if line == "{}" => Heard::Asked("{}"),
            Self::Centrifuge if line.starts_with(r#"{"push""#) => Heard::Said(line),
            Self::Centrifuge => {
                let reply: Value = serde_json::from_str(line).map_err(|it| it.to_string())?;
                if reply.get("error").is_some() || reply.get("id").is_none() {
                    return is_refused(line);
                }
                let id = reply["id"].as_u64().unwrap_or_default();
                let last = if wish.channels.is_empty() { 1 } else { SUBSCRIBE };
                match last <= id && id < 99 {
                    true if wish.since.is_some() && reply["subscribe"]["recovered"] != true => {
                        return is_refused(line);
                    }
                    true => Heard::In(line),
                    false => Heard::Else,
                }
            }
            Self::SocketIo | Self::SocketIoPage => match line.as_bytes() {
                [b'0', ..] => Heard::Else,
                [b'2', ..] => Heard::Asked("3"),
                [b'4', b'0', ..] => match &wish.since {
                    // Whoever gets another session has lost what the one before would have got.
                    Some(it) if !line.contains(&format!("{:?}", it.epoch)) => {
                        return is_refused(line);
                    }
                    _ => Heard::In(line),
                },
                [b'4', b'2', ..] => Heard::Said(line),
                _ => return is_refused(line),
            },
        })
    }

    /// Returns the numbers of what was said, `{"n":…}`, and where the client is behind it; of several channels at most one
    /// may say anything.
    pub(crate) fn read(self, line: &str, place: &mut Place) -> Result<Vec<u64>, String> {
        let wrong = || format!("{line} is not what was expected");
        let parse = |it: &str| serde_json::from_str::<Value>(it).map_err(|_| wrong());
        let number = |it: &Value| it["n"].as_u64().ok_or_else(wrong);
        match self {
            Self::Plain => Ok(vec![number(&parse(line)?)?]),
            Self::Centrifuge => {
                let it = parse(line)?;
                if let Some(publication) = it.pointer("/push/pub") {
                    place.offset = publication["offset"].to_string();
                    return Ok(vec![number(&publication["data"])?]);
                }
                let subscribed = it.get("subscribe").ok_or_else(wrong)?;
                place.epoch = subscribed["epoch"].as_str().ok_or_else(wrong)?.into();
                // Left out where it is 0.
                place.offset = subscribed["offset"].as_u64().unwrap_or_default().to_string();
                let missed = subscribed["publications"].as_array().map_or(&[][..], |it| it);
                if let Some(last) = missed.last() {
                    place.offset = last["offset"].to_string();
                }
                missed.iter().map(|it| number(&it["data"])).collect()
            }
            Self::SocketIo | Self::SocketIoPage => {
                let it = parse(line.get(2..).unwrap_or_default())?;
                if let Some(session) = it.get("pid") {
                    place.epoch = session.as_str().ok_or_else(wrong)?.into();
                    return Ok(vec![]);
                }
                place.offset = it[2].as_str().ok_or_else(wrong)?.into();
                Ok(vec![number(&it[1])?])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(channels: &[&str]) -> Wish {
        Wish { channels: channels.iter().map(ToString::to_string).collect(), ..Wish::default() }
    }

    fn back(epoch: &str, offset: &str) -> Wish {
        let place = Place { epoch: epoch.into(), offset: offset.into() };
        Wish { recoverable: true, since: Some(place), ..wish(&["c"]) }
    }

    #[test]
    fn channels_are_asked_for_in_each_tongue() {
        let two = wish(&["a", "b"]);
        assert_eq!(Tongue::Plain.target(&two), "/?channel=a&channel=b&echo=false");
        assert_eq!(Tongue::Plain.greeting(&two), None);
        let greeting = Tongue::Centrifuge.greeting(&two).unwrap();
        let lines: Vec<Value> =
            greeting.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(lines[2], json!({ "id": 3, "subscribe": { "channel": "b" } }));
        assert_eq!(Tongue::SocketIo.greeting(&two).unwrap(), r#"40{"channels":["a","b"]}"#);
        let target = Tongue::SocketIoPage.target(&two);
        assert_eq!(target, "/socket.io/?EIO=4&transport=websocket&channel=a&channel=b");
        let again = Tongue::Centrifuge.greeting(&back("e", "7")).unwrap();
        assert!(again.contains(r#""recover":true"#) && again.contains(r#""offset":7"#), "{again}");
        let again = Tongue::SocketIo.greeting(&back("e", "7")).unwrap();
        assert_eq!(again, r#"40{"pid":"e","offset":"7"}"#);
    }

    #[test]
    fn being_in_is_heard_and_a_refusal_too() {
        let one = wish(&["c"]);
        let is_in = |tongue: Tongue, line: &str, wish: &Wish| {
            tongue.hear(line, wish).map(|it| matches!(it, Heard::In(_)))
        };
        for (tongue, line, expected) in [
            (Tongue::Plain, HERE, true),
            (Tongue::Plain, "{}", false),
            (Tongue::Centrifuge, r#"{"id":1,"connect":{}}"#, false),
            (Tongue::Centrifuge, r#"{"id":2,"subscribe":{}}"#, true),
            (Tongue::Centrifuge, r#"{"push":{}}"#, false),
            (Tongue::SocketIo, r#"0{"sid":"x"}"#, false),
            (Tongue::SocketIo, r#"40{"sid":"x"}"#, true),
        ] {
            assert_eq!(is_in(tongue, line, &one), Ok(expected), "{line}");
        }
        let again = back("e", "7");
        let lost = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e"}}"#;
        assert!(is_in(Tongue::Centrifuge, lost, &again).is_err());
        assert!(is_in(Tongue::SocketIo, r#"40{"sid":"x","pid":"other"}"#, &again).is_err());
        assert!(is_in(Tongue::Centrifuge, r#"{"id":2,"error":{"code":103}}"#, &one).is_err());
        assert!(is_in(Tongue::SocketIo, "44{}", &one).is_err());
    }

    #[test]
    fn what_was_missed_moves_the_place() {
        let mut place = Place::default();
        let reply = r#"{"id":2,"subscribe":{"epoch":"e","offset":9,"publications":
            [{"data":{"n":8},"offset":8},{"data":{"n":9},"offset":9}]}}"#;
        assert_eq!(Tongue::Centrifuge.read(reply, &mut place), Ok(vec![8, 9]));
        assert_eq!(place, Place { epoch: "e".into(), offset: "9".into() });
        let push = r#"{"push":{"channel":"c","pub":{"data":{"n":10},"offset":10}}}"#;
        assert_eq!(Tongue::Centrifuge.read(push, &mut place), Ok(vec![10]));
        assert_eq!(place.offset, "10");
        let mut place = Place::default();
        let tongue = Tongue::SocketIo;
        assert_eq!(tongue.read(r#"40{"sid":"s","pid":"p"}"#, &mut place), Ok(vec![]));
        assert_eq!(tongue.read(r#"42["say",{"n":3},"o3"]"#, &mut place), Ok(vec![3]));
        assert_eq!(place, Place { epoch: "p".into(), offset: "o3".into() });
    }
}
