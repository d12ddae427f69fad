//! Other settings for a shard at work.

use std::sync::Arc;

use super::{Rates, Shard, session::To};
use crate::settings::Settings;

impl Shard {
    /// Goes on with other settings, which are to be given to all shards of the hub. Sessions and subscriptions stay.
    ///
    /// What they say counts from the next command on: rights, limits, rates and what holds in a namespace, also in channels
    /// that are there already. What was decided when somebody subscribed stays as it was decided: that it was let in, and
    /// whether it is told of gaps and may recover. A channel knows of those who subscribed without
    /// [`Namespace::presence`](crate::Namespace::presence) that they are there no sooner than when they come again.
    /// Channels whose namespace is gone keep what held for them for those who are in them; nobody else gets in, and
    /// nothing is published.
    ///
    /// If namespaces are others than before it takes time in proportion to the channels.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        let others = settings.namespaces != self.settings.namespaces
            || settings.without_namespace != self.settings.without_namespace
            || settings.unknown_namespaces != self.settings.unknown_namespaces;
        self.rates = Rates::of(&settings.limits);
        self.sessions.set_items_max(settings.limits.sessions_max);
        self.settings = settings;
        if !others {
            return;
        }
        let answers_max = self.settings.limits.identifiers_max;
        for (channel, owned) in &mut self.owned {
            if let Some(namespace) = self.settings.namespace(channel) {
                owned.set_namespace(namespace.clone(), answers_max);
            }
        }
        for key in self.channels.values() {
            if let Some(audience) = self.audiences.get_mut(*key)
                && let To::Channel(channel, holds) = &mut audience.to
                && let Some(namespace) = self.settings.namespace(channel)
            {
                holds.clone_from(namespace);
            }
        }
    }
}
