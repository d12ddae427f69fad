//! Completions and man pages, made from the definitions of the arguments.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    args::Cli,
    exit::{Exit, Failure},
};

/// Prints the script that completes arguments in `shell`.
pub(crate) fn print_completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "taiwa", &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Inside, error))
        }
        _ => Ok(Exit::Good),
    }
}

/// Writes `taiwa.1`, `taiwa-serve.1`, ... into a folder.
pub(crate) fn write_pages(dir: &Path) -> Result<Exit, Failure> {
    fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), dir))
        .map_err(|error| Failure::new(Exit::Inside, format_args!("{}: {error}", dir.display())))?;
    Ok(Exit::Good)
}
