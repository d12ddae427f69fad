//! Proxies that the environment names.

use super::{Choice, Endpoint, Exceptions, Proxy};

/// Reads the environment through `variable`, which returns the value of one.
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
    let value = |name| variable(name).filter(|it| !it.trim().is_empty());
    let choose = |names: &[&'static str]| -> Option<Choice> {
        names.iter().find_map(|name| Some(Endpoint::parse(&value(name)?).ok_or(*name)))
    };
    // A header `Proxy` of a request to a CGI program arrives as HTTP_PROXY; nothing can make a header
    // into a lowercase name.
    let ws: &[_] = match variable("REQUEST_METHOD") {
        Some(_) => &["http_proxy", "all_proxy", "ALL_PROXY"],
        None => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let wss = choose(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
    let ws = choose(ws);
    if ws.is_none() && wss.is_none() {
        return None;
    }
    let mut exceptions = Exceptions::loopback();
    if let Some(list) = value("no_proxy").or_else(|| value("NO_PROXY")) {
        exceptions.add(&list);
    }
    Some(Proxy { ws, wss, exceptions })
}
