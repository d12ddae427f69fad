//! What a WebSocket does here, by its path: a member of a channel, an echo, an eye on the connections.

use std::{
    future::pending,
    time::{Instant, SystemTime},
};

use taiwa::{Addr, CloseCode, Closed, Error, Message, Misuse, Upgrade, Utf8Bytes, WebSocket};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use crate::{
    Site,
    connections::{Live, REPORT_EVERY},
    fanout::{Audience, Inbox, Member, Refusal},
};

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Door<'a> {
    Echo,
    Connections,
    Channel(&'a str, Audience),
    /// No path for a WebSocket: the status and the text that say so.
    Shut(u16, &'static str),
}

fn door<'a>(path: &'a str, query: Option<&str>) -> Door<'a> {
    match path {
        "/echo" => Door::Echo,
        "/.taiwa/connections" => Door::Connections,
        _ if path.starts_with(crate::RESERVED) => Door::Shut(404, "there is nothing here\n"),
        _ => {
            let echo = query.unwrap_or("").split('&').find_map(|it| it.strip_prefix("echo="));
            match echo {
                None | Some("false") => Door::Channel(path, Audience::Others),
                Some("true") => Door::Channel(path, Audience::All),
                Some(_) => Door::Shut(400, "echo is true or false\n"),
            }
        }
    }
}

/// Answers an opening handshake and stays with the connection to its end.
pub(crate) async fn meet(site: &Site, upgrade: Upgrade) -> Result<(), Error> {
    let uri = upgrade.uri().clone();
    let visit = |upgrade: &Upgrade| Visit::begin(site, upgrade, uri.path());
    match door(uri.path(), uri.query()) {
        Door::Shut(status, text) => upgrade.reject(status, text).await,
        Door::Echo => {
            let visit = visit(&upgrade);
            let mut socket = upgrade.accept().await?;
            let outcome = echo(&mut socket, &visit.live).await;
            visit.end(&socket, outcome);
            Ok(())
        }
        Door::Connections => {
            let mut socket = upgrade.accept().await?;
            // The eye is not in its own sight: each report would be a change to report.
            let _ = watch(&mut socket, site).await;
            Ok(())
        }
        Door::Channel(channel, audience) => match site.fanout.join(channel) {
            Err(refusal) => {
                let status = match refusal {
                    Refusal::NameTooLong => 414,
                    Refusal::TooManyChannels => 503,
                };
                upgrade.reject(status, format!("{refusal}\n")).await
            }
            Ok((member, mut inbox)) => {
                let visit = visit(&upgrade);
                let mut socket = upgrade.accept().await?;
                let outcome =
                    converse(&mut socket, &member, &mut inbox, audience, &visit.live).await;
                visit.end(&socket, outcome);
                Ok(())
            }
        },
    }
}

async fn echo(socket: &mut WebSocket, live: &Live) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        live.received();
        match socket.send(message).await {
            Ok(()) => live.sent(),
            Err(error) => closing_is_fine(error)?,
        }
    }
    Ok(())
}

async fn converse(
    socket: &mut WebSocket,
    member: &Member,
    inbox: &mut Inbox,
    audience: Audience,
    live: &Live,
) -> Result<(), Error> {
    // Received, and held back while others are behind with reading.
    let mut held: Option<(Message, Instant)> = None;
    loop {
        let room = async {
            match &held {
                Some((_, since)) => member.room(audience, *since).await,
                None => pending().await,
            }
        };
        let next = tokio::select! {
            () = room => {
                let (message, _) = held.take().expect("room is waited for with a message alone");
                member.publish(&message, audience);
                continue;
            }
            received = socket.recv(), if held.is_none() => {
                let Some(message) = received? else { return Ok(()) };
                live.received();
                held = Some((message, Instant::now()));
                continue;
            }
            next = inbox.next() => next,
        };
        let Ok(message) = next else { return too_slow(socket).await };
        // A peer that does not read must not hide from its own queue that it is too slow.
        let sent = tokio::select! {
            sent = socket.send(message) => sent,
            () = inbox.overflowed() => return too_slow(socket).await,
        };
        match sent {
            Ok(()) => live.sent(),
            Err(error) => closing_is_fine(error)?,
        }
    }
}

async fn too_slow(socket: &mut WebSocket) -> Result<(), Error> {
    socket.close(CloseCode::TRY_AGAIN_LATER, "slow reader").await.map(drop)
}

/// A message for a connection that closes has nobody to go to; `recv` tells how it ends.
fn closing_is_fine(error: Error) -> Result<(), Error> {
    match error {
        Error::Closed(_) | Error::Misuse(Misuse::Closing) => Ok(()),
        other => Err(other),
    }
}

/// Sends the report of the connections when it has changed, until the client leaves.
async fn watch(socket: &mut WebSocket, site: &Site) -> Result<(), Error> {
    let mut tick = interval(REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Utf8Bytes::default();
    loop {
        tokio::select! {
            received = socket.recv() => if received?.is_none() { return Ok(()) },
            _ = tick.tick() => {
                let report = site.connections.report(Instant::now());
                if report != last {
                    socket.send(report.clone()).await?;
                    last = report;
                }
            }
        }
    }
}

/// A connection from its opening to the line in the log that ends it.
struct Visit {
    live: Live,
    path: String,
    began: Instant,
    who: Addr,
}

impl Visit {
    fn begin(site: &Site, upgrade: &Upgrade, path: &str) -> Self {
        let who = upgrade.peer_addr().clone();
        let live = site.connections.list(who.clone(), path, SystemTime::now());
        Self { live, path: path.to_owned(), began: Instant::now(), who }
    }

    fn end(self, socket: &WebSocket, outcome: Result<(), Error>) {
        let (received, sent) = self.live.counts();
        let how = match (&outcome, socket.closed()) {
            (Err(error), _) => error.to_string(),
            (Ok(()), Some(Closed { code, reason, .. })) if reason.is_empty() => code.to_string(),
            (Ok(()), Some(Closed { code, reason, .. })) => format!("{code} {reason:?}"),
            (Ok(()), None) => "left open".into(),
        };
        info!(
            id = self.live.id(),
            who = %self.who,
            path = self.path,
            seconds = format_args!("{:.3}", self.began.elapsed().as_secs_f64()),
            received,
            sent,
            "closed: {how}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_channel_unless_it_is_reserved() {
        let channel = |path| Door::Channel(path, Audience::Others);
        for (path, query, expected) in [
            ("/chat", None, channel("/chat")),
            ("/", None, channel("/")),
            ("/chat/", None, channel("/chat/")),
            ("/%E5%AF%BE", None, channel("/%E5%AF%BE")),
            ("/chat", Some("echo=true"), Door::Channel("/chat", Audience::All)),
            ("/chat", Some("a=b&echo=true"), Door::Channel("/chat", Audience::All)),
            ("/chat", Some("echo=false"), channel("/chat")),
            ("/chat", Some("token=x"), channel("/chat")),
            ("/chat", Some("echo=1"), Door::Shut(400, "echo is true or false\n")),
            ("/echo", None, Door::Echo),
            ("/echo", Some("echo=true"), Door::Echo),
            ("/echo/", None, channel("/echo/")),
            ("/.taiwa/connections", None, Door::Connections),
            ("/.taiwa/x", None, Door::Shut(404, "there is nothing here\n")),
        ] {
            assert_eq!(door(path, query), expected, "{path} {query:?}");
        }
    }
}
