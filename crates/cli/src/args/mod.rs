//! What the command line may say. Help, man pages and completions are made from these definitions.

mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use taiwa::{Deadlines, Keepalive};

use crate::{
    admin::Admin,
    config::{flags::Flags, verbs::Config},
    token::Token,
};
pub(crate) use values::{Allow, Proxies, Size, Time};

/// A WebSocket server and client
#[derive(Debug, Parser)]
#[command(name = "taiwa", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Serve(Box<Serve>),
    Connect(Box<Connect>),
    Admin(Box<Admin>),
    Config(Box<Config>),
    Token(Token),
    Completions(Completions),
    Man(Man),
}

/// Serve channels, an echo and a page
///
/// Every path is a channel: what one client of it sends, text or binary, every other client of it
/// receives. With ?echo=true a client receives what it sends, too. /echo sends each message back to
/// its sender alone. / is a page over plain HTTP that explains all this and is a chat on /chat.
///
/// When the server is ready, one line with its URL goes to stdout; the log goes to stderr. SIGTERM
/// lets clients leave, spread over --drain-period, before the server ends with exit code 0; SIGINT
/// closes each connection with 1001 at once and ends it with 0, a second one with 130. The first
/// line is unix:PATH if there is no HOST:PORT.
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// Connect to a WebSocket: a terminal gets a prompt, pipes get the payloads
///
/// With a terminal on both sides there is a prompt with line editing and history; /help there lists
/// its commands. Otherwise each line of stdin is sent as a text message and each message received is
/// written to stdout, which carries payloads alone: all else goes to stderr.
///
/// At the end of the input (stdin, or -m and -f, with which stdin is not read) messages are received
/// until the server closes or --idle-timeout passes without one; then the connection is closed with
/// 1000. When the server closes, it is answered, code and reason go to stderr, and taiwa ends.
#[derive(Args, Debug)]
#[command(after_help = CONNECT_EXAMPLES)]
pub(crate) struct Connect {
    /// ws://, wss://, http:// (as ws) or https:// (as wss); without a scheme ws. A unix socket is
    /// ws+unix:PATH:/target
    pub(crate) url: String,

    #[command(flatten, next_help_heading = "Opening")]
    pub(crate) opening: Opening,
    #[command(flatten, next_help_heading = "Sending")]
    pub(crate) sending: Sending,
    #[command(flatten, next_help_heading = "Receiving")]
    pub(crate) receiving: Receiving,
    #[command(flatten, next_help_heading = "Ending")]
    pub(crate) ending: Ending,

