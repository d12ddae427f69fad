//! Datagrams of WebTransport: to the server and back, or to the server alone, which counts and compares them.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use bench_pattern::pattern;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use http::{Method, Request};
use quinn::Endpoint;
use serde_json::{Value, json};
use taiwa_h3::net;
use tokio::time::timeout;

use super::{Carrier, told};
use crate::{
    certificate::NAME,
    clients::Rest,
    measure::{Measure, histogram, note},
    noise::Pool,
    rows::{Effort, WARM_UP},
};

const ECHOED_BYTES: usize = 100;
/// Fits in the packets that every path has to carry (RFC 9000 §14).
const TAKEN_BYTES: usize = 1000;
/// What asks the server how many datagrams came.
const QUESTION: &[u8] = b"?";
/// A datagram that was not seen for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// Datagrams that a session sends before it asks how many came: a flood would measure how servers drop them.
const AT_ONCE: u64 = 32;

/// A session on a connection of its own.
struct Session {
    session: net::Session,
    connection: net::Connection,
    _endpoint: Endpoint,
    /// What was lost and may come after all.
    late: Vec<Bytes>,
}

impl Carrier<'_> {
    async fn sessions(&self, count: usize) -> Result<Vec<Session>, String> {
        let mut sessions = vec![];
        for _ in 0..count {
            let (connection, endpoint) = self.http3().await?;
            let uri = format!("https://{NAME}:{}{}", self.server.port(), self.path);
            let request = Request::builder().method(Method::CONNECT).uri(uri).body(());
            let request = request.map_err(told)?;
            let (session, _) = connection.session(request).await.map_err(told)?;
            self.hear();
            sessions.push(Session { session, connection, _endpoint: endpoint, late: vec![] });
        }
        Ok(sessions)
    }
}

/// Keeps one datagram outstanding on each of `count` sessions.
pub(crate) fn datagrams_echoed(
    carrier: &Carrier<'_>,
    count: usize,
    effort: Effort,
) -> Result<Value, String> {
    let pool = Pool::new(ECHOED_BYTES, &mut carrier.noise.borrow_mut());
    carrier.run(Rest::Sleep, async {
        let mut sessions = carrier.sessions(count).await?;
        echoes(carrier, &mut sessions, &pool, WARM_UP.min(effort.window)).await?;
        let measure = Measure::start(carrier.server)?;
        let (latency, lost) = echoes(carrier, &mut sessions, &pool, effort.window).await?;
        let mut figures = measure.stop_with_latency("datagram", "datagrams", &latency)?;
        figures["lost_share"] = json!(lost as f64 / (latency.len() + lost) as f64);
        Ok(figures)
    })
}

async fn echoes(
    carrier: &Carrier<'_>,
    sessions: &mut [Session],
    pool: &Pool,
    window: Duration,
) -> Result<(Histogram<u64>, u64), String> {
    let tally = RefCell::new((histogram(), 0));
    let end = Instant::now() + window;
    try_join_all(sessions.iter_mut().map(|session| async {
        while Instant::now() < end {
            let start = pool.start(&mut carrier.noise.borrow_mut());
            let datagram = Bytes::copy_from_slice(pool.message(start, ECHOED_BYTES));
            let since = Instant::now();
            session.session.send_datagram(&datagram).map_err(told)?;
            match timeout(LOST_AFTER, session.echo_of(&datagram)).await {
                Ok(came) => {
                    came?;
                    carrier.hear();
                    note(&mut tally.borrow_mut().0, since.elapsed());
                }
                Err(_) => {
                    session.late.push(datagram);
                    tally.borrow_mut().1 += 1;
                }
            }
        }
        Ok::<_, String>(())
    }))
    .await?;
    Ok(tally.into_inner())
}

impl Session {
    /// Waits for this datagram.
    ///
    /// # Errors
    /// One comes that is neither this one nor one that was late.
    async fn echo_of(&mut self, due: &Bytes) -> Result<(), String> {
        loop {
            let came = self.session.recv_datagram().await.ok_or("the server ended a session")?;
            if came == due {
                return Ok(());
            }
            let late = self.late.iter().position(|it| *it == came);
            self.late.swap_remove(late.ok_or("a datagram came back changed")?);
        }
    }

