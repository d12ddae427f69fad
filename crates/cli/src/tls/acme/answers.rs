//! What ACME servers ask of this server to see that a name is its own: over TLS, or over plain HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST, LOCATION},
};
use http_body_util::Full;
use instant_acme::KeyAuthorization;
use taiwa::{Certificates, Serving};

use crate::tls::made;

/// Answers to the challenges that wait. Its clones are one.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<BTreeMap<String, String>>>);

/// RFC 8555 §8.3: what the path of a request for a token begins with.
const PREFIX: &str = "/.well-known/acme-challenge/";

impl Answers {
    fn with<T>(&self, then: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves them, and sends all other requests for one of the names to the port with TLS.
    pub(super) fn serve(&self, server: taiwa::Server, names: Arc<[String]>, port: u16) -> Serving {
        let answers = self.clone();
        let server = server.http(move |request| {
            let response = answers.answer(&request, &names, port);
            std::future::ready(response.map(Full::from))
        });
        server.serve(|upgrade: taiwa::Upgrade| {
            upgrade.reject(404, "WebSockets are at https, not here\n")
        })
    }

    fn answer<B>(&self, request: &Request<B>, names: &[String], port: u16) -> Response<Bytes> {
        if let Some(token) = request.uri().path().strip_prefix(PREFIX) {
            return match self.with(|it| it.get(token).cloned()) {
                Some(text) => said(StatusCode::OK, text),
                None => said(StatusCode::NOT_FOUND, "nobody asked for this\n".into()),
            };
        }
        match elsewhere(request, names, port) {
            Some(location) => {
                let mut response = said(StatusCode::PERMANENT_REDIRECT, String::new());
                response.headers_mut().insert(LOCATION, location);
                response
            }
            None => said(StatusCode::NOT_FOUND, "there is nothing here\n".into()),
        }
    }
}

fn said(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    // RFC 8555 §8.3: "application/octet-stream"; no browser makes a page of it.
    let octets = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, octets);
    response
}

/// Returns where the same thing is over TLS: for our own names alone, or a client could be sent anywhere.
fn elsewhere<B>(request: &Request<B>, names: &[String], port: u16) -> Option<HeaderValue> {
    let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok())?;
    let host = host.split(':').next()?;
    let name = names.iter().find(|it| it.eq_ignore_ascii_case(host))?;
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{name}{port}{path}")).ok()
}

/// Answers while it lives.
pub(super) struct Standing<'a> {
    certificates: &'a Certificates,
    answers: &'a Answers,
    names: Vec<String>,
    tokens: Vec<String>,
}

impl<'a> Standing<'a> {
    pub(super) fn new(certificates: &'a Certificates, answers: &'a Answers) -> Self {
        Self { certificates, answers, names: Vec::new(), tokens: Vec::new() }
    }

    /// Answers over plain HTTP (RFC 8555 §8.3).
    pub(super) fn by_http(&mut self, token: &str, authorization: &KeyAuthorization) {
        self.answers.with(|it| it.insert(token.into(), authorization.as_str().into()));
        self.tokens.push(token.into());
    }

    /// Answers over TLS (RFC 8737).
    pub(super) fn by_tls(
        &mut self,
        name: &str,
        authorization: &KeyAuthorization,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (pem, key) = made::answer(name, authorization.digest().as_ref())?;
        self.certificates.insert_challenge(name, pem.as_bytes(), key.as_bytes())?;
        self.names.push(name.into());
        Ok(())
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            self.certificates.remove_challenge(name);
        }
        self.answers.with(|it| self.tokens.iter().for_each(|token| drop(it.remove(token))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, path: &str, port: u16, expected: (u16, Option<&str>)) {
        let answers = Answers::default();
        answers.with(|it| it.insert("token".into(), "token.thumb".into()));
        let request = Request::get(path).header(HOST, host).body(()).unwrap();
        let response = answers.answer(&request, &["a.example".to_owned()], port);
        let location = response.headers().get(LOCATION).map(|it| it.to_str().unwrap());
        assert_eq!((response.status().as_u16(), location), expected, "{host}{path}");
        assert_eq!(response.body() == "token.thumb", expected.0 == 200, "{host}{path}");
    }

    #[test]
    fn tokens_are_answered_and_the_rest_goes_to_tls() {
        let token = "/.well-known/acme-challenge/token";
        check("a.example", token, 443, (200, None));
        check("b.example", token, 443, (200, None));
        check("a.example", "/.well-known/acme-challenge/other", 443, (404, None));
        check("a.example", "/.well-known/acme-challenge/", 443, (404, None));
        check("A.example", "/x?y", 443, (308, Some("https://a.example/x?y")));
        check("a.example:80", "/", 8443, (308, Some("https://a.example:8443/")));
        check("evil.example", "/", 443, (404, None));
        check("a.example.evil", "/", 443, (404, None));
        check("", "/", 443, (404, None));
    }
}
