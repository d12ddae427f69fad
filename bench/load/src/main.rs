//! Load generator of the benchmark. One thread on one core visits servers on another, in turn, checks every byte that
//! comes back and writes what it found; `cargo xtask bench` builds what it needs and starts it.

mod across;
mod broker;
mod carried;
mod certificate;
mod clients;
mod crowd;
mod ears;
mod engine;
mod fan_out;
mod goals;
mod handshake;
mod large;
mod machine;
mod measure;
mod messages;
mod noise;
mod options;
mod publish;
mod report;
mod resume;
mod rivals;
mod rounds;
mod rows;
mod server;
mod sessions;
mod shards;
mod slow;
mod summary;
mod tongue;
mod wire;

use std::{
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use machine::Cores;
use options::Options;
use report::Report;
use rows::Effort;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// What the row with the most connections needs, and some more.
const OPEN_FILES_MIN: u64 = 16_000;
/// How long we look who else was busy at the end.
const LOOK_BACK: Duration = Duration::ZERO;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|it| it == sessions::HOLD) {
        return match sessions::hold(&words[1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("bench: {why}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match Options::from_environment() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("bench: {why}\n\n{}", options::usage());
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("bench: {failed} visits failed");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and writes; returns how many visits failed.
fn run(options: &Options) -> Result<usize, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, Arc::clone(&interrupted)).map_err(|it| it.to_string())?;
    }
    machine::end_with_parent()?;
    let autogroup = machine::take_precedence();
    println!("scheduling group: {autogroup}");
    let open_files = machine::raise_open_files()?;
    if open_files < OPEN_FILES_MIN {
        return Err(format!("{OPEN_FILES_MIN} open files are needed, {open_files} allowed"));
    }
    let cores = Cores::choose()?;
    let servers = rivals::all(options)?;
    let effort = match options.quick {
        true => Effort { window: Duration::from_millis(200), divisor: 10 },
        false => Effort { window: Duration::from_secs(1), divisor: 1 },
    };
    let stop = || interrupted.load(Ordering::Relaxed);
    let before = machine::wait_for_quiet(options.quiet_max, stop)?;
    println!("others use {:.0} % of one core", before * 100.0);
    let visits = rounds::run(options, &servers, effort, cores, &interrupted)?;
    let after = machine::wait_for_quiet(LOOK_BACK, stop)?;
    let report = Report {
        options,
        servers: &servers,
        visits: &visits,
        machine: machine::facts(),
        compiler: compiler(),
        autogroup,
        others: (before, after),
    };
    report.write()?;
    Ok(visits.iter().filter(|it| it.outcome.is_err()).count())
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let version = output.ok().and_then(|it| String::from_utf8(it.stdout).ok());
    version.map_or("unknown compiler".into(), |it| it.trim().to_owned())
}
