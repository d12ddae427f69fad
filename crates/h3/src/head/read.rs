//! Reads heads and trailers, and refuses malformed ones (RFC 9114 §4.1.2, §4.2, §4.3).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, Entry, HOST, TE},
    uri::{Authority, PathAndQuery, Scheme},
};

use super::{Protocol, is_connection_specific};
use crate::{
    error::{Code, Fault},
    qpack::{FieldLine, FieldLines, SectionLimits},
};

/// RFC 9114 §4.1.2: "Malformed requests or responses that are detected MUST be treated as a stream error of type
/// H3_MESSAGE_ERROR."
const fn malformed(rule: &'static str) -> Fault {
    Fault::stream(Code::MESSAGE_ERROR, rule)
}

/// Reads the head of a request: the payload of its HEADERS frame.
///
/// Its URI has scheme, authority and path; that of a CONNECT without `:protocol` the authority alone. An extended CONNECT has
/// its [`Protocol`] among the extensions. Several `cookie` lines become one (RFC 9114 §4.2.1).
///
/// # Errors
/// A stream error H3_MESSAGE_ERROR if the request is malformed, and what [`FieldLines::next_line`] refuses.
///
/// ```
/// use http::{Method, Request};
/// use taiwa_h3::{Protocol, head::{read_request, write_request}, qpack::SectionLimits};
///
/// let request = Request::connect("https://chat.example/room").extension(Protocol::WEBSOCKET).body(())?;
/// let mut section = Vec::new();
/// write_request(&request, &mut section)?;
/// let read = read_request(&section, &SectionLimits::default())?;
/// assert_eq!((read.method(), read.uri()), (&Method::CONNECT, request.uri()));
/// assert_eq!(read.extensions().get(), Some(&Protocol::WEBSOCKET));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_request(section: &[u8], limits: &SectionLimits) -> Result<Request<()>, Fault> {
    let Section { pseudo, headers } = Section::read(section, limits, Kind::Request)?;
    let method = pseudo.method.ok_or(malformed("request without :method"))?;
    let method = Method::from_bytes(&method).map_err(|_| malformed(":method is no method"))?;
    let protocol = pseudo.protocol.as_deref().map(|it| {
        let name = str::from_utf8(it).ok().and_then(Protocol::new);
        name.ok_or(malformed(":protocol is no token"))
    });
    let protocol = protocol.transpose()?;
    let host = headers.get_all(HOST).iter().collect::<Vec<_>>();
    let authority = authority(pseudo.authority, &host)?;
    let uri = match (&method, &protocol) {
        // RFC 8441 §4: ":protocol" is for CONNECT alone.
        (it, Some(_)) if it != Method::CONNECT => {
            return Err(malformed(":protocol without CONNECT"));
        }
        // RFC 9114 §4.4: "The :scheme and :path pseudo-header fields are omitted. The :authority pseudo-header field contains the
        // host and port to connect to".
        (it, None) if it == Method::CONNECT => {
            if pseudo.scheme.is_some() || pseudo.path.is_some() {
                return Err(malformed("CONNECT with :scheme or :path"));
            }
            let authority = authority.filter(|it| it.port_u16().is_some());
            let mut parts = http::uri::Parts::default();
            parts.authority = Some(authority.ok_or(malformed("CONNECT without host and port"))?);
            Uri::from_parts(parts).map_err(|_| malformed("request target is no URI"))?
        }
        // RFC 9114 §4.3.1: "All HTTP/3 requests MUST include exactly one value for the :method, :scheme, and :path pseudo-header
        // fields, unless the request is a CONNECT request"; RFC 8441 §4: with :protocol, :scheme and :path "MUST also be included".
        _ => {
            let scheme = pseudo.scheme.ok_or(malformed("request without :scheme"))?;
            // `http` takes an empty one.
            let scheme = Some(scheme).filter(|it| !it.is_empty());
            let scheme = scheme.and_then(|it| Scheme::try_from(&*it).ok());
            let scheme = scheme.ok_or(malformed(":scheme is no scheme"))?;
            let path = path(&pseudo.path.ok_or(malformed("request without :path"))?, &method)?;
            // A scheme that needs no authority is one that nobody serves here.
            let authority = authority.ok_or(malformed("request without :authority and Host"))?;
            let mut parts = http::uri::Parts::default();
            (parts.scheme, parts.authority) = (Some(scheme), Some(authority));
            parts.path_and_query = Some(path);
            Uri::from_parts(parts).map_err(|_| malformed("request target is no URI"))?
        }
    };
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_3;
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(protocol);
    }
    Ok(request)
}

