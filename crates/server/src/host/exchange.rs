//! HTTP requests of conversations, on the shard: answered whole, as streams, or as polls.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use taiwa_core::{
    Exchange, Input, Knock, Line, NodeId, Refusal, RefusalKind, Request, Response, Transport,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Host, Parting,
    note::{ForWhom, Note, Visitor, Who},
    talk::{Backlog, Carrier, Poll, Stream, Talk, TalkKey},
    visit::Visit,
};
use crate::{
    address,
    shard::{Lines, Post},
};

/// The answer to an HTTP request, for the part of the server that speaks HTTP.
pub(crate) enum Answered {
    /// All of it.
    Whole {
        /// The status.
        status: u16,
        /// More headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Bytes,
    },
    /// A body that goes on.
    Stream {
        /// More headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Body,
    },
    /// It reaches no conversation; here it is back.
    Refused(Refusal, Box<Request>),
}

/// What is said of a conversation that is not there.
pub(crate) const NO_CONVERSATION: &str = "there is no such conversation";

/// The reading end of a body. Dropped, it tells the conversation that its line is gone.
pub(crate) struct Body {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    backlog: Arc<Backlog>,
    /// Tells the shard.
    gone: BodyGone,
}

/// Tells a shard, when dropped, that nobody reads a body, waits for an answer or brings a socket any more.
pub(crate) struct BodyGone {
    post: Post<Host>,
    talk: TalkKey,
    line: Line,
    is_armed: bool,
}

impl BodyGone {
    #[cfg(test)]
    pub(super) fn line(&self) -> Line {
        self.line
    }

    pub(super) fn new(post: Post<Host>, talk: TalkKey, line: Line) -> Self {
        Self { post, talk, line, is_armed: true }
    }

    /// Tells nobody, because the answer, or the line itself, arrived; returns whose line it is.
    pub(crate) fn defuse(mut self) -> (TalkKey, Line) {
        self.is_armed = false;
        (self.talk, self.line)
    }
}

impl Drop for BodyGone {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        self.post.send(Note::LineGone(self.talk, self.line));
    }
}

impl Body {
    /// Returns the next piece, or `None` at the end.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Bytes>> {
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        if let Some(piece) = &piece
            && self.backlog.taken(piece.len())
        {
            self.gone.post.send(Note::LineRoom);
        }
        std::task::Poll::Ready(piece)
    }
}

impl Host {
    /// Takes an HTTP request for a conversation.
    pub(super) fn visit(&mut self, visitor: Visitor, lines: &mut Lines) {
        let Visitor { for_whom, request, who, place, answer, begun, because } = visitor;
        // What is asked at once is asked because of it.
        let _because = because.enter();
        if let Parting::From(_) = self.parting {
            return refuse(answer, RefusalKind::Unavailable, "the server goes away", request);
        }
        let key = match for_whom {
            ForWhom::Known(key, dialect) => {
                if !self.stage.is_there(key, dialect) {
                    return refuse(answer, RefusalKind::NotFound, NO_CONVERSATION, request);
                }
                key
            }
            ForWhom::New(dialect) => {
                let now = lines.now();
                let (index, shared) = (self.stage.index, self.shared.clone());
                let mut refused = None;
                let made = self.stage.talks.insert_with(|key| {
                    let node = shared.membership.as_ref().map_or(NodeId(0), |it| it.node());
                    let address = address::write(&shared.secret, node, index as u16, key);
                    let knock = Knock {
                        transport: Transport::Http,
                        request: &request,
                        subprotocol: None,
                        address: &address,
                        random: crate::random::bits(),
                    };
                    let conversation = dialect.open(&knock, now).unwrap_or_else(|it| {
                        refused = Some(it);
                        Box::new(Nobody)
                    });
                    let Who { version, peer, certificate } = who;
                    let arrived = (place, certificate);
                    let visit = Visit::new((version, &peer), arrived, &request.path, now);
                    Talk::new(conversation, dialect.name(), None, visit)
                });
                let Some(key) = made else {
                    return refuse(answer, RefusalKind::Unavailable, FULL, request);
                };
                if let Some(refusal) = refused {
                    self.stage.remove(key);
                    // Whoever asked may have gone.
                    let _ = answer.send(Answered::Refused(refusal, Box::new(request)));
                    return;
                }
                self.stage.tally.opened += 1;
                if let Some(leaving) = &mut self.leaving {
                    leaving.one_more(lines.now());
                }
                if self.take_seat(key, lines).is_none() {
                    self.end(key, 1013, "", lines);
                    self.settle(lines);
                    return refuse(answer, RefusalKind::Unavailable, FULL, request);
                }
                key
            }
        };
        self.take_request(key, request, answer, begun, lines);
    }