    /// Tell more on stderr: the handshake; twice: each message, too
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Tell nothing on stderr but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Opening {
    /// Add a header to the request. Repeat for more
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// Send cookies. Repeat for more
    #[arg(short = 'b', long, value_name = "NAME=VALUE")]
    pub(crate) cookie: Vec<String>,
    /// Call yourself something else
    #[arg(short = 'A', long, value_name = "NAME",
          default_value = concat!("taiwa/", env!("CARGO_PKG_VERSION")))]
    pub(crate) user_agent: String,
    /// Claim to be a page of this origin
    #[arg(short = 'O', long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// Offer a subprotocol. Repeat for more, the most preferred first
    #[arg(short = 's', long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,
    /// Accept any certificate of the server
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Trust these certificates in PEM instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) cacert: Option<PathBuf>,
    /// Certificate in PEM, with its chain, to show to a server that asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of --cert in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Ask for this name, and expect its certificate, instead of the URL's host
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// Follow redirects: never from wss to ws, and to another host without credentials and --cert
    #[arg(short = 'L', long)]
    pub(crate) location: bool,
    /// How many redirects to follow with -L; one more: exit code 5
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) redirects_max: u32,
    /// Connect through a proxy: http://, https://, socks5:// or socks5h://, with USER:PASSWORD@ where
    /// it wants them. Default: what https_proxy, http_proxy, all_proxy and no_proxy say
    #[arg(long, value_name = "URL", conflicts_with = "no_proxy")]
    pub(crate) proxy: Option<String>,
    /// Connect directly, whatever the environment says
    #[arg(long)]
    pub(crate) no_proxy: bool,
    /// Connect over HTTP/1.1 alone. Default: the best version that the server takes
    #[arg(long = "http1.1", conflicts_with_all = ["http2", "http3"])]
    pub(crate) http1: bool,
    /// Connect over HTTP/2 alone; without TLS with prior knowledge (h2c)
    #[arg(long, conflicts_with = "http3")]
    pub(crate) http2: bool,
    /// Connect over HTTP/3 alone, by UDP; for wss:// without a proxy
    #[arg(long)]
    pub(crate) http3: bool,
    /// Where the server speaks HTTP/3, as its header Alt-Svc has said: h3=":443"; it is raced against TCP then
    #[arg(long, value_name = "VALUE", conflicts_with_all = ["http1", "http2", "http3"])]
    pub(crate) alt_svc: Option<String>,
    /// From the name's look-up to the end of the opening handshake
    #[arg(long, value_name = "TIME", default_value_t = Time(Deadlines::default().handshake))]
    pub(crate) connect_timeout: Time,
    /// Offer compression (permessage-deflate); the default
    #[arg(long, overrides_with = "no_compress")]
    pub(crate) compress: bool,
    /// Do not offer compression
    #[arg(long, overrides_with = "compress")]
    pub(crate) no_compress: bool,
    /// Silence after which the server is pinged; `off` pings never
    #[arg(long, value_name = "TIME", default_value_t = Time(Some(Keepalive::default().ping_after)))]
    pub(crate) ping_after: Time,
    /// From a ping to any byte from the server; past it taiwa ends with 6
    #[arg(long, value_name = "TIME", default_value_t = Time(Some(Keepalive::default().pong_within)))]
    pub(crate) pong_within: Time,
}

#[derive(Args, Debug)]
pub(crate) struct Sending {
    /// Send a message; stdin is not read. Repeat for more
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Vec<String>,
    /// Send a file as one message, after those of -m; `-` is stdin. Repeat for more
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Send binary messages instead of text
    #[arg(long, conflicts_with_all = ["hex", "base64"])]
    pub(crate) binary: bool,
    /// The input is hexadecimal: send the bytes it stands for as binary messages
    #[arg(long, conflicts_with = "base64")]
    pub(crate) hex: bool,
    /// The input is Base64: send the bytes it stands for as binary messages
    #[arg(long)]
    pub(crate) base64: bool,
    /// What ends a message on stdin, and a text message on stdout with --format raw
    #[arg(long, value_enum, default_value_t = Delimiter::Lf)]
    pub(crate) delimiter: Delimiter,
    /// Bytes of one message on stdin or in a file; past it taiwa ends with 2
    #[arg(long, value_name = "SIZE", default_value_t = Size(64 << 20))]
    pub(crate) record_max: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Delimiter {
    /// A line feed
    Lf,
    /// A zero byte
    Nul,
    /// Nothing: the length comes before each message, 4 bytes, the most significant first
    Len32,
    /// Nothing: a message is whatever one read of stdin gives, up to 64 KiB; with --binary alone
    None,
}

#[derive(Args, Debug)]
pub(crate) struct Receiving {
    /// How to write messages; default: pretty on a terminal, raw elsewhere
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Write a time with each message: of the day, since the opening, or since the last message
    #[arg(long, value_enum, value_name = "KIND", num_args = 0..=1, require_equals = true,
          default_missing_value = "abs")]
    pub(crate) timestamps: Option<Timestamps>,
    /// Write messages into a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Bytes of a message from the server, after inflating; past it: close code 1009, exit code 7
    #[arg(long, value_name = "SIZE", default_value_t = Size(64 << 20))]
    pub(crate) message_max: Size,
    /// Frames of a message from the server; past it: close code 1008, exit code 7
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    pub(crate) fragments_max: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: JSON indented, binary as a hex dump, control characters made visible
    Pretty,
    /// Payloads alone: text with the delimiter behind it, binary as it is (len32: both with lengths)
    Raw,
    /// One JSON object a line: {"type":"text","data":".."} or {"type":"binary","base64":".."}
    Jsonl,
    /// One line of hexadecimal each
    Hex,
    /// One line of Base64 each
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timestamps {
    /// Date and time, UTC
    Abs,
    /// Seconds since the connection was opened
    Rel,
    /// Seconds since the message before
    Delta,
}

