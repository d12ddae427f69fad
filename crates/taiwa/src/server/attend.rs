//! A closure at work on its connection: run it, catch what it throws, close what it leaves open.

use std::{
    any::Any,
    fmt::Display,
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use taiwa_proto::CloseCode;
use tokio::{sync::oneshot, time::sleep};

use super::{
    Addr, Shared,
    upgrade::{Reply, Upgrade},
};
use crate::websocket::Inner;

type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A closure at work.
pub(super) struct Attended {
    shared: Arc<Shared>,
    peer: Addr,
    /// `None` once it has returned, panicked or been dropped.
    running: Option<Running>,
    /// The close code for the socket it left: 1000, or 1011 if it failed.
    code: CloseCode,
}

impl Attended {
    pub(super) fn new(shared: &Arc<Shared>, peer: &Addr, upgrade: Upgrade) -> Self {
        let running = Some((shared.answer)(upgrade));
        Self { shared: Arc::clone(shared), peer: peer.clone(), running, code: CloseCode::NORMAL }
    }

    /// Is ready when the closure has returned.
    fn poll_returned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(running) = &mut self.running else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        match polled {
            Ok(returned) => {
                if let Err(error) = ready!(returned) {
                    self.fail(&error);
                }
            }
            Err(panic) => self.fail(&panic_text(&*panic)),
        }
        self.running = None;
        Poll::Ready(())
    }

    fn fail(&mut self, what: &dyn Display) {
        self.code = CloseCode::INTERNAL_ERROR;
        (self.shared.on_error)(Some(&self.peer), what);
    }

    /// Waits for the closure's answer. Without one: status 500, or 503 if the server goes away first.
    pub(super) async fn answer(&mut self, reply: &mut oneshot::Receiver<Reply>) -> Reply {
        let shared = Arc::clone(&self.shared);
        let status = tokio::select! {
            biased;
            reply = &mut *reply => match reply {
                Ok(reply) => return reply,
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            () = poll_fn(|cx| self.poll_returned(cx)) => match reply.try_recv() {
                Ok(reply) => return reply,
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            () = shared.patience() => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Reply::Reject(response)
    }

    /// Waits until the closure has returned, but not longer than the server's patience.
    pub(super) async fn run_out(&mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.poll_returned(cx)) => {}
            () = shared.patience() => self.running = None,
        }
    }
}

impl Shared {
    /// Ends when the server goes away and what was not done by itself has to be ended.
    pub(super) async fn patience(&self) {
        self.going_away.wait().await;
        match self.config.deadlines.close {
            Some(within) => sleep(within).await,
            None => pending().await,
        }
    }
}

/// Runs a closure that has accepted, and closes its socket when it comes `home` open.
pub(super) async fn attend(mut attended: Attended, mut home: oneshot::Receiver<Box<Inner>>) {
    let shared = Arc::clone(&attended.shared);
    let socket = tokio::select! {
        biased;
        () = attended.run_out() => None,
        socket = &mut home => Some(socket),
    };
    match socket {
        // Dropped while the closure goes on.
        Some(Ok(socket)) => {
            tokio::join!(close(socket, CloseCode::NORMAL, &shared), attended.run_out());
        }
        // It ended by itself.
        Some(Err(_)) => attended.run_out().await,
        // The socket is here already, unless the closure gave it to another task.
        None => tokio::select! {
            biased;
            socket = home => if let Ok(socket) = socket {
                close(socket, attended.code, &shared).await;
            },
            () = shared.patience() => {}
        },
    }
}

/// Does the closing handshake, within [`Deadlines::close`](crate::Deadlines::close).
async fn close(mut socket: Box<Inner>, code: CloseCode, shared: &Shared) {
    let code = match code {
        _ if socket.panicked => CloseCode::INTERNAL_ERROR,
        CloseCode::NORMAL if shared.going_away.is_said() => CloseCode::GOING_AWAY,
        code => code,
    };
    let _ = socket.close(code, "");
    let _ = poll_fn(|cx| socket.poll_end(cx)).await;
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("?"))
}