/// Reads the head of a response, an interim one too: the payload of its HEADERS frame.
///
/// # Errors
/// A stream error H3_MESSAGE_ERROR if the response is malformed, and what [`FieldLines::next_line`] refuses.
pub fn read_response(section: &[u8], limits: &SectionLimits) -> Result<Response<()>, Fault> {
    let Section { pseudo, headers } = Section::read(section, limits, Kind::Response)?;
    let status = pseudo.status.ok_or(malformed("response without :status"))?;
    let status = StatusCode::from_bytes(&status).map_err(|_| malformed(":status is no status"))?;
    // RFC 9114 §4.5: "HTTP/3 does not support the HTTP Upgrade mechanism or the 101 (Switching Protocols) informational status code".
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(malformed("status 101"));
    }
    let mut response = Response::new(());
    *response.version_mut() = Version::HTTP_3;
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Reads the trailers behind a message's content: the payload of their HEADERS frame.
///
/// # Errors
/// A stream error H3_MESSAGE_ERROR if they are malformed, and what [`FieldLines::next_line`] refuses.
pub fn read_trailers(section: &[u8], limits: &SectionLimits) -> Result<HeaderMap, Fault> {
    Ok(Section::read(section, limits, Kind::Trailers)?.headers)
}

/// Reads how long the content of a message is, if its head tells (RFC 9110 §8.6).
///
/// # Errors
/// A stream error H3_MESSAGE_ERROR if the values are no numbers, or differ.
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    const WRONG: Fault = malformed("content-length is not one number");
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        // RFC 9110 §8.6: a recipient may take "42, 42" for 42, or refuse it.
        for number in value.to_str().map_err(|_| WRONG)?.split(',') {
            let number = number.trim();
            if number.is_empty() || !number.bytes().all(|it| it.is_ascii_digit()) {
                return Err(WRONG);
            }
            let number: u64 = number.parse().map_err(|_| WRONG)?;
            if found.replace(number).is_some_and(|it| it != number) {
                return Err(WRONG);
            }
        }
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    Trailers,
}

/// The pseudo-header fields (RFC 9114 §4.3.1, §4.3.2; RFC 8441 §4).
#[derive(Default)]
struct Pseudo {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    protocol: Option<Bytes>,
    status: Option<Bytes>,
}

struct Section {
    pseudo: Pseudo,
    headers: HeaderMap,
}

impl Section {
    fn read(section: &[u8], limits: &SectionLimits, kind: Kind) -> Result<Self, Fault> {
        let mut lines = FieldLines::new(section, limits)?;
        let mut read = Self { pseudo: Pseudo::default(), headers: HeaderMap::new() };
        while let Some(line) = lines.next_line()? {
            if line.name.first() == Some(&b':') {
                read.pseudo(line, kind)?;
            } else {
                read.header(line)?;
            }
        }
        Ok(read)
    }

    fn pseudo(&mut self, line: FieldLine<'_>, kind: Kind) -> Result<(), Fault> {
        // RFC 9114 §4.3: "All pseudo-header fields MUST appear in the header section before regular header fields."
        if !self.headers.is_empty() {
            return Err(malformed("pseudo-header field behind header fields"));
        }
        let pseudo = &mut self.pseudo;
        let place = match (&*line.name, kind) {
            (b":method", Kind::Request) => &mut pseudo.method,
            (b":scheme", Kind::Request) => &mut pseudo.scheme,
            (b":authority", Kind::Request) => &mut pseudo.authority,
            (b":path", Kind::Request) => &mut pseudo.path,
            (b":protocol", Kind::Request) => &mut pseudo.protocol,
            (b":status", Kind::Response) => &mut pseudo.status,
            // RFC 9114 §4.3: "Pseudo-header fields MUST NOT appear in trailer sections. Endpoints MUST treat a request or response that
            // contains undefined or invalid pseudo-header fields as malformed."
            _ => return Err(malformed("pseudo-header field that does not belong here")),
        };
        if place.replace(Bytes::copy_from_slice(&line.value)).is_some() {
            return Err(malformed("pseudo-header field twice"));
        }
        Ok(())
    }

