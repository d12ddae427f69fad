//! A chat: what one says, the others hear. `cargo run --example chat [ADDRESS]`, then connect several
//! clients, for example `taiwa connect ws://127.0.0.1:8000/`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use taiwa::{CloseCode, Error, Message, Prepared, Sender, Server, SlowPolicy, Upgrade};

/// Who is in the room.
#[derive(Default)]
struct Room {
    next_id: AtomicU64,
    members: Mutex<HashMap<u64, Sender>>,
}

impl Room {
    /// Says something to all but `from`. Who reads too slowly is closed with 1013, so nobody waits.
    async fn say(&self, from: u64, message: Message) {
        // Framed once, whoever many hear it.
        let prepared = Prepared::new(message);
        let others: Vec<Sender> = {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.iter().filter(|(id, _)| **id != from).map(|(_, it)| it.clone()).collect()
        };
        for other in others {
            // Who has left meanwhile is taken out by its own task.
            let _ = other.send_prepared(&prepared).await;
        }
    }

    async fn attend(&self, upgrade: Upgrade) -> Result<(), Error> {
        let (sender, mut receiver) = upgrade.accept().await?.split();
        let sender = sender.with_policy(SlowPolicy::Close(CloseCode::TRY_AGAIN_LATER));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let heard = async {
            while let Some(message) = receiver.recv().await? {
                self.say(id, message).await;
            }
            Ok(())
        };
        let heard = heard.await;
        self.members.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        heard
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let server = Server::bind(address).await?;
    println!("ws://{}/", server.local_addr()?);
    let room = Arc::new(Room::default());
    server
        .serve(move |upgrade: Upgrade| {
            let room = Arc::clone(&room);
            async move { room.attend(upgrade).await }
        })
        .await
}
