//! What stands before the shards and may be exchanged: doors, origins, bounds of requests.

use std::sync::{Arc, PoisonError, RwLock};

use taiwa::Origins;
use tokio::sync::oneshot;

use crate::{
    doors::Doors,
    host::{Adopting, Note, Shared},
    site::{Running, Site},
};

/// What is asked at each request, and never on a message's path.
pub(crate) struct Front {
    pub(crate) doors: Doors,
    pub(crate) origins: Origins,
    pub(crate) request_bytes_max: usize,
}

/// The front that holds at the moment.
pub(crate) struct Present(RwLock<Arc<Front>>);

impl Present {
    pub(crate) fn new(front: Front) -> Self {
        Self(RwLock::new(Arc::new(front)))
    }

    pub(crate) fn get(&self) -> Arc<Front> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, front: Front) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(front);
    }
}

impl Running {
    /// Goes on as another site, while all who are connected stay: with its dialects, hub, app, bounds of conversations and
    /// requests, origins, and conversations of an address. It returns when all of that holds.
    ///
    /// Dialects are for conversations that begin from then on; what holds of the hub is in
    /// [`Shard::set_settings`](taiwa_hub::Shard::set_settings). The number of shards and what may wait for them, the scheme
    /// and the API stay; see [`Desk::replace`](crate::api::Desk::replace) for the API, and
    /// [`Tuner`](taiwa::Tuner) for the listeners.
    ///
    /// Dropping the future changes nothing of it: it is under way.
    pub async fn adopt(&self, site: Site) {
        let front = Front {
            doors: Doors::new(&site.dialects),
            origins: site.origins,
            request_bytes_max: site.request_bytes_max,
        };
        let shared = Arc::new(Shared {
            app: site.app,
            runtime: self.0.runtime.clone(),
            limits: site.limits,
            settings: Arc::new(site.hub),
            secret: self.0.secret,
            membership: self.0.membership.clone(),
            names: site.dialects.iter().map(|it| it.name()).collect(),
        });
        self.0.addresses.set_max(site.address_conversations_max);
        let adopting = self.0.shards.posts().iter().map(|post| {
            let (done, adopted) = oneshot::channel();
            post.send(Note::Adopt(Box::new(Adopting { shared: shared.clone(), done })));
            adopted
        });
        let adopting: Vec<_> = adopting.collect();
        for adopted in adopting {
            // A shard that has ended adopts nothing.
            let _ = adopted.await;
        }
        self.0.front.set(front);
    }
}
