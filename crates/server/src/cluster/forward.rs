//! Requests for conversations of another node: forwarded there, and the answer brought back as it comes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body::Body as _;
use taiwa::Addr;
use taiwa_core::{NodeId, NodeRegistry, Refusal, RefusalKind};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::wire::Part;
use crate::{body::SiteBody, host::NO_CONVERSATION, site::Running};

/// Bytes of a body in one letter.
const PIECE: usize = 256 << 10;
/// How long another node may take to say that it has a request.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// How long another node may take for the head of an answer: longer than a poll waits.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(90);
/// Requests that are on their way at once; one more is answered with 503.
const ASKED_MAX: usize = 16_384;
/// Requests of other nodes that are answered at once; one more is answered with 503.
const ANSWERED_MAX: usize = 16_384;
/// Bytes of an answer's body that may wait here; of more the answer is cut off.
const WAITING_MAX: usize = 1 << 20;

/// The requests that are on their way.
pub(crate) struct Forwards {
    registry: Arc<dyn NodeRegistry>,
    next: AtomicU64,
    asked: Mutex<HashMap<u64, Asked>>,
    answering: Mutex<HashMap<(NodeId, u64), Answering>>,
}

/// A request that another node answers.
struct Asked {
    node: NodeId,
    /// Told whether the node has it.
    taken: Option<oneshot::Sender<bool>>,
    head: Option<oneshot::Sender<Result<Head, Refusal>>>,
    pieces: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicU64>,
    body: Option<(mpsc::UnboundedReceiver<Bytes>, Arc<AtomicU64>)>,
}

type Head = (StatusCode, http::HeaderMap, mpsc::UnboundedReceiver<Bytes>, Arc<AtomicU64>);

/// A request of another node.
enum Answering {
    /// Its body is on its way.
    Reading(Box<request::Parts>, BytesMut, usize),
    /// It is being answered.
    Doing(AbortHandle),
}

/// The body of an answer of another node. Dropped, it tells that node.
pub(crate) struct Forwarded {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicU64>,
    _guard: Guard,
}

/// Tells the other node, when dropped, that nobody waits any more.
struct Guard {
    forwards: Arc<super::Membership>,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let forwards = &self.forwards.forwards;
        // Nothing is locked while something is sent: a broker may bring an answer before it returns.
        let asked = lock(&forwards.asked).remove(&self.id);
        if let Some(asked) = asked {
            forwards.send(asked.node, &Part::Cancel(self.id));
        }
    }
}

