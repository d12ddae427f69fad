//! The commands: their names, what each orders of the hub, and how its answer is made.

use std::{collections::BTreeMap, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use taiwa_core::{self as core, Page, Refusal, Tags, User};
use taiwa_hub::{Done, Order, Whom};

use super::{
    Limits, Office,
    answer::{self, ServerInfo},
    ask,
    errand::{Errand, written},
    problem::{Code, Problem},
    serve::command,
    values::{ChannelName, Json, Parts, SessionName, payload},
};

/// One command.
pub(super) trait Verb: DeserializeOwned + JsonSchema + Send + 'static {
    /// Its name: the last segment of its path, and its key in a batch.
    const NAME: &'static str;
    /// What it answers.
    type Answer: Serialize + JsonSchema;
    /// Takes the header `Idempotency-Key`. Commands that are not made for it say so.
    fn identify(&mut self, _key: String) -> Result<(), Problem> {
        let wrong = "this command takes no Idempotency-Key; publish and broadcast do";
        Err(Problem::invalid("Idempotency-Key", wrong))
    }
    /// Returns what has to be done for it.
    ///
    /// # Errors
    /// What is wrong with it by itself, whatever the hub holds.
    fn errand(self, limits: &Limits) -> Result<Errand, Problem>;
}

type Routes = axum::Router<Arc<Office>>;

/// What the document says of a command.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) takes_idempotency_key: bool,
    pub(super) ask: fn(&mut SchemaGenerator) -> Schema,
    pub(super) answer: fn(&mut SchemaGenerator) -> Schema,
}

/// Lists the commands once: for batches, the router and the document.
macro_rules! verbs {
    ($($name:literal $verb:ident => $answer:ident),* $(,)?) => {
        /// One command of a batch: an object whose one key is the command's name.
        #[derive(Debug, Deserialize, JsonSchema)]
        pub(super) enum Command {
            $(#[doc = concat!("See `", $name, "`.")] #[serde(rename = $name)] $verb(ask::$verb)),*
        }

        impl Command {
            pub(super) fn name(&self) -> &'static str {
                match self { $(Self::$verb(_) => $name),* }
            }

            pub(super) fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
                match self { $(Self::$verb(it) => it.errand(limits)),* }
            }
        }

        /// The names of all commands.
        pub(super) const NAMES: &[&str] = &[$($name),*];

        pub(super) fn entries() -> Vec<Entry> {
            vec![$(Entry {
                name: $name,
                takes_idempotency_key: matches!($name, "publish" | "broadcast"),
                ask: |schemas| schemas.subschema_for::<ask::$verb>(),
                answer: |schemas| schemas.subschema_for::<answer::$answer>(),
            }),*]
        }

        /// Adds the routes of all commands below a path that ends with `/`.
        pub(super) fn routes(mut router: Routes, path: &str) -> Routes {
            $(router = router.route(&format!("{path}{}", $name), command::<ask::$verb>());)*
            router
        }
    };
}

verbs! {
    "publish" Publish => Published,
    "broadcast" Broadcast => Broadcasted,
    "history" History => Past,
    "history_remove" HistoryRemove => Nothing,
    "presence" Presence => Members,
    "presence_stats" PresenceStats => Counts,
    "channels" Channels => ChannelList,
    "sessions" Sessions => SessionList,
    "session" Session => SessionState,
    "subscribe" Subscribe => Affected,
    "unsubscribe" Unsubscribe => Affected,
    "disconnect" Disconnect => Affected,
    "refresh" Refresh => Affected,
    "revoke" Revoke => Nothing,
    "call" Call => Content,
    "call_all" CallAll => Answers,
    "tell" Tell => Affected,
    "info" Info => ServerInfo,
}

fn listed(limit: u32, limits: &Limits) -> Result<usize, Problem> {
    let limit = limit as usize;
    if limit == 0 || limit > limits.list_max {
        let wrong = format!("a list has 1 to {} entries", limits.list_max);
        return Err(Problem::invalid("limit", wrong));
    }
    Ok(limit)
}

/// What `publish` and `broadcast` say of a publication, without its channel.
struct Saying {
    event: Option<String>,
    id: Option<String>,
    key: Option<String>,
    tags: BTreeMap<String, String>,
    except: Vec<SessionName>,
    except_channels: Vec<ChannelName>,
    receipt: bool,
    transient: bool,
    volatile: bool,
}

