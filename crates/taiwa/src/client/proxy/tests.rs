//! URLs of proxies, the environment, exceptions, and what SOCKS proxies reply.

use std::time::Duration;

use taiwa_proto::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{
    Endpoint, Exceptions, Proxy, Scheme, environment, http_connect,
    socks::{Target, tunnel},
};
use crate::{
    client::dial::Place,
    error::{Error, ProxyFault},
};

#[test]
fn urls_of_proxies_are_read() {
    use Scheme::{Http, Https, Socks5, Socks5h};
    for (url, scheme, host, port, credentials) in [
        ("http://p.example", Http, "p.example", 80, None),
        ("p.example:3128", Http, "p.example", 3128, None),
        ("HTTPS://p.example/", Https, "p.example", 443, None),
        (" socks5://127.0.0.1 ", Socks5, "127.0.0.1", 1080, None),
        ("socks5h://[::1]:9050", Socks5h, "::1", 9050, None),
        ("http://u:p@p.example:1", Http, "p.example", 1, Some(("u", "p"))),
        ("u:p@p_1.example", Http, "p_1.example", 80, Some(("u", "p"))),
        ("http://u@p.example", Http, "p.example", 80, Some(("u", ""))),
        ("http://:p@p.example", Http, "p.example", 80, Some(("", "p"))),
        ("http://a%40b:%3A%2f%25@p.example", Http, "p.example", 80, Some(("a@b", ":/%"))),
        ("http://u:p@ss:w@p.example", Http, "p.example", 80, Some(("u", "p@ss:w"))),
        ("http://p.example:", Http, "p.example", 80, None),
    ] {
        let endpoint = Endpoint::parse(url).unwrap_or_else(|| panic!("{url}"));
        assert_eq!(endpoint.scheme, scheme, "{url}");
        assert_eq!((&*endpoint.host, endpoint.port), (host, port), "{url}");
        let expected = credentials.map(|(user, password)| (user.as_bytes(), password.as_bytes()));
        assert_eq!(endpoint.credentials(), expected, "{url}");
    }
}

#[test]
fn what_is_no_url_of_a_proxy_is_refused_without_a_word_of_it() {
    for url in [
        "",
        "http://",
        "http://secret@",
        "socks4://p.example",
        "socks://p.example",
        "ftp://p.example",
        "http://p.example:x",
        "http://p.example:65536",
        "http://p.example:+1",
        "http://p.example/page",
        "http://u:sec/ret@p.example",
        "http://u:secret@p example",
        "http://[::1",
        "http://[::1]x",
        "http://[p.example]",
        "http://p.example\r\nx: y",
    ] {
        let error = Proxy::parse(url).unwrap_err();
        let Error::Proxy(inner) = &error else { panic!("{url}: {error}") };
        assert!(matches!(inner.fault(), ProxyFault::Url), "{url}: {error}");
        let told = format!("{error} {error:?}");
        assert!(!told.contains("sec") && !told.contains("p.example"), "{url}: {told}");
    }
}

#[test]
fn passwords_and_users_are_never_shown() {
    let proxy = Proxy::parse("http://somebody:secret@p.example:8080").unwrap();
    let endpoint = Endpoint::parse("http://somebody:secret@[::1]:8080").unwrap();
    let error = endpoint.blame(ProxyFault::Credentials);
    let told = format!("{proxy:?} {endpoint:?} {endpoint} {error:?} {error}");
    assert!(!told.contains("secret") && !told.contains("somebody"), "{told}");
    assert!(told.contains("http://p.example:8080") && told.contains("http://[::1]:8080"), "{told}");
    assert!(endpoint.authorization().unwrap().is_sensitive());
    assert_eq!(endpoint.authorization().unwrap(), "Basic c29tZWJvZHk6c2VjcmV0");
}

