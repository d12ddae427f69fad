//! `taiwa config`: init, check, show, env, schema, docs.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{
    flags::{Flags, ShownFlags},
    keys,
    load::{self, Layers, Loaded, Problem},
    write::{self, Beside},
};
use crate::exit::{Exit, Failure};

/// Write, check and show the settings of `taiwa serve`
#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Write a file with every key, its default and its meaning
    Init {
        /// Where to; `-` is stdout. A file that is there is left alone, with exit code 2
        #[arg(default_value = load::USUAL_FILE)]
        file: PathBuf,
    },
    /// Say all that is wrong with a file and the environment; exit code 2 if anything is
    Check {
        /// The file [default: as for serve]
        file: Option<PathBuf>,
    },
    /// Print the settings that hold, with secrets masked; takes the flags of serve, but
    /// for --origin, which is --set origins=ORIGIN here
    Show {
        /// Say where each comes from: a flag, a variable, a line of the file, or default
        #[arg(id = "with_origin", long = "origin")]
        origin: bool,
        /// Say what a changed key waits for: a reload applies it at once, or anew (to what begins
        /// from then on), or it needs a restart
        #[arg(long)]
        reload: bool,
        #[command(flatten)]
        flags: ShownFlags,
    },
    /// Print all variables of the environment, with their defaults and meanings
    Env,
    /// Print a JSON Schema of the file, for editors
    Schema,
    /// Print the page that explains every key, in Markdown
    Docs,
}

/// Runs it.
pub(crate) fn run(config: Config) -> Result<Exit, Failure> {
    let printed = match config.verb {
        ConfigVerb::Init { file } => return init(&file),
        ConfigVerb::Check { file } => {
            let loaded = load(Flags { file, given: Vec::new() })?;
            warn_of(&loaded);
            match loaded.file {
                Some(file) => format!("{}: all is well\n", file.display()),
                None => format!("there is no {}; all is well without it\n", load::USUAL_FILE),
            }
        }
        ConfigVerb::Show { origin, reload, flags } => {
            let loaded = load(flags.0)?;
            warn_of(&loaded);
            write::effective(&loaded, Beside { origin, reload })
        }
        ConfigVerb::Env => write::environment(),
        ConfigVerb::Schema => {
            let mut text = serde_json::to_string_pretty(&keys::schema()).unwrap_or_default();
            text.push('\n');
            text
        }
        ConfigVerb::Docs => write::page(),
    };
    print(&printed)
}

fn print(text: &str) -> Result<Exit, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Inside, error))
        }
        _ => Ok(Exit::Good),
    }
}

fn init(path: &Path) -> Result<Exit, Failure> {
    let text = write::example();
    if path.as_os_str() == "-" {
        return print(&text);
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => print(&format!("wrote {}\n", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = format!("{} is there already and was left alone", path.display());
            Err(Failure::new(Exit::Usage, text))
        }
        Err(error) => {
            let text = format!("can't write {}: {error}", path.display());
            Err(Failure::new(Exit::Inside, text))
        }
    }
}

/// Reads the settings as `taiwa serve` does.
///
/// # Errors
/// All that is wrong, one line each.
pub(crate) fn load(flags: Flags) -> Result<Loaded, Failure> {
    let file = load::file(flags.file).map_err(|it| refused(&[it]))?;
    let layers = Layers { file, variables: std::env::vars_os().collect(), flags: flags.given };
    layers.load().map_err(|it| refused(&it))
}

fn refused(problems: &[Problem]) -> Failure {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{problem}");
    }
    Failure::new(Exit::Usage, text)
}

fn warn_of(loaded: &Loaded) {
    for stranger in &loaded.strangers {
        anstream::eprintln!("taiwa: {stranger}");
    }
}
