//! One order: from an account to a certificate (RFC 8555 §7.4).

use std::{error::Error, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use serde_json::Value;

use super::{Acme, answers::Standing, web::Web};
use crate::{
    config::settings::{self, Challenge},
    tls::folder::Folder,
};

/// What goes wrong is told in the log and tried again.
pub(super) type Failed = Box<dyn Error + Send + Sync>;

/// How long the server may take to look at the challenges, and then to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));
pub(super) const ACCOUNT: &str = "acme-account.json";

/// Returns at which directory the account is that is kept.
pub(super) fn directory(folder: &Folder) -> std::io::Result<Option<String>> {
    let kept = folder.read(ACCOUNT)?.and_then(|it| serde_json::from_str::<Value>(&it).ok());
    Ok(kept.and_then(|it| it["directory"].as_str().map(str::to_owned)))
}

impl Acme {
    /// Gets a certificate; returns its chain and its key.
    pub(super) async fn order(&self) -> Result<(String, String), Failed> {
        let account = self.account().await?;
        let names: Vec<_> = self.names.iter().map(|it| Identifier::Dns(it.clone())).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut standing = Standing::new(&self.certificates, &self.answers);
        self.meet_challenges(&mut order, &mut standing).await?;
        match order.poll_ready(&PATIENCE).await? {
            OrderStatus::Ready | OrderStatus::Valid => {}
            _ => return Err(refused(&mut order).await),
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok((chain, key))
    }

    async fn meet_challenges(
        &self,
        order: &mut Order,
        standing: &mut Standing<'_>,
    ) -> Result<(), Failed> {
        let kind = match self.settings.challenge {
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Http01 => ChallengeType::Http01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                // Shown not long ago, and remembered.
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(format!("{name}: the authorization is {status:?}").into()),
            }
            let challenge = authorization.challenge(kind.clone());
            let missing = || format!("{name}: the server has no such challenge for it");
            let mut challenge = challenge.ok_or_else(missing)?;
            let proof = challenge.key_authorization();
            match kind {
                ChallengeType::Http01 => standing.by_http(&challenge.token, &proof),
                _ => standing.by_tls(&name, &proof)?,
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// Returns the account that is kept, or a new one.
    async fn account(&self) -> Result<Account, Failed> {
        let builder = || Account::builder_with_http(Box::new(Web(self.outgoing.clone())));
        if directory(&self.folder)?.as_deref() == Some(&self.directory) {
            let kept = self.folder.read(ACCOUNT)?.unwrap_or_default();
            let kept: AccountCredentials = serde_json::from_str(&kept)?;
            return Ok(builder().from_credentials(kept).await?);
        }
        let contact: Vec<_> = self.settings.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.settings.terms_agreed,
            only_return_existing: false,
        };
        let bound = self.settings.binding()?.map(|(id, key)| ExternalAccountKey::new(id, &key));
        let made = builder().create(&wanted, self.directory.clone(), bound.as_ref()).await?;
        let (account, credentials) = made;
        let mut text = serde_json::to_value(&credentials)?;
        // By which it is known again.
        text["directory"] = self.directory.clone().into();
        self.folder.write(ACCOUNT, &text.to_string())?;
        Ok(account)
    }
}

impl settings::Acme {
    /// Returns by which key of those who run the server an account is bound to another one, and its name.
    ///
    /// # Errors
    /// Half of it is missing, or the key is no base64url.
    pub(crate) fn binding(&self) -> Result<Option<(String, Vec<u8>)>, &'static str> {
        match (&self.eab_key_id, &self.eab_key) {
            (None, None) => Ok(None),
            (Some(id), Some(key)) => {
                let key = URL_SAFE_NO_PAD.decode(key.reveal().trim_end_matches('='));
                Ok(Some((id.clone(), key.map_err(|_| "this is a key in base64url")?)))
            }
            _ => Err("tls.acme.eab_key_id and this belong together"),
        }
    }
}

/// Returns why an order did not come to its end, in the words of the server.
async fn refused(order: &mut Order) -> Failed {
    let mut why = order.state().error.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        // What is known of it is from before the challenge was met.
        let Ok(state) = authorization.refresh().await else { continue };
        for problem in state.challenges.iter().filter_map(|it| it.error.as_ref()) {
            why.push(format!("{name}: {problem}"));
        }
    }
    why.push("no certificate was given".into());
    why.join("; ").into()
}
