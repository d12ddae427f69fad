//! Members and clients, as other nodes see them.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taiwa_core::{About, Client, Member, SessionId, User};

/// Who is in a channel, or said something in it. What the app remembers of a client stays on its node.
#[derive(Deserialize, Serialize)]
pub(crate) struct Seen<'a> {
    session: u128,
    user: Option<&'a str>,
    info: Option<&'a [u8]>,
    scope: Option<&'a str>,
    address: Option<IpAddr>,
    dialect: &'a str,
    channel_info: Option<&'a [u8]>,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(member: &'a Member) -> Self {
        let channel_info = member.channel_info.as_deref();
        Self { channel_info, ..Self::of_client(&member.client) }
    }

    pub(crate) fn of_client(client: &'a Client) -> Self {
        Self {
            session: client.session.0,
            user: client.user.as_ref().map(User::as_str),
            info: client.info().map(|it| &**it),
            scope: client.scope(),
            address: client.address,
            dialect: client.dialect,
            channel_info: None,
        }
    }

    /// Writes it as a body of its own.
    pub(crate) fn write(&self) -> Option<Bytes> {
        super::write(self, 96).ok()
    }

    /// Reads what [`Seen::write`] wrote.
    pub(crate) fn read(body: &Bytes, names: &Names) -> Option<Member> {
        Some(super::read::<Seen<'_>>(body)?.member(body, names))
    }

    pub(super) fn member(self, whole: &Bytes, names: &Names) -> Member {
        let channel_info = self.channel_info.map(|it| whole.slice_ref(it));
        Member { client: Arc::new(self.client(whole, names)), channel_info }
    }

    pub(super) fn client(self, whole: &Bytes, names: &Names) -> Client {
        Client {
            session: SessionId(self.session),
            user: self.user.map(User::from),
            about: About::in_scope(
                About::new(self.info.map(|it| whole.slice_ref(it)), None),
                self.scope.map(Into::into),
            ),
            address: self.address,
            dialect: known(self.dialect, names),
        }
    }
}

/// The dialects of this node.
pub(crate) type Names = [&'static str];

/// Finds a dialect among those of this node.
fn known(name: &str, names: &Names) -> &'static str {
    names.iter().find(|it| **it == name).copied().unwrap_or("elsewhere")
}
