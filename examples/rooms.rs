//! Rooms for clients of Socket.IO, with the server inside of this program: closures decide who is who, let clients join rooms, and
//! ask all in a room at once. npm's `socket.io-client` speaks to it unchanged:
//!
//! ```sh
//! cargo run -p taiwa-examples --bin rooms                         # the address may follow
//! ```
//! ```js
//! const chat = io("http://127.0.0.1:8000/chat", { auth: { token: "ann" } });
//! chat.on("message", (who, text) => console.log(who, text));
//! chat.on("ready?", (round, answer) => answer("yes"));
//! await chat.emitWithAck("join", "lobby");                        // "lobby"
//! chat.emit("say", "lobby", "hello");                             // to all in it
//! await chat.emitWithAck("ask", "lobby", 1);                      // ["yes", …]: what they answer
//! ```

use std::{
    env,
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use taiwa_core::{Admission, Channel, Client, Payload, Refusal, RefusalKind};
use taiwa_server::{
    Control, Site,
    apps::closures::Closures,
    hub::{
        Settings,
        settings::{Namespace, Rule},
    },
};
use taiwa_socketio::SocketIo;
use tokio::signal;

/// The closures are there before the server that they speak to.
#[derive(Clone, Default)]
struct Server(Arc<OnceLock<Control>>);

impl Server {
    fn control(&self) -> Result<&Control, Refusal> {
        let starting = || Refusal::new(RefusalKind::Unavailable, "the server starts");
        self.0.get().ok_or_else(starting)
    }

    /// Lets a client join a room, and tells the others.
    async fn join(self, client: Arc<Client>, name: String) -> Result<String, Refusal> {
        let (control, room) = (self.control()?, room(&name)?);
        if control.to_session(client.session).join(&room).await? > 0 {
            let others = control.to(&room).except_session(client.session);
            others.emit("joined", &(user(&client), &name)).await?;
        }
        Ok(name)
    }

    /// Says something to all in a room.
    async fn say(self, client: Arc<Client>, name: String, text: String) -> Result<(), Refusal> {
        let everyone = self.control()?.to(&room(&name)?);
        everyone.emit("message", &(user(&client), text)).await
    }

    /// Asks all in a room, and returns the answers of those who answer within two seconds.
    async fn ask(self, name: String, round: u32) -> Result<Vec<String>, Refusal> {
        let everyone = self.control()?.to(&room(&name)?);
        let told = everyone.emit_with_ack("ready?", &round, Duration::from_secs(2)).await?;
        let text = |answer: Payload| match answer {
            Payload::Json(json) => serde_json::from_slice(&json).ok(),
            _ => None,
        };
        Ok(told.answers.into_iter().filter_map(|it| text(it.answer.ok()?)).collect())
    }
}

/// Rooms of the namespace `/chat` are channels whose names begin so.
fn room(name: &str) -> Result<Channel, Refusal> {
    let wrong = || Refusal::new(RefusalKind::BadRequest, "no room is called so");
    Channel::parse(&format!("/chat:{name}")).ok_or_else(wrong)
}

fn user(client: &Client) -> &str {
    client.user.as_ref().map_or("nobody", |it| it.as_str())
}

/// What holds in the namespace `/chat`; the main one lets nobody in.
fn chat(server: &Server) -> Closures {
    let (joining, saying, asking) = (server.clone(), server.clone(), server.clone());
    Closures::new()
        .on_connect(|_, connect| async move {
            // Ask a database, say.
            let name = connect.token.ok_or(Refusal::new(RefusalKind::Unauthorized, "who?"))?;
            Ok(Admission { user: Some((&*name).into()), ..Admission::default() })
        })
        .on_call_json("join", move |client, room: String| joining.clone().join(client, room))
        .on_call_json("say", move |client, (room, text): (String, String)| {
            saying.clone().say(client, room, text)
        })
        .on_call_json("ask", move |_, (room, round): (String, u32)| asking.clone().ask(room, round))
}

/// Says that all hear their namespace, and nobody else than this program says or opens anything.
fn rules() -> Settings {
    let namespace = Namespace { subscribe: Rule::All, ..Namespace::default() };
    Settings {
        without_namespace: Arc::new(namespace),
        namespaces: [("/chat".into(), Arc::default())].into(),
        call: Rule::Users,
        app_deadline: Duration::from_secs(5),
        expiry_grace: Duration::from_secs(25),
        ..Settings::default()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::default();
    let app = Closures::new().of("/chat", chat(&server));
    let mut settings = taiwa_socketio::Settings::default();
    settings.namespaces = ["/chat".into()].into();
    let dialect = SocketIo::new(settings);
    let site = Site::new(rules(), Arc::new(app)).dialect(dialect).start()?;
    server.0.get_or_init(|| site.control().clone());
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let listener = taiwa::Server::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    let ending = site.clone();
    let serving = site.serve(listener, async |_| None).with_shutdown(async move {
        let _ = signal::ctrl_c().await;
        let _ = ending.shut_down(Duration::from_secs(5)).await;
    });
    Ok(serving.await?)
}