/// The proxies that an environment gives for `ws` and `wss` to a host.
fn read(variables: &[(&str, &str)], host: &str) -> [String; 2] {
    let proxy = environment::read(|name| {
        variables.iter().find(|it| it.0 == name).map(|it| it.1.to_owned())
    });
    [false, true].map(|is_tls| {
        let Some(proxy) = &proxy else { return "no proxy".to_owned() };
        match proxy.endpoint(Place { is_tls, host, port: if is_tls { 443 } else { 80 } }) {
            Ok(Some(endpoint)) => endpoint.to_string(),
            Ok(None) => "direct".to_owned(),
            Err(error) => error.to_string().split(": ").next().unwrap().to_owned(),
        }
    })
}

#[test]
fn the_environment_names_proxies() {
    let [one, two] = ["http://one:80", "http://two:80"];
    for (variables, ws, wss) in [
        (&[][..], "no proxy", "no proxy"),
        (&[("http_proxy", ""), ("all_proxy", " ")], "no proxy", "no proxy"),
        (&[("no_proxy", "*")], "no proxy", "no proxy"),
        (&[("http_proxy", "one")], one, "direct"),
        (&[("https_proxy", "one")], "direct", one),
        (&[("all_proxy", "one")], one, one),
        (&[("ALL_PROXY", "one"), ("http_proxy", "two")], two, one),
        (&[("HTTP_PROXY", "one"), ("http_proxy", "two")], two, "direct"),
        (&[("HTTPS_PROXY", "one"), ("https_proxy", "two")], "direct", two),
        (&[("HTTPS_PROXY", "one"), ("https_proxy", "")], "direct", one),
        (&[("HTTP_PROXY", "one")], one, "direct"),
        // A CGI program's HTTP_PROXY is the visitor's choice.
        (&[("HTTP_PROXY", "one"), ("REQUEST_METHOD", "GET")], "no proxy", "no proxy"),
        (&[("HTTP_PROXY", "one"), ("ALL_PROXY", "two"), ("REQUEST_METHOD", "")], two, two),
        (&[("http_proxy", "one"), ("REQUEST_METHOD", "GET")], one, "direct"),
        (&[("https_proxy", "gopher://one")], "direct", "proxy https_proxy"),
        (&[("all_proxy", "one"), ("no_proxy", "a.example"), ("NO_PROXY", "b")], "direct", "direct"),
        (&[("all_proxy", "one"), ("NO_PROXY", "a.example:443")], one, "direct"),
    ] {
        assert_eq!(read(variables, "a.example"), [ws, wss], "{variables:?}");
    }
}

#[test]
fn loopback_goes_through_no_proxy_of_the_environment_yet_through_one_that_was_set() {
    let set = Proxy::parse("one").unwrap();
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
    ] {
        assert_eq!(read(&[("all_proxy", "one")], host), ["direct", "direct"], "{host}");
        assert!(set.endpoint(Place { is_tls: false, host, port: 80 }).unwrap().is_some());
    }
    for host in ["notlocalhost", "localhost.example", "128.0.0.1", "::2"] {
        assert_eq!(read(&[("all_proxy", "one")], host), ["http://one:80"; 2], "{host}");
    }
}

