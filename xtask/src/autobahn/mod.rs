//! `autobahn`: the cases of the Autobahn test suite against our server and our client, over plain
//! TCP, through a TLS that is not ours, and over HTTP/2. PyPI's `kosoku` runs the original case files.

mod cases;
mod report;
mod server;
mod client;
mod tls;
mod bridge;
mod results;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    outcome::{Outcome, Tally},
    process,
    workspace::Workspace,
};

pub(crate) use results::machine;

use cases::Cases;
use report::Report;
use tls::Certificate;

/// How long one leg of the sample may take; a good run needs a tenth of it.
const SAMPLE_MAX: Duration = Duration::from_secs(10 * 60);
const ALL_MAX: Duration = Duration::from_secs(60 * 60);
const BUILD_MAX: Duration = Duration::from_secs(30 * 60);

/// How our side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compressor {
    /// One compressor for all connections of a thread: what `taiwa serve` does unless told.
    Shared,
    /// A compressor and a window for each connection.
    Dedicated,
}

/// How bytes reach the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    /// Streams of HTTP/2 over TLS.
    Http2,
}

/// Which of us is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server(Compressor),
    Client,
}

/// One run of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leg {
    name: &'static str,
    side: Side,
    transport: Transport,
}

const LEGS: [Leg; 6] = [
    Leg {
        name: "autobahn server ws",
        side: Side::Server(Compressor::Dedicated),
        transport: Transport::Tcp,
    },
    Leg {
        name: "autobahn server wss",
        side: Side::Server(Compressor::Shared),
        transport: Transport::Tls,
    },
    Leg {
        name: "autobahn server h2",
        side: Side::Server(Compressor::Shared),
        transport: Transport::Http2,
    },
    Leg { name: "autobahn client ws", side: Side::Client, transport: Transport::Tcp },
    Leg { name: "autobahn client wss", side: Side::Client, transport: Transport::Tls },
    Leg { name: "autobahn client h2", side: Side::Client, transport: Transport::Http2 },
];

/// What all legs share.
#[derive(Debug)]
struct Suite<'w> {
    workspace: &'w Workspace,
    cases: Cases,
    within: Duration,
}

/// Runs the core cases and the sample in all legs.
pub(crate) fn sample(workspace: &Workspace, tally: &mut Tally) {
    let suite = Suite { workspace, cases: Cases::Sample, within: SAMPLE_MAX };
    suite.run(tally);
}

/// Runs every case in all legs and writes conformance/autobahn/results.json.
pub(crate) fn all(workspace: &Workspace, tally: &mut Tally) {
    let suite = Suite { workspace, cases: Cases::All, within: ALL_MAX };
    let reports = suite.run(tally);
    tally.stage("autobahn results", || Outcome::of(results::write(workspace, &reports)));
}

/// Runs the core cases and the sample against a server that is there already: a control that the
/// verdicts can be bad.
pub(crate) fn against(workspace: &Workspace, tally: &mut Tally, url: &str) {
    let suite = Suite { workspace, cases: Cases::Sample, within: SAMPLE_MAX };
    tally.stage(&format!("autobahn {url}"), || {
        match suite.fuzz_server(url, &suite.folder("against")) {
            Ok(report) => report.outcome(),
            Err(why) => Outcome::failure(why),
        }
    });
}

impl Suite<'_> {
    fn run(&self, tally: &mut Tally) -> Vec<(Leg, Report)> {
        tally.stage("autobahn build", || Outcome::of(self.build()));
        if !tally.passed("autobahn build") {
            return vec![];
        }
        let mut reports = vec![];
        for leg in LEGS {
            tally.stage(leg.name, || match self.run_leg(leg) {
                Ok(report) => {
                    let outcome = report.outcome();
                    reports.push((leg, report));
                    outcome
                }
                Err(why) => Outcome::failure(why),
            });
        }
        reports
    }

    /// Starts a command line of kosoku.
    fn kosoku(&self) -> Command {
        let mut python = self.workspace.command(self.workspace.venv("python"));
        python.arg(self.workspace.root.join("conformance/autobahn/run.py"));
        python
    }

    fn build(&self) -> Result<(), String> {
        if !self.workspace.venv("kosoku").exists() {
            return Err("kosoku is not installed: cargo xtask setup".into());
        }
        process::run(&mut self.workspace.release_build(&["--bin", "taiwa"]), BUILD_MAX)?;
        let client = ["-p", "taiwa", "--example", "autobahn_client"];
        process::run(&mut self.workspace.release_build(&client), BUILD_MAX)
    }

    fn run_leg(&self, leg: Leg) -> Result<Report, String> {
        let folder = self.folder(&leg.name.replace(' ', "-"));
        // What an earlier run left must not pass for the result of this one.
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|it| format!("{}: {it}", folder.display()))?;
        }
        fs::create_dir_all(&folder).map_err(|it| format!("{}: {it}", folder.display()))?;
        let certificate = match leg.transport {
            Transport::Tcp => None,
            Transport::Tls | Transport::Http2 => Some(Certificate::make(self.workspace, &folder)?),
        };
        match leg.side {
            Side::Server(compressor) => {
                self.run_server(compressor, leg.transport, certificate.as_ref(), &folder)
            }
            Side::Client => self.run_client(leg.transport, certificate.as_ref(), &folder),
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.workspace.tools().join("autobahn").join(name)
    }
}
