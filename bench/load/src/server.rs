//! The servers: how each is started, what it used, how it is ended.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use bench_order::Over;

use crate::{
    broker::{self, Broker},
    certificate::Certificate,
    machine::{Cores, Place},
    tongue::Tongue,
};

const START_MAX: Duration = Duration::from_secs(10);

/// What a server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Send back each message.
    Echo,
    /// Send back what comes together together.
    EchoForward,
    /// Send back each message, compressed.
    EchoDeflate,
    /// Send back messages of up to 16 MiB: a limit that is in the way is lifted.
    EchoLarge,
    /// Send each message of one connection to all.
    FanOut,
    /// The same, compressed.
    FanOutDeflate,
    /// Take large messages and tell how many bytes each had.
    Take,
    /// Answer a number with a message of that many bytes.
    Give,
    /// Have channels.
    Publish,
    /// The same, and give who comes back what it missed.
    Resume,
    /// Let clients of Socket.IO come and go.
    SocketIo,
    /// Have channels over two nodes.
    Across,
    /// The same, and keep what is said for who comes back.
    AcrossKept,
    /// Send back each datagram of WebTransport.
    Datagrams,
    /// Take datagrams of WebTransport and tell how many there were.
    DatagramsTake,
    /// Share the load's cores.
    Shards,
    /// Have a channel with one who reads nothing.
    SlowReader,
}

impl Task {
    /// The argument that tells a server.
    fn argument(self) -> Option<&'static str> {
        match self {
            Self::Echo => None,
            Self::EchoForward => Some("echo-forward"),
            Self::EchoDeflate => Some("echo-deflate"),
            Self::EchoLarge => Some("echo-large"),
            Self::FanOut => Some("fan-out"),
            Self::FanOutDeflate => Some("fan-out-deflate"),
            Self::Take => Some("take"),
            Self::Give => Some("give"),
            Self::Publish => Some("publish"),
            Self::Resume => Some("resume"),
            Self::SocketIo | Self::SlowReader => Some("publish"),
            Self::Across => Some("across"),
            Self::AcrossKept => Some("across-kept"),
            Self::Datagrams => Some("datagrams"),
            Self::DatagramsTake => Some("datagrams-take"),
            Self::Shards => None,
        }
    }
}

/// As what a server takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ours,
    /// The best of them is what all are compared with.
    Rival,
    /// What all are compared with, too, but not a server.
    Yardstick,
    /// Another one, with which nobody is compared: it is to be seen what both differ by.
    SecondYardstick,
}

/// A server that takes part.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// What it echoes with, version included.
    pub(crate) version: String,
    pub(crate) role: Role,
    pub(crate) path: &'static str,
    /// What its clients speak where it has channels.
    pub(crate) tongue: Tongue,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Whether it wants to be told its task by another one.
    pub(crate) wants_task: bool,
    /// What stands between two nodes of it, if it is not one alone.
    pub(crate) between: Option<Between>,
    /// How clients may come.
    pub(crate) over: &'static [Over],
    /// What it shows over TLS.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// It is measured for its shards alone, of which it has so many.
    pub(crate) shards: Option<usize>,
    /// Bytes that it keeps at most for one who reads nothing, if it says so itself.
    pub(crate) unread_max: Option<u64>,
    /// Why it does not do a task, if it does not.
    pub(crate) refuses: fn(Task) -> Option<&'static str>,
}

/// What makes a cluster of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Between {
    pub(crate) broker: broker::Kind,
    /// What a node is told beside its other arguments where nothing is to be kept.
    pub(crate) keeps_nothing: &'static [&'static str],
}

/// A server that runs until this is dropped: one process, or two nodes and their broker.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    port: u16,
    cluster: Option<Box<Cluster>>,
}

/// What belongs to one node.
#[derive(Debug)]
struct Cluster {
    /// The other node.
    far: Running,
    broker: Broker,
}

impl Server {
    /// Tells why it does not take part in a task, if it does not.
    pub(crate) fn refusal(&self, task: Task, over: Over) -> Option<&'static str> {
        let speaks_it = matches!(self.tongue, Tongue::SocketIo | Tongue::SocketIoPage);
        match task {
            Task::SocketIo if !speaks_it => Some("it does not speak Socket.IO"),
            Task::Shards => match self.shards {
                Some(_) => None,
                None => Some("the row is about the shards of `taiwa serve`"),
            },
            _ if self.shards.is_some() => Some("it takes part for its shards alone"),
            task => (self.refuses)(task).or(match over {
                over if self.over.contains(&over) => None,
                Over::Http1Clear => Some("it takes part over other versions of HTTP alone"),
                Over::Http1 => Some("it takes part without TLS alone"),
                Over::Http2Clear | Over::Http2 => Some("it has no WebSockets over HTTP/2"),
                Over::Http3 => Some("it has no WebSockets over HTTP/3"),
                Over::WebTransport => Some("it has no WebTransport"),
            }),
        }
    }

    pub(crate) fn certificate(&self) -> Result<&Certificate, String> {
        self.certificate.as_deref().ok_or("there is no certificate".into())
    }

    /// Returns the arguments that tell how clients come.
    fn way(&self, over: Over) -> Result<Vec<String>, String> {
        if over == Over::Http1Clear {
            return Ok(vec![]);
        }
        let (way, certificate, key) = match self.wants_task {
            true => (vec!["--over".into(), over.name().into()], "--cert", "--key"),
            false => (vec![], "--tls-cert", "--tls-key"),
        };
        let mut words = way;
        if over.is_secure() {
            let files = self.certificate()?;
            words.extend([certificate.into(), files.file().to_string_lossy().into_owned()]);
            words.extend([key.into(), files.key_file().to_string_lossy().into_owned()]);
        }
        Ok(words)
    }

    /// Starts it on the server's core, with all that belongs to it, and waits until it tells its port.
    pub(crate) fn start(&self, task: Task, over: Over, cores: Cores) -> Result<Running, String> {
        let Some(between) = self.between else {
            let way = self.way(over)?;
            let way: Vec<&str> = way.iter().map(String::as_str).collect();
            return self.start_node(task, cores, &way);
        };
        let broker = between.broker.start(cores)?;
        let mut args = vec!["--broker", broker.url()];
        if task == Task::Across {
            args.extend(between.keeps_nothing);
        }
        let far = self.start_node(task, cores, &args)?;
        let mut near = self.start_node(task, cores, &args)?;
        near.cluster = Some(Box::new(Cluster { far, broker }));
        Ok(near)
    }

    fn start_node(&self, task: Task, cores: Cores, more: &[&str]) -> Result<Running, String> {
        let mut command = end_with_us(&self.program);
        command.args(&self.args).args(task.argument().filter(|_| self.wants_task)).args(more);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Whatever colours or logs the user's own shell asks for must not cost one server more than another.
        command.env_remove("RUST_LOG").env("NO_COLOR", "1");
        let place = match self.shards {
            None => Place::Server,
            Some(1) => Place::Load,
            Some(_) => Place::Both,
        };
        let child = cores.start(place, || command.spawn())?;
        let child = child.map_err(|it| format!("{} does not start: {it}", self.name))?;
        let mut running = Running { child, port: 0, cluster: None };
        let (sender, lines) = sync_channel(64);
        listen(running.child.stdout.take().expect("it is piped"), sender.clone());
        listen(running.child.stderr.take().expect("it is piped"), sender);
        running.port = wait_for_port(&lines).map_err(|it| format!("{} {it}", self.name))?;
        Ok(running)
    }
}

