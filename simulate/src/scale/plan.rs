//! [`Plan`]: what a number of connections takes.

use super::Costs;

/// What one machine is assumed to be, and how full it may be.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Processors; a shard for each.
    pub cores: f64,
    /// What more cores bring, as a part of what they would if nothing were shared between them.
    pub cores_worth: f64,
    /// GiB of memory.
    pub memory_gib: f64,
    /// Gbit/s of network.
    pub network_gbit: f64,
    /// The part of processors, and of network, that is in use at the peak.
    pub busy: f64,
    /// The part of memory that is in use.
    pub full: f64,
    /// Connections of one node, by decision: so many come back at once when it dies.
    pub connections_max: f64,
    /// The part of its one processor that a process of Redis uses at the peak.
    pub broker_busy: f64,
    /// Seconds over which clients of a node that died come back, by their own random pauses.
    pub return_window_s: f64,
    /// Seconds that a connection lives.
    pub connection_life_s: f64,
    /// Seconds between two pings of a connection.
    pub ping_every_s: f64,
}

/// The machine of docs/scale.md.
pub const MACHINE: Machine = Machine {
    cores: 16.0,
    cores_worth: 0.8,
    memory_gib: 64.0,
    network_gbit: 10.0,
    busy: 0.5,
    full: 0.6,
    connections_max: 250_000.0,
    broker_busy: 0.5,
    return_window_s: 10.0,
    connection_life_s: 1_800.0,
    ping_every_s: 25.0,
};

/// What clients do, for each connection.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// A name for it.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Channels that a connection hears.
    pub subscriptions: f64,
    /// Connections that hear a channel.
    pub subscribers: f64,
    /// Publications in a channel in a second.
    pub publications: f64,
    /// Bytes of a publication as it goes to a client.
    pub bytes: f64,
    /// Publications that a channel keeps.
    pub history: f64,
    /// Whether who is in a channel is known.
    pub presence: bool,
}

/// The uses of docs/scale.md.
pub const USES: [Use; 3] = [
    Use {
        name: "notifications",
        what: "each connection has a channel of its own, with a publication every five minutes",
        subscriptions: 1.0,
        subscribers: 1.0,
        publications: 1.0 / 300.0,
        bytes: 512.0,
        history: 10.0,
        presence: false,
    },
    Use {
        name: "chat",
        what: "each connection is in three rooms of 100, and somebody speaks in each room every ten seconds",
        subscriptions: 3.0,
        subscribers: 100.0,
        publications: 0.1,
        bytes: 512.0,
        history: 50.0,
        presence: true,
    },
    Use {
        name: "live event",
        what: "each connection hears one of 100 channels, with a publication a second",
        subscriptions: 1.0,
        subscribers: f64::INFINITY,
        publications: 1.0,
        bytes: 512.0,
        history: 50.0,
        presence: false,
    },
];

/// Channels of a use whose subscribers grow with the connections.
const WIDE_CHANNELS: f64 = 100.0;

/// What a number of connections takes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections.
    pub connections: f64,
    /// Channels.
    pub channels: f64,
    /// Publications in a second.
    pub publications: f64,
    /// Deliveries to clients in a second.
    pub deliveries: f64,
    /// Nodes that are needed if none is missing, and what would be enough by each measure.
    pub needed: Needed,
    /// Nodes, one more than are needed.
    pub nodes: f64,
    /// What one node has, when none is missing.
    pub node: PerNode,
    /// What the broker has.
    pub broker: PerBroker,
    /// What happens when a node dies.
    pub loss: Loss,
}

/// Nodes by each measure.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// By processors.
    pub processors: f64,
    /// By memory.
    pub memory: f64,
    /// By network.
    pub network: f64,
    /// By the connections of one.
    pub connections: f64,
}

impl Needed {
    /// Returns the most, and by which measure.
    pub fn most(&self) -> (f64, &'static str) {
        let all = [
            (self.processors, "processors"),
            (self.memory, "memory"),
            (self.network, "network"),
            (self.connections, "connections of one node"),
        ];
        all.into_iter().fold((0.0, ""), |most, it| if it.0 > most.0 { it } else { most })
    }
}

