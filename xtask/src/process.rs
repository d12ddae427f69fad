//! Child processes that end: each has a time limit, and none outlives what started it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// Runs a command, its output going to ours.
///
/// # Errors
/// It does not start, does not end within the time (then it and its children are killed), or ends
/// with another exit code than 0.
pub(crate) fn run(command: &mut Command, within: Duration) -> Result<(), String> {
    println!("    $ {}", told(command));
    let child = start(command.stdin(Stdio::null()))?;
    verdict(command, wait(child, within)?)
}

/// Runs a command as [`run`] does and also returns the lines of its output, whatever its exit code: of both its outputs.
/// They are printed as they come.
pub(crate) fn listen(
    command: &mut Command,
    within: Duration,
) -> Result<(Vec<String>, Result<(), String>), String> {
    println!("    $ {}", told(command));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command)?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let (sender, lines) = channel();
    let errors = sender.clone();
    let told = |line: &str| println!("{line}");
    let complained = |line: &str| eprintln!("{line}");
    let readers = [
        thread::spawn(move || pass_on(stdout, told, &sender)),
        thread::spawn(move || pass_on(stderr, complained, &errors)),
    ];
    let status = wait(child, within)?;
    for reader in readers {
        reader.join().map_err(|_| "the reader of the output panicked")?;
    }
    Ok((lines.try_iter().collect(), verdict(command, status)))
}

/// Prints lines as they come, and passes them on.
fn pass_on(from: impl Read, print: impl Fn(&str), to: &Sender<String>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        print(&line);
        // Who called may have given up.
        let _ = to.send(line);
    }
}

/// Runs a command quietly and returns its standard output; on failure its standard error is the
/// reason.
pub(crate) fn ask(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|it| format!("{} does not start: {it}", told(command)))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("{}: {}", told(command), String::from_utf8_lossy(&output.stderr))),
    }
}

/// Which output of a server tells where it listens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A program that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

impl Server {
    /// Starts a program that will tell on `stream` where it listens.
    pub(crate) fn start(command: &mut Command, stream: Stream) -> Result<Self, String> {
        println!("    $ {} &", told(command));
        command.stdin(Stdio::null());
        match stream {
            Stream::Out => command.stdout(Stdio::piped()),
            Stream::Err => command.stderr(Stdio::piped()).stdout(Stdio::null()),
        };
        let mut child = start(command)?;
        let output: Box<dyn Read + Send> = match stream {
            Stream::Out => Box::new(child.stdout.take().expect("standard output is piped")),
            Stream::Err => Box::new(child.stderr.take().expect("standard error is piped")),
        };
        let (sender, lines) = channel();
        // The thread reads on when nobody listens any more: a full pipe would stop the program.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines, name: told(command) })
    }

    /// Starts a program that serves on a socket of ours, which is its standard input. It tells nothing.
    pub(crate) fn on(command: &mut Command, listener: TcpListener) -> Result<Self, String> {
        println!("    $ {} &", told(command));
        command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null());
        let (_, lines) = channel();
        Ok(Self { child: start(command)?, lines, name: told(command) })
    }

    /// Waits for the line in which `find` finds what it looks for.
    pub(crate) fn tells<T>(
        &self,
        within: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + within;
        let mut heard = vec![];
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => match find(&line) {
                    Some(found) => return Ok(found),
                    None => heard.push(line),
                },
                Err(why) => {
                    let why = match why {
                        RecvTimeoutError::Timeout => "does not tell in time where it listens",
                        RecvTimeoutError::Disconnected => "ended before it listened",
                    };
                    return Err(format!("{} {why}: {}", self.name, heard.join(" / ")));
                }
            }
        }
    }

    /// Waits for the program to end by itself and says how.
    pub(crate) fn ends(mut self, within: Duration) -> Result<ExitStatus, String> {
        poll(&mut self.child, within)?.ok_or(format!("{} does not end", self.name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_tree(&mut self.child);
    }
}

fn start(command: &mut Command) -> Result<Child, String> {
    command.spawn().map_err(|it| format!("{} does not start: {it}", told(command)))
}

fn wait(mut child: Child, within: Duration) -> Result<ExitStatus, String> {
    match poll(&mut child, within)? {
        Some(status) => Ok(status),
        None => {
            kill_tree(&mut child);
            Err(format!("not over within {} s", within.as_secs()))
        }
    }
}

/// Returns how the child ended, `None` when the time is over first. The standard library has no
/// wait with a limit; the pauses grow so that short commands are not slowed down.
fn poll(child: &mut Child, within: Duration) -> Result<Option<ExitStatus>, String> {
    let end = Instant::now() + within;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(|it| it.to_string())? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn verdict(command: &Command, status: ExitStatus) -> Result<(), String> {
    match status.success() {
        true => Ok(()),
        false => Err(format!("{}: {status}", told(command))),
    }
}

/// Kills a child and all that it started. They stay in our process group, so that an interrupt
/// from the keyboard reaches them as well; hence the walk instead of a kill of a group.
fn kill_tree(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let mut ids = vec![child.id()];
    let mut next = 0;
    while next < ids.len() {
        ids.extend(children(ids[next]));
        next += 1;
    }
    let ids: Vec<String> = ids[1..].iter().map(u32::to_string).collect();
    let _ = child.kill();
    if !ids.is_empty() {
        let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
    }
    let _ = child.wait();
}

fn children(id: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return vec![] };
    tasks
        .flatten()
        .flat_map(|it| fs::read_to_string(it.path().join("children")))
        .flat_map(|it| it.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>())
        .collect()
}

fn told(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|it| it.to_string_lossy().into_owned()));
    let mut line = words.join(" ");
    if line.len() > 200 {
        let end = line.floor_char_boundary(200);
        line.truncate(end);
        line.push_str(" ...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failing_command_is_an_error() {
        let second = Duration::from_secs(5);
        assert_eq!(run(&mut sh("exit 0"), second), Ok(()));
        assert!(run(&mut sh("exit 3"), second).unwrap_err().contains("exit status: 3"));
        assert!(run(&mut Command::new("no-such-program"), second).is_err());
        let (lines, end) = listen(&mut sh("echo one; echo two; exit 1"), second).unwrap();
        assert_eq!(lines, ["one", "two"]);
        assert!(end.is_err());
    }

    #[test]
    fn a_command_that_does_not_end_is_killed_with_its_children() {
        let start = Instant::now();
        let script = "sleep 30 & echo $! ; wait";
        let command = sh(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut child = command;
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let why = wait(child, Duration::from_millis(50)).unwrap_err();
        assert!(why.contains("not over within"), "{why}");
        assert!(start.elapsed() < Duration::from_secs(10));
        let grandchild = format!("/proc/{}/stat", line.trim());
        let end = Instant::now() + Duration::from_secs(5);
        // A killed process that nobody waited for stays as a zombie, state Z.
        while fs::read_to_string(&grandchild).is_ok_and(|it| !it.contains(") Z ")) {
            assert!(Instant::now() < end, "the grandchild lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_server_tells_where_it_listens_or_why_not() {
        let find = |line: &str| line.strip_prefix("at ").map(str::to_owned);
        let server = Server::start(&mut sh("echo hello; echo at 7; sleep 30"), Stream::Out);
        assert_eq!(server.unwrap().tells(Duration::from_secs(5), find), Ok("7".into()));
        let server = Server::start(&mut sh("echo no >&2"), Stream::Err).unwrap();
        let why = server.tells(Duration::from_secs(5), find).unwrap_err();
        assert!(why.contains("ended before it listened: no"), "{why}");
    }
}
