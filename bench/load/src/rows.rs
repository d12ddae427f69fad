//! What is measured: one row of the table each, and how one visit to one server goes.

mod table;
pub(crate) mod visits;

use std::{sync::atomic::AtomicBool, time::Duration};

use bench_order::Over;
use serde_json::Value;
pub(crate) use table::ROWS;
use visits::{echo, handshakes, idle, large, open};

use crate::{
    across,
    carried::{self, Carrier},
    clients::{Clients, Happened, Rest},
    crowd::Crowd,
    engine::{self, Way},
    fan_out,
    handshake::Compression,
    large::Line,
    machine::Cores,
    measure::Measure,
    messages::{Content, Messages},
    noise::Noise,
    publish, resume,
    server::{Running, Server, Task},
    sessions,
    shards::Scale,
    slow,
};

/// Connections whose opening handshake may be under way at once: fewer than fit in a listener's backlog.
pub(crate) const OPENING_MAX: usize = 64;
/// The same where all come back at once.
const STORMING_MAX: usize = 256;
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);
/// What a server may still do after the last message: return memory, for instance.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);
pub(crate) const IDLE_MESSAGE_BYTES: usize = 16;
const GIB: u64 = 1 << 30;
/// From here on a message is larger than some take by default.
const LARGE_BYTES: usize = 1 << 20;

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) told: &'static str,
    kind: Kind,
    connections: usize,
    /// It is measured in this many rounds at most: what takes long needs not be repeated as often.
    pub(crate) rounds_max: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Echo {
        content: Content,
        message_bytes: usize,
        outstanding: usize,
        compression: Compression,
    },
    Handshakes,
    Idle,
    FanOut {
        message_bytes: usize,
        compression: Compression,
    },
    Take,
    Give,
    Publish {
        message_bytes: usize,
        burst: usize,
    },
    Resume,
    Sessions {
        channels: usize,
    },
    Newcomers,
    SocketIo(Way),
    Across {
        kept: bool,
        per_second: u32,
    },
    /// As many in all, however many shards there are; load and server share the cores.
    ShardsEcho,
    ShardsPublish,
    SlowReader,
    /// What clients do who come otherwise than over HTTP/1.1 in the clear, and the same over that, to be compared.
    Carried {
        over: Over,
        what: Carried,
        lines: usize,
    },
}

/// What is done over any version of HTTP, and TLS.
#[derive(Debug, Clone, Copy)]
enum Carried {
    Echo {
        message_bytes: usize,
    },
    FanOut {
        message_bytes: usize,
    },
    Idle,
    Handshakes,
    /// Datagrams of WebTransport that come back.
    DatagramsEchoed,
    /// Datagrams of WebTransport that the server counts.
    DatagramsTaken,
}

/// How much a visit does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How long a rate is measured.
    pub(crate) window: Duration,
    /// Divides the number of connections where there are many, and the bytes of what is large.
    pub(crate) divisor: usize,
}

impl Row {
    /// The same, measured in every round.
    pub(crate) fn in_every_round(self) -> Self {
        Self { rounds_max: usize::MAX, ..self }
    }

    /// The same, measured in one round if its figure is memory, which differs little from round to round.
    pub(crate) fn with_memory_once(self) -> Self {
        match self.kind {
            Kind::Idle | Kind::Sessions { .. } | Kind::SlowReader => Self { rounds_max: 1, ..self },
            _ => self,
        }
    }

