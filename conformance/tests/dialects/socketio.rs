//! Socket.IO: over WebSocket, over polling, as its clients of version 2 speak it, and with MessagePack.

use serde_json::{Value, json};
use taiwa_conformance::house::{House, Who};
use taiwa_core::Message;

use crate::words::{Guest, Room, Wish, text};

pub(crate) const WEBSOCKET: Room = Room {
    name: "socketio, WebSocket",
    come: |house, wish| Box::new(Client::come(house, wish, Way::WebSocket)),
    publishes: true,
    unsubscribes: true,
    resumes: true,
    refused: Some("not one of our tokens"),
    babbling: Some("closed"),
    slow: Some("closed"),
    silent: Some("closed"),
    closed: Some("closed"),
};

pub(crate) const POLLING: Room = Room {
    name: "socketio, polling",
    come: |house, wish| Box::new(Client::come(house, wish, Way::Polling)),
    ..WEBSOCKET
};

pub(crate) const OLD: Room = Room {
    name: "socketio, version 2",
    come: |house, wish| Box::new(Client::come(house, wish, Way::Old)),
    resumes: false,
    ..WEBSOCKET
};

pub(crate) const MSGPACK: Room = Room {
    name: "socketio, MessagePack",
    come: |house, wish| Box::new(Client::come(house, wish, Way::Msgpack)),
    ..WEBSOCKET
};

#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    WebSocket,
    Polling,
    Old,
    Msgpack,
}

struct Client {
    way: Way,
    who: Who,
    channel: String,
    /// Of the connection, for requests.
    sid: String,
    pid: Option<String>,
    offset: Option<String>,
    /// Why it was refused, or how it was closed.
    last: Option<String>,
    acks: u32,
    said: Vec<String>,
}

impl Client {
    fn come(house: &mut House, wish: Wish, way: Way) -> Self {
        let revision = if way == Way::Old { 3 } else { 4 };
        // Clients of version 2 have no other place for it.
        let token = wish.token.filter(|_| way == Way::Old);
        let token = token.map_or(String::new(), |it| format!("&token={it}"));
        let query = format!("EIO={revision}&channel={}{token}&transport", wish.channel);
        let who = match way {
            Way::Polling => house.get(&format!("/socket.io/?{query}=polling"), &[]),
            _ => house.websocket(&format!("/socket.io/?{query}=websocket"), ""),
        };
        let past: Value = wish.past.map_or(json!({}), |it| serde_json::from_str(it).unwrap());
        let mut client = Self {
            way,
            who: who.unwrap(),
            channel: wish.channel.to_owned(),
            sid: String::new(),
            pid: None,
            offset: None,
            last: None,
            acks: 0,
            said: vec![],
        };
        client.read(house);
        if way != Way::Old {
            let mut auth = past;
            if let Some(token) = wish.token {
                auth["token"] = token.into();
            }
            client.packet(house, 0, &auth.to_string(), None);
            client.read(house);
        }
        client
    }

    /// Sends a packet of the main namespace: 0 connects, 2 is an event.
    fn packet(&mut self, house: &mut House, kind: u8, data: &str, ack: Option<u32>) {
        if self.way == Way::Msgpack {
            let mut packet = json!({ "type": kind, "nsp": "/" });
            packet["data"] = serde_json::from_str(data).unwrap();
            if let Some(ack) = ack {
                packet["id"] = ack.into();
            }
            let mut bytes = vec![];
            msgpack::write(&packet, &mut bytes);
            return house.say(self.who, Message::Binary(bytes.into()));
        }
        let ack = ack.map_or(String::new(), |it| it.to_string());
        self.send(house, format!("4{kind}{ack}{data}"));
    }

    fn event(&mut self, house: &mut House, arguments: &str) {
        self.acks += 1;
        self.packet(house, 2, arguments, Some(self.acks));
    }

    fn send(&mut self, house: &mut House, text: String) {
        if self.last.is_some() {
            return;
        }
        if self.way != Way::Polling {
            return house.say(self.who, Message::Text(text.into()));
        }
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid);
        let brought = house.post(&target, "text/plain;charset=UTF-8", text).unwrap();
        if house.status(brought) != Some(200) {
            self.last = Some("closed".into());
        }
    }

    /// Takes what has come, polls again if that is due, answers what is asked.
    fn read(&mut self, house: &mut House) {
        if self.way != Way::Polling {
            let messages = house.heard(self.who);
            if house.is_over(self.who) {
                self.last.get_or_insert("closed".into());
            }
            for message in messages {
                match message {
                    Message::Binary(bytes) if self.way == Way::Msgpack => {
                        let packet = msgpack::read(&mut &bytes[..]);
                        let kind = packet["type"].as_u64().unwrap();
                        self.take(kind, &packet["data"]);
                    }
                    message => self.take_text(house, &text(&message)),
                }
            }
            return;
        }
        while self.last.is_none() && house.is_over(self.who) {
            let is_refused = house.status(self.who) != Some(200);
            let body = house.text(self.who);
            if is_refused {
                self.last = Some("closed".into());
                return;
            }
            for packet in body.split('\x1e') {
                self.take_text(house, packet);
            }
            if self.last.is_none() {
                let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid);
                self.who = house.get(&target, &[]).unwrap();
            }
        }
    }

    fn take_text(&mut self, house: &mut House, packet: &str) {
        let (engine, rest) = packet.split_at_checked(1).unwrap_or_default();
        match engine {
            "0" => {
                let opened: Value = serde_json::from_str(rest).unwrap();
                opened["sid"].as_str().unwrap().clone_into(&mut self.sid);
            }
            "1" => self.last = Some("closed".into()),
            "2" => self.send(house, "3".into()),
            "4" => {
                let kind = rest[..1].parse().unwrap();
                let data = rest[1..].trim_start_matches(|it: char| it.is_ascii_digit());
                self.take(kind, &serde_json::from_str(data).unwrap_or(Value::Null));
            }
            _ => {}
        }
    }

    /// Takes a packet of Socket.IO.
    fn take(&mut self, kind: u64, data: &Value) {
        match kind {
            0 => self.pid = data["pid"].as_str().map(str::to_owned),
            1 => self.last = Some("closed".into()),
            2 => {
                if let (Some(_), Some(offset)) = (&self.pid, data[2].as_str()) {
                    self.offset = Some(offset.to_owned());
                }
                self.said.push(data[1].to_string());
            }
            4 => {
                let why = data.as_str().or(data["message"].as_str());
                self.last = Some(why.unwrap().to_owned());
            }
            _ => {}
        }
    }
}