impl Forwarded {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        if let Some(piece) = &piece {
            self.waiting.fetch_sub(piece.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(piece)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Forwards {
    pub(crate) fn new(registry: Arc<dyn NodeRegistry>) -> Self {
        let (asked, answering) = Default::default();
        Self { registry, next: AtomicU64::new(0), asked, answering }
    }

    fn send(&self, node: NodeId, part: &Part<'_>) {
        if let Some(letter) = part.write() {
            self.registry.send(node, letter, Box::new(|_| {}));
        }
    }

    /// Takes note of whether another node has a request.
    fn is_taken(&self, id: u64, taken: bool) {
        let sender = lock(&self.asked).get_mut(&id).and_then(|it| it.taken.take());
        if let Some(it) = sender {
            // Who asked may have gone.
            let _ = it.send(taken);
        }
    }

    /// Takes a part of a request or an answer from another node; tells whether it could be read.
    pub(crate) fn take(
        &self,
        from: NodeId,
        letter: &[u8],
        membership: &Arc<super::Membership>,
        site: Option<Running>,
    ) -> bool {
        match Part::read(letter) {
            Some(Part::Ask { id, method, uri, headers, peer, body }) => {
                let head = head(method, uri, &headers, peer.map(Addr::Tcp));
                let size = usize::try_from(body).unwrap_or(usize::MAX);
                match head {
                    Some(head) => self.begin((from, id), head, size, membership, site),
                    None => refuse(membership, from, id, StatusCode::BAD_REQUEST),
                }
            }
            Some(Part::AskBody(id, piece)) => self.more((from, id), piece, membership, site),
            Some(Part::Taken(id)) => self.is_taken(id, true),
            Some(Part::Answer { id, status, headers }) => {
                let mut asked = lock(&self.asked);
                let Some(asked) = asked.get_mut(&id).filter(|it| it.node == from) else {
                    return true;
                };
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                if let (Some(head), Some((body, waiting))) = (asked.head.take(), asked.body.take())
                {
                    let _ = head.send(Ok((status, map(&headers), body, waiting)));
                }
            }
            Some(Part::Body(id, piece)) => self.body(from, id, piece),
            Some(Part::End(id)) => {
                let mut asked = lock(&self.asked);
                if asked.get(&id).is_some_and(|it| it.node == from) {
                    asked.remove(&id);
                }
            }
            Some(Part::Cancel(id)) => {
                let answering = lock(&self.answering).remove(&(from, id));
                if let Some(answering) = answering {
                    answering.abort();
                }
            }
            None => return false,
        }
        true
    }

    fn body(&self, from: NodeId, id: u64, piece: &[u8]) {
        let mut all = lock(&self.asked);
        let Some(asked) = all.get(&id).filter(|it| it.node == from) else { return };
        let len = piece.len() as u64;
        let waits = asked.waiting.fetch_add(len, Ordering::Relaxed) + len;
        let is_read = asked.pieces.send(Bytes::copy_from_slice(piece)).is_ok();
        if !is_read || waits > WAITING_MAX as u64 {
            // Its client reads too slowly, or not at all: the body ends here, and the other node hears of it.
            all.remove(&id);
            drop(all);
            self.send(from, &Part::Cancel(id));
        }
    }

    /// Gives up on all that a node was to answer, and on all that it asked: should it be there all the same, it is told.
    pub(crate) fn gone(&self, node: NodeId, membership: &Arc<super::Membership>) {
        lock(&self.asked).retain(|_, it| it.node != node);
        let all: Vec<_> = lock(&self.answering).extract_if(|it, _| it.0 == node).collect();
        for ((from, id), answering) in all {
            answering.abort();
            membership.not_told(from, id);
        }
    }

    /// Gives up on all that is on its way, and tells the other nodes: parts of it may have been lost, and would be waited for.
    pub(crate) fn interrupted(&self, membership: &Arc<super::Membership>) {
        let all = std::mem::take(&mut *lock(&self.asked));
        for (id, asked) in all {
            // Who asked may have gone.
            asked.taken.map(|it| it.send(false));
            if let Some(head) = asked.head {
                let why = "the other node could not be reached for a while";
                let _ = head.send(Err(Refusal::new(RefusalKind::Unavailable, why)));
            }
            self.send(asked.node, &Part::Cancel(id));
        }
        let all = std::mem::take(&mut *lock(&self.answering));
        for ((from, id), answering) in all {
            answering.abort();
            membership.answer(from, id, &Part::End(id));
        }
    }

    fn begin(
        &self,
        (from, id): (NodeId, u64),
        head: request::Parts,
        size: usize,
        membership: &Arc<super::Membership>,
        site: Option<Running>,
    ) {
        let Some(site) = site else {
            return refuse(membership, from, id, StatusCode::SERVICE_UNAVAILABLE);
        };
        if size > site.request_bytes_max() {
            return refuse(membership, from, id, StatusCode::PAYLOAD_TOO_LARGE);
        }
        if size == 0 {
            let request = Request::from_parts(head, Bytes::new());
            return self.answer(from, id, request, membership, site);
        }
        let mut answering = lock(&self.answering);
        if answering.len() >= ANSWERED_MAX {
            drop(answering);
            return refuse(membership, from, id, StatusCode::SERVICE_UNAVAILABLE);
        }
        answering.insert((from, id), Answering::Reading(Box::new(head), BytesMut::new(), size));
    }

    fn more(
        &self,
        (from, id): (NodeId, u64),
        piece: &[u8],
        membership: &Arc<super::Membership>,
        site: Option<Running>,
    ) {
        let mut answering = lock(&self.answering);
        let Some(Answering::Reading(_, body, size)) = answering.get_mut(&(from, id)) else {
            return;
        };
        body.extend_from_slice(piece);
        if body.len() < *size {
            return;
        }
        let Some(Answering::Reading(head, body, _)) = answering.remove(&(from, id)) else { return };
        drop(answering);
        if let Some(site) = site {
            let request = Request::from_parts(*head, body.freeze());
            self.answer(from, id, request, membership, site);
        }
    }

    /// Answers a request of another node. Requests reach their conversations in the order of these calls.
    fn answer(
        &self,
        from: NodeId,
        id: u64,
        request: Request<Bytes>,
        membership: &Arc<super::Membership>,
        site: Running,
    ) {
        let is_full = lock(&self.answering).len() >= ANSWERED_MAX;
        if is_full {
            return refuse(membership, from, id, StatusCode::SERVICE_UNAVAILABLE);
        }
        let (head, body) = request.into_parts();
        let Some(asking) = site.asking(head) else {
            return refuse(membership, from, id, StatusCode::NOT_FOUND);
        };
        self.send(from, &Part::Taken(id));
        let begun = asking.begin(body);
        let runtime = site.0.runtime.clone();
        // The answer may be there before the entry is: the task waits for it.
        let mut answering = lock(&self.answering);
        let membership = membership.clone();
        let task = runtime.spawn(async move {
            bring(&membership, from, id, begun.finish().await).await;
            lock(&membership.forwards.answering).remove(&(from, id));
        });
        answering.insert((from, id), Answering::Doing(task.abort_handle()));
    }
}

impl Answering {
    fn abort(self) {
        if let Self::Doing(task) = self {
            task.abort();
        }
    }
}

fn refuse(membership: &Arc<super::Membership>, node: NodeId, id: u64, status: StatusCode) {
    let answer = Part::Answer { id, status: status.as_u16(), headers: vec![] };
    for part in [Part::Taken(id), answer, Part::End(id)] {
        membership.answer(node, id, &part);
    }
}

/// Sends an answer to the node that asked.
async fn bring(
    membership: &Arc<super::Membership>,
    to: NodeId,
    id: u64,
    response: Response<SiteBody>,
) {
    let (head, body) = response.into_parts();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers = headers.collect();
    membership.answer(to, id, &Part::Answer { id, status: head.status.as_u16(), headers });
    let mut body = std::pin::pin!(body);
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(bytes) = frame.into_data() else { continue };
        for piece in bytes.chunks(PIECE) {
            membership.answer(to, id, &Part::Body(id, piece));
        }
    }
    membership.answer(to, id, &Part::End(id));
}

impl super::Membership {
    /// Has another node answer a request.
    ///
    /// # Errors
    ///
    /// Why it does not reach its conversation there.
    pub(crate) async fn forward(
        self: &Arc<Self>,
        node: NodeId,
        head: &request::Parts,
        body: &Bytes,
    ) -> Result<Response<SiteBody>, Refusal> {
        let forwards = &self.forwards;
        let id = forwards.next.fetch_add(1, Ordering::Relaxed);
        let (head_sender, awaited) = oneshot::channel();
        let (taken_sender, taken) = oneshot::channel();
        let (pieces, received) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let asked = Asked {
            node,
            taken: Some(taken_sender),
            head: Some(head_sender),
            pieces,
            waiting: waiting.clone(),
            body: Some((received, waiting)),
        };
        {
            let mut all = lock(&forwards.asked);
            if all.len() >= ASKED_MAX {
                return Err(Refusal::new(RefusalKind::Unavailable, "the server is busy"));
            }
            all.insert(id, asked);
        }
        let guard = Guard { forwards: self.clone(), id };
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let peer = head.extensions.get::<Addr>().and_then(Addr::tcp);
        let ask = Part::Ask {
            id,
            method: head.method.as_str(),
            uri: head.uri.path_and_query().map_or("/", |it| it.as_str()),
            headers: headers.collect(),
            peer,
            body: body.len() as u64,
        };
        let parts = body.chunks(PIECE).map(|piece| Part::AskBody(id, piece));
        for part in [ask].into_iter().chain(parts) {
            let Some(letter) = part.write() else { continue };
            let membership = self.clone();
            let sent = move |sent: Result<(), _>| {
                if sent.is_err() {
                    membership.forwards.is_taken(id, false);
                }
            };
            forwards.registry.send(node, letter, Box::new(sent));
        }
        arrived(taken).await?;
        match tokio::time::timeout(HEAD_WITHIN, awaited).await {
            Ok(Ok(Ok((status, headers, pieces, waiting)))) => {
                let body = Forwarded { pieces, waiting, _guard: guard };
                let mut response = Response::new(SiteBody::from(body));
                (*response.status_mut(), *response.headers_mut()) = (status, headers);
                Ok(response)
            }
            Ok(Ok(Err(refusal))) => Err(refusal),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Refusal::new(RefusalKind::Deadline, "the other node did not answer")),
        }
    }
}

/// The node is gone, and the conversation with it.
fn gone() -> Refusal {
    Refusal::new(RefusalKind::NotFound, NO_CONVERSATION)
}

/// Waits until another node has a request.
async fn arrived(taken: oneshot::Receiver<bool>) -> Result<(), Refusal> {
    match tokio::time::timeout(TAKEN_WITHIN, taken).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Err(_)) => Err(gone()),
        Ok(Ok(false)) | Err(_) => {
            Err(Refusal::new(RefusalKind::Unavailable, "the other node can't be reached"))
        }
    }
}

fn head(
    method: &str,
    uri: &str,
    headers: &[(&str, &[u8])],
    peer: Option<Addr>,
) -> Option<request::Parts> {
    let (mut head, ()) = Request::builder().method(method).uri(uri).body(()).ok()?.into_parts();
    head.headers = map(headers);
    head.extensions.insert(peer.unwrap_or(Addr::Unknown));
    Some(head)
}

fn map(headers: &[(&str, &[u8])]) -> http::HeaderMap {
    let read = |(name, value): &(&str, &[u8])| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value).ok()?))
    };
    let mut map = http::HeaderMap::new();
    for (name, value) in headers.iter().filter_map(read) {
        map.append(name, value);
    }
    map
}
