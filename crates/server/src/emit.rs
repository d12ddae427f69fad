//! [`Emit`]: something said to clients by a program that the server is part of, in terms of orders.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use taiwa_core::{
    Arguments, Channel, Client, Disconnect, Payload, Publish, Refusal, RefusalKind, SessionId, User,
};
use taiwa_hub::{Answers, Done, Order, Which, Whom};

use crate::Control;

/// Those to whom something is said: who subscribes to a channel, a session, or all sessions of a user. Made by
/// [`Control::to`], [`Control::to_session`] and [`Control::to_user`]; it does nothing before it is told what.
///
/// ```
/// # async fn run() -> Result<(), taiwa_core::Refusal> {
/// use std::{sync::Arc, time::Duration};
/// use taiwa_core::Channel;
/// use taiwa_server::{Anyone, Site, hub::Settings};
///
/// let site = Site::new(Settings::open(), Arc::new(Anyone)).start().expect("it starts");
/// let control = site.control();
/// let (lobby, staff) = (Channel::parse("/chat:lobby").unwrap(), Channel::parse("/chat:staff").unwrap());
/// // Two arguments, to all in the lobby but the staff.
/// control.to(&lobby).except(&staff).emit("message", &("ann", "hello")).await?;
/// let answers = control.to(&lobby).emit_with_ack("ready?", &(), Duration::from_secs(1)).await?;
/// assert!(answers.answers.is_empty() && answers.late == 0, "nobody is there");
/// assert_eq!(control.to(&lobby).join(&staff).await?, 0);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is said before `emit` or another of its methods is called"]
pub struct Emit {
    control: Control,
    whom: Whom,
    which: Which,
    except: Vec<SessionId>,
    except_channels: Vec<Channel>,
    is_volatile: bool,
}

impl Control {
    /// Means all who subscribe to a channel: a room, or a whole namespace of Socket.IO.
    pub fn to(&self, channel: &Channel) -> Emit {
        self.to_whom(Whom::Channel(channel.clone()))
    }

    /// Means one session.
    pub fn to_session(&self, session: SessionId) -> Emit {
        self.to_whom(Whom::Session(session))
    }

    /// Means all sessions of a user.
    pub fn to_user(&self, user: &User) -> Emit {
        self.to_whom(Whom::User(user.clone()))
    }

    fn to_whom(&self, whom: Whom) -> Emit {
        Emit {
            control: self.clone(),
            whom,
            which: Which::Usual,
            except: vec![],
            except_channels: vec![],
            is_volatile: false,
        }
    }
}

impl Emit {
    /// Leaves out who subscribes to another channel. It holds for [`Emit::emit`] to a channel, and for [`Emit::emit_with_ack`].
    pub fn except(mut self, channel: &Channel) -> Self {
        self.except_channels.push(channel.clone());
        self
    }

    /// Leaves out a session, such as the one for which something is said. It holds as [`Emit::except`] does.
    pub fn except_session(mut self, session: SessionId) -> Self {
        self.except.push(session);
        self
    }

    /// Says it only to who can take it at once; see [`Publish::volatile`]. It holds for [`Emit::emit`] to a channel: what is
    /// said to sessions is always for those alone who are connected.
    pub fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// Means the links of this [scope](Client::scope) of sessions, and no others: a namespace of Socket.IO. A channel belongs to one anyway.
    pub fn of(mut self, scope: &str) -> Self {
        self.which = Which::Scope(scope.into());
        self
    }

    /// Says something, under a name. The elements of a tuple or another list are the arguments, side by side; anything else is
    /// the one argument. A list as one argument is a tuple of it: `&(list,)`; no argument is an empty list: `&[(); 0]`. Clients that
    /// know of no arguments hear several as one list.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// The hub's refusal, as of [`Control::order`]; [`RefusalKind::BadRequest`] for what makes no JSON.
    pub async fn emit(&self, event: &str, args: &impl Serialize) -> Result<(), Refusal> {
        let args = arguments(args)?;
        let event = Some(event.into());
        let order = match &self.whom {
            Whom::Channel(channel) => {
                let mut publish = Publish::new(channel.clone(), args.payload);
                (publish.event, publish.is_list) = (event, args.is_list);
                publish.volatile = self.is_volatile;
                publish.except.clone_from(&self.except);
                publish.except_channels.clone_from(&self.except_channels);
                Order::Publish(Box::new(publish))
            }
            whom => Order::Tell { whom: whom.clone(), which: self.which.clone(), event, args },
        };
        self.control.order(order).await.map(drop)
    }