#[test]
fn exceptions_are_hosts_suffixes_ports_addresses_and_ranges() {
    for (list, host, port, excepted) in [
        ("", "a.example", 80, false),
        (" , ,", "a.example", 80, false),
        ("*", "a.example", 80, true),
        ("a.example", "a.example", 80, true),
        ("a.example", "A.Example.", 80, true),
        ("A.EXAMPLE.", "a.example", 80, true),
        ("a.example", "b.a.example", 80, true),
        ("a.example", "ba.example", 80, false),
        ("a.example", "example", 80, false),
        (".a.example", "b.a.example", 80, true),
        (".a.example", "a.example", 80, true),
        ("*.a.example", "b.a.example", 80, true),
        ("*a.example", "ba.example", 80, false),
        ("x,a.example", "a.example", 80, true),
        ("x a.example\ty", "a.example", 80, true),
        ("a.example:8080", "a.example", 8080, true),
        ("a.example:8080", "b.a.example", 8080, true),
        ("a.example:8080", "a.example", 80, false),
        ("a.example:x", "a.example", 80, false),
        ("192.0.2.7", "192.0.2.7", 80, true),
        ("192.0.2.7", "192.0.2.70", 80, false),
        ("0.2.7", "192.0.2.7", 80, false),
        ("192.0.2.7:81", "192.0.2.7", 80, false),
        ("192.0.2.7:81", "192.0.2.7", 81, true),
        ("192.0.2.7", "::ffff:192.0.2.7", 80, true),
        ("2001:db8::7", "2001:db8::7", 80, true),
        ("[2001:DB8:0::7]", "2001:db8::7", 80, true),
        ("[2001:db8::7]:81", "2001:db8::7", 80, false),
        ("[2001:db8::7]:80", "2001:db8::7", 80, true),
        ("10.0.0.0/8", "10.1.2.3", 80, true),
        ("10.9.9.9/8", "10.1.2.3", 80, true),
        ("10.0.0.0/8", "11.1.2.3", 80, false),
        ("192.0.2.128/25", "192.0.2.127", 80, false),
        ("192.0.2.128/25", "192.0.2.128", 80, true),
        ("192.0.2.7/32", "192.0.2.7", 80, true),
        ("192.0.2.7/33", "192.0.2.7", 80, false),
        ("0.0.0.0/0", "192.0.2.7", 80, true),
        ("0.0.0.0/0", "2001:db8::7", 80, false),
        ("0.0.0.0/0", "a.example", 80, false),
        ("fd00::/8", "fd12::1", 80, true),
        ("fd00::/8", "fe80::1", 80, false),
        ("::/0", "fe80::1", 80, true),
        ("fd00::/129", "fd00::", 80, false),
    ] {
        let mut exceptions = Exceptions::default();
        exceptions.add(list);
        assert_eq!(exceptions.contain(host, port), excepted, "{list:?} {host}:{port}");
    }
}

#[tokio::test]
async fn what_an_http_proxy_says_behind_its_head_is_the_servers() {
    let (near, mut far) = duplex(4096);
    let head = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 299 Yes\r\nContent-Length: 3\r\n\r\n";
    far.write_all(&[&head[..], b"from the server"].concat()).await.unwrap();
    let endpoint = Endpoint::parse("http://p.example").unwrap();
    let to = Place { is_tls: true, host: "a.example", port: 443 };
    let limits = Limits::default();
    let mut io = http_connect::tunnel(Box::new(near), &endpoint, to, &limits).await.unwrap();
    far.write_all(b", and more").await.unwrap();
    drop(far);
    let mut read = String::new();
    io.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "from the server, and more");
}

/// Lets the handshake run against a proxy that says these bytes and ends, and returns what it was told.
async fn socks(
    to: Target,
    credentials: Option<(&[u8], &[u8])>,
    says: &[u8],
) -> (Result<(), ProxyFault>, Vec<u8>, Vec<u8>) {
    let (mut near, mut far) = duplex(4096);
    far.write_all(says).await.unwrap();
    far.shutdown().await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(10), tunnel(&mut near, &to, credentials))
        .await
        .expect("in time");
    let (mut unread, mut told) = (Vec::new(), Vec::new());
    near.read_to_end(&mut unread).await.unwrap();
    drop(near);
    far.read_to_end(&mut told).await.unwrap();
    (result, unread, told)
}

#[tokio::test]
async fn a_socks_proxy_is_told_an_address_or_a_name_and_its_tunnel_is_left_untouched() {
    let bound: [&[u8]; 3] = [&[1, 0, 0, 0, 0, 0, 0], &[3, 2, b'h', b'i', 0, 9], &[4; 19]];
    for (host, told, bound) in [
        ("192.0.2.7", &[1, 192, 0, 2, 7][..], bound[0]),
        ("2001:db8::7", &[4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], bound[1]),
        ("a.b", &[3, 3, b'a', b'.', b'b'], bound[2]),
    ] {
        let says = [&[5, 0, 5, 0, 0], bound, b"tunnel"].concat();
        let (result, unread, heard) = socks(Target::of(host, 0x1234), None, &says).await;
        result.unwrap();
        assert_eq!(unread, b"tunnel");
        assert_eq!(heard, [&[5, 1, 0, 5, 1, 0], told, &[0x12, 0x34]].concat());
    }
}

