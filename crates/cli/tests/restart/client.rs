//! A client of the centrifuge dialect that hears one channel, publishes in it, and comes back where it was.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::socket::{Said, Socket};

/// How far the test is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Act {
    /// Clients come, and say nothing yet.
    Arriving,
    Publishing,
    /// What was said is to be acknowledged, and nothing new is said.
    Quiet,
    Over,
}

pub(crate) struct Plan {
    pub(crate) addr: SocketAddr,
    pub(crate) channels: usize,
    pub(crate) pause: Duration,
    pub(crate) patience: Duration,
    /// Whether history outlives the process, so that a client can know whether what was not acknowledged was said.
    pub(crate) recovers: bool,
    /// How many have come so far.
    pub(crate) there: watch::Sender<usize>,
}

/// Where a client was with something, and what it heard there.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) epoch: Arc<str>,
    pub(crate) offset: u64,
    pub(crate) id: String,
}

/// One stay of a client on a server.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(crate) came: Instant,
    /// When it was told to go, if it was.
    pub(crate) told: Option<Instant>,
    pub(crate) epoch: Arc<str>,
    /// Whether it asked to recover, and what it was answered.
    pub(crate) recovered: Option<bool>,
}

/// All that happened to a client.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) channel: usize,
    pub(crate) heard: Vec<Heard>,
    pub(crate) stays: Vec<Stay>,
    pub(crate) acknowledged: Vec<String>,
    /// Not acknowledged, and nobody knows whether it was said.
    pub(crate) uncertain: Vec<String>,
    /// Why it was not let in, each time.
    pub(crate) shut: Vec<std::io::Error>,
    /// What must not happen.
    pub(crate) wrong: Vec<String>,
}

struct Client {
    number: usize,
    plan: Arc<Plan>,
    act: watch::Receiver<Act>,
    record: Record,
    /// Where it is in its channel.
    position: Option<(Arc<str>, u64)>,
    /// Said and not acknowledged.
    pending: Option<String>,
    said: usize,
    next_at: Instant,
    asked: u64,
}

/// Lives to the end of the test.
pub(crate) async fn live(number: usize, plan: Arc<Plan>, act: watch::Receiver<Act>) -> Record {
    let record = Record { channel: number % plan.channels, ..Record::default() };
    // Each begins at another time of the pause.
    let phase = plan.pause.mul_f64((number * 7919 % 1000) as f64 / 1000.0);
    let next_at = Instant::now() + phase;
    let client = Client {
        number,
        plan,
        act,
        record,
        position: None,
        pending: None,
        said: 0,
        next_at,
        asked: 0,
    };
    client.run().await
}

impl Client {
    async fn run(mut self) -> Record {
        while *self.act.borrow() != Act::Over {
            let came = Instant::now();
            let opened =
                timeout(self.plan.patience, Socket::open(self.plan.addr, "/connection/websocket"));
            match opened.await {
                Ok(Ok(socket)) => {
                    if let Err(why) = self.stay(socket, came).await {
                        self.record.wrong.push(why);
                        return self.record;
                    }
                }
                Ok(Err(shut)) => self.record.shut.push(shut),
                Err(_) => self.record.wrong.push("the handshake took too long".into()),
            }
            // As published clients wait at the least.
            sleep(Duration::from_millis(200 + self.number as u64 * 31 % 300)).await;
        }
        self.record
    }

    fn channel(&self) -> String {
        format!("room-{}", self.record.channel)
    }

