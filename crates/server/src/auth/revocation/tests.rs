//! What is revoked stays revoked, as long as it must and no longer.

use super::*;

fn with(max: usize) -> Revocations {
    Revocations::new(&AuthLimits {
        revoked_tokens_max: max,
        revoked_users_max: max,
        revoked_bytes_max: 8,
        revocation_events_max: 2,
        ..AuthLimits::default()
    })
}

fn stamp(id: Option<&str>, user: &str, issued_at: Option<u64>) -> Stamp {
    Stamp { id: id.map(str::to_owned), user: user.to_owned(), issued_at }
}

#[test]
fn a_token_is_revoked_until_it_expires_anyway() {
    let revocations = with(10);
    revocations.revoke_token("a", Some(100), 0).unwrap();
    revocations.revoke_token("b", None, 0).unwrap();
    for (id, now, expected) in [
        (Some("a"), 99, true),
        (Some("a"), 100, false),
        (Some("b"), u64::MAX, true),
        (Some("c"), 0, false),
        (None, 0, false),
    ] {
        assert_eq!(revocations.hits(&stamp(id, "u", None), now), expected, "{id:?} at {now}");
    }
}

#[test]
fn a_user_is_revoked_by_the_age_of_the_token() {
    let revocations = with(10);
    revocations.revoke_user("ann", 50, None, 0).unwrap();
    // An earlier one takes nothing back.
    revocations.revoke_user("ann", 20, Some(70), 0).unwrap();
    for (user, issued_at, expected) in [
        ("ann", Some(49), true),
        ("ann", Some(50), false),
        ("ann", None, true),
        ("bob", Some(49), false),
        ("bob", None, false),
    ] {
        let stamp = stamp(None, user, issued_at);
        assert_eq!(revocations.hits(&stamp, 1000), expected, "{stamp:?}");
    }
}

#[test]
fn a_longer_time_is_not_cut_by_a_shorter_one() {
    let revocations = with(10);
    revocations.revoke_token("a", Some(100), 0).unwrap();
    revocations.revoke_token("a", Some(50), 0).unwrap();
    assert!(revocations.hits(&stamp(Some("a"), "", None), 99));
    revocations.revoke_token("a", None, 0).unwrap();
    revocations.revoke_token("a", Some(50), 0).unwrap();
    assert!(revocations.hits(&stamp(Some("a"), "", None), 1000));
}

#[test]
fn a_full_table_forgets_what_has_expired_and_nothing_else() {
    let revocations = with(2);
    revocations.revoke_token("a", Some(100), 0).unwrap();
    revocations.revoke_token("b", Some(200), 0).unwrap();
    assert_eq!(revocations.revoke_token("c", None, 99), Err(RevocationError::Full));
    assert!(!revocations.hits(&stamp(Some("c"), "", None), 99));
    // What is there already needs no more room.
    revocations.revoke_token("b", Some(300), 99).unwrap();
    revocations.revoke_token("c", None, 100).unwrap();
    assert!(revocations.hits(&stamp(Some("b"), "", None), 250));
    assert_eq!(revocations.revoke_token("d", None, 299), Err(RevocationError::Full));
    revocations.revoke_token("d", None, 300).unwrap();
    assert_eq!(revocations.len(), (2, 0));
    revocations.revoke_user("u", 1, None, 0).unwrap();
    revocations.revoke_user("v", 1, None, 0).unwrap();
    assert_eq!(revocations.revoke_user("w", 1, None, 0), Err(RevocationError::Full));
    assert_eq!(revocations.len(), (2, 2));
}

#[test]
fn what_is_too_long_is_told() {
    let revocations = with(10);
    let long = "123456789";
    assert_eq!(revocations.revoke_token(long, None, 0), Err(RevocationError::TooLong));
    assert_eq!(revocations.revoke_user(long, 0, None, 0), Err(RevocationError::TooLong));
    assert_eq!(revocations.len(), (0, 0));
}

#[test]
fn receivers_hear_of_it_and_are_told_when_they_are_too_slow() {
    use broadcast::error::TryRecvError;
    let revocations = with(10);
    revocations.revoke_token("before", None, 0).unwrap();
    let mut events = revocations.events();
    revocations.revoke_token("a", None, 0).unwrap();
    revocations.revoke_user("ann", 50, None, 0).unwrap();
    let token = events.try_recv().unwrap();
    assert!(token.hits(&stamp(Some("a"), "x", None)));
    assert!(!token.hits(&stamp(Some("b"), "x", None)) && !token.hits(&stamp(None, "x", None)));
    let user = events.try_recv().unwrap();
    assert!(user.hits(&stamp(Some("b"), "ann", Some(49))) && user.hits(&stamp(None, "ann", None)));
    assert!(!user.hits(&stamp(None, "ann", Some(50))) && !user.hits(&stamp(None, "bob", None)));
    for id in ["c", "d", "e"] {
        revocations.revoke_token(id, None, 0).unwrap();
    }
    assert_eq!(events.try_recv(), Err(TryRecvError::Lagged(1)));
    // What failed is not told.
    let _ = revocations.revoke_token("123456789", None, 0);
    assert!(events.try_recv().is_ok() && events.try_recv().is_ok());
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
}