    fn header(&mut self, line: FieldLine<'_>) -> Result<(), Fault> {
        // RFC 9114 §4.2: "A request or response containing uppercase characters in field names MUST be treated as malformed"; §10.3: so
        // must one with characters that a name or a value may not have.
        let Ok(name) = HeaderName::from_lowercase(&line.name) else {
            return Err(malformed("field name is no token in lower case"));
        };
        let Ok(mut value) = HeaderValue::from_bytes(&line.value) else {
            return Err(malformed("field value with a control character"));
        };
        // RFC 9114 §4.2: of connection-specific fields only TE may be there, and "it MUST NOT contain any value other than 'trailers'".
        if is_connection_specific(&name)
            || name == TE && !line.value.eq_ignore_ascii_case(b"trailers")
        {
            return Err(malformed("connection-specific field"));
        }
        value.set_sensitive(line.never_indexed);
        let too_many = |_| Fault::stream(Code::EXCESSIVE_LOAD, "field section over its limit");
        if name == COOKIE
            && let Entry::Occupied(mut cookies) = self.headers.entry(COOKIE)
        {
            // RFC 9114 §4.2.1: several of them "MUST be concatenated into a single byte string using the two-byte delimiter of '; '".
            let joined = [cookies.get().as_bytes(), value.as_bytes()].join(&b"; "[..]);
            let mut joined = HeaderValue::from_bytes(&joined).expect("parts of it were values");
            joined.set_sensitive(cookies.get().is_sensitive() || value.is_sensitive());
            cookies.insert(joined);
            return Ok(());
        }
        self.headers.try_append(name, value).map_err(too_many)?;
        Ok(())
    }
}

/// RFC 9114 §4.3.1: "the request MUST contain either an :authority pseudo-header field or a Host header field. If these fields are
/// present, they MUST NOT be empty. If both fields are present, they MUST contain the same value."
fn authority(pseudo: Option<Bytes>, host: &[&HeaderValue]) -> Result<Option<Authority>, Fault> {
    let host = match host {
        [] => None,
        [host] => Some(Bytes::copy_from_slice(host.as_bytes())),
        _ => return Err(malformed("several Host fields")),
    };
    let value = match (pseudo, host) {
        (None, None) => return Ok(None),
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(&other) => {
            return Err(malformed(":authority and Host differ"));
        }
        (Some(one), _) | (None, Some(one)) => one,
    };
    let authority = Authority::from_maybe_shared(value);
    let authority = authority.map_err(|_| malformed(":authority or Host is no authority"))?;
    // RFC 9114 §4.3.1: "The authority MUST NOT include the deprecated userinfo subcomponent for URIs of scheme 'http' or 'https'."
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(malformed(":authority without a host, or with userinfo"));
    }
    Ok(Some(authority))
}

/// RFC 9114 §4.3.1: `:path` has "the 'path-absolute' production and optionally a ? character followed by the 'query' production"; "An
/// OPTIONS request that does not include a path component includes the value '*'".
fn path(value: &Bytes, method: &Method) -> Result<PathAndQuery, Fault> {
    let is_right = value.starts_with(b"/") || &value[..] == b"*" && method == Method::OPTIONS;
    // A fragment is never sent, and `http` would drop it without a word.
    if !is_right || value.contains(&b'#') {
        return Err(malformed(":path is no absolute path"));
    }
    PathAndQuery::from_maybe_shared(value.clone())
        .map_err(|_| malformed(":path is no absolute path"))
}

#[cfg(test)]
mod tests;
