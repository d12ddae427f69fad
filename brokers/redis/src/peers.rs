//! Who is alive, judged by beats. No I/O and no clock.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use taiwa_core::NodeId;

/// The other nodes.
///
/// The server's clock only says whether a node beat since the last time, and, of one that was never seen, whether it beat
/// lately. How long a node is silent is measured here, while the server can be reached.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<NodeId, Peer>);

#[derive(Debug)]
struct Peer {
    alive: bool,
    /// The server's time of its last beat, in milliseconds.
    beat: u64,
    seen: Instant,
}

/// What changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Come(NodeId),
    Gone(NodeId),
}

impl Peers {
    /// Returns who is alive.
    pub(crate) fn alive(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().filter(|(_, it)| it.alive).map(|(node, _)| *node)
    }

    /// Takes all beats that the server has, and its time.
    pub(crate) fn list(
        &mut self,
        beats: &[(NodeId, u64)],
        server: u64,
        now: Instant,
        gone_after: Duration,
    ) -> Vec<Change> {
        let mut changes = vec![];
        for &(node, beat) in beats {
            let lately = u128::from(server.saturating_sub(beat)) < gone_after.as_millis();
            let known = self.0.contains_key(&node);
            let peer = self.0.entry(node).or_insert(Peer { alive: false, beat, seen: now });
            let beats = if known { peer.beat != beat } else { lately };
            if beats {
                (peer.beat, peer.seen) = (beat, now);
                if !std::mem::replace(&mut peer.alive, true) {
                    changes.push(Change::Come(node));
                }
            }
        }
        for (node, peer) in &mut self.0 {
            if peer.alive && now.duration_since(peer.seen) >= gone_after {
                peer.alive = false;
                changes.push(Change::Gone(*node));
            }
        }
        // Who is dead and forgotten by the server is forgotten here.
        self.0.retain(|node, it| it.alive || beats.iter().any(|(of, _)| of == node));
        changes
    }

    /// Takes in that a node says it came.
    pub(crate) fn come(&mut self, node: NodeId, now: Instant) -> Option<Change> {
        let peer = self.0.entry(node).or_insert(Peer { alive: false, beat: 0, seen: now });
        peer.seen = now;
        (!std::mem::replace(&mut peer.alive, true)).then_some(Change::Come(node))
    }

    /// Takes in that a node says it goes.
    pub(crate) fn go(&mut self, node: NodeId) -> Option<Change> {
        let was_alive = self.0.remove(&node).is_some_and(|it| it.alive);
        was_alive.then_some(Change::Gone(node))
    }

    /// Begins to measure anew: while the server was away nobody could beat.
    pub(crate) fn pardon(&mut self, now: Instant) {
        self.0.values_mut().for_each(|it| it.seen = now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: Duration = Duration::from_secs(10);

    fn times() -> impl Fn(u64) -> Instant {
        let begin = Instant::now();
        move |seconds| begin + Duration::from_secs(seconds)
    }

    #[test]
    fn a_node_is_alive_while_its_beats_change() {
        let (at, mut peers, node) = (times(), Peers::default(), NodeId(1));
        let come = [Change::Come(node)];
        assert_eq!(peers.list(&[(node, 1000)], 2000, at(0), GONE), come);
        assert_eq!(peers.list(&[(node, 4000)], 5000, at(3), GONE), []);
        assert_eq!(peers.list(&[(node, 4000)], 90_000, at(12), GONE), [], "clocks may jump");
        assert_eq!(peers.list(&[(node, 4000)], 90_000, at(13), GONE), [Change::Gone(node)]);
        assert_eq!(peers.list(&[(node, 4000)], 90_000, at(20), GONE), []);
        assert_eq!(peers.list(&[(node, 91_000)], 91_000, at(21), GONE), come, "it beats again");
        assert_eq!(peers.list(&[], 91_000, at(30), GONE), [], "a list may be lost");
        assert_eq!(peers.list(&[], 91_000, at(31), GONE), [Change::Gone(node)]);
        assert!(peers.0.is_empty());
    }

    #[test]
    fn who_died_before_is_not_alive() {
        let (at, mut peers, node) = (times(), Peers::default(), NodeId(1));
        assert_eq!(peers.list(&[(node, 1000)], 50_000, at(0), GONE), []);
        assert_eq!(peers.alive().count(), 0);
        assert_eq!(peers.list(&[(node, 51_000)], 51_000, at(1), GONE), [Change::Come(node)]);
    }

    #[test]
    fn comings_and_goings_are_told_once() {
        let (at, mut peers, node) = (times(), Peers::default(), NodeId(1));
        assert_eq!(peers.come(node, at(0)), Some(Change::Come(node)));
        assert_eq!(peers.come(node, at(0)), None);
        assert_eq!(peers.list(&[(node, 1)], 2, at(1), GONE), []);
        assert_eq!(peers.go(node), Some(Change::Gone(node)));
        assert_eq!(peers.go(node), None);
        assert_eq!(peers.alive().count(), 0);
    }

    #[test]
    fn time_without_the_server_does_not_count() {
        let (at, mut peers, node) = (times(), Peers::default(), NodeId(1));
        peers.list(&[(node, 1)], 2, at(0), GONE);
        peers.pardon(at(60));
        assert_eq!(peers.list(&[(node, 1)], 60_000, at(69), GONE), []);
        assert_eq!(peers.list(&[(node, 1)], 61_000, at(70), GONE), [Change::Gone(node)]);
    }
}
