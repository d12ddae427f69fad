//! Centrifugo's clients, in JSON and in Protocol Buffers.

use serde_json::Value;
use taiwa_conformance::house::{House, Who};
use taiwa_core::Message;

use crate::words::{Guest, Room, Wish, close_code, json, text};

pub(crate) const JSON: Room = Room {
    name: "centrifuge, JSON",
    come: |house, wish| {
        let who = house.websocket("/connection/websocket", "").unwrap();
        Box::new(Client::come(who, house, wish))
    },
    publishes: true,
    unsubscribes: true,
    resumes: true,
    refused: Some("3500"),
    babbling: Some("3501"),
    slow: Some("3008"),
    silent: Some("3012"),
    closed: Some("4623"),
};

pub(crate) const PROTOBUF: Room = Room {
    name: "centrifuge, Protocol Buffers",
    come: |house, wish| {
        let who = house.websocket("/connection/websocket", "centrifuge-protobuf").unwrap();
        Box::new(Protobuf::come(who, house, wish))
    },
    ..JSON
};

struct Client {
    who: Who,
    channel: String,
    position: Value,
}

impl Client {
    fn come(who: Who, house: &mut House, wish: Wish) -> Self {
        let mut client =
            Self { who, channel: wish.channel.to_owned(), position: serde_json::json!({}) };
        let token = wish.token.map_or(Value::Null, Value::from);
        let mut subscribe = serde_json::json!({ "channel": wish.channel, "recoverable": true });
        if let Some(past) = wish.past {
            client.position = serde_json::from_str(past).unwrap();
            subscribe["recover"] = true.into();
            subscribe["epoch"] = client.position["epoch"].clone();
            subscribe["offset"] = client.position["offset"].clone();
        }
        let connect = if token.is_null() {
            serde_json::json!({})
        } else {
            serde_json::json!({ "token": token })
        };
        let commands = [
            serde_json::json!({ "id": 1, "connect": connect }),
            serde_json::json!({ "id": 2, "subscribe": subscribe }),
        ];
        client.command(house, &commands.map(|it| it.to_string()).join("\n"));
        client
    }

    fn command(&mut self, house: &mut House, text: &str) {
        house.say(self.who, Message::Text(text.to_owned().into()));
    }
}

impl Guest for Client {
    fn hears(&mut self, house: &mut House) -> Vec<String> {
        let mut said = vec![];
        for message in house.heard(self.who) {
            for reply in text(&message).lines() {
                let reply: Value = serde_json::from_str(reply).unwrap();
                if reply == serde_json::json!({}) {
                    self.command(house, "{}");
                }
                let subscribed = &reply["subscribe"];
                if let Some(epoch) = subscribed.get("epoch") {
                    self.position["epoch"] = epoch.clone();
                    self.position["offset"] = subscribed.get("offset").cloned().unwrap_or(0.into());
                }
                let recovered = subscribed["publications"].as_array().into_iter().flatten();
                for publication in recovered.chain(reply["push"].get("pub")) {
                    self.position["offset"] = publication["offset"].clone();
                    said.extend(json(publication.get("data")));
                }
            }
        }
        said
    }

    fn says(&mut self, house: &mut House, json: &str) {
        let channel = &self.channel;
        let text = format!(r#"{{"id":3,"publish":{{"channel":"{channel}","data":{json}}}}}"#);
        self.command(house, &text);
    }

    fn unsubscribes(&mut self, house: &mut House) {
        let text = format!(r#"{{"id":4,"unsubscribe":{{"channel":"{}"}}}}"#, self.channel);
        self.command(house, &text);
    }

    fn babbles(&mut self, house: &mut House) {
        self.command(house, "[nonsense");
    }

    fn vanishes(&mut self, house: &mut House) {
        house.leave(self.who);
    }

    fn past(&self) -> Option<String> {
        Some(self.position.to_string())
    }

    fn last_words(&mut self, house: &mut House) -> Option<String> {
        close_code(house, self.who)
    }

    fn stalls(&mut self, house: &mut House) {
        house.stall(self.who);
    }
}

struct Protobuf {
    who: Who,
    channel: String,
    epoch: Vec<u8>,
    offset: u64,
}

/// Writes a field of bytes, whose length has one byte.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

/// Writes a command behind its length.
fn command(id: u8, of_it: &[u8]) -> Vec<u8> {
    [&[u8::try_from(of_it.len() + 2).unwrap(), 1 << 3, id][..], of_it].concat()
}

/// Reads a varint.
fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// Returns the fields of a message: numbers by their value, all others by their bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut all = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = varint(&mut bytes);
        let length = if tag & 7 == 2 { usize::try_from(value).unwrap() } else { 0 };
        let (of_it, rest) = bytes.split_at(length);
        bytes = rest;
        all.push((tag >> 3, value, of_it));
    }
    all
}

