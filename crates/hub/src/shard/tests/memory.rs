//! What an idle session with one subscription costs in the hub.

use taiwa_core::{Client, Delivery, Member};

use super::super::session::{LinkState, Session, Subscriber, Subscription};
use crate::few::Few;

/// What `Arc` adds.
const COUNTS: usize = 16;

#[test]
fn an_idle_session_with_one_subscription_takes_at_most_450_bytes() {
    let parts = [
        ("session, with one link and one subscription in it", size_of::<Session>()),
        ("its place: generation and mark", 5),
        ("client, shared with the app and with presence", size_of::<Client>() + COUNTS),
        ("subscriber", size_of::<Subscriber>()),
        ("member, where there is presence", size_of::<Member>() + COUNTS),
    ];
    for (what, bytes) in parts {
        println!("{bytes:4} B {what}");
    }
    let sum: usize = parts.iter().map(|(_, it)| it).sum();
    println!("{sum:4} B");
    assert!(sum <= 450, "{sum}");
    assert_eq!(size_of::<Few<LinkState>>(), size_of::<LinkState>());
    assert_eq!(size_of::<Few<Subscription>>(), size_of::<Subscription>());
    assert_eq!(size_of::<Delivery>(), 8);
}
