//! Sends what one connection says to all, from the task of the one who said it: prepared once, each connection's
//! [`Sender`] in one list. A member that reads too slowly is closed, so nobody waits for it.

use std::sync::Arc;

use taiwa::{CloseCode, Error, Prepared, Sender, SlowPolicy, Upgrade};
use tokio::sync::Mutex;

pub(crate) type Members = Arc<Mutex<Vec<Sender>>>;

pub(crate) async fn join(upgrade: Upgrade, members: Members) -> Result<(), Error> {
    let (sender, mut receiver) = upgrade.accept().await?.split();
    let policy = SlowPolicy::Close(CloseCode::POLICY_VIOLATION);
    members.lock().await.push(sender.with_policy(policy));
    while let Some(message) = receiver.recv().await? {
        let prepared = Prepared::new(message);
        for member in members.lock().await.iter() {
            member.send_prepared(&prepared).await?;
        }
    }
    Ok(())
}
