//! The log on stderr: written by a thread of its own, many lines at once, so that no connection waits for whoever reads it.

mod text;

use std::{
    io::{self, IsTerminal, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use crate::config::settings::{Level, Log, LogFormat};

/// Bytes of lines that wait to be written. Of more the newest are dropped, and how many is told.
const WAITING_MAX: usize = 1 << 20;
/// How long lines are gathered before they are written.
const GATHERED_FOR: Duration = Duration::from_millis(10);
/// How long the end of the program waits for the last lines to be taken.
const END_MAX: Duration = Duration::from_secs(1);

/// Lines on their way to stderr.
#[derive(Clone, Default)]
struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    Gathers,
    /// The last lines are to be written.
    Ends,
    /// Nothing is gathered any more: who has something to say writes it.
    Ended,
}

/// Writes the last lines when it is dropped.
pub(crate) struct Ending(Lines);

/// How much is logged, which may be changed.
pub(crate) struct Loudness(Box<dyn Fn(Targets) + Send + Sync>);

impl Loudness {
    fn of<S: 'static>(filter: reload::Handle<Targets, S>) -> Self {
        Self(Box::new(move |targets| {
            // It fails when there is no log any more.
            let _ = filter.reload(targets);
        }))
    }

    /// Logs so much from now on.
    pub(crate) fn set(&self, level: Level) {
        self.0(filter(level));
    }
}

fn filter(level: Level) -> Targets {
    let level = match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // That the broker is lost or back says the server; each connection that the client of NATS makes is of interest to
    // those alone who look closer.
    let nats = if level == LevelFilter::INFO { LevelFilter::WARN } else { level };
    // What they tell is what a peer did wrong, and no peer may fill the log.
    let peers = if level <= LevelFilter::INFO { level.min(LevelFilter::ERROR) } else { level };
    Targets::new()
        .with_default(level)
        .with_target("async_nats", nats)
        .with_target("h2", peers)
        .with_target("quinn", peers)
}

/// Logs as the settings say, until the end of what is returned. Spans go to `traces`, too.
#[must_use]
pub(crate) fn to_stderr(
    log: &Log,
    traces: Option<impl Layer<Registry> + Send + Sync + 'static>,
) -> (Ending, Loudness) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = Lines::default();
    let writing = lines.clone();
    if thread::Builder::new().name("log".into()).spawn(move || writing.run(io::stderr())).is_err() {
        // Without a thread each line is written by who says it.
        lines.waiting().stage = Stage::Ended;
    }
    let written = fmt::layer().with_writer(lines.clone()).with_ansi(colour);
    let written = match log.format {
        LogFormat::Text => written.event_format(text::Text::new()).boxed(),
        LogFormat::Json => written.with_target(false).json().flatten_event(true).boxed(),
    };
    let loudness = match traces {
        None => {
            let (level, handle) = reload::Layer::new(filter(log.level));
            tracing_subscriber::registry().with(written).with(level).init();
            Loudness::of(handle)
        }
        // With a filter for each: what the log leaves out is traced all the same.
        Some(traces) => {
            let (level, handle) = reload::Layer::new(filter(log.level));
            let layers = vec![traces.boxed(), written.with_filter(level).boxed()];
            tracing_subscriber::registry().with(layers).init();
            Loudness::of(handle)
        }
    };
    (Ending(lines), loudness)
}

impl Lines {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &'a self,
        waiting: MutexGuard<'a, Waiting>,
        until: impl Fn(&Waiting) -> bool,
    ) -> MutexGuard<'a, Waiting> {
        let wait = self.0.changed.wait_while(waiting, |it| !until(it));
        wait.unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, to the end.
    fn run(&self, mut out: impl Write) {
        let mut bytes = Vec::new();
        loop {
            let waiting =
                self.wait(self.waiting(), |it| !it.bytes.is_empty() || it.stage == Stage::Ends);
            let ends = waiting.stage == Stage::Ends;
            drop(waiting);
            if !ends {
                thread::sleep(GATHERED_FOR);
            }
            let mut waiting = self.waiting();
            mem::swap(&mut bytes, &mut waiting.bytes);
            let dropped = mem::take(&mut waiting.dropped);
            drop(waiting);
            // Nobody can be told that the log can't be written.
            let _ = out.write_all(&bytes);
            if dropped > 0 {
                let _ = writeln!(out, "{dropped} lines of the log were not taken in time");
            }
            bytes.clear();
            let mut waiting = self.waiting();
            if waiting.stage == Stage::Ends && waiting.bytes.is_empty() {
                waiting.stage = Stage::Ended;
                self.0.changed.notify_all();
                return;
            }
        }
    }
}