    /// Calls all who are meant, and returns their answers: acknowledgements of Socket.IO. The arguments are as those of [`Emit::emit`].
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// As of [`Emit::emit`]. What a client refuses is among the answers.
    pub async fn emit_with_ack(
        &self,
        event: &str,
        args: &impl Serialize,
        deadline: Duration,
    ) -> Result<Answers, Refusal> {
        let args = arguments(args)?;
        let order = Order::CallAll {
            whom: self.whom.clone(),
            which: self.which.clone(),
            method: event.into(),
            args,
            except: self.except.clone(),
            except_channels: self.except_channels.clone(),
            deadline,
        };
        match self.control.order(order).await? {
            Done::Answers(answers) => Ok(*answers),
            _ => Err(strange()),
        }
    }

    /// Subscribes all who are meant to another channel: they join a room. Returns how many had not before.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// The hub's refusal, as of [`Control::order`].
    pub async fn join(&self, channel: &Channel) -> Result<usize, Refusal> {
        let (whom, channel) = (self.whom.clone(), channel.clone());
        let authorization = Box::default();
        self.count(Order::Subscribe { whom, channel, authorization, since: None }).await
    }

    /// Ends the subscriptions of all who are meant to a channel: they leave a room. Returns how many had one.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// The hub's refusal, as of [`Control::order`].
    pub async fn leave(&self, channel: &Channel) -> Result<usize, Refusal> {
        let (whom, channel) = (self.whom.clone(), channel.clone());
        self.count(Order::Unsubscribe { whom, channel }).await
    }

    /// Sends the sessions of all who are meant away, with all their links. Returns how many.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// The hub's refusal, as of [`Control::order`].
    pub async fn disconnect(&self, why: Disconnect) -> Result<usize, Refusal> {
        self.count(Order::Disconnect { whom: self.whom.clone(), which: None, why }).await
    }

    /// Ends the links of all who are meant, and no others of their sessions: Socket.IO's `disconnectSockets()`. A session whose only
    /// link that is ends. Returns how many.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// The hub's refusal, as of [`Control::order`].
    pub async fn end_links(&self, why: Disconnect) -> Result<usize, Refusal> {
        let (whom, which) = (self.whom.clone(), Some(self.which.clone()));
        self.count(Order::Disconnect { whom, which, why }).await
    }

    /// Lists all who are meant, each link for itself, at most so many.
    ///
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// The hub's refusal, as of [`Control::order`].
    pub async fn sessions(&self, limit: usize) -> Result<Vec<Arc<Client>>, Refusal> {
        match self.control.order(Order::Sessions { whom: self.whom.clone(), limit }).await? {
            Done::Sessions(list) => Ok(list),
            _ => Err(strange()),
        }
    }

    async fn count(&self, order: Order) -> Result<usize, Refusal> {
        match self.control.order(order).await? {
            Done::Affected(count) => Ok(count),
            _ => Err(strange()),
        }
    }
}

/// Writes what is one argument, or a list of several.
fn arguments(args: &impl Serialize) -> Result<Arguments, Refusal> {
    let wrong = |_| Refusal::new(RefusalKind::BadRequest, "the arguments make no JSON");
    let json = Bytes::from(serde_json::to_vec(args).map_err(wrong)?);
    let Ok(list) = serde_json::from_slice::<Vec<&RawValue>>(&json) else {
        return Ok(Payload::Json(json).into());
    };
    // One argument is that alone, to clients that know of no arguments, too.
    match list[..] {
        [one] => Ok(Payload::Json(json.slice_ref(one.get().as_bytes())).into()),
        _ => Ok(Arguments { payload: Payload::Json(json), is_list: true }),
    }
}

fn strange() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the server gave another answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &impl Serialize, expected: &str, list: bool) {
        let payload = Payload::Json(expected.to_owned().into());
        assert_eq!(arguments(args).unwrap(), Arguments { payload, is_list: list });
    }

    #[test]
    fn one_argument_is_that_alone_and_several_are_a_list() {
        check(&"a", "\"a\"", false);
        check(&("a", 2), "[\"a\",2]", true);
        check(&("a",), "\"a\"", false);
        check(&([1, 2],), "[1,2]", false);
        check(&[1, 2], "[1,2]", true);
        check(&[0; 0], "[]", true);
        check(&(), "null", false);
        check(&serde_json::json!({ "a": [1] }), "{\"a\":[1]}", false);
        let keys = std::collections::BTreeMap::from([(vec![1], 2)]);
        assert_eq!(arguments(&keys).unwrap_err().kind, RefusalKind::BadRequest);
    }
}
