//! The commands: their names, what each orders of the hub, and how its answer is made.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use taiwa_core::{self as core, Authorization, Page, Refusal, Tags, User};
use taiwa_hub::{Done, Order, Whom};

use super::{
    Limits, Office,
    answer::{self, ServerInfo},
    ask,
    errand::{Errand, written},
    problem::{Code, Problem},
    serve::command,
    values::{ChannelName, Json, SessionName, payload},
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
    "tell" Tell => Affected,
    "info" Info => ServerInfo,
}

/// Says who is meant.
fn whom(
    session: Option<SessionName>,
    user: Option<String>,
    all: Option<bool>,
) -> Result<Whom, Problem> {
    match (session, user, all) {
        (Some(session), None, None) => Ok(Whom::Session(session.0)),
        (None, Some(user), None) => Ok(Whom::User(User(user.into()))),
        (None, None, Some(true)) => Ok(Whom::All),
        (None, None, Some(false)) => Err(Problem::invalid("all", "all is true or left out")),
        _ => Err(Problem::invalid("session", "name exactly one of session, user and all")),
    }
}

fn affected(done: Done) -> Option<answer::Affected> {
    match done {
        Done::Affected(affected) => Some(answer::Affected { affected }),
        _ => None,
    }
}

fn seconds(field: &str, seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    if seconds.is_some_and(|it| it > ask::SECONDS_MAX) {
        return Err(Problem::invalid(field, format!("at most {} seconds", ask::SECONDS_MAX)));
    }
    Ok(seconds.map(Duration::from_secs))
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
    receipt: bool,
    transient: bool,
}

impl Saying {
    /// Makes a publication without a place; what is too long is told with its field.
    fn into_publish(
        self,
        channel: core::Channel,
        payload: core::Payload,
        limits: &Limits,
    ) -> Result<core::Publish, Problem> {
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
        let mut publish = core::Publish::new(channel, payload);
        publish.event = self.event.map(Arc::from);
        publish.id = self.id.map(Arc::from);
        publish.key = self.key.map(Arc::from);
        publish.tags = Tags::new(self.tags);
        publish.except = self.except.into_iter().map(|it| it.0).collect();
        publish.receipt = self.receipt;
        publish.transient = self.transient;
        Ok(publish)
    }
}

/// The hub's bound for keys and values of tags.
const TAG_BYTES_MAX: usize = 256;

fn name_fits(field: &str, name: &str, limits: &Limits) -> Result<(), Problem> {
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
        let Self { channel, data, text, base64, event, id, key, tags, except, receipt, transient } =
            self;
        let payload = payload(data, text, base64, limits.payload_bytes_max)?;
        let saying = Saying { event, id, key, tags, except, receipt, transient };
        let publish = saying.into_publish(channel.0, payload, limits)?;
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
        let Self { channels, data, text, base64, event, id, key, tags, except, receipt, transient } =
            self;
        let Some(first) = channels.first() else {
            return Err(Problem::invalid("channels", "name at least one channel"));
        };
        if channels.len() > limits.broadcast_max {
            let wrong = format!("at most {} channels at once", limits.broadcast_max);
            return Err(Problem::new(Code::TooLarge, wrong).at("channels"));
        }
        let payload = payload(data, text, base64, limits.payload_bytes_max)?;
        let saying = Saying { event, id, key, tags, except, receipt, transient };
        let publish = saying.into_publish(first.0.clone(), payload, limits)?;
        let order = |channel: &ChannelName| {
            let channel = channel.0.clone();
            Order::Publish(Box::new(core::Publish { channel, ..publish.clone() }))
        };
        let orders = channels.iter().map(order).collect();
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
        let order = Order::Sessions { user, limit: limit + 1 };
        Ok(Errand::of(order, move |done| match done {
            Done::Sessions(list) => Some(answer::SessionList::new(&list, limit)),
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

impl Verb for ask::Subscribe {
    const NAME: &'static str = "subscribe";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let authorization = Authorization {
            info: self.info.map(Json::into_bytes),
            data: self.data.map(|it| core::Payload::Json(it.into_bytes())),
            expires: seconds("expires_after_s", self.expires_after_s)?,
            join_leave: self.join_leave,
            ..Authorization::default()
        };
        let order = Order::Subscribe {
            whom: whom(self.session, self.user, self.all)?,
            channel: self.channel.0,
            authorization: Box::new(authorization),
            since: self.since.map(Into::into),
        };
        Ok(Errand::of(order, affected))
    }
}

impl Verb for ask::Unsubscribe {
    const NAME: &'static str = "unsubscribe";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let whom = whom(self.session, self.user, self.all)?;
        Ok(Errand::of(Order::Unsubscribe { whom, channel: self.channel.0 }, affected))
    }
}

impl Verb for ask::Disconnect {
    const NAME: &'static str = "disconnect";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let whom = whom(self.session, self.user, self.all)?;
        let Self { code, reason, may_return, .. } = self;
        // RFC 6455 §7.4.2: "Status codes in the range 4000-4999 are reserved for private use".
        if !(4000..=4999).contains(&code) {
            return Err(Problem::invalid("code", "a close code of your own is 4000 to 4999"));
        }
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less"; the code takes two.
        if reason.len() > 123 {
            return Err(Problem::invalid("reason", "a reason has at most 123 bytes"));
        }
        let why = core::Disconnect::App { code, reason: reason.into(), may_return };
        Ok(Errand::of(Order::Disconnect { whom, why }, affected))
    }
}

impl Verb for ask::Refresh {
    const NAME: &'static str = "refresh";
    type Answer = answer::Affected;

    fn errand(self, _: &Limits) -> Result<Errand, Problem> {
        let whom = whom(self.session, self.user, self.all)?;
        let expires = seconds("expires_after_s", self.expires_after_s)?;
        Ok(Errand::of(Order::Refresh { whom, expires }, affected))
    }
}

impl Verb for ask::Call {
    const NAME: &'static str = "call";
    type Answer = answer::Content;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let Self { session, method, data, text, base64, deadline_ms } = self;
        let payload = payload(data, text, base64, limits.payload_bytes_max)?;
        name_fits("method", &method, limits)?;
        if deadline_ms == 0 {
            return Err(Problem::invalid("deadline_ms", "at least 1"));
        }
        let deadline = Duration::from_millis(deadline_ms.into()).min(limits.call_deadline_max);
        let order = Order::Call { session: session.0, method: method.into(), payload, deadline };
        Ok(Errand::of(order, |done| match done {
            Done::Answer(payload) => Some(answer::Content::from(&payload)),
            _ => None,
        }))
    }
}

impl Verb for ask::Tell {
    const NAME: &'static str = "tell";
    type Answer = answer::Affected;

    fn errand(self, limits: &Limits) -> Result<Errand, Problem> {
        let whom = whom(self.session, self.user, self.all)?;
        let payload = payload(self.data, self.text, self.base64, limits.payload_bytes_max)?;
        Ok(Errand::of(Order::Tell { whom, payload }, affected))
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
