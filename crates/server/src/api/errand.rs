//! [`Errand`]: what has to be done for a command, and how its answer is made of what was done.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use taiwa_core::Refusal;
use taiwa_hub::{Done, Order, Whom};

use super::{
    problem::{Code, Problem},
    revoke::Revoking,
};

/// What has to be done for a command.
pub(super) enum Errand {
    /// What the hub has to do, and how the answer is made of what was done.
    Orders(Vec<Order>, Report),
    /// What is no business of the hub.
    Revoke(Revoking),
}

pub(super) type Report =
    Box<dyn FnOnce(Vec<Result<Done, Refusal>>) -> Result<Box<RawValue>, Problem> + Send>;

impl Errand {
    /// Orders one thing.
    pub(super) fn of<A: Serialize>(
        order: Order,
        answer: impl FnOnce(Done) -> Option<A> + Send + 'static,
    ) -> Self {
        let report = |done: Vec<Result<Done, Refusal>>| {
            let nothing = || Problem::new(Code::Unavailable, "the server gave another answer");
            let done = done.into_iter().next().ok_or_else(nothing)??;
            Ok(written(&answer(done).ok_or_else(nothing)?))
        };
        Self::Orders(vec![order], Box::new(report))
    }

    /// Names the channels that it is about, or their beginning; `None` if it is about none.
    pub(super) fn channels(&self) -> Option<Vec<&str>> {
        match self {
            Self::Orders(orders, _) => {
                let all: Option<Vec<_>> = orders.iter().map(channels_of).collect();
                all.map(|it| it.into_iter().flatten().flatten().collect())
            }
            Self::Revoke(_) => None,
        }
    }
}

fn whose(whom: &Whom) -> Option<&str> {
    match whom {
        Whom::Channel(channel) => Some(channel.as_str()),
        _ => None,
    }
}

fn channels_of(order: &Order) -> Option<[Option<&str>; 2]> {
    match order {
        Order::Publish(publish) => Some([Some(publish.channel.as_str()), None]),
        Order::Presence(it) | Order::Counts(it) | Order::History(it, _) | Order::Forget(it) => {
            Some([Some(it.as_str()), None])
        }
        Order::Channels { prefix, .. } => Some([Some(prefix), None]),
        Order::Subscribe { whom, channel, .. } | Order::Unsubscribe { whom, channel } => {
            Some([Some(channel.as_str()), whose(whom)])
        }
        // To say something to who hears a channel is little else than to publish there.
        Order::Tell { whom, .. } | Order::CallAll { whom, .. } => Some([Some(whose(whom)?), None]),
        _ => None,
    }
}

/// Writes an answer, which is made of strings and numbers.
pub(super) fn written(answer: &impl Serialize) -> Box<RawValue> {
    to_raw_value(answer).expect("the keys of our maps are strings")
}
