//! Redirects (RFC 9110 §15.4): where one leads to, and what of ours may go there.

use std::path::PathBuf;

use http::{
    HeaderMap, Response, Uri,
    header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION},
};
use taiwa_proto::handshake::parse_uri;

use crate::error::RedirectFault;

/// The URL that a connection was opened to, or that refused it, after redirects: an extension of the
/// response that [`Client::open`](crate::Client::open) returns, and of the one in
/// [`Error::Refused`](crate::Error::Refused). User information is left out.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/old", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     if it.uri().path() == "/new" { return it.accept().await.map(drop) }
/// #     let moved = http::Response::builder().status(302).header("location", "/new");
/// #     it.reject_with(moved.body(Default::default()).unwrap()).await
/// # }).into_future());
/// use taiwa::{Client, FinalUrl};
///
/// let client = Client::builder().redirects(3).build()?;
/// let (socket, response) = client.open(&url).await?;
/// let FinalUrl(at) = response.extensions().get().expect("it is always there");
/// assert_eq!(at.path(), "/new");
/// # drop(socket);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalUrl(pub Uri);

/// One URL on the way, and what is asked there.
#[derive(Clone)]
pub(super) struct Hop {
    pub(super) uri: Uri,
    /// The unix socket to connect to instead of the URI's host.
    pub(super) socket: Option<PathBuf>,
    pub(super) headers: HeaderMap,
    pub(super) standing: Standing,
}

/// Who a server is to the caller of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// The one that was asked for: it may see credentials.
    Home,
    /// Another, to which a redirect led.
    Stranger,
}

impl Hop {
    /// Begins at the URL that the caller gave.
    pub(super) fn first(uri: Uri, headers: HeaderMap) -> Self {
        Self { uri, socket: None, headers, standing: Standing::Home }
    }

    /// Returns where the response leads to. `None`: it is no redirect.
    pub(super) fn redirected_by<B>(
        &self,
        response: &Response<B>,
    ) -> Result<Option<Self>, RedirectFault> {
        // The method is GET, so 301, 302 and 303 differ no longer from 307 and 308.
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let mut locations = response.headers().get_all(LOCATION).iter();
        let Some(location) = locations.next() else { return Ok(None) };
        let location = match (std::str::from_utf8(location.as_bytes()), locations.next()) {
            (Ok(location), None) => location,
            _ => return Err(RedirectFault::Location),
        };
        let mut next = resolve(&self.uri, location).ok_or(RedirectFault::Location)?;
        if is_secure(&self.uri) && !is_secure(&next) {
            return Err(RedirectFault::Downgrade);
        }
        let mut headers = self.headers.clone();
        let mut standing = self.standing;
        // Only a reference without a host of its own stays on a unix socket.
        let stays = split_scheme(location).is_none() && !location.starts_with("//");
        let socket = self.socket.clone().filter(|_| stays);
        if origin(&next) != origin(&self.uri) || socket != self.socket {
            standing = Standing::Stranger;
            headers = without_credentials(headers);
        } else if let Some(authority) = self.uri.authority() {
            // With the user information of the first URL. That of `Location` never counts: who we are is
            // not the server's to say.
            next = with_authority(&next, authority.as_str()).ok_or(RedirectFault::Location)?;
        }
        Ok(Some(Self { uri: next, socket, headers, standing }))
    }

    /// Returns the URL for the eyes of the caller.
    pub(super) fn final_url(&self) -> FinalUrl {
        let authority = self.uri.authority().map_or("", |it| without_user(it.as_str()));
        FinalUrl(with_authority(&self.uri, authority).unwrap_or_else(|| self.uri.clone()))
    }
}

fn without_credentials(headers: HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in &headers {
        if ![AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name) && !value.is_sensitive() {
            kept.append(name, value.clone());
        }
    }
    kept
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme_str().is_some_and(|it| it.eq_ignore_ascii_case("wss"))
}

/// Scheme, host and port: two URLs with the same belong to the same server (RFC 6454 §4).
fn origin(uri: &Uri) -> (bool, String, u16) {
    let is_secure = is_secure(uri);
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    (is_secure, uri.host().unwrap_or_default().to_ascii_lowercase(), port)
}

/// Resolves a reference (RFC 3986 §5.2), without user information. `None`: it names no WebSocket.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let (scheme, rest) = match split_scheme(reference) {
        Some((scheme, rest)) if rest.starts_with("//") => (scheme.to_ascii_lowercase(), rest),
        Some(_) => return None,
        None => (base.scheme_str()?.to_ascii_lowercase(), reference),
    };
    let scheme = match scheme.as_str() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return None,
    };
    let text = if rest.starts_with("//") {
        format!("{scheme}:{rest}")
    } else {
        let path = match rest.as_bytes().first() {
            None => base.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
            Some(b'/') => rest.to_owned(),
            Some(b'?') => format!("{}{rest}", base.path()),
            Some(_) => {
                let folder = base.path().rfind('/').map_or("/", |it| &base.path()[..=it]);
                format!("{folder}{rest}")
            }
        };
        format!("{scheme}://{}{path}", without_user(base.authority()?.as_str()))
    };
    // As strictly as the first URL: no fragment, a host, a port that is one.
    let uri = parse_uri(&text).ok()?;
    let authority = without_user(uri.authority()?.as_str()).to_owned();
    with_authority(&uri, &authority)
}

/// Splits a reference that begins with a scheme (RFC 3986 §3.1).
fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|it: char| it.is_ascii_alphabetic())
        && scheme.bytes().all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it));
    is_scheme.then_some((scheme, rest))
}

fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Puts a URL together again with another authority, and without dots in its path.
fn with_authority(uri: &Uri, authority: &str) -> Option<Uri> {
    let query = uri.query().map(|it| format!("?{it}")).unwrap_or_default();
    let path = without_dots(uri.path());
    parse_uri(&format!("{}://{authority}{path}{query}", uri.scheme_str()?)).ok()
}

/// Takes `.` and `..` out of a path (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
        // Behind a folder stands a slash, also when it came as dots.
        if segments.peek().is_none() && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
