//! Requests over HTTP on their way: they reach a conversation, on this node or another, or hear why they reach none.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use taiwa::{Addr, PeerCertificates};
use taiwa_core::{Addressee, Dialect, NodeId, Refusal, RefusalKind, Request, Transport};
use tokio::sync::oneshot;
use tracing::Span;

use crate::{
    addresses,
    body::{self, SiteBody, response, text},
    certificate, doors,
    host::{Answered, BodyGone, ForWhom, Host, NO_CONVERSATION, Note, Visitor, Who},
    shard::{NotSent, Post},
    site::{Place, Running},
    trace,
};

/// What is told to an address that has as many conversations as it may.
pub(crate) const FROM_ONE_ADDRESS: &str = "too many connections from this address";

impl Running {
    /// Answers a request that is for a dialect, or with 404.
    pub(crate) async fn converse<B>(&self, request: http::Request<B>) -> Response<SiteBody>
    where
        B: http_body::Body<Data: Into<Bytes>> + Send,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        let Some(asking) = self.asking(head) else {
            return text(StatusCode::NOT_FOUND, "there is nothing here\n");
        };
        match body::read(body, self.request_bytes_max()).await {
            Ok(body) => asking.begin(body).finish().await,
            Err(status) => text(status, "the request's body is too long or broken\n"),
        }
    }

    /// Finds the dialect of a request whose body is yet to come.
    pub(crate) fn asking(&self, head: Parts) -> Option<Asking> {
        let front = self.0.front.get();
        let found = front.doors.find(Transport::Http, head.uri.path(), std::iter::empty());
        let dialect = found?.0.clone();
        let tcp = || head.extensions.get::<SocketAddr>().copied().map(Addr::Tcp);
        let peer = head.extensions.get::<Addr>().cloned().or_else(tcp).unwrap_or(Addr::Unknown);
        Some(Asking { site: self.clone(), dialect, head: Box::new(head), peer })
    }
}

/// A request of a dialect.
pub(crate) struct Asking {
    site: Running,
    dialect: Arc<dyn Dialect>,
    head: Box<Parts>,
    peer: Addr,
}

/// A request that is on its way.
pub(crate) struct Begun {
    asking: Asking,
    step: Step,
}

enum Step {
    /// It reaches no conversation.
    Over(Response<SiteBody>),
    /// It is for a conversation of another node.
    Far(NodeId, Request, OtherwiseNew),
    /// It is in the queue of a shard.
    Waits(Waiting),
}

struct Waiting {
    answered: oneshot::Receiver<Answered>,
    begun: oneshot::Receiver<BodyGone>,
    span: Span,
    otherwise_new: OtherwiseNew,
}

/// Whether a conversation begins with it if the one that it is for is not there.
type OtherwiseNew = bool;

impl Asking {
    /// Sends it on its way. Those for conversations of this node reach them in the order in which they were begun.
    pub(crate) fn begin(self, body: Bytes) -> Begun {
        let Self { head, dialect, .. } = &self;
        let request = doors::request(head.method.as_str(), &head.uri, &head.headers, body);
        let step = match dialect.addressee(&request) {
            Addressee::New => self.begin_new(request),
            Addressee::Known(address) => self.seek(&address, request, false),
            Addressee::KnownOrNew(address) => self.seek(&address, request, true),
            Addressee::Nobody(status, why) => {
                let refusal = doors::nobody(status, why);
                let response = doors::turned_away_with(status, &**dialect, &request, &refusal);
                Step::Over(response.map(SiteBody::from))
            }
        };
        Begun { asking: self, step }
    }

    fn seek(&self, address: &str, request: Request, otherwise_new: OtherwiseNew) -> Step {
        match self.site.known(address) {
            Some(Place::Here(post, talk)) => {
                let for_whom = ForWhom::Known(talk, self.dialect.name());
                self.visit(post, for_whom, request, None, Span::none(), otherwise_new)
            }
            Some(Place::On(node)) => Step::Far(node, request, otherwise_new),
            None if otherwise_new => self.begin_new(request),
            None => {
                let why = Refusal::new(RefusalKind::NotFound, NO_CONVERSATION);
                Step::Over(self.turned_away(&request, &why))
            }
        }
    }