    /// The name of the figure by which servers are compared; less is better.
    pub(crate) fn figure(&self) -> &'static str {
        match self.kind {
            Kind::Echo { .. } => "cpu_us_per_message",
            Kind::Handshakes | Kind::SocketIo(_) => "cpu_us_per_connection",
            Kind::Idle => "bytes_per_connection",
            Kind::FanOut { .. } => "cpu_us_per_delivery",
            Kind::Take | Kind::Give => "cpu_ms_per_gib",
            Kind::Publish { .. } | Kind::Across { .. } => "cpu_us_per_delivery",
            Kind::Resume => "cpu_us_per_session",
            Kind::Sessions { .. } => "bytes_per_session",
            Kind::Newcomers => "worst_wait_ms",
            Kind::ShardsEcho | Kind::ShardsPublish => "us_per_message",
            Kind::SlowReader => "growth_bytes",
            Kind::Carried { what, .. } => match what {
                Carried::Echo { .. } => "cpu_us_per_message",
                Carried::FanOut { .. } => "cpu_us_per_delivery",
                Carried::Idle => "bytes_per_connection",
                Carried::Handshakes => "cpu_us_per_connection",
                Carried::DatagramsEchoed | Carried::DatagramsTaken => "cpu_us_per_datagram",
            },
        }
    }

    /// The unit of that figure in the table.
    pub(crate) fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Echo { .. } => "CPU µs per message",
            Kind::Handshakes | Kind::SocketIo(_) => "CPU µs per connection",
            Kind::Idle => "bytes per connection",
            Kind::FanOut { .. } | Kind::Publish { .. } | Kind::Across { .. } => {
                "CPU µs per delivered message"
            }
            Kind::Resume => "CPU µs per session",
            Kind::Sessions { .. } => "bytes per session",
            Kind::Newcomers => "ms at worst",
            Kind::ShardsEcho => "µs per message",
            Kind::ShardsPublish => "µs per delivered message",
            Kind::SlowReader => "bytes of growth",
            Kind::Take | Kind::Give => "CPU ms per GiB",
            Kind::Carried { what, .. } => match what {
                Carried::Echo { .. } => "CPU µs per message",
                Carried::FanOut { .. } => "CPU µs per delivered message",
                Carried::Idle => "bytes per WebSocket",
                Carried::Handshakes => "CPU µs per connection",
                Carried::DatagramsEchoed | Carried::DatagramsTaken => "CPU µs per datagram",
            },
        }
    }

    /// What servers are started for.
    pub(crate) fn task(&self) -> Task {
        match self.kind {
            Kind::Echo { compression: Compression::Deflate, .. } => Task::EchoDeflate,
            Kind::Echo { outstanding: 2.., .. } => Task::EchoForward,
            Kind::Echo { message_bytes: LARGE_BYTES.., .. } => Task::EchoLarge,
            Kind::Echo { .. } | Kind::Handshakes | Kind::Idle => Task::Echo,
            Kind::FanOut { compression: Compression::None, .. } => Task::FanOut,
            Kind::FanOut { compression: Compression::Deflate, .. } => Task::FanOutDeflate,
            Kind::Take => Task::Take,
            Kind::Give => Task::Give,
            Kind::Publish { .. } | Kind::Sessions { .. } | Kind::Newcomers => Task::Publish,
            Kind::Resume => Task::Resume,
            Kind::SocketIo(_) => Task::SocketIo,
            Kind::ShardsEcho | Kind::ShardsPublish => Task::Shards,
            Kind::SlowReader => Task::SlowReader,
            Kind::Across { kept: false, .. } => Task::Across,
            Kind::Across { kept: true, .. } => Task::AcrossKept,
            Kind::Carried { what, .. } => match what {
                Carried::Echo { .. } | Carried::Idle | Carried::Handshakes => Task::Echo,
                Carried::FanOut { .. } => Task::FanOut,
                Carried::DatagramsEchoed => Task::Datagrams,
                Carried::DatagramsTaken => Task::DatagramsTake,
            },
        }
    }

    /// How clients come.
    pub(crate) fn over(&self) -> Over {
        match self.kind {
            Kind::Carried { over, .. } => over,
            _ => Over::Http1Clear,
        }
    }

    /// Measures one server once. The object holds [`figure`](Self::figure) and what explains it.
    pub(crate) fn visit(
        &self,
        server: &Running,
        who: &Server,
        effort: Effort,
        cores: Cores,
        interrupted: &AtomicBool,
    ) -> Result<Value, String> {
        let path = who.path;
        let clients = |content, message_bytes, compression| {
            let messages = Messages::new(content, compression, message_bytes, &mut Noise::random());
            Clients::new(path, server.port(), messages, compression, interrupted)
        };
        let many = self.connections / effort.divisor;
        let shards = who.shards.unwrap_or(1);
        let scale = || Scale { server, shards, cores, effort, interrupted };
        let small = || clients(Content::Binary, IDLE_MESSAGE_BYTES, Compression::None);
        match self.kind {
            Kind::Echo { content, message_bytes, outstanding, compression } => {
                let mut clients = clients(content, message_bytes, compression)?;
                open(&mut clients, self.connections)?;
                echo(&mut clients, outstanding, WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = echo(&mut clients, outstanding, effort.window)?;
                measure.stop_with_latency("message", "messages", &latency)
            }
            Kind::Handshakes => {
                let mut clients = small()?;
                handshakes(&mut clients, self.connections, WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = handshakes(&mut clients, self.connections, effort.window)?;
                measure.stop_with_latency("connection", "connections", &latency)
            }
            Kind::Idle => idle(&mut small()?, many, server),
            Kind::FanOut { message_bytes, compression } => {
                let (mut clients, mut noise) =
                    (clients(Content::Json, 0, compression)?, Noise::new(1));
                open(&mut clients, self.connections / effort.divisor)?;
                clients.rest(Rest::Look);
                let mut run =
                    |window| fan_out::run(&mut clients, message_bytes, window, &mut noise);
                run(WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = run(effort.window)?;
                measure.stop_with_latency("delivery", "deliveries", &latency)
            }
            Kind::Take | Kind::Give => {
                // What the server takes we give.
                let transfer = if self.task() == Task::Take { Line::give } else { Line::take };
                let mut line = Line::open(path, server.port(), interrupted)?;
                large(server, GIB / effort.divisor as u64, |bytes| transfer(&mut line, bytes))
            }
            Kind::Carried { over, what, lines } => {
                let carrier = Carrier::new(over, path, server, who.certificate()?, interrupted)?;
                self.carried(&carrier, what, lines, effort)
            }
            Kind::ShardsEcho => scale().echo(path, self.connections),
            Kind::ShardsPublish => scale().publish(many),
            Kind::Newcomers => sessions::newcomers(who.tongue, many, server, interrupted),
            Kind::SocketIo(way) => {
                engine::visit(way, self.connections, effort, server, interrupted)
            }
            _ => {
                let mut crowd = Crowd::new(who.tongue, server.port(), interrupted)?;
                self.in_channels(&mut crowd, who, effort, server)
            }
        }
    }

    /// What is done by a crowd of clients that are in channels.
    fn in_channels(
        &self,
        crowd: &mut Crowd<'_>,
        who: &Server,
        effort: Effort,
        server: &Running,
    ) -> Result<Value, String> {
        let many = self.connections / effort.divisor;
        match self.kind {
            Kind::Publish { message_bytes, burst } => {
                publish::visit(crowd, many, message_bytes, burst, effort, server)
            }
            Kind::Resume => resume::visit(crowd, many, STORMING_MAX, server),
            Kind::Sessions { channels } => sessions::memory(crowd, many, channels, server),
            Kind::SlowReader => slow::visit(crowd, who, effort.divisor, server),
            Kind::Across { per_second, .. } => {
                across::visit(crowd, many.max(1), per_second, effort, server)
            }
            _ => Err(format!("{} is not about channels", self.name)),
        }
    }

    fn carried(
        &self,
        carrier: &Carrier<'_>,
        what: Carried,
        lines: usize,
        effort: Effort,
    ) -> Result<Value, String> {
        let many = self.connections / effort.divisor;
        let fewer = (lines / effort.divisor).max(1);
        match what {
            Carried::Echo { message_bytes } => {
                carried::echo(carrier, self.connections, lines, message_bytes, effort)
            }
            Carried::FanOut { message_bytes } => {
                carried::fan_out(carrier, many, fewer, message_bytes, effort)
            }
            Carried::Idle => carried::idle(carrier, many, fewer),
            Carried::Handshakes => carried::handshakes(carrier, self.connections, effort),
            Carried::DatagramsEchoed => {
                carried::datagrams_echoed(carrier, self.connections, effort)
            }
            Carried::DatagramsTaken => carried::datagrams_taken(carrier, self.connections, effort),
        }
    }
}

pub(crate) fn unexpected(happened: Happened) -> Result<(), String> {
    Err(format!("{happened:?} was not due"))
}