impl Write for Lines {
    /// Takes one whole line, as the formatter gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        match waiting.stage {
            Stage::Ended => {
                drop(waiting);
                return io::stderr().write(line);
            }
            _ if WAITING_MAX < waiting.bytes.len() + line.len() => waiting.dropped += 1,
            _ => {
                let is_first = waiting.bytes.is_empty();
                waiting.bytes.extend_from_slice(line);
                if is_first {
                    self.0.changed.notify_all();
                }
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        if waiting.stage == Stage::Gathers {
            waiting.stage = Stage::Ends;
        }
        self.0.0.changed.notify_all();
        // Whoever reads nothing any more keeps the program from its end no longer.
        let wait =
            self.0.0.changed.wait_timeout_while(waiting, END_MAX, |it| it.stage != Stage::Ended);
        drop(wait);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes what is written, after a while.
    struct Reader(mpsc::Sender<Vec<u8>>, Duration);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            thread::sleep(self.1);
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn connections_to_the_broker_are_told_to_those_who_look_closer() {
        use tracing::Level as Of;
        for (level, target, of, expected) in [
            (Level::Info, "async_nats::connector", Of::INFO, false),
            (Level::Info, "async_nats::connector", Of::WARN, true),
            (Level::Debug, "async_nats::connector", Of::INFO, true),
            (Level::Info, "taiwa_server::cluster", Of::INFO, true),
            (Level::Error, "async_nats", Of::WARN, false),
            (Level::Off, "async_nats", Of::ERROR, false),
        ] {
            assert_eq!(filter(level).would_enable(target, &of), expected, "{target} {of}");
        }
    }

    #[test]
    fn what_peers_do_wrong_is_told_to_those_who_look_closer() {
        use tracing::Level as Of;
        for (level, target, of, expected) in [
            (Level::Warn, "h2::proto::connection", Of::WARN, false),
            (Level::Info, "h2", Of::WARN, false),
            (Level::Info, "h2", Of::ERROR, true),
            (Level::Info, "quinn_proto::connection", Of::WARN, false),
            (Level::Off, "quinn", Of::ERROR, false),
            (Level::Debug, "h2", Of::WARN, true),
            (Level::Warn, "taiwa_server::site", Of::WARN, true),
        ] {
            assert_eq!(filter(level).would_enable(target, &of), expected, "{target} {of}");
        }
    }

    fn written(lines: usize, line: &[u8], pause: Duration) -> String {
        let (all, out) = (Lines::default(), mpsc::channel());
        let (writing, reader) = (all.clone(), Reader(out.0, pause));
        let thread = thread::spawn(move || writing.run(reader));
        for _ in 0..lines {
            all.make_writer().write_all(line).unwrap();
        }
        drop(Ending(all));
        thread.join().unwrap();
        out.1.iter().map(|it| String::from_utf8(it).unwrap()).collect()
    }

    #[test]
    fn all_lines_are_written_before_the_end() {
        let written = written(1000, b"a line\n", Duration::ZERO);
        assert_eq!(written, "a line\n".repeat(1000));
    }

    #[test]
    fn who_reads_slowly_is_told_what_was_dropped() {
        let line = [b"x".repeat(WAITING_MAX / 4), b"\n".to_vec()].concat();
        let written = written(9, &line, Duration::from_millis(50));
        let taken = written.matches("x\n").count();
        assert!(taken < 9, "{taken}");
        assert!(written.contains(&format!("{} lines of the log", 9 - taken)), "{taken}");
    }
}
