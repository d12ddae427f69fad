//! What is counted: each scene twice, with few and with many of its events, so that what comes before and after cancels out.

use std::{fs, process::Command, time::Duration};

use super::profile::Counts;
use crate::{process, workspace::Workspace};

/// A scene of counts/examples/hot_paths.
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// What its figures are for one of.
    pub(super) unit: &'static str,
    /// Functions in which it is counted; none of them calls another.
    counted: &'static [&'static str],
    /// Events of the short run and of the long one.
    events: (u32, u32),
    /// Units of each event.
    units: u32,
    /// Instructions that it may take to give it memory for one unit.
    pub(super) allocating_max: f64,
    /// What a count may grow by: more than it differs by between runs.
    pub(super) growth_max: f64,
}

/// Where the scenes without a kernel happen.
const COUNTED: &[&str] = &["*counted_*"];
/// Where a shard does all it does.
const SHARD: &[&str] = &["taiwa_server::shard::turn::Shard<A>::turn"];
/// The same, and where tokio's thread does.
const SERVER: &[&str] = &[
    "taiwa_server::shard::turn::Shard<A>::turn",
    "tokio::runtime::scheduler::multi_thread::worker::run",
];

/// Less than one call takes: what lives as long as many units may be made once.
const NONE: f64 = 2.0;

/// All scenes.
pub(super) const SCENES: &[Scene] = &[
    of_messages("core-echo", COUNTED, (2, 12), 1000, NONE),
    of_messages("core-echo-text", COUNTED, (2, 12), 1000, NONE),
    of_messages("core-echo-deflate", COUNTED, (1, 3), 1000, 300.0),
    // What a message to all needs is for it alone, not for each who hears it.
    of_messages("core-fan-out", COUNTED, (2, 12), 1000, NONE),
    of_handshakes("core-handshake", COUNTED, (20, 120)),
    of_messages("library-echo", COUNTED, (1, 6), 1000, 100.0),
    of_messages("serve-echo", SHARD, (100, 1100), 1, NONE),
    Scene { growth_max: 1.2, ..of_messages("serve-fan-out", SHARD, (2, 12), 1000, NONE) },
    Scene {
        // Whether clients that are met first are heard in the same turn differs from run to run.
        growth_max: 1.2,
        ..of_messages("serve-fan-out-centrifuge", SHARD, (5, 55), 100, 40.0)
    },
    Scene {
        // Far below one call for each who hears it; a list that grows in one run and not in the other counts some.
        growth_max: 1.2,
        ..of_messages("serve-fan-out-socketio", SHARD, (2, 12), 1000, 15.0)
    },
    of_handshakes("serve-handshake", SERVER, (50, 350)),
];

const fn of_messages(
    name: &'static str,
    counted: &'static [&'static str],
    events: (u32, u32),
    units: u32,
    allocating_max: f64,
) -> Scene {
    let growth_max = 1.05;
    Scene { name, unit: "message", counted, events, units, allocating_max, growth_max }
}

const fn of_handshakes(
    name: &'static str,
    counted: &'static [&'static str],
    events: (u32, u32),
) -> Scene {
    // Where two threads hand connections to each other, it counts who wakes whom when.
    let growth_max = if counted.len() == 1 { 1.05 } else { 1.15 };
    Scene {
        name,
        unit: "handshake",
        counted,
        events,
        units: 1,
        allocating_max: f64::MAX,
        growth_max,
    }
}

/// What one event of a scene takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) instructions: f64,
    pub(super) allocating: f64,
}

/// Callgrind may take fifty times as long as the processor.
const RUN_MAX: Duration = Duration::from_secs(180);

impl Scene {
    /// Plays it twice.
    pub(super) fn count(&self, workspace: &Workspace) -> Result<Cost, String> {
        let (few, many) = self.events;
        let (less, more) = (self.play(workspace, few)?, self.play(workspace, many)?);
        let units = f64::from(many - few) * f64::from(self.units);
        let for_one = |less: u64, more: u64| (more as f64 - less as f64) / units;
        let cost = Cost {
            instructions: for_one(less.instructions, more.instructions),
            allocating: for_one(less.allocating, more.allocating),
        };
        // What counts nothing would never grow.
        if cost.instructions < 10.0 {
            return Err(format!("only {} instructions were seen", cost.instructions));
        }
        Ok(cost)
    }

    fn play(&self, workspace: &Workspace, events: u32) -> Result<Counts, String> {
        let folder = workspace.tools().join("instructions");
        fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
        let out = folder.join(format!("{}-{events}.out", self.name));
        let mut command: Command = workspace.command("valgrind");
        command.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
        command.arg(format!("--callgrind-out-file={}", out.display()));
        command.args(self.counted.iter().map(|it| format!("--toggle-collect={it}")));
        command.arg(workspace.target.join(PROGRAM)).args([self.name, &events.to_string()]);
        process::run(&mut command, RUN_MAX)?;
        let profile = fs::read_to_string(&out).map_err(|it| format!("{}: {it}", out.display()))?;
        Ok(Counts::read(&profile, PROGRAM))
    }
}

/// Where cargo puts it.
const PROGRAM: &str = "debug/examples/hot_paths";
