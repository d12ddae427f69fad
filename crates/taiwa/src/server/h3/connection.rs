//! One connection of HTTP/3: its handshake, its streams, its end.

use std::{io, net::SocketAddr, pin::pin, sync::Arc};

use http::Request;
use quinn::ConnectionError;
use rustls::pki_types::CertificateDer;
use taiwa_h3::{
    Protocol,
    error::Code,
    net::{Connection, RequestStream},
    webtransport::is_token,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{listen::Arriving, request, session, socket};
use crate::{
    error::Error,
    server::{
        Addr, Shared,
        connection::{Ends, in_time},
    },
};

/// Serves a connection to its end.
pub(in crate::server) async fn serve(shared: Arc<Shared>, arriving: Arriving) {
    let Some(limits) = shared.http3.clone() else { return };
    let Arriving { incoming, local, counted } = arriving;
    let peer = Addr::from(incoming.remote_address());
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => return failed(&shared, &peer, error),
    };
    let deadline = shared.terms.config.deadlines.handshake.map(|within| Instant::now() + within);
    let connected = tokio::select! {
        connected = in_time(deadline, connecting) => connected,
        () = shared.terms.going_away.wait() => None,
    };
    drop(counted);
    let quic = match connected {
        Some(Ok(quic)) => quic,
        Some(Err(error)) => return failed(&shared, &peer, error),
        None => return,
    };
    let ends = Arc::new(ends(&quic, peer, local));
    let of_connection = limits.limits(&shared);
    let settings = limits.settings(&of_connection);
    let (connection, driver) = Connection::server(quic, settings, of_connection);
    let mut driver = pin!(driver);
    let mut streams = Streams { shared, ends, tasks: JoinSet::new() };
    tokio::select! {
        _ = &mut driver => {}
        () = streams.run(&connection) => {
            connection.close(Code::NO_ERROR, "");
            driver.await;
        }
    }
    // They have lost their streams, or see it when they look.
    while let Some(ended) = streams.tasks.join_next().await {
        streams.shared.hear_panic(ended);
    }
}

/// Tells of a handshake that failed. A peer that has gone is nobody's fault.
fn failed(shared: &Shared, peer: &Addr, error: ConnectionError) {
    if let ConnectionError::TransportError(_) | ConnectionError::ConnectionClosed(_) = error {
        (shared.terms.on_error)(Some(peer), &Error::Tls(io::Error::other(error)));
    }
}

fn ends(quic: &quinn::Connection, peer: Addr, mut local: SocketAddr) -> Ends {
    let certificates = quic.peer_identity().and_then(|it| it.downcast().ok());
    let certificates = certificates.map_or(Vec::new(), |it: Box<Vec<CertificateDer<'static>>>| *it);
    // A socket may hear several addresses; where the system tells, the one that was asked is known.
    if let Some(ip) = quic.local_ip() {
        local.set_ip(ip);
    }
    Ends { is_tls: true, certificates, ..Ends::new(peer, local.into()) }
}

/// The tasks of a connection's streams.
struct Streams {
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    tasks: JoinSet<()>,
}

impl Streams {
    /// Runs until there is nothing left to do.
    async fn run(&mut self, connection: &Connection) {
        let going_away = Arc::clone(&self.shared.terms.going_away);
        let terms = Arc::clone(&self.shared.terms);
        // A client that has vanished without a word ends nothing by itself.
        let mut last = pin!(async {
            terms.patience().await;
            sleep(terms.config.deadlines.close.unwrap_or_default()).await;
        });
        let (mut is_accepting, mut is_leaving) = (true, false);
        loop {
            tokio::select! {
                accepted = connection.accept(), if is_accepting => match accepted {
                    Some((request, stream)) => self.begin(connection, request, stream),
                    None => is_accepting = false,
                },
                Some(ended) = self.tasks.join_next() => self.shared.hear_panic(ended),
                () = going_away.wait(), if !is_leaving => {
                    connection.go_away();
                    connection.sessions().drain();
                    is_leaving = true;
                }
                // WebSockets that were handed out in pieces have no task any more.
                () = connection.settled(), if !is_accepting && self.tasks.is_empty() => break,
                () = &mut last => break,
            }
        }
    }

    fn begin(&mut self, connection: &Connection, request: Request<()>, stream: RequestStream) {
        let (shared, ends) = (Arc::clone(&self.shared), Arc::clone(&self.ends));
        let has_sessions = shared.sessions.is_some();
        match request.extensions().get::<Protocol>() {
            Some(protocol) if has_sessions && is_token(protocol.as_str()) => {
                let connection = connection.clone();
                self.tasks.spawn(session::serve(shared, ends, connection, request, stream));
            }
            Some(_) => _ = self.tasks.spawn(socket::serve(shared, ends, request, stream)),
            None => _ = self.tasks.spawn(request::answer(shared, ends, request, stream)),
        }
    }
}
