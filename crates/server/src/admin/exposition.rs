//! [`Exposition`]: the text of `/metrics`. Names end with their unit, counters with `_total`; no label tells one client
//! from another.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeGaugeValue, NoLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{MetricType, info::Info},
    registry::Registry,
};
use taiwa_hub::Counters;

use super::process::Process;
use crate::{Snapshot, Tally, api};

/// A number from elsewhere.
pub(super) struct Reading {
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

enum Kind {
    Gauge(Box<dyn Fn() -> u64 + Send + Sync>),
    Counters(&'static str, Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>),
}

impl Reading {
    pub(super) fn gauge(
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { name, help, kind: Kind::Gauge(Box::new(read)) }
    }

    pub(super) fn counters(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    ) -> Self {
        Self { name, help, kind: Kind::Counters(label, Box::new(read)) }
    }
}

/// What is told at one scrape.
pub(super) struct Exposition<'a> {
    pub(super) shards: Vec<Snapshot>,
    pub(super) ready: bool,
    pub(super) readings: &'a [Reading],
}

impl Exposition<'_> {
    pub(super) fn write(self, api: Option<&api::Tally>) -> String {
        let mut ours = Registry::with_prefix("taiwa");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "What runs here", build);
        if let Some(api) = api {
            api.register(&mut ours);
        }
        ours.register_collector(Box::new(Families(self.families())));
        let mut general = Registry::default();
        general.register_collector(Box::new(Families(of_process(&Process::read()))));
        let mut text = String::new();
        encode_registry(&mut text, &ours)
            .and_then(|()| encode_registry(&mut text, &general))
            .and_then(|()| encode_eof(&mut text))
            .expect("a String takes everything");
        text
    }

    fn families(&self) -> Vec<Family> {
        let (mut counters, mut tally) = (Counters::default(), Tally::default());
        let mut dialects = BTreeMap::<_, usize>::new();
        for shard in &self.shards {
            counters.add(&shard.hub.counters);
            add(&mut tally, &shard.tally);
            for (dialect, count) in &shard.dialects {
                *dialects.entry(*dialect).or_default() += count;
            }
        }
        let mut families = self.standing(&dialects);
        families.extend(of_traffic(&tally));
        families.extend(of_hub(&counters, &tally));
        for Reading { name, help, kind } in self.readings {
            families.push(match kind {
                Kind::Gauge(read) => Family::gauge(name, help, read()),
                Kind::Counters(label, read) => Family::counters(name, help, label, read()),
            });
        }
        families
    }

    /// Tells how it stands now.
    fn standing(&self, dialects: &BTreeMap<&'static str, usize>) -> Vec<Family> {
        let sum = |read: &dyn Fn(&Snapshot) -> usize| {
            self.shards.iter().map(|it| read(it) as u64).sum::<u64>()
        };
        let kept = sum(&|it| it.hub.kept);
        let lines = |kind: usize| sum(&|it| it.lines[kind]);
        let connections = [("websocket", lines(0)), ("stream", lines(1)), ("poll", lines(2))];
        let conversations = dialects.iter().map(|(name, count)| (*name, *count as u64));
        let sessions = [("connected", sum(&|it| it.hub.sessions) - kept), ("kept", kept)];
        vec![
            Family::gauge("ready", "Whether the server takes clients", self.ready.into()),
            Family::gauge("shards", "Shards at work", self.shards.len() as u64),
            Family::gauges("connections", "Connections of clients", "transport", connections),
            Family::gauges("conversations", "Clients", "dialect", conversations),
            Family::gauges("sessions", "Sessions of the hub", "state", sessions),
            Family::gauge("subscriptions", "Subscriptions", sum(&|it| it.hub.subscriptions)),
            Family::gauge(
                "channels",
                "Channels, also those that have a history and no subscriber",
                sum(&|it| it.hub.channels),
            ),
            Family::gauge(
                "queue_bytes",
                "Bytes that wait for clients to read them",
                sum(&|it| it.queued_bytes),
            ),
            Family::gauge("letters", "Letters that wait for shards", sum(&|it| it.letters)),
        ]
    }
}

/// Tells what went through.
fn of_traffic(tally: &Tally) -> Vec<Family> {
    vec![
        Family::counter("conversations_opened", "Clients that came", tally.opened),
        Family::counter("conversations_closed", "Clients that went", tally.ended),
        Family::counters(
            "messages",
            "Messages from and to clients",
            "direction",
            [("in", tally.received), ("out", tally.sent)],
        ),
        Family::counters(
            "message_bytes",
            "Bytes of messages from and to clients",
            "direction",
            [("in", tally.received_bytes), ("out", tally.sent_bytes)],
        ),
    ]
}

