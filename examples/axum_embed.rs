//! The whole server inside of a program's own axum server: closures decide, `/` is a page of the program, and clients of
//! three dialects meet in its channels.
//!
//! ```sh
//! cargo run -p taiwa-examples --bin axum_embed                    # the address may follow
//! taiwa connect 'ws://127.0.0.1:8000/news?token=ann'              # in another terminal
//! curl -N 'http://127.0.0.1:8000/sse/news?token=bob'              # and in a third
//! ```

use std::{env, error::Error, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use taiwa_core::{Admission, Payload, Publish, Refusal, RefusalKind, User};
use taiwa_server::{
    Site,
    apps::closures::Closures,
    hub::{
        Settings,
        settings::{Namespace, Rule},
    },
};
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Closures::new()
        .on_connect(|_client, connect| async move {
            // Ask a database, say.
            let name = connect.token.ok_or(Refusal::new(RefusalKind::Unauthorized, "who?"))?;
            Ok(Admission { user: Some(User(name[..].into())), ..Admission::default() })
        })
        .on_publish(|client, publish: Publish| match client.user.as_ref().map(User::as_str) {
            Some("ann") => Ok(publish),
            _ => Err(Refusal::new(RefusalKind::Forbidden, "ann speaks, the others listen")),
        })
        .on_call("echo", |_client, payload: Payload| async move { Ok(payload) });
    let channels = Namespace { publish: Rule::App, ..Namespace::open() };
    let hub = Settings { without_namespace: Arc::new(channels), ..Settings::open() };
    let site = Site::new(hub, Arc::new(app))
        .dialect(taiwa_plain::Plain::new(taiwa_plain::Settings::default()))
        .dialect(taiwa_sse::Sse::new(taiwa_sse::Settings::default()))
        .dialect(taiwa_centrifuge::Centrifuge::default())
        .start()?;
    let page = get(|| async { "a page of this program\n" });
    let router = Router::new().route("/", page).fallback_service(site.service());
    let addr = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let listener = TcpListener::bind(addr).await?;
    println!("http://{}/", listener.local_addr()?);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = signal::ctrl_c().await;
        let _ = site.shut_down(Duration::from_secs(5)).await;
    });
    Ok(serving.await?)
}
