//! Server-sent events with objects, and long polls.

use std::mem;

use serde_json::Value;
use taiwa_conformance::house::{House, Who};

use crate::words::{Guest, Room, Wish, json};

pub(crate) const EVENTS: Room = Room {
    name: "sse, events",
    come: |house, wish| come(house, wish, "format=json"),
    publishes: false,
    unsubscribes: false,
    resumes: true,
    refused: Some("401"),
    babbling: None,
    slow: Some("taiwa:disconnect"),
    silent: None,
    closed: Some("taiwa:disconnect"),
};

pub(crate) const POLLS: Room = Room {
    name: "sse, polls",
    come: |house, wish| come(house, wish, "poll=true"),
    // Between two polls it is nobody.
    slow: None,
    closed: Some(r#"{"disconnect""#),
    ..EVENTS
};

struct Listener {
    who: Who,
    target: String,
    polls: bool,
    id: Option<String>,
    /// What it was told last.
    last: String,
    said: Vec<String>,
}

fn come(house: &mut House, wish: Wish, format: &str) -> Box<dyn Guest> {
    let token = wish.token.map_or(String::new(), |it| format!("&token={it}"));
    let target = format!("/sse/{}?{format}{token}", wish.channel);
    let id = wish.past.map(str::to_owned);
    let mut it = Listener {
        who: ask(house, &target, id.as_deref()),
        target,
        polls: format == "poll=true",
        id,
        last: String::new(),
        said: vec![],
    };
    // A first poll is answered with where the channel stands.
    it.said = it.read(house);
    Box::new(it)
}

fn ask(house: &mut House, target: &str, id: Option<&str>) -> Who {
    let headers: Vec<(&str, &str)> = id.map(|it| ("last-event-id", it)).into_iter().collect();
    house.get(target, &headers).unwrap()
}

impl Listener {
    /// Takes what has come, polls again if that is due, and returns what was said.
    fn read(&mut self, house: &mut House) -> Vec<String> {
        let mut said = vec![];
        loop {
            let told = house.text(self.who);
            for line in told.lines() {
                if let Some(id) = line.strip_prefix("id: ") {
                    self.id = Some(id.to_owned());
                }
                let object = line.strip_prefix("data: ").unwrap_or(line);
                let Ok(object) = serde_json::from_str::<Value>(object) else { continue };
                if let Some(id) = object["id"].as_str() {
                    self.id = Some(id.to_owned());
                }
                said.extend(json(object.get("data")));
            }
            if !told.is_empty() {
                self.last = told;
            }
            let is_answered = house.is_over(self.who) && house.status(self.who) == Some(200);
            if !self.polls || !is_answered || self.last.contains("disconnect") {
                return said;
            }
            self.who = ask(house, &self.target, self.id.as_deref());
        }
    }
}

impl Guest for Listener {
    fn hears(&mut self, house: &mut House) -> Vec<String> {
        let mut said = mem::take(&mut self.said);
        said.extend(self.read(house));
        said
    }

    fn says(&mut self, _: &mut House, _: &str) {
        unreachable!("there is no word for it");
    }

    fn unsubscribes(&mut self, _: &mut House) {
        unreachable!("there is no word for it");
    }

    fn babbles(&mut self, _: &mut House) {}

    fn vanishes(&mut self, house: &mut House) {
        house.leave(self.who);
    }

    fn past(&self) -> Option<String> {
        self.id.clone()
    }

    fn last_words(&mut self, house: &mut House) -> Option<String> {
        self.read(house);
        let status = house.status(self.who).filter(|it| *it != 200);
        let is_over = house.is_over(self.who);
        status.map(|it| it.to_string()).or_else(|| is_over.then(|| self.last.clone()))
    }

    fn stalls(&mut self, house: &mut House) {
        house.stall(self.who);
    }
}
