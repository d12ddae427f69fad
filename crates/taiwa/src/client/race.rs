//! HTTP/3 and TCP in a race (in the spirit of RFC 8305): whichever is ready for a WebSocket first carries it.

use std::{
    pin::{Pin, pin},
    sync::Arc,
};

use http::Version;
use taiwa_proto::Deadline;
use tokio::time::{sleep, timeout};

use super::{
    Client,
    h2::Age,
    h3::{self, Alternative},
    pool::{Attempting, Known},
    redirect::Hop,
    route::Line,
    steps::{Trace, VersionStep},
};
use crate::error::Error;

type Attempt = Pin<Box<dyn Future<Output = Result<h3::Lease, Error>> + Send>>;

impl Client {
    /// Tries HTTP/3, and TCP some time later or when that failed. Whoever is usable first wins: SETTINGS have come that allow WebSockets,
    /// or TLS has agreed on HTTP/1.1. TCP that was outrun is dropped; HTTP/3 goes on for later WebSockets, in a task of its own.
    pub(super) async fn race(
        &self,
        hop: &Hop,
        known: &Arc<Known>,
        alternative: Alternative,
        trace: &Trace,
    ) -> Result<Line, Error> {
        let sharing = self.shared.pool.sharing();
        let at = alternative.to_string();
        let failed = |error: Error| {
            trace.note(VersionStep::Http3Failed { at: at.clone(), why: error.to_string() });
        };
        let won = |lease| {
            trace.note(VersionStep::Ready(Version::HTTP_3));
            Line::Http3(lease, Age::Fresh)
        };
        trace.note(VersionStep::Http3Began { at: at.clone() });
        let attempting = known.attempt(sharing.http3_head_start);
        let trying =
            self.clone().try_http3(hop.clone(), Arc::clone(known), alternative, attempting);
        let mut http3: Attempt = Box::pin(trying);
        tokio::select! {
            biased;
            tried = &mut http3 => match tried {
                Ok(lease) => return Ok(won(lease)),
                Err(error) => {
                    failed(error);
                    return self.tcp_line(hop, known, trace).await;
                }
            },
            () = sleep(sharing.http3_head_start) => {}
        }
        let mut tcp = pin!(self.tcp_line(hop, known, trace));
        tokio::select! {
            biased;
            tried = &mut http3 => match tried {
                Ok(lease) => {
                    trace.note(VersionStep::TcpOutrun);
                    Ok(won(lease))
                }
                Err(error) => {
                    failed(error);
                    tcp.await
                }
            },
            line = &mut tcp => match line {
                Ok(line) => {
                    trace.note(VersionStep::Http3Outrun { at: at.clone() });
                    // A connection that comes of it is in the pool.
                    tokio::spawn(async move { drop(http3.await) });
                    Ok(line)
                }
                Err(error) => {
                    trace.note(VersionStep::TcpFailed { why: error.to_string() });
                    http3.await.map(won).map_err(|_| error)
                }
            },
        }
    }

    /// Tries HTTP/3 within its time, and remembers if that fails.
    async fn try_http3(
        self,
        hop: Hop,
        known: Arc<Known>,
        alternative: Alternative,
        attempting: Attempting,
    ) -> Result<h3::Lease, Error> {
        let sharing = self.shared.pool.sharing();
        let Alternative { host, port } = &alternative;
        let beginning = self.begin_http3(&hop, &known, host, *port, Some(&alternative));
        let tried = match timeout(sharing.http3_within, beginning).await {
            Ok(tried) => tried,
            Err(_) => Err(Error::Late(Deadline::Handshake)),
        };
        if tried.is_err() {
            known.miss(&alternative, sharing.remembered_for);
        }
        drop(attempting);
        tried
    }
}
