//! Debian's nginx in front: redirects, refusals, and the upgrade handed on.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use taiwa::{Client, ClientBuilder, Deflate, Error, FinalUrl, RedirectFault};
use tokio::{net::TcpStream, time::sleep};

use super::{
    authority::Authority,
    bind, echo, run, soon,
    tools::{Folder, Tool, lacks},
};

/// nginx with a port for http and two for https.
struct Nginx {
    authority: Authority,
    http: u16,
    https: u16,
    other: u16,
    _tool: Tool,
    _folder: Folder,
}

/// Ports that were free a moment ago.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|it| it.local_addr().unwrap().port())
}

impl Nginx {
    /// `None`: it is not installed.
    async fn start() -> Option<Self> {
        if lacks("nginx") {
            return None;
        }
        let (server, addr) = bind().await;
        run(server.compression(Deflate::default()).http(page).serve(echo));
        let (authority, folder) = (Authority::new(), Folder::new());
        let identity = authority.server();
        let chain = folder.write("chain.pem", &identity.chain);
        let key = folder.write("key.pem", &identity.key);
        folder.write("ca.pem", &authority.pem);
        // Somebody may take a port before nginx does.
        for _ in 0..5 {
            let [http, https, other] = ports();
            let text = configuration([http, https, other], addr, &chain, &key, folder.0.to_str()?);
            let file = folder.write("nginx.conf", &text);
            let mut command = Command::new("nginx");
            if std::path::Path::new("/usr/sbin/nginx").exists() {
                command = Command::new("/usr/sbin/nginx");
            }
            let mut tool = Tool::start(command.args(["-c", &file, "-p"]).arg(&folder.0));
            for _ in 0..400 {
                if tool.has_ended() {
                    break;
                }
                if TcpStream::connect(("127.0.0.1", other)).await.is_ok() {
                    return Some(Self {
                        authority,
                        http,
                        https,
                        other,
                        _tool: tool,
                        _folder: folder,
                    });
                }
                sleep(Duration::from_millis(10)).await;
            }
            eprintln!("nginx: {}", tool.said());
        }
        panic!("nginx does not start");
    }

    fn client(&self) -> ClientBuilder {
        Client::builder().root_certificate_pem(self.authority.pem.as_bytes())
    }

    async fn refused(&self, builder: ClientBuilder, url: &str) -> http::Response<bytes::Bytes> {
        match soon(builder.build().unwrap().connect(url)).await {
            Err(Error::Refused(response)) => *response,
            other => panic!("{url}: {other:?}"),
        }
    }
}

/// A body without a known length.
async fn page(
    _: http::Request<taiwa::RequestBody>,
) -> http::Response<http_body_util::combinators::BoxBody<bytes::Bytes, std::io::Error>> {
    use http_body_util::{BodyExt, StreamBody};
    let parts = futures_util::stream::iter(
        [vec![b'x'; 3000], vec![b'y'; 30_000], b"end".to_vec()]
            .map(|it| Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from(it)))),
    );
    http::Response::new(StreamBody::new(parts).boxed())
}