    /// Sends a datagram as soon as those before it have left: the crate would rather drop one.
    async fn send(&self, payload: &[u8]) -> Result<(), String> {
        // RFC 9297 §2.1: the Quarter Stream ID. A session that is alone has that of the first stream.
        let quarter = u8::try_from(self.session.id() / 4).ok().filter(|it| *it < 64);
        let mut datagram = BytesMut::with_capacity(1 + payload.len());
        datagram.put_u8(quarter.ok_or("a session that is not the first of its connection")?);
        datagram.put_slice(payload);
        let quic = self.connection.quic();
        quic.send_datagram_wait(datagram.freeze()).await.map_err(told)
    }

    /// Asks how many came, until there is an answer.
    async fn count(&self, sent: u64) -> Result<u64, String> {
        loop {
            self.send(QUESTION).await?;
            let Ok(answer) = timeout(LOST_AFTER, self.session.recv_datagram()).await else {
                continue;
            };
            let answer = answer.ok_or("the server ended a session")?;
            let count = str::from_utf8(&answer).ok().and_then(|it| it.parse::<u64>().ok());
            return match count.ok_or("an answer that is no number")? {
                count if count > sent => Err(format!("{count} of {sent} datagrams came")),
                count => Ok(count),
            };
        }
    }
}

/// Sends numbered datagrams on `count` sessions, some at a time.
pub(crate) fn datagrams_taken(
    carrier: &Carrier<'_>,
    count: usize,
    effort: Effort,
) -> Result<Value, String> {
    carrier.run(Rest::Sleep, async {
        let sessions = carrier.sessions(count).await?;
        let sent = vec![0; count];
        let (sent, before) = pour(carrier, &sessions, sent, WARM_UP.min(effort.window)).await?;
        let sent_before: u64 = sent.iter().sum();
        let measure = Measure::start(carrier.server)?;
        let (sent, came) = pour(carrier, &sessions, sent, effort.window).await?;
        let sent = sent.iter().sum::<u64>() - sent_before;
        let (mut figures, elapsed, cpu) = measure.stop()?;
        let came = came - before;
        if came == 0 {
            return Err("no datagram came".into());
        }
        figures["cpu_us_per_datagram"] = json!(cpu * 1e6 / came as f64);
        figures["datagrams_per_second"] = json!(came as f64 / elapsed);
        figures["lost_share"] = json!(1.0 - came as f64 / sent as f64);
        Ok(figures)
    })
}

/// Returns how many were sent in all, session by session, and how many came in all.
async fn pour(
    carrier: &Carrier<'_>,
    sessions: &[Session],
    sent: Vec<u64>,
    window: Duration,
) -> Result<(Vec<u64>, u64), String> {
    let end = Instant::now() + window;
    let each = sessions.iter().zip(sent).map(|(session, mut sent)| async move {
        let mut came = 0;
        while Instant::now() < end {
            for number in sent..sent + AT_ONCE {
                session.send(&numbered(number)).await?;
            }
            sent += AT_ONCE;
            came = session.count(sent).await?;
            carrier.hear();
        }
        Ok::<_, String>((sent, came))
    });
    let (sent, came): (Vec<u64>, Vec<u64>) = try_join_all(each).await?.into_iter().unzip();
    Ok((sent, came.iter().sum()))
}

/// A number, and the pattern from there on: servers compare it.
fn numbered(number: u64) -> Vec<u8> {
    [&number.to_be_bytes(), pattern().at(number, TAKEN_BYTES as u64 - 8)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_datagram_is_the_pattern_from_its_number_on() {
        for number in [0, 7, 131_000, u64::from(u32::MAX)] {
            let datagram = numbered(number);
            assert_eq!(datagram.len(), TAKEN_BYTES);
            assert_eq!(datagram[..8], number.to_be_bytes());
            assert!(pattern().is_at(number, &datagram[8..]));
        }
    }
}
