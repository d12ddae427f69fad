//! The broker by which servers are nodes of one cluster.

use std::{sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use taiwa_core::{Cluster, Look, NodeRegistry};
use taiwa_server::admin::Admin;

use crate::{
    config::settings::Settings,
    exit::{Exit, Failure},
};

/// Joins the cluster that the settings name, if they name one.
pub(crate) async fn join(settings: &Settings) -> Result<Option<Cluster>, Failure> {
    let Some(url) = &settings.broker else { return Ok(None) };
    let url = url.reveal();
    let usage =
        |it: &dyn std::fmt::Display| Failure::new(Exit::Usage, format_args!("broker: {it}"));
    let unreachable =
        |it: &dyn std::fmt::Display| Failure::new(Exit::Unreachable, format_args!("broker: {it}"));
    match url.split_once("://").map(|it| it.0) {
        Some(scheme) if scheme.starts_with("redis") => {
            let settings = redis(settings, url)?;
            let joined = taiwa_redis::connect(settings).await.map_err(|it| unreachable(&it))?;
            Ok(Some(Cluster::of(&joined)))
        }
        _ => Err(usage(&"this begins with redis://, rediss:// or redis+unix://")),
    }
}

/// Returns what is to be known to reach a Redis.
pub(crate) fn redis(settings: &Settings, url: &str) -> Result<taiwa_redis::Settings, Failure> {
    let usage = |key: &str, it: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format_args!("{key}: {it}"))
    };
    let cluster = &settings.cluster;
    let mut redis = taiwa_redis::Settings::parse(url).map_err(|it| usage("broker", &it))?;
    redis.prefix = format!("{}:", cluster.prefix);
    redis.requests_max = cluster.requests_max;
    redis.request_max = cluster.deadline.0.unwrap_or(redis.request_max);
    redis.gone_after = cluster.silence.0.unwrap_or(redis.gone_after);
    redis.beat_every = beat(redis.gone_after);
    if let (Some(file), Some(tls)) = (&cluster.ca_file, &mut redis.tls) {
        let roots = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        tls.roots = Some(roots.map_err(|it| usage("cluster.ca_file", &it))?);
    }
    Ok(redis)
}

/// A node says that it is alive three times within the time after which it would be gone.
fn beat(silence: Duration) -> Duration {
    (silence * 3 / 10).max(Duration::from_millis(50))
}

/// Adds how the broker is to the measurements.
pub(crate) fn measured(admin: Admin, registry: Option<Arc<dyn NodeRegistry>>) -> Admin {
    let Some(registry) = registry else { return admin };
    let (up, waiting, nodes, counts) =
        (registry.clone(), registry.clone(), registry.clone(), registry);
    admin
        .gauge("broker_up", "Whether the broker can be reached", move || u64::from(up.look().up))
        .gauge("broker_requests_waiting", "Requests that wait for the broker", move || {
            waiting.look().waiting as u64
        })
        .gauge("cluster_nodes", "Nodes that are alive, this one included", move || {
            nodes.nodes().len() as u64
        })
        .counters("broker", "What became of requests, and what was heard", "event", move || {
            let Look { counters, .. } = counts.look();
            counters
        })
}
