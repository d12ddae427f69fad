//! Who hears who comes and goes, by the hub on each broker.

use std::time::Duration;

use crate::{
    fixture::{Fixture, Kept},
    house::{House, rest, until},
};

/// A node at which ada listens, one that bob is at twice and cyd once, and one at which dora listens.
async fn three(fixture: &dyn Fixture) -> [House; 3] {
    let mut houses =
        [House::join(fixture).await, House::join(fixture).await, House::join(fixture).await];
    let mut ids: Vec<_> = houses.iter().map(House::id).collect();
    ids.sort();
    until(&mut houses, "all know each other", |it| it.iter().all(|it| it.nodes() == ids)).await;
    houses[0].come("ada", true);
    houses[2].come("dora", true);
    for user in ["bob", "bob", "cyd"] {
        houses[1].come(user, false);
    }
    let all = ["ada", "bob", "bob", "cyd", "dora"];
    until(&mut houses, "all are there", |it| it.iter().all(|it| it.all_know(&all))).await;
    rest(&mut houses, Duration::from_millis(300)).await;
    for house in &mut houses {
        house.listeners.values_mut().for_each(|it| it.told.clear());
    }
    houses
}

fn told(house: &House) -> Vec<String> {
    let mut told: Vec<_> =
        house.listeners.values().flat_map(|it| it.told.iter().cloned()).collect();
    told.sort();
    told
}

pub(crate) async fn who_was_on_a_dead_node_is_told_to_leave(fixture: &dyn Fixture) {
    let [a, b, c] = three(fixture).await;
    let mut left = [a, c];
    fixture.kill(b.die()).await;
    let holds = |it: &[House]| it.iter().all(|it| it.all_know(&["ada", "dora"]));
    let took = until(&mut left, "they have left", holds).await;
    assert!(took < Duration::from_secs(13), "the silence is 10 s: {took:?}");
    rest(&mut left, Duration::from_millis(300)).await;
    for house in &mut left {
        assert_eq!(told(house), ["-bob", "-bob!", "-cyd!"]);
        let seats: Vec<_> = house.listeners.keys().copied().collect();
        seats.into_iter().for_each(|it| house.ask(it));
    }
    until(&mut left, "who asks knows the same", holds).await;
}

pub(crate) async fn who_went_while_the_broker_was_away_is_told_to_leave(fixture: &dyn Fixture) {
    let mut houses = three(fixture).await;
    let late = houses[1].come("eve", false);
    let six = ["ada", "bob", "bob", "cyd", "dora", "eve"];
    until(&mut houses, "eve is there", |it| it.iter().all(|it| it.all_know(&six))).await;
    fixture.stop(Kept::Everything).await;
    rest(&mut houses, Duration::from_millis(500)).await;
    houses[1].go(late);
    rest(&mut houses, Duration::from_millis(200)).await;
    fixture.start().await;
    let five = ["ada", "bob", "bob", "cyd", "dora"];
    until(&mut houses, "eve has left", |it| it.iter().all(|it| it.all_know(&five))).await;
    rest(&mut houses, Duration::from_secs(1)).await;
    for at in [0, 2] {
        assert_eq!(told(&houses[at]), ["+eve!", "-eve!"]);
    }
}

pub(crate) async fn a_broker_that_lost_everything_leaves_all_there(fixture: &dyn Fixture) {
    let mut houses = three(fixture).await;
    fixture.stop(Kept::Nothing).await;
    rest(&mut houses, Duration::from_millis(500)).await;
    fixture.start().await;
    // Longer than until the members are compared.
    rest(&mut houses, Duration::from_secs(7)).await;
    houses[1].come("eve", false);
    let six = ["ada", "bob", "bob", "cyd", "dora", "eve"];
    until(&mut houses, "all are there", |it| it.iter().all(|it| it.all_know(&six))).await;
    for at in [0, 2] {
        assert_eq!(told(&houses[at]), ["+eve!"], "nobody else came or went");
        let seats: Vec<_> = houses[at].listeners.keys().copied().collect();
        seats.into_iter().for_each(|it| houses[at].ask(it));
    }
    until(&mut houses, "who asks knows the same", |it| it.iter().all(|it| it.all_know(&six))).await;
}