/// What a node has.
#[derive(Clone, Copy, Debug)]
pub struct PerNode {
    /// Connections.
    pub connections: f64,
    /// Processors in use.
    pub cores: f64,
    /// Bytes of memory in use, those of the kernel included.
    pub memory: f64,
    /// Bits to clients in a second.
    pub bits: f64,
    /// Publications that it hears from the broker in a second.
    pub heard: f64,
}

/// What the broker has.
#[derive(Clone, Copy, Debug)]
pub struct PerBroker {
    /// Statements in a second.
    pub published: f64,
    /// Messages to nodes in a second.
    pub messages: f64,
    /// Channels that nodes hear, of all nodes together.
    pub subscribed: f64,
    /// Requests for what is not a publication, in a second: channels begun and left, presence.
    pub requests: f64,
    /// Bytes of memory for histories.
    pub memory: f64,
    /// Processors in use.
    pub cores: f64,
    /// Processes of Redis with a part of the channels each.
    pub processes: f64,
}

/// What happens when one node dies.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// Clients that come back to each of the others.
    pub to_each: f64,
    /// Of them, in a second.
    pub per_second: f64,
    /// Processors of one node that are in use in that time, what it always does included.
    pub cores: f64,
    /// Seconds until all would be back if none waited before it came back.
    pub at_once_s: f64,
    /// Requests to the broker in a second, beside those of every day.
    pub broker_requests: f64,
    /// The part of each process of the broker that is in use in that time.
    pub broker_busy: f64,
}

/// Returns how many of so many nodes have one of so many subscribers, who are spread by chance.
pub(super) fn nodes_with(nodes: f64, subscribers: f64) -> f64 {
    nodes * (1.0 - (1.0 - 1.0 / nodes).powf(subscribers))
}

impl Plan {
    /// Computes it.
    pub fn new(connections: f64, what: &Use, machine: &Machine, costs: &Costs) -> Self {
        let (channels, subscribers) = match what.subscribers.is_finite() {
            true => (connections * what.subscriptions / what.subscribers, what.subscribers),
            false => (WIDE_CHANNELS, connections * what.subscriptions / WIDE_CHANNELS),
        };
        let publications = channels * what.publications;
        let deliveries = publications * subscribers;
        let of = |name| costs.of(name);
        let come = of("tls_us") + of("resume_us");
        // Of all connections together, but what is heard from the broker, which depends on the number of nodes.
        let micros = deliveries * of("delivery_us")
            + publications * of("publication_us")
            + connections / machine.ping_every_s * of("ping_us")
            + connections / machine.connection_life_s * come;
        let bytes = connections
            * (of("session_bytes")
                + of("tls_bytes")
                + of("kernel_bytes")
                + (what.subscriptions - 2.0) * of("subscription_bytes"));
        let bits = deliveries * (what.bytes + of("frame_bytes")) * 8.0;
        let core = machine.cores * machine.cores_worth * 1e6;
        let mut nodes = 1.0;
        let mut needed;
        loop {
            let heard = publications * nodes_with(nodes, subscribers) * of("heard_us");
            let replicas = channels * nodes_with(nodes, subscribers) * what.history * what.bytes;
            needed = Needed {
                processors: (micros + heard) / (core * machine.busy),
                memory: (bytes + replicas) / (machine.memory_gib * GIB * machine.full),
                network: bits / (machine.network_gbit * 1e9 * machine.busy),
                connections: connections / machine.connections_max,
            };
            if needed.most().0 <= nodes {
                break;
            }
            nodes += 1.0;
        }
        let nodes = nodes + 1.0;
        let reach = nodes_with(nodes, subscribers);
        let heard = publications * reach;
        let node = PerNode {
            connections: connections / nodes,
            cores: (micros + heard * of("heard_us")) / nodes / 1e6 / machine.cores_worth,
            memory: (bytes + channels * reach * what.history * what.bytes) / nodes,
            bits: bits / nodes,
            heard: heard / nodes,
        };
        let broker = broker(connections, what, (channels, publications, reach), machine, costs);
        let mut loss = loss(&node, nodes, what, (come, subscribers), machine);
        let more = loss.broker_requests * of("broker_request_us") / 1e6;
        loss.broker_busy = (broker.cores + more) / broker.processes;
        let (connections, channels) = (connections.round(), channels.round());
        Self { connections, channels, publications, deliveries, needed, nodes, node, broker, loss }
    }
}

