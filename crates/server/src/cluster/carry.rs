//! WebSockets whose conversation is on another node. The node that has the socket carries its bytes, as they are on the wire, to
//! the node of the conversation, where they are a line as all others: so order, kinds, Pings, close codes and limits are kept.
//!
//! Each direction has a window: of more bytes than that on their way the rest waits where it comes from, and counts there. What gets
//! lost between nodes is noticed by its number, and ends the line without a closing handshake; so does the end of either node.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use taiwa::{Config, RawConnection, RawSeat, RawStream, RawTransport};
use taiwa_core::{NodeId, NodeRegistry, Refusal, RefusalKind};
use taiwa_proto::{Connection, Role};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Membership,
    pipe::{End, Pipe},
    wire::{Carry, Door, Terms},
};
use crate::{
    host::{self, Guest, Host, NO_CONVERSATION, Note, TalkKey},
    shard::{self, Post},
    site::{Place, Running},
};

/// How long another node may take to say whether it has a conversation.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// WebSockets of other nodes' sockets at once, and opening handshakes that ask other nodes; one more is refused.
const CARRIED_MAX: usize = 65_536;

/// Names a WebSocket: the node that has its socket, and that node's number for it.
pub(super) type Name = (NodeId, u64);

/// The WebSockets that are carried from here and to here.
pub(crate) struct Carried {
    registry: Arc<dyn NodeRegistry>,
    next: AtomicU64,
    knocking: Mutex<HashMap<u64, (NodeId, oneshot::Sender<Door>)>>,
    all: Mutex<HashMap<Name, Arc<End>>>,
    /// Told whenever one has ended.
    ended: Notify,
    /// What the last one was opened with: mostly it is the same for all.
    config: Mutex<Option<(Terms, Arc<Config>)>>,
}

/// The conversation of a WebSocket that was carried here.
pub(super) struct Seat {
    post: Post<Host>,
    talk: TalkKey,
}

/// A door on another node that is open for a WebSocket.
pub(crate) struct Far {
    membership: Arc<Membership>,
    node: NodeId,
    id: u64,
    address: Box<str>,
    dialect: &'static str,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Carried {
    pub(super) fn new(registry: Arc<dyn NodeRegistry>) -> Self {
        Self {
            registry,
            next: AtomicU64::new(0),
            knocking: Mutex::default(),
            all: Mutex::default(),
            ended: Notify::new(),
            config: Mutex::default(),
        }
    }

    fn send(&self, node: NodeId, carry: &Carry<'_>) {
        if let Some(letter) = carry.write() {
            self.registry.send(node, letter, Box::new(|_| {}));
        }
    }

    /// Takes a part from another node; tells whether it could be read.
    pub(super) fn take(&self, from: NodeId, letter: &[u8], site: Option<&Running>) -> bool {
        // Whose number it is depends on who has the socket.
        let whose = |is_answer: bool| if is_answer { self.registry.node() } else { from };
        let end = |is_answer: bool, id| {
            let end = lock(&self.all).get(&(whose(is_answer), id)).cloned();
            end.filter(|it| it.other() == from)
        };
        match Carry::read(letter) {
            Some(Carry::Knock { id, address, dialect }) => {
                self.ask(from, id, address, dialect, site)
            }
            Some(Carry::Answer(id, door)) => {
                let mut knocking = lock(&self.knocking);
                if knocking.get(&id).is_some_and(|(node, _)| *node == from)
                    && let Some((_, answer)) = knocking.remove(&id)
                {
                    // Who asked may have gone.
                    let _ = answer.send(door);
                }
            }
            Some(Carry::Open { id, address, dialect, terms }) => {
                let opened =
                    site.and_then(|it| self.open((from, id), address, dialect, &terms, it));
                if opened.is_none() {
                    self.send(from, &Carry::Cut { is_answer: true, id });
                }
            }
            Some(Carry::Bytes { is_answer, id, number, bytes }) => match end(is_answer, id) {
                Some(end) => end.arrived(number, Some(bytes)),
                None => self.send(from, &Carry::Cut { is_answer: !is_answer, id }),
            },
            Some(Carry::Over { is_answer, id, number }) => {
                end(is_answer, id).inspect(|it| it.arrived(number, None));
            }
            Some(Carry::Room { is_answer, id, bytes }) => {
                end(is_answer, id).inspect(|it| it.was_taken(bytes));
            }
            Some(Carry::Cut { is_answer, id }) => {
                end(is_answer, id).inspect(|it| it.cut());
            }
            Some(Carry::Leave { id, after }) => {
                if let Some(Seat { post, talk }) = end(false, id).as_ref().and_then(|it| it.seat())
                {
                    post.send(Note::Goodbye(*talk, after.map(Duration::from_millis)));
                }
            }
            None => return false,
        }
        true
    }