/// Tells what the hub counted: each of [`Counters`] once.
fn of_hub(it: &Counters, tally: &Tally) -> Vec<Family> {
    vec![
        Family::counter("publications", "Publications that channels took", it.published),
        Family::counter(
            "publications_repeated",
            "Publications that were repeated and so not said again",
            it.repeated,
        ),
        Family::counter("deliveries", "Publications delivered to subscribers", it.delivered),
        Family::counters(
            "refusals",
            "What was refused to clients",
            "what",
            [
                ("connection", it.refused_connections),
                ("publication", it.refused_publications),
                ("subscription", it.refused_subscriptions),
            ],
        ),
        Family::counters(
            "resumptions",
            "Subscriptions and sessions that were taken up again",
            "result",
            [
                ("recovered", it.recovered),
                ("gap", it.gaps),
                ("resumed", it.resumed),
                ("anew", it.resumed_anew),
            ],
        ),
        Family::counters(
            "slow_consumers",
            "What was done about clients that read too slowly",
            "action",
            [
                ("disconnect", it.slow_disconnected),
                ("drop", it.slow_dropped),
                ("replace", it.slow_replaced),
                ("pause", it.slow_paused),
                ("overflow", tally.overflowed),
            ],
        ),
        Family::counters(
            "limit_hits",
            "Limits that were reached",
            "limit",
            [
                ("commands_per_second", it.rate_disconnected),
                ("publications_per_second", it.rate_refused),
                ("other", it.limit_hits),
            ],
        ),
        Family::counter("app_deadlines", "Questions not answered in time", it.app_deadlines),
        Family::counter("client_calls", "Calls to clients", it.calls),
        Family::counters(
            "node_faults",
            "What came from other nodes or the broker and was not used, or did not come",
            "what",
            [("duplicate", it.duplicates), ("unread", it.unread), ("part_lost", it.parts_lost)],
        ),
    ]
}

/// Tells what Prometheus' client libraries call the process metrics.
fn of_process(process: &Process) -> Vec<Family> {
    let gauge = |name, help, value: Option<u64>| value.map(|it| Family::gauge(name, help, it));
    let cpu = process.cpu_seconds.map(|it| Family {
        name: "process_cpu_seconds",
        help: "User and system CPU time",
        label: None,
        values: vec![("", Value::Seconds(MetricType::Counter, it))],
    });
    let start = process.start_seconds.map(|it| Family {
        name: "process_start_time_seconds",
        help: "Start time in seconds of Unix time",
        label: None,
        values: vec![("", Value::Seconds(MetricType::Gauge, it))],
    });
    let families = [
        cpu,
        start,
        gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes),
        gauge("process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes),
        gauge("process_threads", "Threads", process.threads),
        gauge("process_open_fds", "Open file descriptors", process.open_fds),
        gauge("process_max_fds", "Largest number of file descriptors", process.max_fds),
    ];
    families.into_iter().flatten().collect()
}

fn add(sum: &mut Tally, it: &Tally) {
    let Tally { received, received_bytes, sent, sent_bytes, opened, ended, overflowed } = it;
    sum.received += received;
    sum.received_bytes += received_bytes;
    sum.sent += sent;
    sum.sent_bytes += sent_bytes;
    sum.opened += opened;
    sum.ended += ended;
    sum.overflowed += overflowed;
}

/// What is measured under one name.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    values: Vec<(&'static str, Value)>,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Counter(u64),
    Gauge(u64),
    Seconds(MetricType, f64),
}

impl Family {
    fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, label: None, values: vec![("", Value::Gauge(value))] }
    }

    fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, label: None, values: vec![("", Value::Counter(value))] }
    }

    fn gauges(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        let values = values.into_iter().map(|(name, value)| (name, Value::Gauge(value))).collect();
        Self { name, help, label: Some(label), values }
    }

    fn counters(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        let values = values.into_iter().map(|(name, value)| (name, Value::Counter(value)));
        Self { name, help, label: Some(label), values: values.collect() }
    }
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, label, values } in &self.0 {
            let Some((_, first)) = values.first() else { continue };
            let kind = match first {
                Value::Counter(_) => MetricType::Counter,
                Value::Gauge(_) => MetricType::Gauge,
                Value::Seconds(kind, _) => *kind,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (of, value) in values {
                match label {
                    None => encode(&mut metric, *value)?,
                    Some(label) => {
                        let labels = [(*label, *of)];
                        encode(&mut metric.encode_family(&labels)?, *value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn encode(
    metric: &mut prometheus_client::encoding::MetricEncoder<'_>,
    value: Value,
) -> fmt::Result {
    match value {
        Value::Counter(it) => metric.encode_counter::<NoLabelSet, _, u64>(&it, None),
        Value::Seconds(MetricType::Counter, it) => {
            metric.encode_counter::<NoLabelSet, _, u64>(&it, None)
        }
        Value::Gauge(it) => encode_gauge(metric, &it),
        Value::Seconds(_, it) => encode_gauge(metric, &it),
    }
}

fn encode_gauge(
    metric: &mut prometheus_client::encoding::MetricEncoder<'_>,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    metric.encode_gauge(value)
}
