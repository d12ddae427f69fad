//! [`Desk`]: the HTTP API at work, whose settings may be exchanged.

use std::sync::{Arc, PoisonError, RwLock};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::{Api, Office, Orders, Tally, document, serve};

/// The HTTP API at work. Cheap to clone; its clones are one.
#[derive(Clone, Debug)]
pub struct Desk {
    open: Arc<RwLock<Open>>,
    order: Orders,
    tally: Tally,
}

/// What holds at the moment.
#[derive(Clone, Debug)]
struct Open {
    router: Router,
    path: Arc<str>,
    /// Without keys there is nobody to answer.
    has_keys: bool,
}

impl Open {
    fn new(api: Api, order: &Orders, tally: &Tally) -> Self {
        let Api { keys, everyone, path, limits, verifier } = api;
        let has_keys = everyone.is_some() || !keys.is_empty();
        let office = Office {
            order: order.clone(),
            requests: Semaphore::new(limits.requests_max.min(Semaphore::MAX_PERMITS)),
            document: document(&path, &limits),
            keys,
            everyone,
            limits,
            verifier,
            tally: tally.clone(),
        };
        Self { router: serve::router(Arc::new(office), &path), path: path.into(), has_keys }
    }
}

impl Desk {
    pub(super) fn new(api: Api, order: Orders) -> Self {
        let tally = Tally::default();
        let open = Arc::new(RwLock::new(Open::new(api, &order, &tally)));
        Self { open, order, tally }
    }

    /// Goes on as another API: other keys, path and bounds. Requests that were begun are answered by the one before; the
    /// counts go on.
    pub fn replace(&self, api: Api) {
        let open = Open::new(api, &self.order, &self.tally);
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = open;
    }

    fn open(&self) -> Open {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether a path is the API's, also if there is nothing: what is below its own path. Without keys none is.
    pub fn claims(&self, path: &str) -> bool {
        let open = self.open();
        open.has_keys && path.strip_prefix(&*open.path).is_some_and(|it| it.starts_with('/'))
    }

    /// Answers a request.
    ///
    /// Dropping the future does not undo what was ordered.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut router = self.open().router;
        let Ok(response) = router.call(request.map(Body::new)).await;
        let (head, body) = response.into_parts();
        // What is answered here is whole already.
        let body = body.collect().await.map_or_else(|_| Bytes::new(), |it| it.to_bytes());
        Response::from_parts(head, body)
    }

    /// Serves it on listeners of its own.
    pub fn serve(self, server: taiwa::Server) -> taiwa::Serving {
        let serving = server.http(move |request| {
            let desk = self.clone();
            async move { desk.answer(request).await.map(Full::from) }
        });
        serving.serve(|upgrade: taiwa::Upgrade| upgrade.reject(404, "there is no WebSocket here\n"))
    }

    /// Returns the routes, for a program with a router of its own. They stay what they are.
    pub fn into_router(self) -> Router {
        self.open().router
    }

    /// Returns what was counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}