/// Returns the fields of that number inside of a message.
fn inside(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    fields(bytes).into_iter().filter(|it| it.0 == number).map(|it| it.2).collect()
}

impl Protobuf {
    fn come(who: Who, house: &mut House, wish: Wish) -> Self {
        let (epoch, offset) = match wish.past.and_then(|it| it.split_once(' ')) {
            Some((epoch, offset)) => (epoch.as_bytes().to_vec(), offset.parse().unwrap()),
            None => (vec![], 0),
        };
        let client = Self { who, channel: wish.channel.to_owned(), epoch, offset };
        let connect = wish.token.map_or(vec![], |it| field(1, it.as_bytes()));
        // Channel; recoverable; then recover, epoch and offset.
        let mut subscribe = [&field(1, wish.channel.as_bytes())[..], &[10 << 3, 1]].concat();
        if wish.past.is_some() {
            subscribe.extend([3 << 3, 1]);
            subscribe.extend(field(6, &client.epoch));
            subscribe.extend([7 << 3, u8::try_from(offset).unwrap()]);
        }
        let commands = [command(1, &field(4, &connect)), command(2, &field(5, &subscribe))];
        house.say(client.who, Message::Binary(commands.concat().into()));
        client
    }

    fn command(&mut self, house: &mut House, id: u8, of_it: &[u8]) {
        house.say(self.who, Message::Binary(command(id, of_it).into()));
    }

    fn take(&mut self, publication: &[u8]) -> Option<String> {
        let all = fields(publication);
        self.offset = all.iter().find(|it| it.0 == 6)?.1;
        all.iter().find(|it| it.0 == 4).map(|it| String::from_utf8_lossy(it.2).into_owned())
    }
}

impl Guest for Protobuf {
    fn hears(&mut self, house: &mut House) -> Vec<String> {
        let mut said = vec![];
        for message in house.heard(self.who) {
            let mut frame = &message.as_bytes()[..];
            while !frame.is_empty() {
                let length = usize::try_from(varint(&mut frame)).unwrap();
                let (reply, rest) = frame.split_at(length);
                frame = rest;
                if reply.is_empty() {
                    house.say(self.who, Message::Binary(vec![0].into()));
                }
                for subscribed in inside(reply, 6) {
                    self.epoch = inside(subscribed, 6).first().map_or(vec![], |it| it.to_vec());
                    let offset = fields(subscribed).into_iter().find(|it| it.0 == 9);
                    self.offset = offset.map_or(0, |it| it.1);
                    said.extend(inside(subscribed, 7).into_iter().filter_map(|it| self.take(it)));
                }
                for push in inside(reply, 4) {
                    said.extend(inside(push, 4).into_iter().filter_map(|it| self.take(it)));
                }
            }
        }
        said
    }

    fn says(&mut self, house: &mut House, json: &str) {
        let publish = [field(1, self.channel.as_bytes()), field(2, json.as_bytes())].concat();
        self.command(house, 3, &field(7, &publish));
    }

    fn unsubscribes(&mut self, house: &mut House) {
        let unsubscribe = field(1, self.channel.as_bytes());
        self.command(house, 4, &field(6, &unsubscribe));
    }

    fn babbles(&mut self, house: &mut House) {
        house.say(self.who, Message::Binary(vec![0xff; 3].into()));
    }

    fn vanishes(&mut self, house: &mut House) {
        house.leave(self.who);
    }

    fn past(&self) -> Option<String> {
        Some(format!("{} {}", String::from_utf8_lossy(&self.epoch), self.offset))
    }

    fn last_words(&mut self, house: &mut House) -> Option<String> {
        close_code(house, self.who)
    }

    fn stalls(&mut self, house: &mut House) {
        house.stall(self.who);
    }
}
