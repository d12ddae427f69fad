//! [`Attempt`]: what one attempt asks for.

use std::{fmt, future::Future, pin::Pin};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::Error;

/// What one attempt to connect asks for; a closure given to
/// [`Reconnecting::before_each`](crate::Reconnecting::before_each) changes it and gives it back.
#[must_use = "give it back"]
pub struct Attempt {
    number: u32,
    url: String,
    headers: HeaderMap,
    /// The first thing that is wrong with it.
    fault: Option<Error>,
}

/// A closure that is asked before each attempt.
pub(super) type Prepare =
    Box<dyn FnMut(Attempt) -> Pin<Box<dyn Future<Output = Result<Attempt, Error>> + Send>> + Send>;

pub(super) fn boxed<F, A, E>(mut prepare: F) -> Prepare
where
    F: FnMut(Attempt) -> A + Send + 'static,
    A: Future<Output = Result<Attempt, E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Box::new(move |attempt| {
        let preparing = prepare(attempt);
        Box::pin(async move {
            preparing.await.map_err(|error| match error.into().downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::Io(std::io::Error::other(error)),
            })
        })
    })
}

impl Attempt {
    pub(super) fn new(number: u32, url: String) -> Self {
        Self { number, url, headers: HeaderMap::new(), fault: None }
    }

    /// Returns the number of the attempt since a connection last lasted; the first is 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the URL of this attempt alone: with a token in its query, say, or of another server.
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Sets a header of this attempt alone, in place of those of the client with the same name. Its value
    /// counts as a secret: see [`ClientBuilder::secret_header`](crate::ClientBuilder::secret_header). A
    /// name or value that is none ends the attempt with [`Error::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.append(name, value);
            }
            (Err(error), _) => _ = self.fault.get_or_insert(Error::Header(error.into())),
            (_, Err(error)) => _ = self.fault.get_or_insert(Error::Header(error.into())),
        }
        self
    }

    pub(super) fn into_parts(self) -> Result<(String, HeaderMap), Error> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok((self.url, self.headers)),
        }
    }
}

impl fmt::Debug for Attempt {
    /// Leaves URL and headers out: there are secrets in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("number", &self.number).finish_non_exhaustive()
    }
}
