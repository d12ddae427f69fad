//! A closure at work on its connection: run it, catch what it throws, close what it leaves open.

use std::{
    any::Any,
    fmt::Display,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use taiwa_proto::CloseCode;
use tokio::{
    sync::oneshot::{self, error::RecvError},
    task::coop,
};

use super::{Addr, Terms, upgrade::Reply};
use crate::websocket::Inner;

/// A closure's future.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A closure at work.
pub(super) struct Attended {
    terms: Arc<Terms>,
    peer: Addr,
    /// `None` once it has returned, panicked or been dropped.
    running: Option<Running>,
    /// The close code for the socket it left: 1000, or 1011 if it failed.
    code: CloseCode,
}

impl Attended {
    pub(super) fn new(terms: &Arc<Terms>, peer: &Addr, running: Running) -> Self {
        let (terms, peer) = (Arc::clone(terms), peer.clone());
        Self { terms, peer, running: Some(running), code: CloseCode::NORMAL }
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
        (self.terms.on_error)(Some(&self.peer), what);
    }

    /// Waits for the closure's answer. Without one: status 500, or 503 if the server goes away first.
    pub(super) async fn answer(&mut self, reply: &mut oneshot::Receiver<Reply>) -> Reply {
        let terms = Arc::clone(&self.terms);
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
            () = terms.patience() => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Reply::Reject(response)
    }

    /// Waits as [`run_out`](Self::run_out), and not longer than until something comes `home`, or nothing can.
    async fn run_until<T>(
        &mut self,
        home: &mut oneshot::Receiver<T>,
    ) -> Option<Result<T, RecvError>> {
        let terms = Arc::clone(&self.terms);
        let mut patience = pin!(terms.patience());
        let mut woken: Option<Waker> = None;
        poll_fn(|cx| {
            if self.poll_returned(cx).is_ready() {
                return Poll::Ready(None);
            }
            // For each message the task is woken for the closure alone: the others have this waker already.
            let is_known = woken.as_ref().is_some_and(|it| it.will_wake(cx.waker()));
            if is_known && home.is_empty() && !terms.going_away.is_said() {
                return Poll::Pending;
            }
            if !is_known {
                woken = Some(cx.waker().clone());
            }
            if patience.as_mut().poll(cx).is_ready() {
                self.running = None;
                return Poll::Ready(None);
            }
            // Also if the closure has used up what tokio lets the task do in one go: otherwise it would not be told this waker.
            pin!(coop::unconstrained(&mut *home)).poll(cx).map(Some)
        })
        .await
    }

    /// Waits until the closure has returned, but not longer than the server's patience.
    pub(super) async fn run_out(&mut self) {
        let terms = Arc::clone(&self.terms);
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.poll_returned(cx)) => {}
            () = terms.patience() => self.running = None,
        }
    }
}

/// Runs a closure that has accepted, and closes its socket when it comes `home` open.
pub(super) async fn attend(mut attended: Attended, mut home: oneshot::Receiver<Box<Inner>>) {
    let terms = Arc::clone(&attended.terms);
    match attended.run_until(&mut home).await {
        // Dropped while the closure goes on.
        Some(Ok(socket)) => {
            tokio::join!(close(socket, CloseCode::NORMAL, &terms), attended.run_out());
        }
        // It ended by itself.
        Some(Err(_)) => attended.run_out().await,
        // The socket is here already, unless the closure gave it to another task.
        None => tokio::select! {
            biased;
            socket = home => if let Ok(socket) = socket {
                close(socket, attended.code, &terms).await;
            },
            () = terms.patience() => {}
        },
    }
}

/// Does the closing handshake, within [`Deadlines::close`](crate::Deadlines::close).
async fn close(mut socket: Box<Inner>, code: CloseCode, terms: &Terms) {
    let code = match code {
        _ if socket.panicked => CloseCode::INTERNAL_ERROR,
        CloseCode::NORMAL if terms.going_away.is_said() => CloseCode::GOING_AWAY,
        code => code,
    };
    let _ = socket.close(code, "");
    let _ = poll_fn(|cx| socket.poll_end(cx)).await;
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("?"))
}
