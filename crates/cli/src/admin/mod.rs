//! `taiwa admin`: looks into a server on this machine and tells it what to do, over its unix socket.

mod ask;
mod place;
#[cfg(unix)]
pub(crate) mod serve;
mod show;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use ask::{Answer, Line};
pub(crate) use place::AdminSocket;

/// Look into a server on this machine, and tell it what to do
///
/// It speaks to the unix socket that `taiwa serve` opens for its own user (admin.socket). Whoever may connect to it may do
/// everything; no key is asked for. If several servers run, --socket chooses one.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Admin {
    /// The server's socket, or the folder where it is [default: that of the one server that runs here]
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// Print the server's answer as one line of JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
enum AdminVerb {
    /// List the nodes of the cluster; a server that is alone is one
    Nodes,
    /// List sessions
    Sessions {
        /// Of this user alone
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// List channels that have subscribers
    Channels {
        /// How their names begin
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show a session: whose it is, where it came from, what it hears
    Session {
        /// Its name, as `sessions` lists it
        id: String,
    },
    /// Show a channel: who is in it, and how far its history reaches
    Channel {
        /// Its name
        name: String,
    },
    /// Send sessions away
    Kick(Kick),
    /// Say something in a channel
    Publish(Publish),
    /// Read the settings again, as SIGHUP does; what is wrong with them is told, and then the old ones stay
    Reload,
    /// Let all clients leave, spread over times.drain_period, and end the server, as SIGTERM does
    Drain,
    /// Show how the server is
    Info,
}

/// Send sessions away
#[derive(Args, Debug)]
struct Kick {
    #[command(flatten)]
    whom: Whom,
    /// What the client's developer is told: at most 123 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// The close code: 4000 to 4999
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u16).range(4000..=4999))]
    code: u16,
    /// Let the client come back by itself
    #[arg(long)]
    may_return: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Whom {
    /// One session, as `sessions` lists it
    #[arg(value_name = "SESSION")]
    id: Option<String>,
    /// All sessions of a user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// All sessions
    #[arg(long)]
    all: bool,
}

/// Say something in a channel
///
/// Without DATA stdin is read to its end. What reads as JSON goes out as JSON, other text as text, and what is no UTF-8 as
/// bytes.
#[derive(Args, Debug)]
struct Publish {
    channel: String,
    /// What to say
    data: Option<String>,
    /// Say each line of stdin by itself
    #[arg(long, conflicts_with = "data")]
    lines: bool,
    /// Say it as text, also if it reads as JSON
    #[arg(long)]
    text: bool,
    /// A name for it, for clients whose language has such names
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// What it is about: where only the latest of a key is kept it replaces an older one
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Said again with the same identifier it is not said twice
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    id: Option<String>,
    /// Let it go past the history
    #[arg(long)]
    transient: bool,
}

const EXAMPLES: &str = "\
Examples:
  taiwa admin info
  taiwa admin sessions --user ada
  taiwa admin channel news
  taiwa admin kick --user ada --reason 'see you tomorrow'
  echo '{\"title\": \"hello\"}' | taiwa admin publish news
  taiwa admin --json channels | jq -r '.channels[].channel'
  sudo -u taiwa taiwa admin --socket /run/taiwa/4711.sock reload

Exit codes:
  0    done
  1    failed inside
  2    bad arguments; or several servers run and none was chosen
  3    no server is there
  5    the server, or the system, refused it
  6    the server took too long
  7    what answers there is no taiwa";

/// Runs it.
pub(crate) async fn run(admin: Admin) -> Result<Exit, Failure> {
    let Admin { socket, json, verb } = admin;
    if let AdminVerb::Publish(publish) = &verb {
        // What is wrong with the input is told before anybody is asked.
        let said = publish.read(io::stdin())?;
        let mut line = Line::open(socket).await?;
        for body in said {
            let answer = line.command("publish", &body).await?;
            print(&answer, json, |_| String::new())?;
        }
        return Ok(Exit::Good);
    }
    let mut line = Line::open(socket).await?;
    match verb {
        AdminVerb::Nodes => {
            let answer = line.get("/admin/v1/nodes").await?;
            print(&answer, json, show::nodes)
        }
        AdminVerb::Sessions { user, limit } => {
            let answer = line.command("sessions", &json!({ "user": user, "limit": limit })).await?;
            print(&answer, json, show::sessions)
        }
        AdminVerb::Channels { prefix, limit } => {
            let body = json!({ "prefix": prefix, "limit": limit });
            print(&line.command("channels", &body).await?, json, show::channels)
        }
        AdminVerb::Session { id } => {
            let answer = line.command("session", &json!({ "session": id })).await?;
            print(&answer, json, show::session)
        }
        AdminVerb::Channel { name } => channel(&mut line, &name, json).await,
        AdminVerb::Kick(kick) => {
            print(&line.command("disconnect", &kick.body()).await?, json, show::kicked)
        }
        AdminVerb::Publish(_) => Ok(Exit::Good),
        AdminVerb::Reload => print(&line.post("/admin/v1/reload").await?, json, show::reloaded),
        AdminVerb::Drain => {
            let told = |_: &Value| "clients leave\n".to_owned();
            print(&line.post("/admin/v1/drain").await?, json, told)
        }
        AdminVerb::Info => {
            let about = line.get("/admin/v1/server").await?;
            let mut info = line.command("info", &json!({})).await?;
            info.0["server"] = about.0;
            print(&info, json, show::info)
        }
    }
}

