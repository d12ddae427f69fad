//! `taiwa connect`: opens a connection and hands it to the prompt or the pipes.

mod input;
mod output;
mod pipe;
pub(crate) mod pretty;
mod prompt;
mod tell;
mod turn;
mod url;

use std::{
    fs,
    io::{self, IsTerminal},
    path::Path,
    time::{Duration, Instant},
};

use taiwa::{
    Client, ClientBuilder, Deadlines, Deflate, Error, FinalUrl, HttpVersion, Keepalive, Limits,
    Proxy, ProxyFault, WebSocket,
};

use crate::{
    args::{Connect, Format, Opening, Time},
    exit::{self, Exit, Failure},
    signals::Signals,
};
use output::Style;
use tell::Tell;

/// Longer than anybody waits, and far from where adding to the clock could overflow.
pub(crate) const NEVER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How much of the body of a refusal is shown, in characters.
const BODY_HEAD: usize = 500;

pub(crate) async fn run(args: Connect) -> Result<Exit, Failure> {
    let tell = Tell::new(&args);
    let given = !args.sending.message.is_empty() || !args.sending.file.is_empty();
    if args.sending.delimiter == crate::args::Delimiter::None && !args.sending.binary {
        return Err(Failure::new(Exit::Usage, "--delimiter none needs --binary"));
    }
    let given = match given {
        true => Some(input::given(&args.sending).map_err(|it| Failure::new(Exit::Usage, it))?),
        false => None,
    };
    let client = client(&args)?;
    let mut signals = Signals::new().map_err(|it| Failure::new(Exit::Inside, it))?;
    let url = url::complete(&args.url);
    let (socket, response) = tokio::select! {
        opened = client.open(&url) => opened.map_err(|it| not_opened(&args.opening, &url, it))?,
        signal = signals.next() => return Ok(signal.into()),
    };
    tell.opened(&socket, &response);

    let people = io::stdin().is_terminal() && io::stdout().is_terminal();
    let prompt =
        people && given.is_none() && args.count().is_none() && args.receiving.output.is_none();
    let url = url::without_user(&url);
    let opened = Opened { socket, opened: Instant::now(), tell, url };
    if prompt {
        prompt::run(opened, &args, signals).await
    } else {
        pipe::run(opened, &args, given, signals).await
    }
}

/// An open connection and what there is to know of it.
struct Opened {
    socket: WebSocket,
    opened: Instant,
    tell: Tell,
    url: String,
}

impl Connect {
    /// How many messages are waited for.
    fn count(&self) -> Option<u64> {
        self.ending.one.then_some(1).or(self.ending.count)
    }

    fn style(&self, for_people: bool) -> Style {
        let otherwise = if for_people { Format::Pretty } else { Format::Raw };
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        Style {
            format: self.receiving.format.unwrap_or(otherwise),
            delimiter: self.sending.delimiter,
            timestamps: self.receiving.timestamps,
            colour: for_people && colour,
        }
    }
}