    fn begin_new(&self, request: Request) -> Step {
        let site = &self.site.0;
        if let Some(exit) = site.exit.get() {
            return Step::Over(exit.turn_away(&self.head.headers));
        }
        // A conversation counts once, whatever the number of its requests.
        let Ok(place) = site.addresses.enter(&self.peer) else {
            let why = Refusal::new(RefusalKind::Limit, FROM_ONE_ADDRESS);
            return Step::Over(self.turned_away(&request, &why));
        };
        let span = trace::handshake(Transport::Http, self.head.method.as_str());
        span.record("taiwa.dialect", self.dialect.name());
        let for_whom = ForWhom::New(self.dialect.clone());
        self.visit(site.shards.assign(), for_whom, request, place, span, false)
    }

    fn visit(
        &self,
        post: &Post<Host>,
        for_whom: ForWhom,
        request: Request,
        place: Option<Box<addresses::Place>>,
        span: Span,
        otherwise_new: OtherwiseNew,
    ) -> Step {
        let (answer, answered) = oneshot::channel();
        let (begun_sender, begun) = oneshot::channel();
        let visitor = Visitor {
            request,
            who: self.who(&for_whom),
            for_whom,
            place,
            answer,
            begun: begun_sender,
            because: span.clone(),
        };
        match post.try_send(Note::Visit(Box::new(visitor))) {
            Ok(()) => Step::Waits(Waiting { answered, begun, span, otherwise_new }),
            Err(NotSent::Full(note) | NotSent::Ended(note)) => {
                let why = Refusal::new(RefusalKind::Unavailable, "the server is busy");
                let Note::Visit(visitor) = note else { unreachable!("it was a visit") };
                let response = self.turned_away(&visitor.request, &why);
                trace::answered(&span, response.status(), 500);
                Step::Over(response)
            }
        }
    }

    fn who(&self, for_whom: &ForWhom) -> Who {
        let shown = self.head.extensions.get::<PeerCertificates>();
        // A conversation keeps that of its first request.
        let shown = shown.filter(|_| matches!(for_whom, ForWhom::New(_)));
        Who {
            version: self.head.version,
            peer: self.peer.clone(),
            certificate: shown.and_then(|it| it.iter().next()).map(certificate::read),
        }
    }

    fn turned_away(&self, request: &Request, why: &Refusal) -> Response<SiteBody> {
        doors::turned_away(&*self.dialect, request, why).map(SiteBody::from)
    }
}

impl Begun {
    /// Waits for the answer. Dropping the future tells the conversation that its client has gone.
    pub(crate) async fn finish(self) -> Response<SiteBody> {
        let Self { asking, mut step } = self;
        loop {
            step = match step {
                Step::Over(response) => return response,
                Step::Far(node, request, otherwise_new) => {
                    let Some(membership) = &asking.site.0.membership else {
                        unreachable!("only a node knows of others")
                    };
                    match membership.forward(node, &asking.head, &request.body).await {
                        Ok(response) => return response,
                        Err(why) => asking.otherwise(request, &why, otherwise_new),
                    }
                }
                Step::Waits(Waiting { answered, begun, span, otherwise_new }) => {
                    // Held until the answer is there: whoever goes before is missed.
                    let gone = begun.await.ok();
                    let response = match answered.await {
                        Ok(Answered::Refused(why, request)) => {
                            step = asking.otherwise(*request, &why, otherwise_new);
                            if let Step::Over(response) = &step {
                                trace::answered(&span, response.status(), 500);
                            }
                            continue;
                        }
                        Ok(Answered::Whole { status, headers, body }) => {
                            response(status, headers, SiteBody::from(body))
                        }
                        Ok(Answered::Stream { headers, body }) => {
                            response(200, headers, SiteBody::from(body))
                        }
                        Err(_) => {
                            return text(
                                StatusCode::SERVICE_UNAVAILABLE,
                                "the conversation has ended\n",
                            );
                        }
                    };
                    if let Some(gone) = gone {
                        gone.defuse();
                    }
                    trace::answered(&span, response.status(), 500);
                    return response;
                }
            }
        }
    }
}

impl Asking {
    /// Goes on with a request that has not reached its conversation.
    fn otherwise(&self, request: Request, why: &Refusal, otherwise_new: OtherwiseNew) -> Step {
        match why.kind {
            RefusalKind::NotFound if otherwise_new => self.begin_new(request),
            _ => Step::Over(self.turned_away(&request, why)),
        }
    }
}
