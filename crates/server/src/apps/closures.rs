//! [`Closures`]: an app of Rust closures, for a server that is part of a program.

mod shapes;

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use serde::{Serialize, de::DeserializeOwned};
use taiwa_core::{
    Admission, Answer, App, Asked, Authorization, Channel, Client, Connect, Disconnect, Payload,
    Publish, Question, Refusal, RefusalKind, Secret,
};
use tracing::error;

use super::{
    bounded, noted,
    rules::{Rules, RulesSettings},
};
pub use shapes::{Heard, Later, Now, Said, Subscribing};

/// Decides by closures. What no closure decides, another app does: [`Rules`] that let nobody in, unless
/// [`Closures::otherwise`] says another.
///
/// A closure is asynchronous, `|client, connect| async move { … }`, and then driven on tokio; or it is not, and returns
/// at once what the other's future would. Either answers `Result<_, Refusal>`; those that only hear something answer
/// nothing. What a closure does itself happens on a thread that serves connections: it must not wait, nor may what
/// stands before its `async` block. A closure that panics is a refusal, [`RefusalKind::Unavailable`].
///
/// ```
/// use taiwa_core::{Admission, App, Payload, Publish, Refusal, RefusalKind};
/// use taiwa_server::apps::closures::Closures;
///
/// let app = Closures::new()
///     .on_connect(|_client, connect| async move {
///         // Ask a database, say.
///         let name = connect.token.ok_or(Refusal::new(RefusalKind::Unauthorized, "who?"))?;
///         Ok(Admission { user: Some(taiwa_core::User(name[..].into())), ..Admission::default() })
///     })
///     .on_publish(|client, publish: Publish| match client.user {
///         Some(_) => Ok(publish),
///         None => Err(Refusal::new(RefusalKind::Forbidden, "listen first")),
///     })
///     .on_call("echo", |_client, payload: Payload| async move { Ok(payload) })
///     .on_disconnect(|client, _why| println!("{} went", client.session));
/// # let _: &dyn App = &app;
/// ```
#[derive(Clone)]
pub struct Closures {
    connect: Option<Closure<Connect>>,
    refresh: Option<Closure<Option<Secret>>>,
    subscribe: Option<Closure<Subscribing>>,
    publish: Option<Closure<Publish>>,
    calls: HashMap<Box<str>, Closure<Payload>>,
    tell: Option<Closure<Payload>>,
    disconnect: Option<Closure<Option<Disconnect>>>,
    occupied: Option<ChannelClosure>,
    vacated: Option<ChannelClosure>,
    /// Those of links of such scopes.
    scopes: HashMap<Box<str>, Closures>,
    otherwise: Option<Arc<dyn App>>,
}

type Closure<T> = Arc<dyn Fn(Arc<Client>, T) -> Asked + Send + Sync>;
type ChannelClosure = Arc<dyn Fn(Channel) -> Asked + Send + Sync>;

impl fmt::Debug for Closures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closures").field("calls", &self.calls.keys()).finish_non_exhaustive()
    }
}

impl Default for Closures {
    fn default() -> Self {
        Self::new()
    }
}

impl Closures {
    /// Decides nothing yet: nobody is let in.
    ///
    /// ```
    /// use taiwa_core::{App, Asked, Question};
    /// # let who = taiwa_server::apps::example_client();
    /// let app = taiwa_server::apps::closures::Closures::new();
    /// let asked = app.ask(Question::Connect { who, connect: Box::default() });
    /// assert!(matches!(asked, Asked::Now(Err(_))));
    /// ```
    pub fn new() -> Self {
        Self {
            connect: None,
            refresh: None,
            subscribe: None,
            publish: None,
            calls: HashMap::new(),
            tell: None,
            disconnect: None,
            occupied: None,
            vacated: None,
            scopes: HashMap::new(),
            otherwise: None,
        }
    }

