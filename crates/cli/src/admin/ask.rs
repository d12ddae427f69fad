//! Requests to a server over its unix socket.

use std::path::PathBuf;

use serde_json::Value;

use crate::exit::{Exit, Failure};

/// What the server answered.
pub(crate) struct Answer(pub(crate) Value);

/// The way to a server.
pub(crate) struct Line {
    #[cfg(unix)]
    path: PathBuf,
}

#[cfg(not(unix))]
impl Line {
    pub(crate) async fn open(_: Option<PathBuf>) -> Result<Self, Failure> {
        Err(Failure::new(Exit::Usage, "this system has no unix sockets"))
    }

    pub(crate) async fn command(&mut self, _: &str, _: &Value) -> Result<Answer, Failure> {
        Err(Failure::new(Exit::Usage, "this system has no unix sockets"))
    }

    pub(crate) async fn get(&mut self, _: &str) -> Result<Answer, Failure> {
        Err(Failure::new(Exit::Usage, "this system has no unix sockets"))
    }

    pub(crate) async fn post(&mut self, _: &str) -> Result<Answer, Failure> {
        Err(Failure::new(Exit::Usage, "this system has no unix sockets"))
    }
}

#[cfg(unix)]
mod unix {
    use std::{
        fmt::Write as _,
        io,
        path::{Path, PathBuf},
        time::Duration,
    };

    use bytes::Bytes;
    use http::{Method, Request, StatusCode, header};
    use http_body_util::{BodyExt, Full, Limited};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use serde_json::Value;
    use tokio::{net::UnixStream, time::timeout};

    use super::{Answer, Exit, Failure, Line};
    use crate::admin::place;

    /// How long an answer may take.
    const ANSWER_WITHIN: Duration = Duration::from_secs(30);
    /// How long the answer may be.
    const ANSWER_BYTES_MAX: usize = 64 << 20;
    /// Sockets that are tried, and named if there are several.
    const TRIED_MAX: usize = 64;

    impl Line {
        /// Finds the server that listens at `path`, or the only one that runs here.
        ///
        /// # Errors
        /// [`Exit::Unreachable`] if there is none, [`Exit::Refused`] if it is another user's, [`Exit::Usage`] if there are
        /// several.
        pub(crate) async fn open(path: Option<PathBuf>) -> Result<Self, Failure> {
            let is_folder = path.as_ref().is_some_and(|it| it.is_dir());
            if let Some(path) = path.clone().filter(|_| !is_folder) {
                return match UnixStream::connect(&path).await {
                    Ok(_) => Ok(Self { path }),
                    Err(error) => Err(unreachable(&path, &error)),
                };
            }
            let (mut there, mut denied) = (Vec::new(), None);
            let found = path.as_deref().map_or_else(place::found, place::found_in);
            for path in found.into_iter().take(TRIED_MAX) {
                match UnixStream::connect(&path).await {
                    Ok(_) => there.push(path),
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        denied = Some(unreachable(&path, &error));
                    }
                    // Of a server that was killed.
                    Err(_) => {}
                }
            }
            match (there.as_slice(), denied) {
                ([_], _) => Ok(Self { path: there.remove(0) }),
                ([], Some(denied)) => Err(denied),
                ([], None) => {
                    let folders = path.map_or_else(place::folders, |it| vec![it]);
                    let folders: Vec<_> =
                        folders.iter().map(|it| it.display().to_string()).collect();
                    let text = format!(
                        "no server of yours runs here: there is no socket of one in {}; \
                         --socket names one elsewhere",
                        folders.join(", ")
                    );
                    Err(Failure::new(Exit::Unreachable, text))
                }
                _ => {
                    let mut text = "several servers run here; choose one with --socket:".to_owned();
                    for path in &there {
                        let mut line = Self { path: path.clone() };
                        let about = line.get("/admin/v1/server").await;
                        let listens = about.map(|it| super::super::show::places(&it.0));
                        let _ =
                            write!(text, "\n  {}  {}", path.display(), listens.unwrap_or_default());
                    }
                    Err(Failure::new(Exit::Usage, text))
                }
            }
        }

        /// Has a command of the HTTP API done.
        pub(crate) async fn command(
            &mut self,
            name: &str,
            body: &Value,
        ) -> Result<Answer, Failure> {
            let body = body.to_string();
            self.ask(Method::POST, &format!("/api/v1/{name}"), body.into()).await
        }

        /// Asks for something.
        pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
            self.ask(Method::GET, path, Bytes::new()).await
        }

        /// Has something done that needs no words.
        pub(crate) async fn post(&mut self, path: &str) -> Result<Answer, Failure> {
            self.ask(Method::POST, path, Bytes::new()).await
        }

        async fn ask(
            &mut self,
            method: Method,
            path: &str,
            body: Bytes,
        ) -> Result<Answer, Failure> {
            let late = |_| Failure::new(Exit::Late, "the server took too long to answer");
            timeout(ANSWER_WITHIN, self.exchange(method, path, body)).await.map_err(late)?
        }

        async fn exchange(
            &mut self,
            method: Method,
            path: &str,
            body: Bytes,
        ) -> Result<Answer, Failure> {
            let stream = UnixStream::connect(&self.path).await;
            let stream = stream.map_err(|error| unreachable(&self.path, &error))?;
            let broken = |error: &dyn std::fmt::Display| {
                let text = format!("{}: no answer of taiwa: {error}", self.path.display());
                Failure::new(Exit::Fault, text)
            };
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|it| broken(&it))?;
            let connection = tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, "localhost")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(body))
                .expect("a path of ours");
            let response = sender.send_request(request).await.map_err(|it| broken(&it))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|it| broken(&it))?.to_bytes();
            connection.abort();
            let value: Value = serde_json::from_slice(&body).map_err(|it| broken(&it))?;
            if status == StatusCode::OK {
                return Ok(Answer(value));
            }
            Err(Failure::new(Exit::Refused, refusal(status, &value)))
        }
    }

    /// Says why it was refused: the API's words, or a line for each thing that is wrong with the settings.
    fn refusal(status: StatusCode, value: &Value) -> String {
        if let Some(problems) = value["problems"].as_array() {
            let lines = problems.iter().filter_map(Value::as_str);
            return lines.collect::<Vec<_>>().join("\n");
        }
        let error = &value["error"];
        match (error["field"].as_str(), error["message"].as_str()) {
            (Some(field), Some(message)) => format!("{field}: {message}"),
            (None, Some(message)) => message.to_owned(),
            _ => format!("the server answered with status {}", status.as_u16()),
        }
    }

    fn unreachable(path: &Path, error: &io::Error) -> Failure {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::new(
                Exit::Refused,
                format_args!("{path}: permission denied: the server there is another user's"),
            ),
            io::ErrorKind::NotFound => {
                Failure::new(Exit::Unreachable, format_args!("{path}: no server is there"))
            }
            io::ErrorKind::ConnectionRefused => Failure::new(
                Exit::Unreachable,
                format_args!("{path}: the server that was there has ended"),
            ),
            _ => Failure::new(Exit::Unreachable, format_args!("{path}: {error}")),
        }
    }
}
