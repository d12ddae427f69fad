//! Channels of Phoenix: both serializers by WebSocket, and long polls.

use serde_json::{Value, json};
use taiwa_conformance::house::{House, Who};
use taiwa_core::Message;

use crate::words::{Guest, Room, Wish, close_code, text};

pub(crate) const V2: Room = Room {
    name: "phoenix, V2",
    come: |house, wish| Box::new(Client::come(house, wish, "2.0.0", Way::WebSocket)),
    publishes: true,
    unsubscribes: true,
    resumes: true,
    refused: Some("1000"),
    babbling: Some("1000"),
    slow: Some("1001"),
    silent: Some("1001"),
    closed: Some("1000"),
};

pub(crate) const V1: Room = Room {
    name: "phoenix, V1",
    come: |house, wish| Box::new(Client::come(house, wish, "1.0.0", Way::WebSocket)),
    ..V2
};

pub(crate) const POLLS: Room = Room {
    name: "phoenix, polls",
    come: |house, wish| Box::new(Client::come(house, wish, "2.0.0", Way::Polls)),
    refused: Some("403"),
    babbling: Some("500"),
    // Its polls are what tells that it is there.
    silent: None,
    slow: None,
    closed: Some("403"),
    ..V2
};

#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    WebSocket,
    Polls,
}

struct Client {
    way: Way,
    who: Who,
    vsn: &'static str,
    channel: String,
    /// Of a session of polls.
    token: String,
    position: Option<String>,
    last: String,
    /// What the last request with messages was answered.
    brought: String,
}

impl Client {
    fn come(house: &mut House, wish: Wish, vsn: &'static str, way: Way) -> Self {
        let token = wish.token.map_or(String::new(), |it| format!("&token={it}"));
        let query = format!("vsn={vsn}&positions=true{token}");
        let who = match way {
            Way::WebSocket => house.websocket(&format!("/socket/websocket?{query}"), ""),
            Way::Polls => house.get(&format!("/socket/longpoll?{query}"), &[]),
        };
        let mut client = Self {
            way,
            who: who.unwrap(),
            vsn,
            channel: wish.channel.to_owned(),
            token: String::new(),
            position: None,
            last: String::new(),
            brought: String::new(),
        };
        if way == Way::Polls {
            client.last = house.text(client.who);
            let begun: Value = serde_json::from_str(&client.last).unwrap();
            match begun["token"].as_str() {
                Some(token) => token.clone_into(&mut client.token),
                None => return client,
            }
            client.poll(house);
        }
        if !house.is_over(client.who) {
            let channel = client.channel.clone();
            let since = wish.past.map_or(json!({}), |it| json!({ "since": it }));
            client.push(house, &channel, "phx_join", &since.to_string());
        }
        client
    }

    fn poll(&mut self, house: &mut House) {
        let target = format!("/socket/longpoll?vsn={}&token={}", self.vsn, self.token);
        self.who = house.get(&target, &[]).unwrap();
    }

    fn push(&mut self, house: &mut House, topic: &str, event: &str, payload: &str) {
        let reference = if topic == "phoenix" { "null" } else { "\"1\"" };
        let text = if self.vsn == "1.0.0" {
            format!(
                r#"{{"join_ref":{reference},"ref":"2","topic":"{topic}","event":"{event}","payload":{payload}}}"#
            )
        } else {
            format!(r#"[{reference},"2","{topic}","{event}",{payload}]"#)
        };
        self.send(house, text);
    }

    fn send(&mut self, house: &mut House, text: String) {
        if self.way == Way::WebSocket {
            return house.say(self.who, Message::Text(text.into()));
        }
        let target = format!("/socket/longpoll?vsn={}&token={}", self.vsn, self.token);
        let brought = house.post(&target, "application/x-ndjson", text).unwrap();
        self.brought = house.text(brought);
    }

    /// Takes messages: topic, event, payload, reference.
    fn take(&mut self, message: &Value, said: &mut Vec<String>) {
        let of = |at: usize, name: &str| {
            message.get(at).or_else(|| message.get(name)).cloned().unwrap_or(Value::Null)
        };
        let (reference, topic) = (of(1, "ref"), of(2, "topic"));
        let (event, payload) = (of(3, "event"), of(4, "payload"));
        if topic != *self.channel {
            return;
        }
        match event.as_str().unwrap() {
            "phx_reply" => {
                if let Some(position) = payload["response"]["position"].as_str() {
                    self.position = Some(position.to_owned());
                }
            }
            "phx_close" | "phx_error" | "presence_state" | "presence_diff" => {}
            _ => {
                self.position = reference.as_str().map(str::to_owned);
                said.push(payload.to_string());
            }
        }
    }
}

impl Guest for Client {
    fn hears(&mut self, house: &mut House) -> Vec<String> {
        let mut said = vec![];
        if self.way == Way::WebSocket {
            for message in house.heard(self.who) {
                self.take(&serde_json::from_str(&text(&message)).unwrap(), &mut said);
            }
            if !house.is_over(self.who) {
                self.push(house, "phoenix", "heartbeat", "{}");
            }
            return said;
        }
        while house.is_over(self.who) {
            let body = house.text(self.who);
            if body.is_empty() {
                break;
            }
            let told: Value = serde_json::from_str(&body).unwrap();
            self.last = body;
            for message in told["messages"].as_array().into_iter().flatten() {
                // Each message is a text in the body, or an object.
                let message = match message.as_str() {
                    Some(text) => serde_json::from_str(text).unwrap(),
                    None => message.clone(),
                };
                self.take(&message, &mut said);
            }
            if !matches!(told["status"].as_u64(), Some(200 | 204)) {
                break;
            }
            self.poll(house);
        }
        said
    }

    fn says(&mut self, house: &mut House, json: &str) {
        let channel = self.channel.clone();
        self.push(house, &channel, "said", json);
    }

    fn unsubscribes(&mut self, house: &mut House) {
        let channel = self.channel.clone();
        self.push(house, &channel, "phx_leave", "{}");
    }

    fn babbles(&mut self, house: &mut House) {
        self.send(house, "[nonsense".into());
    }

    fn vanishes(&mut self, house: &mut House) {
        house.leave(self.who);
    }

    fn past(&self) -> Option<String> {
        self.position.clone()
    }

    fn last_words(&mut self, house: &mut House) -> Option<String> {
        if self.way == Way::WebSocket {
            return close_code(house, self.who);
        }
        if self.brought.contains("500") {
            return Some(self.brought.clone());
        }
        self.hears(house);
        let status = serde_json::from_str::<Value>(&self.last).ok()?["status"].as_u64()?;
        (!matches!(status, 200 | 204 | 410) || self.token.is_empty()).then(|| status.to_string())
    }

    fn stalls(&mut self, house: &mut House) {
        house.stall(self.who);
    }
}
