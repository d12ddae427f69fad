//! Finding the servers: at the beginning, when one is lost, and when slots move.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, ServerErrorKind, Value, aio::MultiplexedConnection, cluster_routing::Slot};

use crate::{
    dial::{About, Dialer, Wire, fault},
    error::Error,
    keys::Keys,
    reply::{Reply, command},
    settings::Address,
};

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// What is to be found.
pub(crate) struct Plan {
    pub(crate) dialer: Dialer,
    pub(crate) keys: Keys,
    /// The secret of the cluster, if it is known: new nodes must find it, whatever a server lost.
    pub(crate) secret: Option<[u8; 32]>,
    /// Connections to servers that are there.
    pub(crate) living: Vec<MultiplexedConnection>,
    /// Where they are, and where else a server may be.
    pub(crate) have: Vec<Address>,
    pub(crate) seeds: Vec<Address>,
    /// Names to subscribe to, where they are kept, and whether all servers say them.
    pub(crate) names: Vec<(Box<[u8]>, Slot, bool)>,
    /// What begins new epochs if another process has an older state.
    pub(crate) holds: Vec<(Slot, Cmd)>,
    pub(crate) past: HashMap<Address, Past>,
    /// Whether nothing counts as found unless all is.
    pub(crate) whole: bool,
}

/// What is known of a server that was there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) process: Vec<u8>,
    /// A key that is there as long as what it kept of this node, once it was set.
    pub(crate) mark: Option<String>,
}

/// What was found.
pub(crate) struct Found {
    /// Who has which slots, from the first to the last.
    pub(crate) ranges: Vec<(u16, u16, Address)>,
    pub(crate) new: Vec<Newcomer>,
    /// All slots have somebody who could be reached.
    pub(crate) whole: bool,
}

/// A server to which we are connected now.
pub(crate) struct Newcomer {
    pub(crate) address: Address,
    pub(crate) about: About,
    pub(crate) asks: Wire,
    pub(crate) ears: Option<Wire>,
    pub(crate) heard: Vec<Box<[u8]>>,
    /// Whether the mark of its past is there; `None` if there was none.
    pub(crate) kept: Option<bool>,
}

impl Plan {
    /// Finds out who has which slot, and connects to those who are new.
    pub(crate) async fn find(self) -> Result<Found, Error> {
        let ranges = if self.keys.clustered() {
            self.ranges().await?
        } else {
            vec![(0, 0, self.dialer.settings.address.clone())]
        };
        let mut wanted: Vec<&Address> = ranges.iter().map(|it| &it.2).collect();
        wanted.sort();
        wanted.dedup();
        let new = wanted.iter().filter(|it| !self.have.contains(it));
        let tried = join_all(new.map(|it| self.meet(it, &ranges))).await;
        let (mut new, mut why) = (vec![], None);
        for result in tried {
            match result {
                Ok(it) => new.push(it),
                Err(it) => why = Some(it),
            }
        }
        let covered: usize = ranges.iter().map(|it| usize::from(it.1 - it.0) + 1).sum();
        let covered = !self.keys.clustered() || covered == usize::from(SLOTS);
        match why {
            Some(why) if self.whole || self.have.is_empty() && new.is_empty() => Err(why),
            None if self.whole && !covered => {
                Err(Error::Unusable("some slots of the cluster have no server"))
            }
            why => Ok(Found { ranges, new, whole: why.is_none() && covered }),
        }
    }