#[derive(Args, Debug)]
pub(crate) struct Ending {
    /// Close after one message received (--count 1)
    #[arg(short = '1', long, conflicts_with = "count")]
    pub(crate) one: bool,
    /// Close after N messages received, without --idle-timeout unless it is given; exit code 10 if
    /// the server closes before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Close when no message came for so long after the end of the input [default: 2s]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["linger", "stay"])]
    pub(crate) idle_timeout: Option<Time>,
    /// Close so long after the end of the input, whatever comes
    #[arg(long, value_name = "TIME", conflicts_with = "stay")]
    pub(crate) linger: Option<Time>,
    /// Do not close at the end of the input; the server or SIGINT ends it
    #[arg(long)]
    pub(crate) stay: bool,
    /// Where taiwa would close, drop the connection without a Close frame
    #[arg(long)]
    pub(crate) no_close: bool,
    /// How long the server may take to answer a Close frame
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) close_timeout: Time,
}

/// Print a script that completes taiwa's arguments
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  taiwa completions bash > ~/.local/share/bash-completion/completions/taiwa"
)]
pub(crate) struct Completions {
    /// The shell to print it for
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual, one page for each command
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  taiwa man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Folder to write to; it is made if it does not exist
    pub(crate) dir: PathBuf,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  taiwa serve
  taiwa serve --listen 0.0.0.0:8000 --listen '[::]:8000' --origin https://app.example --anonymous true
  taiwa serve --config /etc/taiwa.toml --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
  taiwa serve --listen unix:/run/taiwa/chat.sock --unix-mode 660
  taiwa serve --listen 0.0.0.0:8000 --proxy-protocol 10.0.0.0/8 --anonymous true
  taiwa serve --message-max 16MiB --ping-after off

Exit codes:
  0    shut down by SIGINT or SIGTERM
  1    failed inside
  2    bad arguments or settings, certificate or key; or nobody could connect
  3    an address can't be listened on, or the broker can't be reached
  130  a second SIGINT";

const CONNECT_EXAMPLES: &str = "\
Examples:
  taiwa connect localhost:8000/chat                      talk
  taiwa connect -m hello -1 ws://localhost:8000/echo     send one, receive one
  seq 1000 | taiwa connect ws://localhost:8000/echo      a message a line
  taiwa connect --stay --format jsonl wss://example.org/feed < /dev/null | jq .
  taiwa connect ws+unix:/run/app.sock:/chat              talk on a unix socket
  taiwa connect --binary --delimiter none ws://localhost:8000/echo < in > out
  taiwa connect --http2 -v wss://example.org/feed        over HTTP/2 or not at all

Exit codes:
  0    closed with 1000, 1001 or no code, or --count was reached
  1    failed inside
  2    bad arguments or input
  3    name not found, no connection by TCP, or none through the proxy
  4    TLS failed
  5    the server refused the opening handshake, or redirected it to where -L does not follow
  6    the server took too long
  7    the server broke the protocol or a limit
  8    the connection ended without a Close frame (1006)
  9    closed with another code
  10   closed before --count was reached
  130  SIGINT (143: SIGTERM); the first closes, a second aborts

Environment:
  SSLKEYLOGFILE  a file to which the secrets of TLS are appended, for programs like Wireshark";

#[cfg(test)]
mod tests;