    fn take_request(
        &mut self,
        key: TalkKey,
        request: Request,
        answer: oneshot::Sender<Answered>,
        begun: oneshot::Sender<BodyGone>,
        lines: &mut Lines,
    ) {
        let limit = self.shared.limits.exchanges_max;
        let Some(talk) = self.stage.talks.get_mut(key) else { return };
        let aside = talk.aside();
        if aside.exchanges.len() >= limit {
            return refuse(answer, RefusalKind::Limit, "too many requests at once", request);
        }
        let exchange = Exchange(aside.lines_so_far);
        aside.lines_so_far += 1;
        aside.exchanges.push((exchange, answer));
        let post = self.stage.posts[self.stage.index].clone();
        // If nobody waits for it already, it tells so as it is dropped.
        let _ = begun.send(BodyGone::new(post, key, exchange.line()));
        self.stage.count_in(key, request.body.len());
        self.receive(key, Input::Request(exchange, request), lines);
    }

    /// Answers a request.
    pub(super) fn respond(
        &mut self,
        key: TalkKey,
        exchange: Exchange,
        response: Response,
        lines: &mut Lines,
    ) {
        let post = self.stage.posts[self.stage.index].clone();
        let Some(talk) = self.stage.talks.get_mut(key) else { return };
        let exchanges = &mut talk.aside().exchanges;
        let Some(at) = exchanges.iter().position(|(it, _)| *it == exchange) else { return };
        let (_, answer) = exchanges.swap_remove(at);
        let line = exchange.line();
        match response {
            Response::Whole { status, headers, body } => {
                // Whoever asked may have gone.
                let _ = answer.send(Answered::Whole { status, headers, body });
            }
            Response::Stream { headers } => {
                let (pieces, received) = mpsc::unbounded_channel();
                let backlog = Arc::new(Backlog::default());
                let gone = BodyGone::new(post, key, line);
                let body = Body { pieces: received, backlog: backlog.clone(), gone };
                talk.lines.insert(line, Carrier::Stream(Stream { pieces, backlog }));
                // If nobody waits for it, the body tells so as it is dropped.
                let _ = answer.send(Answered::Stream { headers, body });
                self.stage.pour(key, lines);
            }
            Response::Poll { headers, head, write } => {
                let poll = Poll { answer, headers, head, write, said: vec![], bytes: 0 };
                talk.lines.insert(line, Carrier::Poll(Box::new(poll)));
                self.stage.pour(key, lines);
            }
            _ => {}
        }
    }

    /// Answers the polls to which something was said in this turn.
    pub(super) fn finish_polls(&mut self, lines: &mut Lines) {
        while !self.stage.polls.is_empty() {
            for (key, line) in std::mem::take(&mut self.stage.polls) {
                let Some(talk) = self.stage.talks.get_mut(key) else { continue };
                if let Some(Carrier::Poll(poll)) = talk.lines.remove(line) {
                    let unheard = poll.finish();
                    if unheard.is_empty() {
                        self.hear(key, Input::Answered(line), lines);
                    }
                    self.stage.put_back(key, unheard);
                    self.line_left(key, line, lines);
                    self.settle(lines);
                }
            }
        }
    }
}

pub(super) fn refuse(
    answer: oneshot::Sender<Answered>,
    kind: RefusalKind,
    text: &str,
    request: Request,
) {
    // Whoever asked may have gone.
    let _ = answer.send(Answered::Refused(Refusal::new(kind, text), Box::new(request)));
}

const FULL: &str = "the server is full";

/// Stands where a dialect would open no conversation, until that is told.
struct Nobody;

impl taiwa_core::Conversation for Nobody {
    fn receive(&mut self, _: Input, _: Instant, _: &mut taiwa_core::Actions) {}
    fn deliver(&mut self, _: taiwa_core::Event, _: Instant, _: &mut taiwa_core::Actions) {}
    fn timeout(&mut self, _: Instant, _: &mut taiwa_core::Actions) {}
    fn deadline(&self) -> Option<Instant> {
        None
    }
}
