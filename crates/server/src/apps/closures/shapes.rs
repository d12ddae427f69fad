//! What closures take and return: at once, or later.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use taiwa_core::{Answer, Asked, Channel, Payload, Refusal, Secret};

use super::panicked;

/// A wish to hear a channel, as [`Closures::on_subscribe`](super::Closures::on_subscribe) gets it.
#[derive(Clone, Debug)]
pub struct Subscribing {
    /// Which one.
    pub channel: Channel,
    /// The token that the client shows for it.
    pub token: Option<Secret>,
    /// What the client says about it.
    pub data: Option<Payload>,
}

/// Marks closures that say it at once; the compiler finds it.
#[derive(Clone, Copy, Debug)]
pub enum Now {}

/// Marks closures that say it later; the compiler finds it.
#[derive(Clone, Copy, Debug)]
pub enum Later {}

/// What a closure may return to answer with a `T`: a `Result`, or a future of one.
pub trait Said<T, M> {
    #[doc(hidden)]
    fn asked(self, answer: impl FnOnce(T) -> Result<Answer, Refusal> + Send + 'static) -> Asked;
}

impl<T> Said<T, Now> for Result<T, Refusal> {
    fn asked(self, answer: impl FnOnce(T) -> Result<Answer, Refusal> + Send + 'static) -> Asked {
        Asked::Now(self.and_then(answer))
    }
}

impl<F, T> Said<T, Later> for F
where
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    fn asked(self, answer: impl FnOnce(T) -> Result<Answer, Refusal> + Send + 'static) -> Asked {
        Asked::Later(Box::pin(unpanicked(async move { self.await.and_then(answer) })))
    }
}

/// What a closure may return that only hears something: nothing, or a future of nothing.
pub trait Heard<M> {
    #[doc(hidden)]
    fn heard(self) -> Asked;
}

impl Heard<Now> for () {
    fn heard(self) -> Asked {
        Asked::Now(Ok(Answer::Noted))
    }
}

impl<F> Heard<Later> for F
where
    F: Future<Output = ()> + Send + 'static,
{
    fn heard(self) -> Asked {
        Asked::Later(Box::pin(unpanicked(async move {
            self.await;
            Ok(Answer::Noted)
        })))
    }
}

/// Makes a refusal of a panic, so that the asker learns of it at once and not by its deadline.
fn unpanicked<F>(future: F) -> impl Future<Output = Result<Answer, Refusal>> + Send
where
    F: Future<Output = Result<Answer, Refusal>> + Send + 'static,
{
    let mut future = Box::pin(future);
    poll_fn(move |task| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
}