/// What is said, of the fields of which one is the payload, and whether its elements are side by side.
pub(super) fn said(
    parts: Parts,
    args: Option<Json>,
    limits: &Limits,
) -> Result<core::Arguments, Problem> {
    let is_list = args.is_some();
    if is_list && parts.data.is_some() {
        return Err(Problem::invalid("args", "args stand in the place of data"));
    }
    let data = parts.data.or(args);
    let payload = payload(Parts { data, ..parts }, limits.payload_bytes_max)?;
    if is_list && !payload.is_list() {
        return Err(Problem::invalid("args", "args are a list"));
    }
    Ok(core::Arguments { payload, is_list })
}

impl Saying {
    /// Makes a publication without a place; what is too long is told with its field.
    fn into_publish(
        self,
        channel: core::Channel,
        said: core::Arguments,
        limits: &Limits,
    ) -> Result<core::Publish, Problem> {
        if self.except_channels.len() > limits.except_channels_max {
            let wrong = format!("at most {} channels", limits.except_channels_max);
            return Err(Problem::invalid("except_channels", wrong));
        }
        let names = [("event", &self.event), ("id", &self.id), ("key", &self.key)];
        for (field, name) in names {
            name_fits(field, name.as_deref().unwrap_or_default(), limits)?;
        }
        if self.tags.len() > limits.tags_max {
            let wrong = format!("at most {} tags", limits.tags_max);
            return Err(Problem::invalid("tags", wrong));
        }
        if let Some((key, _)) = self.tags.iter().find(|(k, v)| k.len().max(v.len()) > TAG_BYTES_MAX)
        {
            let wrong = format!("keys and values of tags have at most {TAG_BYTES_MAX} bytes");
            // A long key is a bad name for a place.
            let short = key.len() <= TAG_BYTES_MAX;
            let field = if short { format!("tags.{key}") } else { "tags".into() };
            return Err(Problem::invalid(field, wrong));
        }
        let mut publish = core::Publish::new(channel, said.payload);
        publish.event = self.event.map(Arc::from);
        publish.id = self.id.map(Arc::from);
        publish.key = self.key.map(Arc::from);
        publish.tags = Tags::new(self.tags);
        publish.except = self.except.into_iter().map(|it| it.0).collect();
        publish.receipt = self.receipt;
        publish.transient = self.transient;
        publish.except_channels = self.except_channels.into_iter().map(|it| it.0).collect();
        publish.volatile = self.volatile;
        publish.is_list = said.is_list;
        Ok(publish)
    }
}

/// The hub's bound for keys and values of tags.
const TAG_BYTES_MAX: usize = 256;

pub(super) fn name_fits(field: &str, name: &str, limits: &Limits) -> Result<(), Problem> {
    if name.len() > limits.name_bytes_max {
        let wrong = format!("at most {} bytes", limits.name_bytes_max);
        return Err(Problem::invalid(field, wrong));
    }
    Ok(())
}

impl Verb for ask::Publish {
    const NAME: &'static str = "publish";
    type Answer = answer::Published;

    fn identify(&mut self, key: String) -> Result<(), Problem> {
        self.id.get_or_insert(key);
        Ok(())
    }

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let parts =
            Parts { data: self.data, text: self.text, base64: self.base64, binary: self.binary };
        let said = said(parts, self.args, limits)?;
        let Self { channel, event, id, key, tags, except, except_channels, .. } = self;
        let Self { receipt, transient, volatile, .. } = self;
        let saying =
            Saying { event, id, key, tags, except, except_channels, receipt, transient, volatile };
        let publish = saying.into_publish(channel.0, said, limits)?;
        Ok(Errand::of(Order::Publish(Box::new(publish)), |done| match done {
            Done::Published(published) => Some(answer::Published::from(published)),
            _ => None,
        }))
    }
}

impl Verb for ask::Broadcast {
    const NAME: &'static str = "broadcast";
    type Answer = answer::Broadcasted;