impl Guest for Client {
    fn hears(&mut self, house: &mut House) -> Vec<String> {
        self.read(house);
        if self.way == Way::Old {
            // Its clients ask whether the server is there.
            self.send(house, "2".into());
        }
        std::mem::take(&mut self.said)
    }

    fn says(&mut self, house: &mut House, json: &str) {
        let arguments = format!(r#"["taiwa:publish","{}","said",{json}]"#, self.channel);
        self.event(house, &arguments);
    }

    fn unsubscribes(&mut self, house: &mut House) {
        let arguments = format!(r#"["taiwa:unsubscribe","{}"]"#, self.channel);
        self.event(house, &arguments);
    }

    fn babbles(&mut self, house: &mut House) {
        self.send(house, "nonsense".into());
    }

    fn vanishes(&mut self, house: &mut House) {
        house.leave(self.who);
    }

    fn past(&self) -> Option<String> {
        let (pid, offset) = (self.pid.as_ref()?, self.offset.as_ref()?);
        Some(json!({ "pid": pid, "offset": offset }).to_string())
    }

    fn last_words(&mut self, house: &mut House) -> Option<String> {
        self.read(house);
        self.last.clone()
    }

    fn stalls(&mut self, house: &mut House) {
        house.stall(self.who);
    }
}

/// As much of MessagePack as packets of these scenes need.
mod msgpack {
    use serde_json::{Map, Value};

    /// Writes a value; texts and lists are short, numbers small.
    pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
        let short = |it: usize| u8::try_from(it).unwrap();
        match value {
            Value::Null => out.push(0xc0),
            Value::Bool(it) => out.push(0xc2 + u8::from(*it)),
            Value::Number(it) => out.push(short(usize::try_from(it.as_u64().unwrap()).unwrap())),
            Value::String(it) => {
                out.extend([0xd9, short(it.len())]);
                out.extend(it.as_bytes());
            }
            Value::Array(all) => {
                out.push(0x90 | short(all.len()));
                all.iter().for_each(|it| write(it, out));
            }
            Value::Object(all) => {
                out.push(0x80 | short(all.len()));
                for (key, it) in all {
                    write(&Value::from(key.as_str()), out);
                    write(it, out);
                }
            }
        }
    }

    fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(count);
        *bytes = rest;
        taken
    }

    fn number(bytes: &mut &[u8], count: usize) -> usize {
        take(bytes, count).iter().fold(0, |sum, it| sum << 8 | usize::from(*it))
    }

    /// Reads a value.
    pub(super) fn read(bytes: &mut &[u8]) -> Value {
        let first = take(bytes, 1)[0];
        let low = usize::from(first);
        let of_text = |bytes: &mut &[u8], count| {
            Value::from(String::from_utf8_lossy(take(bytes, count)).into_owned())
        };
        match first {
            0x00..=0x7f => low.into(),
            0x80..=0x8f => map(bytes, low & 0xf),
            0x90..=0x9f => (0..low & 0xf).map(|_| read(bytes)).collect(),
            0xa0..=0xbf => of_text(bytes, low & 0x1f),
            0xc0 => Value::Null,
            0xc2 | 0xc3 => (first == 0xc3).into(),
            0xcc..=0xcf => number(bytes, 1 << (low - 0xcc)).into(),
            0xd9..=0xdb => {
                let count = number(bytes, 1 << (low - 0xd9));
                of_text(bytes, count)
            }
            0xdc | 0xdd => (0..number(bytes, 2 << (low - 0xdc))).map(|_| read(bytes)).collect(),
            0xde | 0xdf => {
                let count = number(bytes, 2 << (low - 0xde));
                map(bytes, count)
            }
            other => panic!("{other:#x} is not needed here"),
        }
    }

    fn map(bytes: &mut &[u8], count: usize) -> Value {
        let mut all = Map::new();
        for _ in 0..count {
            let key = read(bytes);
            let it = read(bytes);
            all.insert(key.as_str().unwrap().to_owned(), it);
        }
        Value::Object(all)
    }
}
