//! Who somebody is.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use bytes::Bytes;

use crate::Channel;

/// A user's identifier, as the app gave it. One user may have many sessions.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct User(pub Arc<str>);

impl User {
    /// Returns the identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for User {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

/// One session, unique in the cluster: 80 random bits, then 32 that say where on its shard it sits, then 16 for the
/// shard. Others see it in presence.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u128);

impl SessionId {
    /// Makes one out of random bits, of which the upper 80 count, a place and the number of a shard. On one of several nodes
    /// the upper 16 of them are those of the [node](crate::NodeId::tag).
    pub fn new(random: u128, place: u32, shard: u16) -> Self {
        Self(random >> 48 << 48 | u128::from(place) << 16 | u128::from(shard))
    }

    /// Returns where on its shard it sits.
    pub fn place(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Returns the number of its shard on its node.
    pub fn shard(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = ();

    /// Reads 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.len() == 32 && text.bytes().all(|it| it.is_ascii_hexdigit());
        if !digits {
            return Err(());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

/// Something that proves who one is, such as a token. It is never shown by `Debug`, so that no log has it.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Secret(Arc<str>);

impl std::ops::Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Takes a session up again. As secret as a token: who has it has the session.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ResumeKey {
    /// Which session.
    pub session: SessionId,
    /// What proves that it was one's own.
    pub secret: u128,
}

impl fmt::Display for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:032x}", self.session, self.secret)
    }
}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.session)
    }
}

impl FromStr for ResumeKey {
    type Err = ();

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (session, secret) = text.split_at_checked(32).ok_or(())?;
        Ok(Self { session: session.parse()?, secret: secret.parse::<SessionId>()?.0 })
    }
}

/// One session, as the app is told of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// Which session it is.
    pub session: SessionId,
    /// Whose it is; `None` for the anonymous, and before it was let in.
    pub user: Option<User>,
    /// What the app has said about it.
    pub about: Option<Box<About>>,
    /// The address that it came from, if it has one.
    pub address: Option<IpAddr>,
    /// The name of the dialect that it speaks.
    pub dialect: &'static str,
}

/// A certificate that a client has shown over TLS, and that was found good.
#[derive(Clone, Eq, PartialEq)]
pub struct Certificate {
    /// As it was shown, in DER (RFC 5280).
    pub der: Bytes,
    /// SHA-256 of that.
    pub sha256: [u8; 32],
    /// Whose it is, in the form of RFC 4514, as `CN=device-7, O=Example`. Empty if it can't be read, or says nothing.
    pub subject: Box<str>,
    /// Its other names (RFC 5280 §4.2.1.6): those of DNS, addresses of mail and of IP, and URIs.
    pub names: Vec<Box<str>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject)
    }
}

/// What is known of a session besides: of many nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// What others see of the connection in presence, a JSON text.
    pub info: Option<Bytes>,
    /// What the app remembers about it, a JSON text; no client sees it.
    pub meta: Option<Bytes>,
    /// What its link is called; see [`Client::scope`].
    pub scope: Option<Arc<str>>,
}

impl About {
    /// Puts together what was said, if anything was.
    pub fn new(info: Option<Bytes>, meta: Option<Bytes>) -> Option<Box<Self>> {
        Self { info, meta, scope: None }.boxed()
    }

    /// Adds what the link is called.
    pub fn in_scope(about: Option<Box<Self>>, scope: Option<Arc<str>>) -> Option<Box<Self>> {
        Self { scope, ..about.map_or_else(Self::default, |it| *it) }.boxed()
    }

    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Client {
    /// Returns what others see of the connection in presence, a JSON text.
    pub fn info(&self) -> Option<&Bytes> {
        self.about.as_ref()?.info.as_ref()
    }

    /// Returns what its link is called, in dialects whose links have names: a namespace of Socket.IO. Where the server chooses
    /// which link of a session it subscribes or addresses, a channel with that name, or whose name begins with it and `:`,
    /// belongs to that link. Any other belongs to the first link without a scope, or the first of all.
    pub fn scope(&self) -> Option<&str> {
        self.about.as_ref()?.scope.as_deref()
    }

    /// Returns what the app remembers about it, a JSON text; no client sees it.
    pub fn meta(&self) -> Option<&Bytes> {
        self.about.as_ref()?.meta.as_ref()
    }
}

/// A session in a channel: an entry of its presence, or the publisher of something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The session.
    pub client: Arc<Client>,
    /// What others see of its subscription, a JSON text.
    pub channel_info: Option<Bytes>,
}

/// Somebody came into a channel or went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Which channel.
    pub channel: Channel,
    /// Who.
    pub member: Arc<Member>,
    /// Whether it is the first session of its user that came, or the last that went. Of the anonymous each is.
    pub of_user: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_about_whom_nothing_was_said_is_small() {
        // With the two counts of its `Arc`.
        assert!(size_of::<Client>() + 16 <= 96, "{}", size_of::<Client>());
        assert_eq!(About::new(None, None), None);
    }

    #[test]
    fn an_identifier_names_its_shard_and_survives_being_written() {
        let id = SessionId::new(u128::MAX, 7, 3);
        assert_eq!((id.shard(), id.place()), (3, 7));
        assert_eq!(id.to_string().parse(), Ok(id));
        let key = ResumeKey { session: id, secret: 5 };
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!(!format!("{key:?}").contains("00005"), "secrets are not logged");
        assert_eq!(format!("{:?}", Some(Secret::from("letmein"))), "Some(Secret(…))");
        for text in ["", "3", "+0000000000000000000000000000003", &"f".repeat(33)] {
            assert_eq!(text.parse::<SessionId>(), Err(()), "{text:?}");
        }
    }
}