    /// Tells another node whether a conversation is here.
    fn ask(&self, from: NodeId, id: u64, address: &str, dialect: &str, site: Option<&Running>) {
        let found = site.and_then(|site| {
            let dialect = site.0.front.get().doors.name(dialect)?;
            let Some(Place::Here(post, talk)) = site.known(address) else { return None };
            Some((site, post, talk, dialect))
        });
        let Some((site, post, talk, dialect)) = found else {
            return self.send(from, &Carry::Answer(id, Door::Absent));
        };
        let (answer, answered) = oneshot::channel();
        let is_full = lock(&self.all).len() >= CARRIED_MAX;
        if is_full || post.try_send(Note::IsThere(talk, dialect, answer)).is_err() {
            return self.send(from, &Carry::Answer(id, Door::Full));
        }
        let membership = site.0.membership.clone();
        site.0.runtime.spawn(async move {
            let is_there = answered.await.unwrap_or(false);
            let door = if is_there { Door::Open } else { Door::Absent };
            if let Some(membership) = membership {
                membership.carried.send(from, &Carry::Answer(id, door));
            }
        });
    }

    /// Gives a conversation of this node a line whose socket is on another.
    fn open(
        &self,
        name: Name,
        address: &str,
        dialect: &str,
        terms: &Terms,
        site: &Running,
    ) -> Option<()> {
        let dialect = site.0.front.get().doors.name(dialect)?;
        let Some(Place::Here(post, talk)) = site.known(address) else { return None };
        let membership = site.0.membership.as_ref()?;
        let seat = Seat { post: post.clone(), talk };
        let pipe = self.begin(name, name.0, Some(seat), membership);
        let connection = Connection::new(
            Role::Server,
            self.config(terms),
            terms.agreed(),
            Instant::now().into_std(),
        );
        let raw = RawConnection {
            connection,
            transport: RawTransport::Other(Box::new(pipe)),
            response: vec![],
            leftover: BytesMut::new(),
            subprotocol: None,
            seat: RawSeat::elsewhere(),
        };
        // What carries the bytes on to the shard is a task.
        let _runtime = site.0.runtime.enter();
        post.join(raw, Box::new(Guest::Known(talk, dialect))).ok()
    }

    fn config(&self, terms: &Terms) -> Arc<Config> {
        let mut last = lock(&self.config);
        match &*last {
            Some((it, config)) if it == terms => config.clone(),
            _ => {
                let config = Arc::new(terms.config());
                *last = Some((terms.clone(), config.clone()));
                config
            }
        }
    }

    fn begin(
        &self,
        name: Name,
        other: NodeId,
        seat: Option<Seat>,
        membership: &Arc<Membership>,
    ) -> Pipe {
        let end = Arc::new(End::new(name, other, seat, self.registry.clone()));
        lock(&self.all).insert(name, end.clone());
        Pipe::new(end, membership.clone())
    }

    /// Forgets one that has ended.
    pub(super) fn forget(&self, name: Name) {
        lock(&self.all).remove(&name);
        self.ended.notify_waiters();
    }

    /// Ends all that have to do with a node.
    pub(super) fn gone(&self, node: NodeId) {
        lock(&self.knocking).retain(|_, (it, _)| *it != node);
        let lost = lock(&self.all).values().filter(|it| it.other() == node).cloned().collect();
        let lost: Vec<Arc<End>> = lost;
        lost.iter().for_each(|it| it.cut());
    }

