//! The verbs of `cargo xtask`. Rust, so that whoever can build taiwa can also test it.

mod test;
mod setup;
mod tidy;
mod wasm;
mod api;
mod autobahn;
mod interop;
mod suites;
mod miri;
mod fuzz;
mod bench;
mod instructions;

mod outcome;
mod again;
mod process;
mod shown;
mod workspace;

use std::process::ExitCode;

use outcome::Tally;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask VERB

  test              set up, then run every test there is; ends with a line of counts
  setup             install what the tests need and this machine lacks
  tidy              check the rules of the house (STYLE.md)
  wasm              prove that taiwa-proto imports nothing on wasm32, run taiwa's client in browsers
  api               compare the public interface of the libraries with the lists of it
  api --update      bring the lists to what is
  autobahn          run Autobahn's core cases and a sample of its compression cases
  autobahn --all    run all of its cases and write conformance/autobahn/results.json
  autobahn --against URL   run the same as without options against another server
  interop [NAME..]  run our binary against programs that others wrote
  suites h2spec PROGRAM      run the conformance tests for HTTP/2 by summerwind, which PROGRAM is
  suites socketio [FOLDER]   run the suites of Socket.IO's authors, in FOLDER or $TAIWA_SOCKETIO_SUITES
  miri              run the tests around the unsafe blocks under Miri, if it is installed
  fuzz [SECONDS]    run each fuzz target, 30 seconds unless told
  instructions [NAME..]      count the instructions of the hot paths, compare with the recorded ones
  instructions --update [NAME..]   record them
  bench [ARG..]     measure us beside our rivals";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let workspace = match Workspace::find() {
        Ok(workspace) => workspace,
        Err(why) => {
            eprintln!("xtask: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut tally = Tally::default();
    match args.as_slice() {
        ["test"] => test::run(&workspace, &mut tally),
        ["setup"] => tally.stage("setup", || setup::run(&workspace)),
        ["tidy"] => tally.stage("tidy", || tidy::run(&workspace)),
        ["wasm"] => tally.stage("wasm", || wasm::run(&workspace)),
        ["autobahn"] => autobahn::sample(&workspace, &mut tally),
        ["autobahn", "--against", url] => autobahn::against(&workspace, &mut tally, url),
        ["autobahn", "--all"] => autobahn::all(&workspace, &mut tally),
        ["interop", names @ ..] => tally.stage("interop", || interop::run(&workspace, names)),
        ["suites", "h2spec", program] => suites::h2spec(&workspace, &mut tally, program),
        ["suites", "socketio"] => suites::socketio(&workspace, &mut tally, None),
        ["suites", "socketio", folder] => suites::socketio(&workspace, &mut tally, Some(folder)),
        ["api"] => tally.stage("api", || api::run(&workspace, api::Mode::Compare)),
        ["api", "--update"] => tally.stage("api", || api::run(&workspace, api::Mode::Update)),
        ["instructions", "--update", names @ ..] => {
            let mode = instructions::Mode::Update;
            tally.stage("instructions", || instructions::run(&workspace, mode, names));
        }
        ["instructions", names @ ..] => {
            let mode = instructions::Mode::Compare;
            tally.stage("instructions", || instructions::run(&workspace, mode, names));
        }
        ["miri"] => tally.stage("miri", || miri::run(&workspace)),
        ["fuzz"] => tally.stage("fuzz", || fuzz::run(&workspace, fuzz::SECONDS)),
        ["fuzz", seconds] if seconds.parse::<u32>().is_ok_and(|it| it > 0) => {
            let seconds = seconds.parse().expect("the guard parsed it");
            tally.stage("fuzz", || fuzz::run(&workspace, seconds));
        }
        ["bench", rest @ ..] => tally.stage("bench", || bench::run(&workspace, rest)),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    tally.close()
}