#[tokio::test]
async fn a_socks_proxy_is_told_user_and_password_if_it_wants_them() {
    let (to, credentials) = (Target::of("a", 1), Some((&b"us"[..], &b"pw"[..])));
    let request = [5, 1, 0, 3, 1, b'a', 0, 1];
    let done = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let says = [&[5, 2, 1, 0], &done[..]].concat();
    let (result, _, heard) = socks(to.clone(), credentials, &says).await;
    result.unwrap();
    assert_eq!(heard, [&[5, 2, 0, 2, 1, 2, b'u', b's', 2, b'p', b'w'], &request[..]].concat());
    let says = [&[5, 0], &done[..]].concat();
    let (result, _, heard) = socks(to, credentials, &says).await;
    result.unwrap();
    assert_eq!(heard, [&[5, 2, 0, 2], &request[..]].concat());
}

#[tokio::test]
async fn what_a_socks_proxy_answers_wrongly_is_told_apart() {
    let credentials = Some((&b"u"[..], &b"p"[..]));
    for (credentials, says, message) in [
        (None, &[][..], "early eof"),
        (None, &[5], "early eof"),
        (None, b"HTTP/1.1 400 Bad Request\r\n\r\n", "its answer is no SOCKS 5"),
        (None, &[4, 0], "its answer is no SOCKS 5"),
        (None, &[5, 1], "its answer is no SOCKS 5"),
        // A method that was not offered.
        (None, &[5, 2], "its answer is no SOCKS 5"),
        (None, &[5, 0xff], "user and password missing, too long or refused"),
        (credentials, &[5, 2, 1, 1], "user and password missing, too long or refused"),
        (credentials, &[5, 0xff], "user and password missing, too long or refused"),
        (None, &[5, 0, 4, 0], "its answer is no SOCKS 5"),
        (None, &[5, 0, 5, 0, 0, 2], "its answer is no SOCKS 5"),
        (None, &[5, 0, 5, 0, 0, 1, 0, 0], "early eof"),
        (None, &[5, 0, 5, 1], "general failure (SOCKS reply 1)"),
        (None, &[5, 0, 5, 2, 0, 1], "connection not allowed by its rules (SOCKS reply 2)"),
        (None, &[5, 0, 5, 3], "network unreachable (SOCKS reply 3)"),
        (None, &[5, 0, 5, 4], "host unreachable (SOCKS reply 4)"),
        (None, &[5, 0, 5, 5], "connection refused by the server (SOCKS reply 5)"),
        (None, &[5, 0, 5, 6], "TTL expired (SOCKS reply 6)"),
        (None, &[5, 0, 5, 7], "command not supported (SOCKS reply 7)"),
        (None, &[5, 0, 5, 8], "address type not supported (SOCKS reply 8)"),
        (None, &[5, 0, 5, 99], "unassigned reply (SOCKS reply 99)"),
    ] {
        let (result, ..) = socks(Target::of("a", 1), credentials, says).await;
        assert_eq!(result.unwrap_err().to_string(), message, "{says:?}");
    }
}

#[tokio::test]
async fn what_socks_can_not_say_is_told_before_a_byte_is_sent() {
    let long = [b'x'; 256];
    for (host, credentials) in [
        ("x".repeat(256), None),
        ("a".to_owned(), Some((&long[..], &b"p"[..]))),
        ("a".to_owned(), Some((&b"u"[..], &long[..]))),
    ] {
        let (result, _, told) = socks(Target::of(&host, 1), credentials, &[]).await;
        let fault = result.unwrap_err();
        assert!(matches!(fault, ProxyFault::HostTooLong | ProxyFault::Credentials), "{fault}");
        assert_eq!(told, b"");
    }
}