    /// Lets another app decide what no closure does: [`Rules`] with keys, say, so that tokens tell who is who.
    ///
    /// ```
    /// use taiwa_core::{App, Asked, Question};
    /// use taiwa_server::apps::{closures::Closures, rules::{Rules, RulesSettings}};
    /// # let who = taiwa_server::apps::example_client();
    /// let anyone = RulesSettings { anonymous: true, ..RulesSettings::default() };
    /// let app = Closures::new().otherwise(Rules::new(anyone));
    /// let asked = app.ask(Question::Connect { who, connect: Box::default() });
    /// assert!(matches!(asked, Asked::Now(Ok(_))));
    /// ```
    #[must_use]
    pub fn otherwise(mut self, app: impl App + 'static) -> Self {
        self.otherwise = Some(Arc::new(app));
        self
    }

    /// Decides for links of one [scope](Client::scope) by closures of their own: for the sockets in one namespace of Socket.IO.
    /// What they do not decide is decided as for all other links, unless they have a [`Closures::otherwise`] of their own.
    /// Of two for one scope the later counts.
    ///
    /// ```
    /// use taiwa_core::{Admission, Payload, Refusal, RefusalKind};
    /// use taiwa_server::apps::closures::Closures;
    /// let chat = Closures::new()
    ///     .on_connect(|_client, connect| match connect.token {
    ///         Some(name) => Ok(Admission { user: Some((&*name).into()), ..Admission::default() }),
    ///         None => Err(Refusal::new(RefusalKind::Unauthorized, "who?")),
    ///     })
    ///     .on_call("message", |_client, payload: Payload| async move { Ok(payload) });
    /// let app = Closures::new().on_connect(|_, _| Ok(Admission::default())).of("/chat", chat);
    /// ```
    #[must_use]
    pub fn of(mut self, scope: &str, closures: Self) -> Self {
        self.scopes.insert(scope.into(), closures);
        self
    }