const GIB: f64 = (1u64 << 30) as f64;

fn broker(
    connections: f64,
    what: &Use,
    (channels, publications, reach): (f64, f64, f64),
    machine: &Machine,
    costs: &Costs,
) -> PerBroker {
    let of = |name| costs.of(name);
    let come = connections / machine.connection_life_s * what.subscriptions;
    // A channel that many on a node hear is begun by the first and left by the last of them.
    let alone = (reach / (channels_of(what, connections) / channels)).min(1.0);
    let begun = come * alone * 2.0;
    let presence = if what.presence { come * 2.0 } else { 0.0 };
    let requests = begun + presence;
    let messages = publications * reach;
    let micros = publications * of("broker_publish_us")
        + messages * of("broker_message_us")
        + requests * of("broker_request_us");
    let cores = micros / 1e6;
    PerBroker {
        published: publications,
        messages,
        subscribed: channels * reach,
        requests,
        memory: channels * what.history * (what.bytes + of("broker_entry_bytes")),
        cores,
        processes: (cores / machine.broker_busy).ceil().max(1.0),
    }
}

/// Subscriptions of all connections.
fn channels_of(what: &Use, connections: f64) -> f64 {
    connections * what.subscriptions
}

fn loss(
    node: &PerNode,
    nodes: f64,
    what: &Use,
    (come, subscribers): (f64, f64),
    machine: &Machine,
) -> Loss {
    let others = nodes - 1.0;
    let to_each = node.connections / others;
    let per_second = to_each / machine.return_window_s;
    let usual = node.cores * nodes / others;
    let worth = machine.cores_worth * 1e6;
    // A channel is begun by the first who comes to a node where nobody hears it.
    let unheard = (1.0 - 1.0 / others).powf((subscribers - 1.0).max(0.0));
    let each = what.subscriptions * (unheard + if what.presence { 1.0 } else { 0.0 });
    Loss {
        to_each,
        per_second,
        cores: usual + per_second * come / worth,
        at_once_s: to_each * come / (machine.cores * worth),
        broker_requests: node.connections / machine.return_window_s * each,
        broker_busy: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_on_as_many_nodes_as_chance_has_it() {
        for (nodes, subscribers, on) in
            [(1.0, 5.0, 1.0), (4.0, 1.0, 1.0), (4.0, 2.0, 1.75), (10.0, 1e6, 10.0)]
        {
            assert!((nodes_with(nodes, subscribers) - on).abs() < 1e-9, "{nodes} {subscribers}");
        }
    }

    #[test]
    fn what_is_needed_is_there_also_when_a_node_is_missing() {
        for what in &USES {
            for connections in [1e6, 1e7] {
                let plan = Plan::new(connections, what, &MACHINE, Costs::committed());
                let others = plan.nodes - 1.0;
                let with_one_less = plan.nodes / others;
                let busy = plan.node.cores * with_one_less / MACHINE.cores;
                assert!(busy <= MACHINE.busy * 1.01, "{} {connections}: {busy}", what.name);
                let full = plan.node.memory * with_one_less / (MACHINE.memory_gib * GIB);
                assert!(full <= MACHINE.full * 1.01, "{} {connections}: {full}", what.name);
                assert!(connections / others <= MACHINE.connections_max);
                // Nor is a processor missing while the clients of a dead node come back.
                assert!(plan.loss.cores < MACHINE.cores, "{} {connections}", what.name);
                assert!(plan.loss.broker_busy < 1.0, "{} {connections}", what.name);
                assert!(plan.broker.cores <= plan.broker.processes * MACHINE.broker_busy);
            }
        }
    }
}
