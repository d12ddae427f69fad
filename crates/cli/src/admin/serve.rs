//! The socket that `taiwa admin` speaks to: who can connect may do everything, so nobody else than the server's user can.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use taiwa::{Listener, RequestBody, Server, Upgrade};
use taiwa_server::{
    Running,
    api::Desk,
    hub::{Done, Order},
};
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};
use tracing::{info, warn};

use super::place::{self, AdminSocket, ENDING};
use crate::{
    exit::{Exit, Failure},
    present::Present,
};

/// Nobody but the server's user may connect.
const MODE: u32 = 0o600;
/// Sockets of dead servers that are looked at.
const LEFT_MAX: usize = 64;
/// How long somebody who should answer at once may take.
const LOOK_WITHIN: Duration = Duration::from_millis(200);

/// The socket, until it is closed.
pub(crate) struct Open(Option<JoinHandle<()>>);

impl Open {
    /// Closes it and removes its file.
    pub(crate) async fn close(self) {
        if let Some(serving) = self.0 {
            serving.abort();
            // It was aborted.
            let _ = serving.await;
        }
    }
}

/// Listens where the settings say. That there is no place for a socket which nobody asked for is told, and nothing more.
///
/// # Errors
/// The settings name a place, and there can't be one.
pub(crate) async fn open(
    present: &Present,
    running: &Running,
    desk: Desk,
) -> Result<Open, Failure> {
    let socket = present.now().settings.admin.socket.clone();
    let listener = match &socket {
        AdminSocket::Off => return Ok(Open(None)),
        AdminSocket::Path(path) => {
            let path = if path.is_dir() { own(path) } else { path.clone() };
            listen(&path).await.map_err(|error| {
                let text =
                    format_args!("admin.socket: can't listen on {}: {error}", path.display());
                Failure::new(Exit::Unreachable, text)
            })?
        }
        AdminSocket::Auto => match listen_in_own_folder().await {
            Ok(listener) => listener,
            Err(problems) => {
                warn!("there is no socket for taiwa admin: {}", problems.join("; "));
                return Ok(Open(None));
            }
        },
    };
    let inside = |it| Failure::new(Exit::Inside, it);
    info!(addr = %listener.local_addr().map_err(inside)?, "taiwa admin is heard");
    let room = Room { present: present.clone(), running: running.clone(), desk };
    let server = Server::from_listener(listener).map_err(inside)?;
    let serving = server
        .http(move |request| {
            let room = room.clone();
            async move { room.answer(request).await.map(Full::from) }
        })
        .serve(|upgrade: Upgrade| async move {
            upgrade.reject(404, "there is no WebSocket here\n").await.map_err(drop_error)
        });
    Ok(Open(Some(tokio::spawn(async move {
        if let Err(error) = serving.await {
            warn!("taiwa admin is heard no more: {error}");
        }
    }))))
}

/// Whoever wants a WebSocket here and goes is no matter of ours.
fn drop_error(error: taiwa::Error) -> String {
    error.to_string()
}

async fn listen(path: &Path) -> io::Result<Listener> {
    Listener::unix_with_mode(path, MODE).await
}

/// Returns the path of this process's own socket in a folder.
fn own(folder: &Path) -> PathBuf {
    folder.join(format!("{}.{ENDING}", process::id()))
}

/// Listens in the first folder in which that can be done.
async fn listen_in_own_folder() -> Result<Listener, Vec<String>> {
    let mut problems = Vec::new();
    for folder in place::folders() {
        let listening = match make(&folder) {
            Ok(()) => {
                remove_left(&folder).await;
                listen(&own(&folder)).await
            }
            Err(error) => Err(error),
        };
        match listening {
            Ok(listener) => return Ok(listener),
            Err(error) => problems.push(format!("{}: {error}", folder.display())),
        }
    }
    Err(problems)
}

/// Makes a folder of one's own, if it is not there.
fn make(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let there = fs::symlink_metadata(folder)?;
    // Systemd's may be a link of root's.
    let is_ours = there.uid() == place::user() || there.uid() == 0;
    match is_ours {
        true => Ok(()),
        false => Err(io::Error::other("the folder is another user's")),
    }
}

