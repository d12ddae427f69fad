//! The notifications of examples/ over days: their own taiwa.toml, and a clock that is only a number.

use std::{fs, time::Duration};

use taiwa_conformance::house::{House, Who};
use taiwa_core::{Channel, Payload, Publish};
use taiwa_hub::Order;

use super::tests::read;
use crate::rooms;

const CHANNEL: &str = "notify:#ada";
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn house() -> House {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/notifications/taiwa.toml");
    let settings = read(&fs::read_to_string(file).unwrap());
    House::new(settings.hub(), rooms::rooms(&settings))
}

fn notify(house: &mut House, number: u32) {
    let payload = Payload::Json(format!("{{\"id\":{number}}}").into());
    house.order(Order::Publish(Box::new(Publish::new(Channel::parse(CHANNEL).unwrap(), payload))));
}

/// One page of ada's.
struct Page {
    who: Who,
    /// What was saved when it was closed last.
    position: Option<String>,
    /// The numbers that it has seen, and 0 for each gap that it was told of.
    seen: Vec<u32>,
}

impl Page {
    /// Opens a page that goes on where another was closed.
    fn open(house: &mut House, position: Option<String>) -> Self {
        let mut target = "/sse/notify:%23ada".to_owned();
        if let Some(position) = &position {
            target += &format!("?lastEventId={position}");
        }
        let cookie = ("cookie", "notifications=user-ada");
        let who = house.get(&target, &[cookie, ("accept", "text/event-stream")]).unwrap();
        let mut page = Self { who, position, seen: vec![] };
        page.look(house);
        page
    }

    fn look(&mut self, house: &mut House) {
        for line in house.text(self.who).lines() {
            match line.split_once(": ").unwrap_or_default() {
                ("id", id) => self.position = Some(id.to_owned()),
                ("event", "taiwa:gap") => self.seen.push(0),
                ("data", data) => {
                    let number = data.strip_prefix("{\"id\":").and_then(|it| it.strip_suffix('}'));
                    self.seen.extend(number.map(|it| it.parse::<u32>().unwrap()));
                }
                _ => {}
            }
        }
    }

    /// Closes it, and returns what it has saved.
    fn close(mut self, house: &mut House) -> Option<String> {
        self.look(house);
        house.leave(self.who);
        self.position
    }
}

/// Opens a page, looks at what it says at once, and closes it.
fn visit(house: &mut House, position: Option<String>) -> (Vec<u32>, Option<String>) {
    let page = Page::open(house, position);
    (page.seen.clone(), page.close(house))
}

#[test]
fn a_page_that_comes_back_after_a_day_gets_all_that_it_missed_each_once_in_order() {
    let mut house = house();
    let mut page = Page::open(&mut house, None);
    for number in 1..=3 {
        notify(&mut house, number);
    }
    page.look(&mut house);
    assert_eq!(page.seen, [1, 2, 3]);
    let position = page.close(&mut house);
    for number in 4..=27 {
        house.wait(HOUR);
        notify(&mut house, number);
    }
    let (seen, position) = visit(&mut house, position);
    assert_eq!(seen, (4..=27).collect::<Vec<_>>());
    // It saw them, so they do not come again, and the next one does.
    house.wait(HOUR);
    notify(&mut house, 28);
    assert_eq!(visit(&mut house, position).0, [28]);
}

#[test]
fn who_came_before_the_first_notification_gets_it_a_day_later() {
    let mut house = house();
    let (seen, position) = visit(&mut house, None);
    assert_eq!(seen, [0; 0]);
    house.wait(DAY);
    notify(&mut house, 1);
    house.wait(DAY);
    assert_eq!(visit(&mut house, position).0, [1]);
}

#[test]
fn what_is_older_than_three_days_is_an_honest_gap() {
    for (days, expected) in [(0, &[2, 3][..]), (2, &[2, 3]), (3, &[0, 3]), (4, &[0, 3])] {
        let mut house = house();
        let page = Page::open(&mut house, None);
        notify(&mut house, 1);
        let position = page.close(&mut house);
        notify(&mut house, 2);
        house.wait(DAY * days);
        notify(&mut house, 3);
        assert_eq!(visit(&mut house, position).0, expected, "{days}");
    }
}

#[test]
fn more_than_the_history_keeps_is_an_honest_gap() {
    let (all, newest) = ((1..=1000).collect::<Vec<_>>(), (2..=1001).collect::<Vec<_>>());
    for (missed, expected) in [(1000, all), (1001, [&[0][..], &newest].concat())] {
        let mut house = house();
        let position = visit(&mut house, None).1;
        for number in 1..=missed {
            notify(&mut house, number);
        }
        assert_eq!(visit(&mut house, position).0, expected);
    }
}

#[test]
fn who_missed_nothing_is_told_so_for_a_month_and_not_for_longer() {
    for (days, expected) in [(1, &[][..]), (29, &[]), (31, &[0])] {
        let mut house = house();
        let page = Page::open(&mut house, None);
        notify(&mut house, 1);
        let position = page.close(&mut house);
        for _ in 0..days {
            house.wait(DAY);
        }
        assert_eq!(visit(&mut house, position).0, expected, "{days}");
    }
}
