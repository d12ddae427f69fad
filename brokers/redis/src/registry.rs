//! Who is alive, and letters.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use redis::Value;
use taiwa_core::{Ears, Look, NodeId, NodeRegistry, Refusal, RefusalKind, Then};

use crate::{
    ask::{Ask, unavailable},
    node::Redis,
    reply::Reply,
};

/// The longest letter, in bytes.
const LETTER_BYTES_MAX: usize = 512 * 1024;

impl NodeRegistry for Redis {
    fn node(&self) -> NodeId {
        self.shared.node
    }

    fn secret(&self) -> [u8; 32] {
        self.shared.secret
    }

    fn begin(&self, ears: Arc<dyn Ears>) {
        drop(self.queue.send(Ask::Begin(ears)));
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.shared.alive().to_vec()
    }

    fn send(&self, to: NodeId, letter: Bytes, then: Then<()>) {
        if letter.len() > LETTER_BYTES_MAX {
            return then(Err(Refusal::new(RefusalKind::Limit, "the letter is too long")));
        }
        if self.shared.alive().binary_search(&to).is_err() {
            return then(Err(Refusal::new(RefusalKind::NotFound, "the node is gone")));
        }
        let channel = self.shared.keys.letters(to);
        let message = [self.shared.node.to_string().as_bytes(), &letter].concat();
        let heard = |it: Result<bool, Refusal>| match it {
            Ok(true) => then(Ok(())),
            Ok(false) => then(Err(unavailable("the node does not listen"))),
            Err(why) => then(Err(why)),
        };
        let by_one = |it: Value| Ok(it.number().is_some_and(|it| it > 0));
        let publish: &[&[u8]] = &[self.shared.keys.publish(), channel.as_bytes(), &message];
        self.command(&channel, publish, Box::new(heard), by_one);
    }

    fn look(&self) -> Look {
        let gauge = &self.shared.gauge;
        let counters = [
            ("requests", &gauge.requests),
            ("refused", &gauge.refused),
            ("late", &gauge.late),
            ("lost", &gauge.lost),
            ("heard", &gauge.heard),
            ("letters", &gauge.letters),
            ("reloads", &gauge.reloads),
        ];
        Look {
            kind: "redis",
            up: gauge.up.load(Relaxed),
            waiting: gauge.waiting.load(Relaxed),
            counters: counters.map(|(name, it)| (name, it.load(Relaxed))).to_vec(),
        }
    }

    fn leave(&self, then: Then<()>) {
        // Its members go before its name, so that nobody sees the one without the other; all in one queue, in order.
        let channels: Vec<_> = self.shared.present().drain().collect();
        let (node, keys) = (self.shared.node, &self.shared.keys);
        for it in channels {
            let (members, users) = (keys.members(&it, node), keys.users(&it, node));
            let unlink: &[&[u8]] = &[b"UNLINK", members.as_bytes(), users.as_bytes()];
            self.command(&members, unlink, Box::new(|_| {}), |_| Ok(()));
        }
        self.ask(0, then, |_| Ok(()), Ask::Leave);
    }
}
