//! The line at the bottom of the terminal: a thread that edits it, and a way to print above it.

use std::{env, fs, io, path::PathBuf, thread};

use rustyline::{
    Config, Editor, ExternalPrinter, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::{FileHistory, History},
    validate::Validator,
};
use tokio::sync::mpsc;

use super::command::COMMANDS;

/// Lines of history that are kept.
const HISTORY_MAX: usize = 1000;

/// What a person typed.
pub(super) enum Typed {
    Line(String),
    /// Ctrl-D.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// The terminal, until it is dropped; then it is as it was.
pub(super) struct Screen {
    printer: Box<dyn ExternalPrinter + Send>,
    pub(super) typed: mpsc::UnboundedReceiver<Typed>,
    #[cfg(unix)]
    before: Option<nix::sys::termios::Termios>,
}

impl Screen {
    /// Starts the thread that edits.
    ///
    /// # Errors
    /// The terminal can do nothing but print (`TERM=dumb`).
    pub(super) fn open() -> rustyline::Result<Self> {
        #[cfg(unix)]
        let before = nix::sys::termios::tcgetattr(io::stdin()).ok();
        let config = Config::builder()
            .max_history_size(HISTORY_MAX)?
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut editor: Editor<Commands, FileHistory> = Editor::with_config(config)?;
        editor.set_helper(Some(Commands));
        let history = history_file();
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        let printer = Box::new(editor.create_external_printer()?);
        #[cfg(unix)]
        if let Some(before) = &before {
            keep_keys(before);
        }
        let (tell, typed) = mpsc::unbounded_channel();
        thread::spawn(move || edit(editor, history, &tell));
        Ok(Self {
            printer,
            typed,
            #[cfg(unix)]
            before,
        })
    }

    /// Prints above the line that is edited, and waits while the terminal is busy.
    pub(super) fn print(&mut self, text: &str) {
        let _ = self.printer.print(format!("{text}\n"));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // One print may wait until the one before is on the screen, one may be in a queue: behind two
        // more, all that count are seen. They go a line up and down again.
        for _ in 0..2 {
            let _ = self.printer.print("\x1b[A\n".into());
        }
        // The thread still edits a line, in a mode of the terminal that would outlive us.
        #[cfg(unix)]
        if let Some(before) = &self.before {
            use nix::sys::termios::{SetArg, tcsetattr};
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
        // Bracketed paste off, and the empty prompt away.
        let mut stdout = io::stdout();
        let _ = io::Write::write_all(&mut stdout, b"\x1b[?2004l\r\x1b[K");
        let _ = io::Write::flush(&mut stdout);
    }
}

/// Has the terminal hold what is typed between two lines as keys, unseen, for the next line. A terminal that
/// edits lines itself would show them twice, and would take a Ctrl-D away (on Linux it becomes NUL when it stops editing).
#[cfg(unix)]
fn keep_keys(before: &nix::sys::termios::Termios) {
    use nix::sys::termios::{LocalFlags, SetArg, tcsetattr};
    let mut keys = before.clone();
    keys.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    // Without it a key may be lost, no more.
    let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &keys);
}

fn edit(
    mut editor: Editor<Commands, FileHistory>,
    history: Option<PathBuf>,
    tell: &mpsc::UnboundedSender<Typed>,
) {
    loop {
        let typed = match editor.readline("> ") {
            Ok(line) => {
                remember(&mut editor, history.as_ref(), &line);
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(ReadlineError::Signal(_)) => continue,
            // Also a terminal that went away: there is nobody to type.
            Err(_) => Typed::End,
        };
        let over = matches!(typed, Typed::End);
        if tell.send(typed).is_err() || over {
            return;
        }
    }
}

/// Appends at once: the process may end while a line is edited.
fn remember(editor: &mut Editor<Commands, FileHistory>, file: Option<&PathBuf>, line: &str) {
    if line.trim().is_empty() || !matches!(editor.add_history_entry(line), Ok(true)) {
        return;
    }
    let Some(path) = file else { return };
    if editor.append_history(path).is_err() {
        let _ = make_private(path)
            .and_then(|()| editor.history_mut().append(path).map_err(io::Error::other));
    }
}

/// Makes the folder of the history, for this user alone.
fn make_private(path: &std::path::Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// `$XDG_STATE_HOME/taiwa/history`, by the XDG Base Directory Specification.
fn history_file() -> Option<PathBuf> {
    let absolute = |it: std::ffi::OsString| Some(PathBuf::from(it)).filter(|it| it.is_absolute());
    let state = env::var_os("XDG_STATE_HOME")
        .and_then(absolute)
        .or_else(|| Some(env::home_dir()?.join(".local/state")))?;
    Some(state.join("taiwa").join("history"))
}

/// Completes the names of commands.
struct Commands;

impl Completer for Commands {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let written = &line[..at];
        let names = COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().expect("a name"));
        let fitting = names.filter(|it| !written.is_empty() && it.starts_with(written));
        Ok((0, fitting.map(|it| format!("{it} ")).collect()))
    }
}

impl Hinter for Commands {
    type Hint = String;
}
impl Highlighter for Commands {}
impl Validator for Commands {}
impl Helper for Commands {}
