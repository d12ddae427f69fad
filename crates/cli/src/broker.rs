//! The broker by which servers are nodes of one cluster.

use std::{sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use taiwa_core::{Cluster, Look, NodeRegistry};
use taiwa_server::{Site, admin::Admin};

use crate::{
    config::settings::Settings,
    exit::{Exit, Failure},
};

/// Makes a site a node of the cluster that the settings name, if they name one, and tells who knows the nodes then.
pub(crate) async fn joined(
    site: Site,
    settings: &Settings,
) -> Result<(Site, Option<Arc<dyn NodeRegistry>>), Failure> {
    Ok(match join(settings).await? {
        Some(cluster) => {
            let registry = cluster.registry.clone();
            (site.cluster(cluster), Some(registry))
        }
        None => (site, None),
    })
}

/// Tells what is wrong with the broker's URL, if anything. Nobody is asked.
pub(crate) fn wrong(settings: &Settings) -> Option<String> {
    let url = settings.broker.as_ref()?.reveal();
    match url.split_once("://").map(|it| it.0) {
        Some(scheme) if scheme.starts_with("redis") => {
            taiwa_redis::Settings::parse(url).err().map(|it| it.to_string())
        }
        Some("nats" | "tls") => taiwa_nats::Settings::parse(url).err().map(|it| it.to_string()),
        _ => Some(SCHEMES.into()),
    }
}

const SCHEMES: &str = "this begins with redis://, rediss://, redis+unix://, nats:// or tls://";

/// Joins the cluster that the settings name, if they name one.
async fn join(settings: &Settings) -> Result<Option<Cluster>, Failure> {
    let Some(url) = &settings.broker else { return Ok(None) };
    let url = url.reveal();
    let usage =
        |it: &dyn std::fmt::Display| Failure::new(Exit::Usage, format_args!("broker: {it}"));
    let unreachable = |it: &dyn std::fmt::Display| {
        Failure::new(Exit::Unreachable, format_args!("broker {}: {it}", without_credentials(url)))
    };
    match url.split_once("://").map(|it| it.0) {
        Some(scheme) if scheme.starts_with("redis") => {
            let settings = redis(settings, url)?;
            let joined = taiwa_redis::connect(settings).await.map_err(|it| unreachable(&it))?;
            Ok(Some(Cluster::of(&joined)))
        }
        Some("nats" | "tls") => {
            let settings = nats(settings, url)?;
            let joined = taiwa_nats::connect(settings).await.map_err(|it| match it {
                taiwa_nats::Error::Settings(why) => usage(&why),
                other => unreachable(&other),
            })?;
            Ok(Some(Cluster::of(&joined)))
        }
        _ => Err(usage(&SCHEMES)),
    }
}

/// Returns where the servers of a URL are, without users, passwords and what is asked for behind the place. A comma may be
/// part of a password: of several servers only those behind the last password are told.
fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // A query may name a password; NATS has none, and there ? may be part of one.
    let is_nats = matches!(scheme, "nats" | "tls");
    let rest = if is_nats { rest } else { rest.split('?').next().unwrap_or_default() };
    format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
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

/// Returns what is to be known to reach a NATS.
pub(crate) fn nats(settings: &Settings, url: &str) -> Result<taiwa_nats::Settings, Failure> {
    let cluster = &settings.cluster;
    let mut nats = taiwa_nats::Settings::parse(url)
        .map_err(|it| Failure::new(Exit::Usage, format_args!("broker: {it}")))?;
    nats.prefix = cluster.prefix.clone();
    nats.queue_max = cluster.requests_max;
    nats.deadline = cluster.deadline.0.unwrap_or(nats.deadline);
    nats.silence_max = cluster.silence.0.unwrap_or(nats.silence_max);
    nats.beat = beat(nats.silence_max);
    nats.ca_file = cluster.ca_file.clone();
    if let Some(file) = &cluster.credentials_file {
        nats.credentials = taiwa_nats::Credentials::File(file.clone());
    }
    Ok(nats)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_without_credentials() {
        for (url, told) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("rediss://ada:se@cret@example.net/5", "rediss://example.net/5"),
            ("redis://:secret@[::1]:1", "redis://[::1]:1"),
            ("redis+unix://:secret@/run/redis.sock?db=3", "redis+unix:///run/redis.sock"),
            ("redis://:sec,ret@one:1,two:2", "redis://one:1,two:2"),
            ("redis://one?password=se@cret", "redis://one"),
            ("nats://token@one", "nats://one"),
            ("nats://ada:se?cret#@one", "nats://one"),
            ("nats://ada:secret@one:4222,bob:secret@two", "nats://two"),
        ] {
            assert_eq!(without_credentials(url), told);
        }
    }
}
