//! The binary `taiwa`: reads the arguments and runs one command.

mod admin;
mod args;
mod beside;
mod broker;
mod config;
mod connect;
mod descriptors;
mod ending;
mod exit;
mod listen;
mod log;
mod manual;
mod present;
mod rooms;
mod serve;
mod signals;
mod supervisor;
mod tls;
mod token;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
mod traces;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Serve(serve) => on_runtime(serve::run(*serve)),
        Verb::Connect(connect) => on_runtime(connect::run(*connect)),
        Verb::Admin(admin) => on_runtime(admin::run(*admin)),
        Verb::Config(config) => config::verbs::run(*config),
        Verb::Token(token) => on_runtime(token::run(token)),
        Verb::Completions(completions) => manual::print_completions(completions.shell),
        Verb::Man(man) => manual::write_pages(&man.dir),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            for line in failure.message.lines() {
                anstream::eprintln!("taiwa: {line}");
            }
            failure.exit.into()
        }
    }
}

fn on_runtime(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Inside, error))?;
    let outcome = runtime.block_on(command);
    // A name's look-up that is under way must not hold up the end.
    runtime.shutdown_background();
    outcome
}