fn client(args: &Connect) -> Result<Client, Failure> {
    let Opening { header, cookie, user_agent, origin, subprotocol, .. } = &args.opening;
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let mut builder = Client::builder()
        .limits(Limits {
            message_bytes_max: args.receiving.message_max.0,
            fragments_max: args.receiving.fragments_max,
            ..Limits::default()
        })
        .deadlines(Deadlines {
            handshake: args.opening.connect_timeout.0,
            close: args.ending.close_timeout.0,
            // A person or a program at the other end may take its time.
            write: None,
            message: None,
        })
        .keepalive(keepalive(args.opening.ping_after, args.opening.pong_within))
        .subprotocols(subprotocol.iter().cloned());
    if !args.opening.no_compress {
        builder = builder.compression(Deflate::default());
    }
    let named = |name: &str| {
        header
            .iter()
            .any(|it| it.split(':').next().is_some_and(|it| it.trim().eq_ignore_ascii_case(name)))
    };
    if !named("user-agent") {
        builder = builder.header("user-agent", user_agent);
    }
    if let Some(origin) = origin {
        builder = builder.header("origin", origin);
    }
    // RFC 6265 §5.4: "the user agent MUST NOT attach more than one Cookie header field".
    if !cookie.is_empty() {
        builder = builder.header("cookie", &cookie.join("; "));
    }
    for line in header {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| usage(format!("--header {line:?} is not NAME: VALUE")))?;
        builder = builder.header(name.trim(), value.trim());
    }
    if args.opening.location {
        builder = builder.redirects(args.opening.redirects_max);
    }
    builder = builder.http_version(version(&args.opening));
    if let Some(value) = &args.opening.alt_svc {
        builder = builder.alt_svc(&url::complete(&args.url), value);
    }
    if args.opening.no_proxy {
        builder = builder.proxy(None);
    }
    if let Some(url) = &args.opening.proxy {
        builder = builder.proxy(Proxy::parse(url).map_err(|it| usage(format!("--proxy: {it}")))?);
    }
    secured(builder, &args.opening)?.build().map_err(|it| Failure::new(Exit::Usage, it))
}

fn version(opening: &Opening) -> HttpVersion {
    match (opening.http1, opening.http2, opening.http3) {
        (true, _, _) => HttpVersion::Http1,
        (_, true, _) => HttpVersion::Http2,
        (_, _, true) => HttpVersion::Http3,
        _ => HttpVersion::Auto,
    }
}

/// Sets what concerns TLS.
fn secured(mut builder: ClientBuilder, opening: &Opening) -> Result<ClientBuilder, Failure> {
    let read = |path: &Path| {
        fs::read(path)
            .map_err(|it| Failure::new(Exit::Usage, format_args!("{}: {it}", path.display())))
    };
    builder = builder.key_log();
    if opening.insecure {
        builder = builder.danger_accept_any_certificate();
    }
    if let Some(path) = &opening.cacert {
        builder = builder.root_certificate_pem(&read(path)?);
    }
    if let (Some(cert), Some(key)) = (&opening.cert, &opening.key) {
        builder = builder.client_certificate_pem(&read(cert)?, &read(key)?);
    }
    if let Some(name) = &opening.sni {
        builder = builder.tls_server_name(name);
    }
    Ok(builder)
}

/// Makes the two flags into one setting.
pub(crate) fn keepalive(ping_after: Time, pong_within: Time) -> Option<Keepalive> {
    let pong_within = pong_within.0.unwrap_or(NEVER);
    ping_after.0.map(|ping_after| Keepalive { ping_after, pong_within })
}

fn not_opened(opening: &Opening, url: &str, error: Error) -> Failure {
    let exit = exit::of_opening(&error);
    let url = &url::without_user(url);
    let failed = || format!("{}: {error}", pretty::visible(url));
    let (response, mut message) = match &error {
        Error::Refused(response) => {
            // After redirects, it is another URL that refused.
            let url = match response.extensions().get() {
                Some(FinalUrl(last)) if opening.location => url::without_user(&last.to_string()),
                _ => url.to_owned(),
            };
            let status = response.status();
            (response, format!("{}: refused with {status}", pretty::visible(&url)))
        }
        Error::Proxy(proxy) => match proxy.fault() {
            ProxyFault::Refused(response) => (response, failed()),
            _ => return Failure::new(exit, failed()),
        },
        _ => return Failure::new(exit, failed()),
    };
    if let Some(location) = response.headers().get(http::header::LOCATION) {
        let location = String::from_utf8_lossy(location.as_bytes());
        message.push_str(&format!("\nLocation: {}", pretty::visible(&location)));
    }
    let body = String::from_utf8_lossy(response.body());
    let body = body.trim();
    if !body.is_empty() {
        let head: String = body.chars().take(BODY_HEAD).collect();
        message.push('\n');
        message.push_str(&pretty::visible(&head));
        if head.len() < body.len() {
            message.push_str("\n...");
        }
    }
    Failure::new(exit, message)
}