fn configuration(
    [http, https, other]: [u16; 3],
    upstream: SocketAddr,
    chain: &str,
    key: &str,
    folder: &str,
) -> String {
    let seen = r#"return 403 "auth=$http_authorization cookie=$http_cookie proxy=$http_proxy_authorization secret=$http_x_secret plain=$http_x_plain cert=$ssl_client_s_dn name=$ssl_server_name";"#;
    let statuses: String = [301, 302, 303, 307, 308]
        .map(|it| format!("location = /{it} {{ return {it} /echo?{it}; }}\n"))
        .concat();
    let locations = format!(
        r#"
        default_type text/plain;
        location = /echo {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
        }}
        location = /chunked {{ proxy_pass http://{upstream}; proxy_http_version 1.1; }}
        location = /until-close {{
            proxy_pass http://{upstream}; proxy_http_version 1.1; chunked_transfer_encoding off;
        }}
        {statuses}
        location = /absolute {{ return 302 $scheme://$http_host/echo; }}
        location = /relative/there {{ return 302 $scheme://$http_host/relative/here; }}
        location = /relative/here {{ absolute_redirect off; return 302 /echo; }}
        location = /circle {{ return 302 /circle; }}
        location = /up {{ return 301 https://localhost:{https}/echo; }}
        location = /up-wss {{ return 301 wss://localhost:{https}/echo; }}
        location = /down {{ return 301 http://localhost:{http}/echo; }}
        location = /down-ws {{ return 301 ws://localhost:{http}/echo; }}
        location = /away {{ return 307 https://localhost:{other}/who; }}
        location = /home {{ return 307 https://localhost:{https}/who; }}
        location = /who {{ {seen} }}
        location = /401 {{ add_header WWW-Authenticate 'Bearer realm="x"' always; return 401 "token please"; }}
        location = /403 {{ return 403; }}
        location = /503 {{ add_header Retry-After 7 always; return 503 "later"; }}
        "#
    );
    format!(
        r#"
        daemon off; master_process off; worker_processes 1;
        pid {folder}/nginx.pid; error_log stderr warn;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{http}; {locations} }}
            ssl_certificate {chain}; ssl_certificate_key {key};
            ssl_client_certificate {folder}/ca.pem; ssl_verify_client optional;
            server {{ listen 127.0.0.1:{https} ssl; {locations} }}
            server {{ listen 127.0.0.1:{other} ssl; {locations} }}
        }}
        "#
    )
}

#[tokio::test]
async fn redirects_of_nginx_lead_to_the_server_behind_it() {
    let Some(nginx) = Nginx::start().await else { return };
    let (http, https) = (nginx.http, nginx.https);
    let client = nginx.client().redirects(2).compression_required(Deflate::default());
    let client = client.build().unwrap();
    for (from, to) in [
        (format!("ws://localhost:{http}/echo"), format!("ws://localhost:{http}/echo")),
        (format!("ws://localhost:{http}/301"), format!("ws://localhost:{http}/echo?301")),
        (format!("ws://localhost:{http}/302"), format!("ws://localhost:{http}/echo?302")),
        (format!("ws://localhost:{http}/303"), format!("ws://localhost:{http}/echo?303")),
        (format!("ws://localhost:{http}/307"), format!("ws://localhost:{http}/echo?307")),
        (format!("wss://localhost:{https}/308"), format!("wss://localhost:{https}/echo?308")),
        (format!("wss://localhost:{https}/absolute"), format!("wss://localhost:{https}/echo")),
        (format!("ws://localhost:{http}/relative/there"), format!("ws://localhost:{http}/echo")),
        (format!("ws://localhost:{http}/up"), format!("wss://localhost:{https}/echo")),
        (format!("ws://localhost:{http}/up-wss"), format!("wss://localhost:{https}/echo")),
    ] {
        let (mut socket, response) = soon(client.open(&from)).await.unwrap();
        let FinalUrl(url) = response.extensions().get().unwrap();
        assert_eq!(url.to_string(), to, "{from}");
        soon(socket.send("語".repeat(1000))).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some("語".repeat(1000).into()));
        assert!(soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
    }
    for (url, fault) in [
        (format!("wss://localhost:{https}/down"), RedirectFault::Downgrade),
        (format!("wss://localhost:{https}/down-ws"), RedirectFault::Downgrade),
        (format!("ws://localhost:{http}/circle"), RedirectFault::TooMany { max: 2 }),
    ] {
        let error = soon(client.connect(&url)).await.unwrap_err();
        assert!(matches!(error, Error::Redirect(it) if it == fault), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn neither_credentials_nor_the_certificate_go_to_another_origin() {
    let Some(nginx) = Nginx::start().await else { return };
    let me = nginx.authority.client("me");
    for (path, seen) in [
        ("/who", "auth=Basic bWU6cHc= cookie=c proxy=p secret=s plain=q cert=CN=me name=localhost"),
        (
            "/home",
            "auth=Basic bWU6cHc= cookie=c proxy=p secret=s plain=q cert=CN=me name=localhost",
        ),
        ("/away", "auth= cookie= proxy= secret= plain=q cert= name=localhost"),
    ] {
        let client = nginx
            .client()
            .client_certificate_pem(me.chain.as_bytes(), me.key.as_bytes())
            .header("cookie", "c")
            .header("proxy-authorization", "p")
            .secret_header("x-secret", "s")
            .header("x-plain", "q")
            .redirects(1);
        let url = format!("wss://me:pw@localhost:{}{path}", nginx.https);
        let response = nginx.refused(client, &url).await;
        assert_eq!(std::str::from_utf8(response.body()).unwrap(), seen, "{path}");
    }
    // Where an other name was asked for, a stranger is asked for its own.
    let client = nginx.client().tls_server_name("127.0.0.1").redirects(1);
    let response = nginx.refused(client, &format!("wss://localhost:{}/away", nginx.https)).await;
    let FinalUrl(url) = response.extensions().get().unwrap();
    assert_eq!(url.to_string(), format!("wss://localhost:{}/who", nginx.other));
    assert!(response.body().ends_with(b"name=localhost"), "{:?}", response.body());
}

#[tokio::test]
async fn refusals_of_nginx_come_with_status_headers_and_body() {
    let Some(nginx) = Nginx::start().await else { return };
    let at = |path: &str| format!("ws://localhost:{}{path}", nginx.http);
    let response = nginx.refused(nginx.client(), &at("/401")).await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (401, &b"token please"[..]));
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"x\"");
    assert_eq!(response.headers()["content-length"], "12");
    let response = nginx.refused(nginx.client(), &at("/403")).await;
    let body = String::from_utf8_lossy(response.body());
    assert!(body.starts_with("<html>") && body.ends_with("</html>\r\n"), "{body}");
    let response = nginx.refused(nginx.client(), &at("/503")).await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (503, &b"later"[..]));
    assert_eq!(response.headers()["retry-after"], "7");
    assert!(Error::Refused(Box::new(response)).is_retryable());
}

#[tokio::test]
async fn a_body_of_unknown_length_is_read_up_to_the_limit() {
    let Some(nginx) = Nginx::start().await else { return };
    let whole = [vec![b'x'; 3000], vec![b'y'; 30_000], b"end".to_vec()].concat();
    for (path, is_chunked) in [("/chunked", true), ("/until-close", false)] {
        let url = format!("ws://localhost:{}{path}", nginx.http);
        let limits = taiwa::Limits { handshake_bytes_max: 64 << 10, ..Default::default() };
        let response = nginx.refused(nginx.client().limits(limits), &url).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().contains_key("transfer-encoding"), is_chunked);
        assert!(response.body() == &whole, "{path}: {} bytes", response.body().len());
        let response = nginx.refused(nginx.client(), &url).await;
        let len = response.body().len();
        // Of chunks, the limit counts what is around the bytes, too.
        assert!(len <= 16 << 10 && len > 16_000, "{path}: {len}");
        assert!(whole.starts_with(response.body()), "{path}");
    }
}