    /// Stays until it is told to go. What it is told against the rules is an error.
    async fn stay(&mut self, mut socket: Socket, came: Instant) -> Result<(), String> {
        let lost = |it: std::io::Error| format!("the connection broke: {it}");
        socket.send(r#"{"id":1,"connect":{}}"#).await.map_err(lost)?;
        let mut subscribe = json!({"channel": self.channel()});
        if let Some((epoch, offset)) = &self.position {
            subscribe["recover"] = true.into();
            subscribe["epoch"] = (**epoch).into();
            subscribe["offset"] = (*offset).into();
        }
        let subscribe = json!({"id": 2, "subscribe": subscribe}).to_string();
        self.asked = 2;
        let mut is_subscribed = false;
        let mut alarm = Box::pin(sleep_until(self.next_at));
        loop {
            let act = *self.act.borrow();
            let may_publish = is_subscribed && self.pending.is_none() && act == Act::Publishing;
            let said = tokio::select! {
                said = socket.next() => said.map_err(lost)?,
                () = &mut alarm, if may_publish => {
                    let id = format!("{}-{}", self.number, self.said);
                    self.said += 1;
                    self.say(&mut socket, id).await.map_err(lost)?;
                    continue;
                }
                changed = self.act.changed() => {
                    changed.map_err(|it| it.to_string())?;
                    if *self.act.borrow() == Act::Over {
                        return Ok(());
                    }
                    continue;
                }
            };
            let text = match said {
                Said::Text(text) => text,
                Said::Close(3001) => {
                    self.leaves();
                    socket.leave().await;
                    return Ok(());
                }
                Said::Close(code) => return Err(format!("closed with {code}")),
                Said::End => return Err("ended without a Close frame".into()),
            };
            for line in text.lines() {
                let reply: Value =
                    serde_json::from_str(line).map_err(|it| format!("{line}: {it}"))?;
                if reply.get("error").is_some() {
                    return Err(line.to_owned());
                }
                if reply.as_object().is_some_and(serde_json::Map::is_empty) {
                    socket.send("{}").await.map_err(lost)?;
                } else if reply.get("connect").is_some() {
                    socket.send(&subscribe).await.map_err(lost)?;
                } else if let Some(subscribed) = reply.get("subscribe") {
                    self.subscribed(subscribed, came)?;
                    is_subscribed = true;
                    if let Some(id) = self.pending.take() {
                        self.resolve(id, &mut socket).await.map_err(lost)?;
                    }
                } else if reply.get("publish").is_some() {
                    self.record.acknowledged.extend(self.pending.take());
                    self.next_at += self.plan.pause;
                    alarm.as_mut().reset(self.next_at);
                } else if let Some(publication) = reply.pointer("/push/pub") {
                    self.hear(publication)?;
                } else {
                    return Err(format!("unexpected: {line}"));
                }
            }
        }
    }

    async fn say(&mut self, socket: &mut Socket, id: String) -> std::io::Result<()> {
        self.asked += 1;
        let publish = json!({"channel": self.channel(), "data": {"id": id}});
        self.pending = Some(id);
        socket.send(&json!({"id": self.asked, "publish": publish}).to_string()).await
    }

    /// Finds out what became of something that was not acknowledged, and says it again if it was not said.
    async fn resolve(&mut self, id: String, socket: &mut Socket) -> std::io::Result<()> {
        if !self.plan.recovers {
            self.record.uncertain.push(id);
        } else if self.record.heard.iter().rev().any(|it| it.id == id) {
            self.record.acknowledged.push(id);
        } else {
            return self.say(socket, id).await;
        }
        self.next_at = Instant::now() + self.plan.pause;
        Ok(())
    }

    fn leaves(&mut self) {
        let told = Some(Instant::now());
        if let Some(stay) = self.record.stays.last_mut() {
            stay.told = told;
        }
    }

    fn subscribed(&mut self, reply: &Value, came: Instant) -> Result<(), String> {
        let epoch: Arc<str> = reply["epoch"].as_str().ok_or("no epoch")?.into();
        let offset = reply["offset"].as_u64().unwrap_or(0);
        let publications = reply["publications"].as_array().map_or(&[][..], Vec::as_slice);
        let recovered = reply["recovered"].as_bool().unwrap_or(false);
        let asked = self.position.take();
        // What is told of the past begins there; without it, that is the present.
        let first = publications.first().map(|it| it["offset"].as_u64().ok_or("no offset"));
        let from = first.transpose()?.map_or(offset, |it| it - 1);
        if let Some((before, at)) = asked.as_ref().filter(|_| recovered)
            && (*before != epoch || *at != from)
        {
            return Err(format!("recovered, from {before} {at} to {epoch} {from}"));
        }
        let recovered = asked.map(|_| recovered);
        self.record.stays.push(Stay { came, told: None, epoch: epoch.clone(), recovered });
        self.position = Some((epoch, from));
        for publication in publications {
            self.hear(publication)?;
        }
        if self.record.stays.len() == 1 {
            self.plan.there.send_modify(|it| *it += 1);
        }
        Ok(())
    }

    fn hear(&mut self, publication: &Value) -> Result<(), String> {
        let offset = publication["offset"].as_u64().ok_or("no offset")?;
        let id = publication["data"]["id"].as_str().ok_or("no id")?.to_owned();
        let (epoch, at) = self.position.as_mut().ok_or("before the subscription")?;
        if offset != *at + 1 {
            return Err(format!("{offset} behind {at}: {id}"));
        }
        *at = offset;
        self.record.heard.push(Heard { epoch: epoch.clone(), offset, id });
        Ok(())
    }
}
