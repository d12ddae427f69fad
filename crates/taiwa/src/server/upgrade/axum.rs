//! [`Upgrade`] as an extractor of axum.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{Request, request::Parts};

use super::{Rejection, Upgrade};
use crate::server::Sockets;

/// Route it with `any`: over HTTP/2 the method is CONNECT, over HTTP/1.1 GET. `axum::serve` speaks HTTP/2 where axum's
/// feature `http2` is on.
///
/// By the settings of the [`Sockets`] in the request's extensions, that is of a layer
/// `axum::Extension(sockets)`; see [`Upgrade::from_request`].
impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let sockets = parts.extensions.get::<Sockets>().cloned();
        sockets.unwrap_or_else(Sockets::of_nobody).upgrade_parts(parts)
    }
}

/// `None` for a request that asks for no upgrade to WebSocket, so that a route can serve ordinary HTTP, too.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Upgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Rejection> {
        if !is_upgrade(parts) {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

impl Sockets {
    pub(crate) fn upgrade_parts(&self, parts: &mut Parts) -> Result<Upgrade, Rejection> {
        lent(parts, |request| self.upgrade(request))
    }
}

fn is_upgrade(parts: &mut Parts) -> bool {
    lent(parts, |request| Upgrade::is_requested_by(request))
}

/// Lends the head of a request as a request without body.
fn lent<R>(parts: &mut Parts, borrow: impl FnOnce(&mut Request<()>) -> R) -> R {
    let nothing = Request::new(()).into_parts().0;
    let mut request = Request::from_parts(std::mem::replace(parts, nothing), ());
    let result = borrow(&mut request);
    *parts = request.into_parts().0;
    result
}