/// Removes sockets that were left by servers which were killed.
async fn remove_left(folder: &Path) {
    let Ok(entries) = folder.read_dir() else { return };
    for path in entries.flatten().map(|it| it.path()).take(LEFT_MAX) {
        let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        let Ok(id) = name.parse::<i32>() else { continue };
        if path.extension().is_none_or(|it| it != ENDING) || is_alive(id) {
            continue;
        }
        // A process of another machine or container may have this number there.
        let connected = timeout(LOOK_WITHIN, UnixStream::connect(&path)).await;
        if let Ok(Err(error)) = connected
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            // Somebody else may have removed it.
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_alive(id: i32) -> bool {
    use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

    kill(Pid::from_raw(id), None) != Err(Errno::ESRCH)
}

/// What is there behind the socket.
#[derive(Clone)]
struct Room {
    present: Present,
    running: Running,
    desk: Desk,
}

impl Room {
    async fn answer(&self, request: Request<RequestBody>) -> Response<Bytes> {
        let path = request.uri().path();
        if self.desk.claims(path) {
            return self.desk.answer(request).await;
        }
        match (request.method(), path) {
            (&Method::GET, "/admin/v1/server") => respond(StatusCode::OK, &self.server()),
            (&Method::GET, "/admin/v1/nodes") => self.nodes().await,
            (&Method::POST, "/admin/v1/reload") => match self.present.reload("taiwa admin").await {
                Ok(report) => respond(StatusCode::OK, &json!(report)),
                Err(problems) => {
                    respond(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "problems": problems }))
                }
            },
            (&Method::POST, "/admin/v1/drain") => drain(),
            (
                _,
                "/admin/v1/server" | "/admin/v1/nodes" | "/admin/v1/reload" | "/admin/v1/drain",
            ) => refused(StatusCode::METHOD_NOT_ALLOWED, "the method is another one"),
            _ => refused(StatusCode::NOT_FOUND, "there is no such command"),
        }
    }

    fn server(&self) -> Value {
        let started = self.present.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let up = SystemTime::now().duration_since(self.present.started_at()).unwrap_or_default();
        let listens: Vec<_> = self.present.addrs().iter().map(ToString::to_string).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": process::id(),
            "listens": listens,
            "started_ms": started.as_millis() as u64,
            "up_s": up.as_secs(),
            "ready": self.running.readiness().is_ready(),
            "waiting_for_restart": self.present.waiting_for_restart(),
        })
    }

    async fn nodes(&self) -> Response<Bytes> {
        match self.running.control().order(Order::Nodes).await {
            Ok(Done::Nodes(nodes)) => {
                let node = |(id, shards): &(_, Vec<taiwa_server::hub::Info>)| {
                    let sum = |of: fn(&taiwa_server::hub::Info) -> usize| {
                        shards.iter().map(of).sum::<usize>()
                    };
                    let id: &taiwa_server::core::NodeId = id;
                    json!({
                        "node": id.to_string(),
                        "shards": shards.len(),
                        "sessions": sum(|it| it.sessions),
                        "subscriptions": sum(|it| it.subscriptions),
                        "channels": sum(|it| it.channels),
                    })
                };
                let nodes: Vec<_> = nodes.iter().map(node).collect();
                respond(StatusCode::OK, &json!({ "nodes": nodes }))
            }
            Ok(_) => refused(StatusCode::SERVICE_UNAVAILABLE, "the server gave another answer"),
            Err(refusal) => refused(StatusCode::SERVICE_UNAVAILABLE, &refusal.text),
        }
    }
}

/// Does what SIGTERM does, in the same way.
fn drain() -> Response<Bytes> {
    use nix::sys::signal::{Signal, raise};

    match raise(Signal::SIGTERM) {
        Ok(()) => respond(StatusCode::OK, &json!({})),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refused(status: StatusCode, message: &str) -> Response<Bytes> {
    respond(status, &json!({ "error": { "message": message } }))
}

fn respond(status: StatusCode, content: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(content.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