/// What is known of a channel depends on its namespace; what is not known is left out.
async fn channel(line: &mut Line, name: &str, as_json: bool) -> Result<Exit, Failure> {
    let commands = json!([
        { "channels": { "prefix": name, "limit": 1 } },
        { "presence": { "channel": name } },
        { "history": { "channel": name, "limit": 1, "reverse": true } },
    ]);
    let batch = line.command("batch", &json!({ "commands": commands })).await?;
    let reply = |at: usize, command: &str| batch.0["replies"][at].get(command).cloned();
    // An exact name is the first of those that begin with it: they are sorted.
    let listed = reply(0, "channels").map(|it| it["channels"][0].clone());
    let subscribers =
        listed.filter(|it| it["channel"] == name).map_or(json!(0), |it| it["subscribers"].clone());
    let unknown = &batch.0["replies"][1]["error"]["code"];
    if unknown == "not_found" && subscribers == 0 {
        let text = batch.0["replies"][1]["error"]["message"].as_str().unwrap_or("there is none");
        return Err(Failure::new(Exit::Refused, text));
    }
    let mut shown = json!({ "channel": name, "subscribers": subscribers });
    if let Some(presence) = reply(1, "presence") {
        shown["members"] = presence["members"].clone();
    }
    if let Some(history) = reply(2, "history") {
        shown["position"] = history["position"].clone();
        shown["last"] = history["publications"][0].clone();
    }
    print(&Answer(shown), as_json, show::channel)
}

fn print(answer: &Answer, as_json: bool, show: impl Fn(&Value) -> String) -> Result<Exit, Failure> {
    let text = if as_json { format!("{}\n", answer.0) } else { show(&answer.0) };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Inside, error))
        }
        _ => Ok(Exit::Good),
    }
}

impl Kick {
    fn body(&self) -> Value {
        let Self { whom: Whom { id, user, all }, reason, code, may_return } = self;
        let mut body = json!({ "reason": reason, "code": code, "may_return": may_return });
        match (id, user) {
            (Some(id), _) => body["session"] = json!(id),
            (None, Some(user)) => body["user"] = json!(user),
            (None, None) => body["all"] = json!(all),
        }
        body
    }
}

/// The most that is read of stdin: past it the server would refuse it anyway.
const INPUT_MAX: u64 = 8 << 20;

impl Publish {
    /// Returns the bodies of the commands.
    fn read(&self, stdin: impl Read) -> Result<Vec<Value>, Failure> {
        let mut input = match &self.data {
            Some(data) => data.clone().into_bytes(),
            None => {
                let mut input = Vec::new();
                let read = stdin.take(INPUT_MAX + 1).read_to_end(&mut input);
                read.map_err(|it| Failure::new(Exit::Inside, it))?;
                input
            }
        };
        if input.len() as u64 > INPUT_MAX {
            let text = format!("stdin has more than {INPUT_MAX} bytes");
            return Err(Failure::new(Exit::Usage, text));
        }
        if self.lines {
            let lines = input.split(|it| *it == b'\n').filter(|it| !it.is_empty());
            return Ok(lines.map(|it| self.body(it)).collect());
        }
        // What `echo` adds is not meant.
        if self.data.is_none() && input.ends_with(b"\n") {
            input.pop();
        }
        Ok(vec![self.body(&input)])
    }

    fn body(&self, said: &[u8]) -> Value {
        use base64::{Engine, engine::general_purpose::STANDARD};

        let mut body = json!({ "channel": self.channel, "transient": self.transient });
        for (name, value) in [("event", &self.event), ("key", &self.key), ("id", &self.id)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        match std::str::from_utf8(said) {
            Ok(text) => match serde_json::from_str::<Value>(text) {
                Ok(value) if !self.text => body["data"] = value,
                _ => body["text"] = json!(text),
            },
            Err(_) => body["base64"] = json!(STANDARD.encode(said)),
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(change: impl FnOnce(&mut Publish)) -> Publish {
        let mut it = Publish {
            channel: "a".into(),
            data: None,
            lines: false,
            text: false,
            event: None,
            key: None,
            id: None,
            transient: false,
        };
        change(&mut it);
        it
    }

    #[test]
    fn what_is_said_goes_out_as_what_it_is() {
        #[track_caller]
        fn check(it: &Publish, input: &[u8], field: &str, expected: Value) {
            let bodies = it.read(input).unwrap();
            assert_eq!(bodies[0][field], expected, "{bodies:?}");
            let payloads =
                ["data", "text", "base64"].iter().filter(|it| bodies[0].get(it).is_some());
            assert_eq!(payloads.count(), 1, "{bodies:?}");
        }
        let usual = publish(|_| {});
        check(&usual, b"{\"a\": 1}\n", "data", json!({"a": 1}));
        check(&usual, b"hello\n", "text", json!("hello"));
        check(&usual, b"hello\n\n", "text", json!("hello\n"));
        check(&usual, b"null", "data", Value::Null);
        check(&usual, b"\xff\x00", "base64", json!("/wA="));
        check(&publish(|it| it.text = true), b"1", "text", json!("1"));
        check(&publish(|it| it.data = Some("1".into())), b"not read", "data", json!(1));
        let lines = publish(|it| it.lines = true).read(&b"1\n\ntwo\n"[..]).unwrap();
        assert_eq!((lines.len(), &lines[1]["text"]), (2, &json!("two")));
        let long = vec![b'x'; INPUT_MAX as usize + 1];
        assert_eq!(usual.read(&long[..]).unwrap_err().exit, Exit::Usage);
    }
}
