//! A WebSocket and nothing else.

use taiwa_conformance::house::{House, Who};
use taiwa_core::Message;

use crate::words::{Guest, Room, Wish, close_code, text};

pub(crate) const ROOM: Room = Room {
    name: "plain",
    come,
    publishes: true,
    unsubscribes: false,
    resumes: false,
    refused: Some("4401"),
    babbling: Some("4400"),
    slow: Some("1013"),
    // The WebSocket's own pings tell the server of it.
    silent: None,
    closed: Some("4123"),
};

struct Plain(Who);

fn come(house: &mut House, wish: Wish) -> Box<dyn Guest> {
    let token = wish.token.map_or(String::new(), |it| format!("&token={it}"));
    let target = format!("/{}?echo=true{token}", wish.channel);
    Box::new(Plain(house.websocket(&target, "").unwrap()))
}

impl Guest for Plain {
    fn hears(&mut self, house: &mut House) -> Vec<String> {
        house.heard(self.0).iter().map(text).collect()
    }

    fn says(&mut self, house: &mut House, json: &str) {
        house.say(self.0, Message::Text(json.to_owned().into()));
    }

    fn unsubscribes(&mut self, _: &mut House) {
        unreachable!("there is no word for it");
    }

    fn babbles(&mut self, house: &mut House) {
        self.says(house, "no JSON");
    }

    fn vanishes(&mut self, house: &mut House) {
        house.leave(self.0);
    }

    fn past(&self) -> Option<String> {
        None
    }

    fn last_words(&mut self, house: &mut House) -> Option<String> {
        close_code(house, self.0)
    }

    fn stalls(&mut self, house: &mut House) {
        house.stall(self.0);
    }
}