    /// Cuts all: parts of what they carry may have been lost.
    pub(super) fn interrupted(&self) {
        let all: Vec<Arc<End>> = lock(&self.all).values().cloned().collect();
        all.iter().for_each(|it| it.cut());
    }

    /// Lists those whose sockets are on this node.
    fn ours(&self) -> Vec<Arc<End>> {
        lock(&self.all).values().filter(|it| it.seat().is_none()).cloned().collect()
    }

    /// Has the clients whose sockets are here told that they may come back, one after the other, and waits until they have gone,
    /// at the latest until then.
    pub(crate) async fn drain(&self, until: std::time::Instant) {
        let until = Instant::from_std(until);
        let mut told = vec![];
        while Instant::now() < until {
            let untold: Vec<_> = self.ours().into_iter().filter(|it| !it.is_told()).collect();
            let count = untold.len() as u32;
            for (end, left) in untold.iter().zip((1..=count).rev()) {
                end.tell_to_leave(Some(host::away()));
                let share = until.saturating_duration_since(Instant::now()) / left;
                tokio::time::sleep(share).await;
            }
            told.extend(untold);
            let ended = self.ended.notified();
            if self.ours().is_empty() {
                return;
            }
            // Those who were told take their time, and others may come meanwhile.
            let _ = timeout_at(until.min(Instant::now() + Duration::from_millis(100)), ended).await;
        }
    }

    /// Has all clients whose sockets are here told that they may come back.
    pub(crate) fn part(&self) {
        self.ours().iter().for_each(|it| it.tell_to_leave(None));
    }

    /// Waits until all have ended, at the latest until then, and cuts those that are left.
    pub(crate) async fn end(&self, until: Instant) {
        loop {
            let ended = self.ended.notified();
            if lock(&self.all).is_empty() {
                return;
            }
            if timeout_at(until, ended).await.is_err() {
                break;
            }
        }
        let left: Vec<Arc<End>> = lock(&self.all).values().cloned().collect();
        left.iter().for_each(|it| it.cut());
    }
}

impl Membership {
    /// Asks another node whether a WebSocket may join a conversation of its own.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub(crate) async fn knock(
        self: &Arc<Self>,
        node: NodeId,
        address: Box<str>,
        dialect: &'static str,
    ) -> Result<Far, Refusal> {
        let carried = &self.carried;
        let id = carried.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut knocking = lock(&carried.knocking);
            if knocking.len() >= CARRIED_MAX {
                return Err(Refusal::new(RefusalKind::Unavailable, "the server is busy"));
            }
            knocking.insert(id, (node, answer));
        }
        let _forgetting = Knocking { carried, id };
        carried.send(node, &Carry::Knock { id, address: &address, dialect });
        match timeout(ANSWERED_WITHIN, answered).await {
            Ok(Ok(Door::Open)) => Ok(Far { membership: self.clone(), node, id, address, dialect }),
            // The node is gone, and the conversation with it.
            Ok(Ok(Door::Absent) | Err(_)) => {
                Err(Refusal::new(RefusalKind::NotFound, NO_CONVERSATION))
            }
            Ok(Ok(Door::Full)) => {
                Err(Refusal::new(RefusalKind::Unavailable, "the other node is busy"))
            }
            Err(_) => {
                Err(Refusal::new(RefusalKind::Unavailable, "the other node can't be reached"))
            }
        }
    }
}

/// Forgets a question when it is dropped.
struct Knocking<'a> {
    carried: &'a Carried,
    id: u64,
}

impl Drop for Knocking<'_> {
    fn drop(&mut self) {
        lock(&self.carried.knocking).remove(&self.id);
    }
}

impl Far {
    /// Carries the bytes of a WebSocket to its conversation and back until either side has ended.
    pub(crate) async fn carry(self, stream: RawStream) {
        let Self { membership, node, id, address, dialect } = self;
        let RawStream { io, leftover, config, deflate, seat } = stream;
        let carried = &membership.carried;
        let pipe = carried.begin((carried.registry.node(), id), node, None, &membership);
        let terms = Terms::of(&config, deflate);
        carried.send(node, &Carry::Open { id, address: &address, dialect, terms });
        shard::carry_between(io, leftover, pipe).await;
        drop(seat);
    }
}
