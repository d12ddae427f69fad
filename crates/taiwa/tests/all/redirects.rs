//! Redirects, as our own server gives them.

use bytes::Bytes;
use taiwa::{Client, ClientBuilder, Deadline, Deadlines, Error, FinalUrl, RedirectFault, Upgrade};
use tokio::time::{Duration, sleep};

use super::{bind, echo_over, run, soon};

/// Redirects as the query says: `/STATUS?LOCATION`, `/down/N` to one less, and else echoes. A path of
/// `/who` is refused with what the request carries.
async fn serve(upgrade: Upgrade) -> Result<(), Error> {
    let path = upgrade.uri().path().to_owned();
    let redirect = |status: u16, location: String| {
        let response = http::Response::builder().status(status).header("location", location);
        response.body(Bytes::from_static(b"elsewhere")).unwrap()
    };
    if let Ok(status) = path[1..].parse() {
        let location = upgrade.uri().query().unwrap_or_default().to_owned();
        return upgrade.reject_with(redirect(status, location)).await;
    }
    if let Some(count) = path.strip_prefix("/down/").and_then(|it| it.parse::<u32>().ok()) {
        let next = if count == 1 { "/echo".into() } else { (count - 1).to_string() };
        return upgrade.reject_with(redirect(302, next)).await;
    }
    match path.as_str() {
        "/circle" => upgrade.reject_with(redirect(307, "/circle".into())).await,
        "/slow" => {
            sleep(Duration::from_millis(80)).await;
            upgrade.reject_with(redirect(307, "/slow".into())).await
        }
        "/who" => {
            let names = ["authorization", "cookie", "proxy-authorization", "x-secret", "x-plain"];
            let there = names.into_iter().filter(|it| upgrade.headers().contains_key(*it));
            let there = there.collect::<Vec<_>>().join(" ");
            upgrade.reject(403, there).await
        }
        _ => echo_over(upgrade.accept().await?).await,
    }
}

async fn server() -> std::net::SocketAddr {
    let (server, addr) = bind().await;
    run(server.serve(serve));
    addr
}

fn following(max: u32) -> ClientBuilder {
    Client::builder().redirects(max)
}

#[tokio::test]
async fn as_many_redirects_as_allowed_are_followed_and_one_more_is_not() {
    let addr = server().await;
    for (max, count, arrives) in
        [(1, 1, true), (3, 3, true), (3, 2, true), (1, 2, false), (3, 4, false)]
    {
        let client = following(max).build().unwrap();
        let opened = soon(client.open(&format!("ws://{addr}/down/{count}"))).await;
        if !arrives {
            let fault = RedirectFault::TooMany { max };
            assert!(matches!(opened, Err(Error::Redirect(it)) if it == fault), "{max} {count}");
            continue;
        }
        let (mut socket, response) = opened.unwrap();
        let FinalUrl(url) = response.extensions().get().unwrap();
        assert_eq!(url.to_string(), format!("ws://{addr}/echo"));
        socket.send("x").await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
    }
    let error = soon(following(20).build().unwrap().connect(&format!("ws://{addr}/circle"))).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Redirect(RedirectFault::TooMany { max: 20 })), "{error:?}");
    assert!(!error.is_retryable() && error.close_code().is_none());
    assert_eq!(error.to_string(), "one redirect more than the 20 allowed");
}

#[tokio::test]
async fn by_default_a_redirect_is_a_refusal_with_its_body() {
    let addr = server().await;
    for status in [301, 302, 303, 307, 308] {
        let url = format!("ws://{addr}/{status}?/echo");
        let Err(Error::Refused(response)) = soon(taiwa::connect(&url)).await else {
            panic!("{status} was followed")
        };
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(&response.body()[..], b"elsewhere");
        let FinalUrl(last) = response.extensions().get().unwrap();
        assert_eq!(last.to_string(), url);
        assert!(soon(following(1).build().unwrap().connect(&url)).await.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn a_bad_location_is_an_error_and_none_is_a_refusal() {
    let addr = server().await;
    let client = following(5).build().unwrap();
    for location in ["ftp://a.example/", "http:x", "//", "javascript:alert(1)"] {
        let error = soon(client.connect(&format!("ws://{addr}/302?{location}"))).await.unwrap_err();
        assert!(matches!(error, Error::Redirect(RedirectFault::Location)), "{location}: {error:?}");
    }
    for status in [300, 304] {
        let error = soon(client.connect(&format!("ws://{addr}/{status}?/echo"))).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{status}: {error:?}");
    }
    // Over a transport that was handed in, there is no other to go to.
    let tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
    let error =
        soon(client.connect_over(tcp, &format!("ws://{addr}/302?/echo"))).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn credentials_go_to_the_first_origin_alone() {
    let (addr, other) = (server().await, server().await);
    let client = following(4)
        .header("cookie", "a=b")
        .header("proxy-authorization", "Basic x")
        .secret_header("x-secret", "s")
        .header("x-plain", "p")
        .build()
        .unwrap();
    let all = "authorization cookie proxy-authorization x-secret x-plain";
    for (path, seen, last) in [
        ("/who".to_owned(), all, format!("ws://{addr}/who")),
        ("/302?/who".to_owned(), all, format!("ws://{addr}/who")),
        (format!("/302?http://{addr}/who"), all, format!("ws://{addr}/who")),
        (format!("/302?//eve:x@{addr}/who"), all, format!("ws://{addr}/who")),
        (format!("/302?http://{other}/who"), "x-plain", format!("ws://{other}/who")),
        (format!("/302?//{other}/302?http://{addr}/who"), "x-plain", format!("ws://{addr}/who")),
        (format!("/302?//localhost:{}/who", addr.port()), "x-plain", {
            format!("ws://localhost:{}/who", addr.port())
        }),
        (format!("/302?//eve:x@{other}/who"), "x-plain", format!("ws://{other}/who")),
    ] {
        let url = format!("ws://me:pw@{addr}{path}");
        let Err(Error::Refused(response)) = soon(client.connect(&url)).await else {
            panic!("{url}")
        };
        assert_eq!(std::str::from_utf8(response.body()).unwrap(), seen, "{path}");
        let FinalUrl(url) = response.extensions().get().unwrap();
        assert_eq!(url.to_string(), last, "{path}");
    }
}

#[tokio::test]
async fn all_redirects_together_have_the_time_of_one_handshake() {
    let addr = server().await;
    let handshake = Some(Duration::from_millis(400));
    let client = following(1000).deadlines(Deadlines { handshake, ..Deadlines::default() });
    let error = soon(client.build().unwrap().connect(&format!("ws://{addr}/slow"))).await;
    assert!(matches!(error, Err(Error::Late(Deadline::Handshake))), "{error:?}");
}
