//! A window of measurement: what a server used in it, and how long its messages took.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{machine::BusyTime, server::Running};

/// A window of measurement that began when nothing was outstanding.
pub(crate) struct Measure<'a> {
    server: &'a Running,
    start: Instant,
    cpu: Duration,
    busy: BusyTime,
}

impl<'a> Measure<'a> {
    pub(crate) fn start(server: &'a Running) -> Result<Self, String> {
        Ok(Self { server, start: Instant::now(), cpu: server.cpu()?, busy: BusyTime::now(server)? })
    }

    /// Returns figures that explain, the seconds that passed, and the server's CPU seconds.
    pub(crate) fn stop(self) -> Result<(Value, f64, f64), String> {
        let elapsed = self.start.elapsed().as_secs_f64();
        let cpu = (self.server.cpu()? - self.cpu).as_secs_f64();
        let busy = BusyTime::now(self.server)?;
        let figures = json!({
            "server_cpu_share": cpu / elapsed,
            "others_cpu_share": busy.others_since(&self.busy) / elapsed,
        });
        Ok((figures, elapsed, cpu))
    }

    /// Counts the entries of `latency`, as what one and many of them are called.
    pub(crate) fn stop_with_latency(
        self,
        one: &str,
        many: &str,
        latency: &Histogram<u64>,
    ) -> Result<Value, String> {
        let (mut figures, elapsed, cpu) = self.stop()?;
        let count = latency.len() as f64;
        let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
        figures[format!("cpu_us_per_{one}")] = json!(cpu * 1e6 / count);
        figures[format!("{many}_per_second")] = json!(count / elapsed);
        figures["latency_us_p50"] = json!(us(0.5));
        figures["latency_us_p99"] = json!(us(0.99));
        Ok(figures)
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("3 digits are allowed")
}

pub(crate) fn note(latency: &mut Histogram<u64>, took: Duration) {
    latency.record(took.as_nanos() as u64).expect("the histogram grows");
}