/// A command whose process the kernel kills when we end, in whatever way.
pub(crate) fn end_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Reads on after the port was told: a full pipe would stop the server.
fn listen(output: impl Read + Send + 'static, lines: SyncSender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = lines.try_send(line);
        }
    });
}

fn wait_for_port(lines: &Receiver<String>) -> Result<u16, String> {
    let end = Instant::now() + START_MAX;
    let mut heard = vec![];
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        match port(&line) {
            Some(port) => return Ok(port),
            None => heard.push(line),
        }
    }
    Err(format!("does not tell where it listens: {}", heard.join(" / ")))
}

/// Finds the port in `listening PORT`, or in the first URL of HTTP in a line.
fn port(line: &str) -> Option<u16> {
    if let Some(port) = line.strip_prefix("listening ") {
        return port.trim().parse().ok();
    }
    let (_, rest) = line.split_once("http://").or_else(|| line.split_once("https://"))?;
    let (_, rest) = rest.split_once(':')?;
    let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The port of the other node.
    pub(crate) fn far_port(&self) -> Result<u16, String> {
        Ok(self.cluster()?.far.port)
    }

    fn cluster(&self) -> Result<&Cluster, String> {
        self.cluster.as_deref().ok_or("it has no other node".into())
    }

    /// The CPU time of all its threads; of a cluster, of both nodes and their broker.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let others = match &self.cluster {
            Some(it) => it.far.cpu()? + it.broker.cpu()?,
            None => Duration::ZERO,
        };
        Ok(cpu(self.child.id())? + others)
    }

    /// The part of it that is the broker's.
    pub(crate) fn broker_cpu(&self) -> Result<Duration, String> {
        self.cluster()?.broker.cpu()
    }

    /// The memory that is resident, as the kernel counts it page by page.
    pub(crate) fn resident_bytes(&self) -> Result<u64, String> {
        let rollup = self.read("smaps_rollup")?;
        kib(&rollup, "Rss:").ok_or("smaps_rollup without Rss".into())
    }

    /// Forgets how much memory was resident at most so far.
    pub(crate) fn forget_peak(&self) -> Result<(), String> {
        // proc_pid_clear_refs(5): 5 "Reset the peak resident set size".
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(path, "5").map_err(|it| format!("clear_refs: {it}"))
    }

    /// The most memory that was resident since [`forget_peak`](Self::forget_peak).
    pub(crate) fn peak_bytes(&self) -> Result<u64, String> {
        let status = self.read("status")?;
        kib(&status, "VmHWM:").ok_or("status without VmHWM".into())
    }

    fn read(&self, name: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(path).map_err(|it| format!("{name}: {it}"))
    }
}

/// Finds a number of kibibytes, in bytes.
fn kib(lines: &str, name: &str) -> Option<u64> {
    let line = lines.lines().find_map(|it| it.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time of all threads of a process. The clock of /proc/PID/stat ticks too slowly for a window of a second.
pub(crate) fn cpu(process: u32) -> Result<Duration, String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .map_err(|_| "the server is gone".to_owned())?;
    let mut nanoseconds = 0;
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        nanoseconds += stat.split(' ').next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_where_servers_tell_it() {
        assert_eq!(port("listening 40123"), Some(40123));
        assert_eq!(port("taiwa listens on http://127.0.0.1:8000/ (chat)"), Some(8000));
        assert_eq!(port("http://127.0.0.1:8000"), Some(8000));
        assert_eq!(port("https://127.0.0.1:8443/"), Some(8443));
        assert_eq!(port("warning: no such thing"), None);
    }

    #[test]
    fn our_own_cpu_time_grows() {
        // A thread that ends takes its time away, as those of other tests do: once none ends it grows.
        let grows = || {
            let before = cpu(std::process::id()).unwrap();
            let end = Instant::now() + Duration::from_millis(100);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            cpu(std::process::id()).unwrap() > before
        };
        assert!((0..50).any(|_| grows()));
    }
}
