//! What is to be known of this machine, and how it is made as quiet as it lets us.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::{
    process::{self, Resource, Rlimit, Signal},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::{Value, json};

use crate::server::{self, Running};

/// The two cores that a run uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    load: usize,
    server: usize,
}

/// Where a server runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// On its own core.
    Server,
    /// On that of the load.
    Load,
    /// On both.
    Both,
}

impl Cores {
    /// # Errors
    /// There are fewer than two.
    pub(crate) fn choose() -> Result<Self, String> {
        let allowed = sched_getaffinity(None).map_err(|it| it.to_string())?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|it| allowed.is_set(*it));
        match (cores.next(), cores.next()) {
            (Some(load), Some(server)) => Ok(Self { load, server }),
            _ => Err("two cores are needed: one for the server, one for the load".into()),
        }
    }

    /// Runs `start` in a place, so that what it starts stays there with all its threads, then moves this thread to the
    /// load's core.
    pub(crate) fn start<T>(&self, place: Place, start: impl FnOnce() -> T) -> Result<T, String> {
        match place {
            Place::Server => pin(&[self.server])?,
            Place::Load => pin(&[self.load])?,
            Place::Both => pin(&[self.load, self.server])?,
        }
        let started = start();
        pin(&[self.load])?;
        Ok(started)
    }

    /// Moves this thread to the core of one of several that make load: the first has the load's.
    pub(crate) fn take_part(&self, number: usize) -> Result<(), String> {
        pin(&[if number == 0 { self.load } else { self.server }])
    }
}

fn pin(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|it| set.set(*it));
    sched_setaffinity(None, &set).map_err(|it| format!("sched_setaffinity: {it}"))
}

/// Ends us with the one who started us: in a session of our own, the terminal's interrupt does not reach us.
pub(crate) fn end_with_parent() -> Result<(), String> {
    let parent = process::getppid();
    process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(|it| it.to_string())?;
    match process::getppid() == parent {
        true => Ok(()),
        false => Err("whoever started this is gone".into()),
    }
}

/// Makes a session of our own, and with it a scheduling group, and puts it before all others. Plain priorities
/// only count inside of a group. Says whether it worked.
pub(crate) fn take_precedence() -> String {
    if let Err(why) = process::setsid() {
        return format!("not raised: setsid: {why}");
    }
    match fs::write("/proc/self/autogroup", "-20") {
        Ok(()) => "raised to -20".into(),
        Err(why) => format!("not raised: {why}"),
    }
}

/// Lets us, and the servers we start, have as many files open as the hard limit allows.
pub(crate) fn raise_open_files() -> Result<u64, String> {
    let Rlimit { maximum, .. } = process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    process::setrlimit(Resource::Nofile, raised).map_err(|it| it.to_string())?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Facts that let others compare; no names, no paths.
pub(crate) fn facts() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpu.lines().find(|it| it.starts_with(name));
        line.and_then(|it| it.split_once(':')).map(|(_, it)| it.trim().to_owned())
    };
    let memory = read("/proc/meminfo");
    let memory = memory.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok());
    json!({
        "cpu": field("model name"),
        "cpu_family_model_stepping":
            [field("cpu family"), field("model\t"), field("stepping")],
        "cores": cpu.lines().filter(|it| it.starts_with("processor")).count(),
        "hypervisor": cpu.lines().any(|it| it.starts_with("flags") && it.contains(" hypervisor")),
        "memory_mib": memory.map(|it| it / 1024),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

/// CPU time of the whole machine beside that of the server and of ourselves.
#[derive(Debug)]
pub(crate) struct BusyTime {
    machine: f64,
    ours: f64,
}

impl BusyTime {
    pub(crate) fn now(server: &Running) -> Result<Self, String> {
        let ours = server.cpu()? + server::cpu(process::getpid().as_raw_nonzero().get() as u32)?;
        Ok(Self { machine: machine_busy()?, ours: ours.as_secs_f64() })
    }

    /// Returns the seconds that others used. The kernel counts the machine's in hundredths of a second.
    pub(crate) fn others_since(&self, before: &Self) -> f64 {
        (self.machine - before.machine - (self.ours - before.ours)).max(0.0)
    }
}

fn machine_busy() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/stat").map_err(|it| it.to_string())?;
    let ticks: Vec<u64> =
        stat.lines().next().unwrap_or_default().split(' ').flat_map(str::parse).collect();
    // proc_stat(5): user nice system idle iowait irq softirq steal.
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks.as_slice() else {
        return Err("/proc/stat is not as proc_stat(5) says".into());
    };
    Ok((user + nice + system + irq + softirq + steal) as f64 / 100.0)
}

/// Waits until others use little of the machine; returns the share of one core that they used last.
pub(crate) fn wait_for_quiet(
    within: Duration,
    interrupted: impl Fn() -> bool,
) -> Result<f64, String> {
    const LOOK: Duration = Duration::from_secs(3);
    const QUIET: f64 = 0.05;
    let end = Instant::now() + within;
    loop {
        let (start, before) = (Instant::now(), machine_busy()?);
        std::thread::sleep(LOOK);
        let share = (machine_busy()? - before) / start.elapsed().as_secs_f64();
        if share < QUIET || Instant::now() >= end {
            return Ok(share);
        }
        if interrupted() {
            return Err("interrupted".into());
        }
    }
}