    fn identify(&mut self, key: String) -> Result<(), Problem> {
        self.id.get_or_insert(key);
        Ok(())
    }

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let parts =
            Parts { data: self.data, text: self.text, base64: self.base64, binary: self.binary };
        let said = said(parts, self.args, limits)?;
        let Self { channels, event, id, key, tags, except, except_channels, .. } = self;
        let Self { receipt, transient, volatile, once_each, .. } = self;
        let Some(first) = channels.first() else {
            return Err(Problem::invalid("channels", "name at least one channel"));
        };
        if channels.len() > limits.broadcast_max {
            let wrong = format!("at most {} channels at once", limits.broadcast_max);
            return Err(Problem::new(Code::TooLarge, wrong).at("channels"));
        }
        // Each but the first excepts those before it.
        if once_each && channels.len() + except_channels.len() > limits.except_channels_max + 1 {
            let wrong = format!(
                "at most {} channels, with those that are excepted, are heard once",
                limits.except_channels_max + 1
            );
            return Err(Problem::invalid("channels", wrong));
        }
        let saying =
            Saying { event, id, key, tags, except, except_channels, receipt, transient, volatile };
        let publish = saying.into_publish(first.0.clone(), said, limits)?;
        let order = |(at, channel): (usize, &ChannelName)| {
            let mut publish = core::Publish { channel: channel.0.clone(), ..publish.clone() };
            if once_each {
                publish.except_channels.extend(channels[..at].iter().map(|it| it.0.clone()));
            }
            Order::Publish(Box::new(publish))
        };
        let orders = channels.iter().enumerate().map(order).collect();
        let report = move |done: Vec<Result<Done, Refusal>>| {
            let results = channels.into_iter().zip(done).map(|(channel, done)| match done {
                Ok(Done::Published(it)) => {
                    answer::InChannel { channel, published: Some(it.into()), error: None }
                }
                Ok(_) => {
                    let error = Problem::new(Code::Unavailable, "the server gave another answer");
                    answer::InChannel { channel, published: None, error: Some(error) }
                }
                Err(refusal) => {
                    answer::InChannel { channel, published: None, error: Some(refusal.into()) }
                }
            });
            Ok(written(&answer::Broadcasted { results: results.collect() }))
        };
        Ok(Errand::Orders(orders, Box::new(report)))
    }
}

impl Verb for ask::History {
    const NAME: &'static str = "history";
    type Answer = answer::Past;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let Self { channel, limit, since, reverse } = self;
        let page = Page { since: since.map(Into::into), limit: limit as usize, reverse };
        Ok(Errand::of(Order::History(channel.0, page), |done| match done {
            Done::History(history) => Some(answer::Past::from(*history)),
            _ => None,
        }))
    }
}

impl Verb for ask::HistoryRemove {
    const NAME: &'static str = "history_remove";
    type Answer = answer::Nothing;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        Ok(Errand::of(Order::Forget(self.channel.0), |done| {
            matches!(done, Done::Affected(_)).then_some(answer::Nothing {})
        }))
    }
}

impl Verb for ask::Presence {
    const NAME: &'static str = "presence";
    type Answer = answer::Members;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        Ok(Errand::of(Order::Presence(self.channel.0), |done| match done {
            Done::Presence(members) => {
                let members = members.iter().map(|it| answer::Member::from(&**it)).collect();
                Some(answer::Members { members })
            }
            _ => None,
        }))
    }
}

impl Verb for ask::PresenceStats {
    const NAME: &'static str = "presence_stats";
    type Answer = answer::Counts;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        Ok(Errand::of(Order::Counts(self.channel.0), |done| match done {
            Done::Counts { sessions, users } => Some(answer::Counts { sessions, users }),
            _ => None,
        }))
    }
}

impl Verb for ask::Channels {
    const NAME: &'static str = "channels";
    type Answer = answer::ChannelList;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let limit = listed(self.limit, limits)?;
        // One more than asked tells whether there are more.
        let order = Order::Channels { prefix: self.prefix.into(), limit: limit + 1 };
        Ok(Errand::of(order, move |done| match done {
            Done::Channels(list) => Some(answer::ChannelList::new(list, limit)),
            _ => None,
        }))
    }
}

impl Verb for ask::Sessions {
    const NAME: &'static str = "sessions";
    type Answer = answer::SessionList;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let limit = listed(self.limit, limits)?;
        let user = self.user.map(|it| User(it.into()));
        // Who of a channel is one user is found among all who are there.
        let asked = if user.is_some() { limits.list_max } else { limit } + 1;
        let (whom, user) = match (self.in_channel, user) {
            (None, None) => (Whom::All, None),
            (None, Some(user)) => (Whom::User(user), None),
            (Some(channel), user) => (Whom::Channel(channel.0), user),
        };
        let order = Order::Sessions { whom, limit: asked };
        Ok(Errand::of(order, move |done| match done {
            Done::Sessions(mut list) => {
                list.retain(|it| user.is_none() || it.user == user);
                Some(answer::SessionList::new(&list, limit))
            }
            _ => None,
        }))
    }
}

impl Verb for ask::Session {
    const NAME: &'static str = "session";
    type Answer = answer::SessionState;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        Ok(Errand::of(Order::Session(self.session.0), |done| match done {
            Done::Session(it) => Some(answer::SessionState::from(*it)),
            _ => None,
        }))
    }
}

impl Verb for ask::Info {
    const NAME: &'static str = "info";
    type Answer = ServerInfo;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        Ok(Errand::of(Order::Info, |done| match done {
            Done::Info(shards) => Some(ServerInfo::from(&shards[..])),
            _ => None,
        }))
    }
}