    /// Decides who comes in, and as whom. The client has no user yet.
    ///
    /// ```
    /// use taiwa_core::Admission;
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new().on_connect(|_client, connect| async move {
    ///     let user = connect.token.as_deref().map(Into::into);
    ///     Ok(Admission { user, ..Admission::default() })
    /// });
    /// ```
    #[must_use]
    pub fn on_connect<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Connect) -> A + Send + Sync + 'static,
        A: Said<Admission, M>,
    {
        self.connect = Some(closed(closure, admitted));
        self
    }

    /// Decides whether a client whose rights end may stay: the end is [`Admission::expires`] of the answer. The text is a
    /// fresh token that the client showed, if it did. The user must be the one that it was.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taiwa_core::Admission;
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new().on_refresh(|client, _token| {
    ///     let expires = Some(Duration::from_secs(600));
    ///     Ok(Admission { user: client.user.clone(), expires, ..Admission::default() })
    /// });
    /// ```
    #[must_use]
    pub fn on_refresh<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Option<Secret>) -> A + Send + Sync + 'static,
        A: Said<Admission, M>,
    {
        self.refresh = Some(closed(closure, admitted));
        self
    }

    /// Decides who hears a channel, where the namespace asks the app or the client shows a token.
    ///
    /// ```
    /// use taiwa_core::{Authorization, Refusal, RefusalKind};
    /// use taiwa_server::apps::closures::{Closures, Subscribing};
    /// let app = Closures::new().on_subscribe(|_client, wish: Subscribing| {
    ///     match wish.channel.as_str().starts_with("news:") {
    ///         true => Ok(Authorization::default()),
    ///         false => Err(Refusal::new(RefusalKind::Forbidden, "news are for all, not this")),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn on_subscribe<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Subscribing) -> A + Send + Sync + 'static,
        A: Said<Authorization, M>,
    {
        self.subscribe = Some(closed(closure, |mut it: Authorization| {
            it.expires = bounded(it.expires);
            Answer::Authorization(Box::new(it))
        }));
        self
    }

    /// Decides what is published, where the namespace asks the app: what the closure returns.
    ///
    /// ```
    /// use taiwa_core::{Payload, Publish};
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new().on_publish(|_client, mut publish: Publish| async move {
    ///     if let Payload::Text(text) = &publish.payload {
    ///         publish.payload = Payload::Text(text.to_ascii_uppercase().into());
    ///     }
    ///     Ok(publish)
    /// });
    /// ```
    #[must_use]
    pub fn on_publish<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Publish) -> A + Send + Sync + 'static,
        A: Said<Publish, M>,
    {
        self.publish = Some(closed(closure, |it| Answer::Publish(Box::new(it))));
        self
    }

    /// Answers the calls of one method. Of two closures for one method the later counts; a method without one is asked
    /// of [`Closures::otherwise`].
    ///
    /// ```
    /// use taiwa_core::Payload;
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new()
    ///     .on_call("echo", |_client, payload: Payload| Ok(payload))
    ///     .on_call("whoami", |client, _payload| async move {
    ///         let name = client.user.as_ref().map_or("nobody", |it| it.as_str()).to_owned();
    ///         Ok(Payload::Text(name.into()))
    ///     });
    /// ```
    #[must_use]
    pub fn on_call<F, A, M>(mut self, method: &str, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Payload) -> A + Send + Sync + 'static,
        A: Said<Payload, M>,
    {
        self.calls.insert(method.into(), closed(closure, Answer::Payload));
        self
    }

    /// Answers the calls of one method whose payload and answer are JSON of known types. A payload that is none of the
    /// type is refused as [`RefusalKind::BadRequest`].
    ///
    /// ```
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new()
    ///     .on_call_json("add", |_client, (a, b): (i64, i64)| async move { Ok(a.saturating_add(b)) });
    /// ```
    #[must_use]
    pub fn on_call_json<F, I, O, A, M>(mut self, method: &str, closure: F) -> Self
    where
        F: Fn(Arc<Client>, I) -> A + Send + Sync + 'static,
        I: DeserializeOwned,
        O: Serialize + 'static,
        A: Said<O, M>,
    {
        let whole = move |client, payload: Payload| {
            let read = match &payload {
                Payload::Json(json) | Payload::Text(json) => serde_json::from_slice(json).ok(),
                _ => None,
            };
            let Some(read) = read else {
                let text = "the payload is not what the method takes";
                return Asked::Now(Err(Refusal::new(RefusalKind::BadRequest, text)));
            };
            closure(client, read).asked(|said| match serde_json::to_vec(&said) {
                Ok(json) => Ok(Answer::Payload(Payload::Json(json.into()))),
                Err(fault) => {
                    error!("an answer that makes no JSON: {fault}");
                    Err(broken())
                }
            })
        };
        self.calls.insert(method.into(), Arc::new(whole));
        self
    }

    /// Hears what clients say to the app alone.
    ///
    /// ```
    /// use taiwa_core::Payload;
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new()
    ///     .on_tell(|client, payload: Payload| println!("{}: {payload:?}", client.session));
    /// ```
    #[must_use]
    pub fn on_tell<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Payload) -> A + Send + Sync + 'static,
        A: Heard<M>,
    {
        self.tell = Some(Arc::new(move |client, payload| closure(client, payload).heard()));
        self
    }

    /// Hears that a session is over, and why if the server ended it. The hub's settings must say that it is told.
    ///
    /// ```
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new().on_disconnect(|client, why| async move {
    ///     println!("{} went: {why:?}", client.session);
    /// });
    /// ```
    #[must_use]
    pub fn on_disconnect<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Arc<Client>, Option<Disconnect>) -> A + Send + Sync + 'static,
        A: Heard<M>,
    {
        self.disconnect = Some(Arc::new(move |client, why| closure(client, why).heard()));
        self
    }

    /// Hears that a channel has its first subscriber. The hub's settings must say that it is told.
    ///
    /// ```
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new().on_occupied(|channel| println!("{channel} begins"));
    /// ```
    #[must_use]
    pub fn on_occupied<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Channel) -> A + Send + Sync + 'static,
        A: Heard<M>,
    {
        self.occupied = Some(Arc::new(move |channel| closure(channel).heard()));
        self
    }

    /// Hears that a channel has lost its last subscriber. The hub's settings must say that it is told.
    ///
    /// ```
    /// use taiwa_server::apps::closures::Closures;
    /// let app = Closures::new().on_vacated(|channel| async move { println!("{channel} ends") });
    /// ```
    #[must_use]
    pub fn on_vacated<F, A, M>(mut self, closure: F) -> Self
    where
        F: Fn(Channel) -> A + Send + Sync + 'static,
        A: Heard<M>,
    {
        self.vacated = Some(Arc::new(move |channel| closure(channel).heard()));
        self
    }

    /// Asks the closure for a question, or gives the question back.
    fn decide(&self, question: Question) -> Result<Asked, Question> {
        let scope = who(&question).and_then(|it| it.scope());
        let question = match scope.and_then(|it| self.scopes.get(it)) {
            None => question,
            Some(own) => match (own.decide(question), &own.otherwise) {
                (Ok(asked), _) => return Ok(asked),
                (Err(question), Some(app)) => return Ok(app.ask(question)),
                (Err(question), None) => question,
            },
        };
        Ok(match question {
            Question::Connect { who, connect } if self.connect.is_some() => {
                asked(self.connect.as_ref(), who, *connect)
            }
            Question::Refresh { who, token } if self.refresh.is_some() => {
                asked(self.refresh.as_ref(), who, token)
            }
            Question::Subscribe { who, channel, token, data } if self.subscribe.is_some() => {
                asked(self.subscribe.as_ref(), who, Subscribing { channel, token, data })
            }
            Question::Publish { who, publish } if self.publish.is_some() => {
                asked(self.publish.as_ref(), who, *publish)
            }
            Question::Call { who, method, payload } if self.calls.contains_key(&*method) => {
                asked(self.calls.get(&*method), who, payload)
            }
            Question::Tell { who, payload } if self.tell.is_some() => {
                asked(self.tell.as_ref(), who, payload)
            }
            Question::Disconnected { who, why } if self.disconnect.is_some() => {
                asked(self.disconnect.as_ref(), who, why)
            }
            Question::Occupied(channel) if self.occupied.is_some() => {
                self.occupied.as_ref().map_or_else(noted, |it| it(channel))
            }
            Question::Vacated(channel) if self.vacated.is_some() => {
                self.vacated.as_ref().map_or_else(noted, |it| it(channel))
            }
            other => return Err(other),
        })
    }
}

impl App for Closures {
    fn ask(&self, question: Question) -> Asked {
        // Whose thread this is has more to do than to die of one question.
        let decided = catch_unwind(AssertUnwindSafe(|| {
            self.decide(question).unwrap_or_else(|question| match &self.otherwise {
                Some(app) => app.ask(question),
                None => NOBODY.ask(question),
            })
        }));
        decided.unwrap_or_else(|_| Asked::Now(Err(panicked())))
    }
}

/// Lets nobody in.
static NOBODY: LazyLock<Rules> = LazyLock::new(|| Rules::new(RulesSettings::default()));

/// Returns whose question it is.
fn who(question: &Question) -> Option<&Client> {
    match question {
        Question::Connect { who, .. }
        | Question::Refresh { who, .. }
        | Question::Subscribe { who, .. }
        | Question::Publish { who, .. }
        | Question::Call { who, .. }
        | Question::Tell { who, .. }
        | Question::Disconnected { who, .. } => Some(who),
        _ => None,
    }
}

fn asked<T>(closure: Option<&Closure<T>>, who: Arc<Client>, what: T) -> Asked {
    closure.map_or_else(noted, |it| it(who, what))
}

fn closed<F, T, A, R, M>(closure: F, answer: fn(R) -> Answer) -> Closure<T>
where
    F: Fn(Arc<Client>, T) -> A + Send + Sync + 'static,
    R: 'static,
    A: Said<R, M>,
{
    Arc::new(move |client, what| closure(client, what).asked(move |said| Ok(answer(said))))
}

fn admitted(mut admission: Admission) -> Answer {
    admission.expires = bounded(admission.expires);
    Answer::Admission(Box::new(admission))
}

/// What went wrong is not the client's business.
fn broken() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the app can't decide this now")
}

fn panicked() -> Refusal {
    error!("a closure of the app panicked");
    broken()
}

#[cfg(test)]
mod tests;