    /// Asks one server after the other who has which slots.
    async fn ranges(&self) -> Result<Vec<(u16, u16, Address)>, Error> {
        let limit = self.dialer.settings.silence_max;
        let question = command(&[b"CLUSTER", b"SLOTS"]);
        let mut last = Error::Deadline;
        for living in &self.living {
            let mut living = living.clone();
            let answer = tokio::time::timeout(limit, living.send_packed_command(&question)).await;
            if let Ok(Ok(answer)) = answer
                && let Some(ranges) = ranges(&answer, &self.dialer.settings.address)
            {
                return Ok(ranges);
            }
        }
        for seed in &self.seeds {
            let asked = async {
                let wire = self.dialer.dial(seed).await?;
                let answers = wire.exchange(vec![question.clone()], limit).await?;
                match answers.first().and_then(fault) {
                    Some(why) => Err(why),
                    None => ranges(&answers[0], seed)
                        .ok_or(Error::Unusable("the cluster does not know who has its slots")),
                }
            };
            match asked.await {
                Ok(ranges) => return Ok(ranges),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Connects to a server, subscribes there to what it says, and makes sure that it holds what was heard.
    async fn meet(
        &self,
        address: &Address,
        ranges: &[(u16, u16, Address)],
    ) -> Result<Newcomer, Error> {
        let limit = self.dialer.settings.silence_max;
        let asks = self.dialer.dial(address).await?;
        let about = asks.greet(limit).await?;
        let slots: std::collections::HashSet<Slot> =
            ranges.iter().filter(|it| it.2 == *address).flat_map(|it| slots(it.0, it.1)).collect();
        let has = |it: Slot| !self.keys.clustered() || slots.contains(&it);
        let ears = match self.keys.clustered() {
            true => Some(self.dialer.dial(address).await?),
            false => None,
        };
        let heard = self.subscribe(ears.as_ref().unwrap_or(&asks), &has, limit).await?;
        let past = self.past.get(address);
        let mut all = vec![];
        // A server that crashed may have an older state than its subscribers: positions would be given twice.
        if past.is_none_or(|it| it.process != about.process) {
            all.extend(self.holds.iter().filter(|it| has(it.0)).map(|it| it.1.clone()));
        }
        let secret = self.keys.secret();
        if let Some(ours) = &self.secret
            && has(self.keys.slot(secret.as_bytes()))
        {
            all.push(command(&[b"SET", secret.as_bytes(), ours, b"NX"]));
        }
        let mark = past.and_then(|it| it.mark.as_ref());
        let mark = mark.filter(|it| has(self.keys.slot(it.as_bytes())));
        all.extend(mark.map(|it| command(&[b"EXISTS", it.as_bytes()])));
        let answers = asks.exchange(all, limit).await?;
        if let Some(why) = answers.iter().find_map(fault) {
            return Err(why);
        }
        let kept = mark.and_then(|_| Some(answers.last()?.number() == Some(1)));
        Ok(Newcomer { address: address.clone(), about, asks, ears, heard, kept })
    }

    async fn subscribe(
        &self,
        wire: &Wire,
        has: &impl Fn(Slot) -> bool,
        limit: Duration,
    ) -> Result<Vec<Box<[u8]>>, Error> {
        let clustered = self.keys.clustered();
        let names: Vec<_> = self.names.iter().filter(|it| has(it.1)).collect();
        let commands = names.iter().map(|(name, _, everywhere)| {
            let verb: &[u8] = if clustered && !everywhere { b"SSUBSCRIBE" } else { b"SUBSCRIBE" };
            command(&[verb, name])
        });
        let answers = wire.exchange(commands.collect(), limit).await?;
        let mut heard = vec![];
        for ((name, ..), answer) in names.into_iter().zip(&answers) {
            match answer {
                // A slot that has just moved: it is asked for again.
                Value::ServerError(why) if why.kind() == Some(ServerErrorKind::Moved) => {}
                answer => match fault(answer) {
                    Some(why) => return Err(why),
                    None => heard.push(name.clone()),
                },
            }
        }
        Ok(heard)
    }
}

/// Lists slots from one to another.
pub(crate) fn slots(first: u16, last: u16) -> impl Iterator<Item = Slot> {
    (first..=last).filter_map(Slot::new)
}

/// Reads who has which slots; a server that does not know its own name is the one that was asked.
fn ranges(answer: &Value, asked: &Address) -> Option<Vec<(u16, u16, Address)>> {
    let ranges = answer.list()?.iter().map(|it| {
        let [first, last, primary, ..] = it.list()? else { return None };
        let [host, port, ..] = primary.list()? else { return None };
        let host = host.text().and_then(|it| std::str::from_utf8(it).ok());
        let host = match (host, asked) {
            (Some(host), _) if !host.is_empty() && host != "?" => host.to_owned(),
            (_, Address::Tcp(asked, _)) => asked.clone(),
            (_, Address::Unix(_)) => return None,
        };
        let port = u16::try_from(port.number()?).ok()?;
        let slot = |it: &Value| u16::try_from(it.number()?).ok().filter(|it| *it < SLOTS);
        let (first, last) = (slot(first)?, slot(last)?);
        (first <= last).then_some((first, last, Address::Tcp(host, port)))
    });
    ranges.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(it: &str) -> Value {
        Value::BulkString(it.into())
    }

    fn range(first: i64, last: i64, host: Value) -> Value {
        let primary = Value::Array(vec![host, Value::Int(7000), text("id"), Value::Array(vec![])]);
        Value::Array(vec![Value::Int(first), Value::Int(last), primary.clone(), primary])
    }

    #[test]
    fn who_has_which_slots_is_read() {
        let asked = Address::Tcp("seed".into(), 1);
        let read = |it: Vec<Value>| ranges(&Value::Array(it), &asked);
        let tcp = |host: &str| Address::Tcp(host.into(), 7000);
        let all = vec![range(0, 8000, text("a")), range(8001, 16_383, Value::Nil)];
        assert_eq!(read(all), Some(vec![(0, 8000, tcp("a")), (8001, 16_383, tcp("seed"))]));
        assert_eq!(read(vec![range(3, 3, text(""))]), Some(vec![(3, 3, tcp("seed"))]));
        for nonsense in [
            vec![],
            vec![Value::Nil],
            vec![Value::Array(vec![])],
            vec![range(0, 16_384, text("a"))],
            vec![range(5, 4, text("a"))],
            vec![range(-1, 4, text("a"))],
        ] {
            assert_eq!(read(nonsense.clone()), None, "{nonsense:?}");
        }
    }
}
