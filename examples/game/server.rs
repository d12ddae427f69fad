//! A game for whoever opens the page: the server is part of this program, which moves the players 20 times a second and
//! tells everybody in bytes.
//!
//! ```sh
//! cargo run --release -p taiwa-examples --bin game      # http://127.0.0.1:3000/; another address may follow
//! ```

mod world;

use std::{
    env,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use taiwa_core::{Channel, Client, Connect, Disconnect, Payload, Publish, Refusal, RefusalKind};
use taiwa_plain::Plain;
use taiwa_server::{
    Control, Site,
    apps::closures::Closures,
    hub::{
        Order, Settings,
        settings::{Limits, Namespace, Payloads, Rule, Slow},
    },
};
use tokio::{signal, time};
use world::World;

const TICK: Duration = Duration::from_millis(50);

/// The world, for the closures and the clock.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let world = Shared::default();
    let site = Site::new(rules(), Arc::new(decide(&world)))
        .dialect(Plain::new(taiwa_plain::Settings::default()))
        .start()?;
    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let server = taiwa::Server::bind(address).await?;
    println!("http://{}/", server.local_addr()?);
    tokio::spawn(run(world, site.control().clone()));
    let ending = site.clone();
    let serving = site.serve(server, async |request| page(&request)).with_shutdown(async move {
        let _ = signal::ctrl_c().await;
        let _ = ending.shut_down(Duration::from_secs(5)).await;
    });
    Ok(serving.await?)
}

/// Says what may be done where: each player speaks in `input:#NAME`, and all hear `arena`, where the game alone speaks.
fn rules() -> Settings {
    let input = Namespace {
        subscribe: Rule::Named,
        publish: Rule::App,
        payloads: Payloads::Binary,
        ..Namespace::default()
    };
    let arena = Namespace {
        subscribe: Rule::Users,
        slow: Slow::DropOldest(2), // who lags gets the newest ticks
        queue_bytes_max: 16 << 10,
        ..Namespace::default()
    };
    Settings {
        without_namespace: Arc::new(arena),
        namespaces: [("input".into(), Arc::new(input))].into(),
        limits: Limits::default().with(|it| it.publications_per_second = 40),
        app_deadline: Duration::from_secs(5),
        tell_disconnected: true,
        ..Settings::default()
    }
}

/// Hands what players do to the world.
fn decide(world: &Shared) -> Closures {
    let (came, steered, went) = (world.clone(), world.clone(), world.clone());
    Closures::new()
        .on_connect(move |client: Arc<Client>, it: Connect| came.lock().come(&client, &it))
        .on_publish(move |client: Arc<Client>, publish: Publish| {
            let taken = steered.lock().steer(&client, &publish.payload);
            taken.map(|()| publish).ok_or(Refusal::new(RefusalKind::BadRequest, "no input"))
        })
        .on_disconnect(move |client: Arc<Client>, _: Option<Disconnect>| went.lock().go(&client))
}

/// Moves the world 20 times a second and tells it; once a second also who is who. A tick that comes late is made up for.
async fn run(world: Shared, control: Control) {
    let arena = Channel::parse("arena").expect("a name");
    let mut ticks = time::interval(TICK);
    loop {
        ticks.tick().await;
        let (tick, names) = {
            let mut world = world.lock();
            (world.step(), (world.tick.is_multiple_of(20)).then(|| world.names()))
        };
        let said = [Some(Payload::Binary(tick)), names.map(Payload::Json)];
        for payload in said.into_iter().flatten() {
            let publish = Publish::new(arena.clone(), payload);
            // If the server is too busy for this tick, the next one tells all.
            let _ = control.order(Order::Publish(Box::new(publish))).await;
        }
    }
}

fn page(request: &Request<Bytes>) -> Option<Response<Bytes>> {
    let (kind, text) = match request.uri().path() {
        "/" => ("text/html", include_str!("page/index.html")),
        "/page.css" => ("text/css", include_str!("page/page.css")),
        "/page.js" => ("text/javascript", include_str!("page/page.js")),
        _ => return None,
    };
    let answer = Response::builder().header(CONTENT_TYPE, format!("{kind}; charset=utf-8"));
    let policy = "default-src 'self'; img-src data:";
    answer.header("content-security-policy", policy).body(text.into()).ok()
}
