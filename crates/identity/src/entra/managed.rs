//! Tokens for managed identities: what opens their endpoint is a header that only the program's environment holds.

use lazuli_wire::Guid;
use lazuli_wire::entra::{Asked, Failure};
use serde::Serialize;

use super::tokens::Order;
use super::{Authority, unavailable};
use crate::directory::passwords::Kept;
use crate::directory::{CredentialKind, ObjectKind, store};
use crate::identity::Identity;

/// The answer of the endpoint, as Azure App Service has it.
#[derive(Clone, Serialize)]
pub struct ManagedAnswer {
    access_token: String,
    client_id: String,
    expires_on: String,
    resource: String,
    token_type: &'static str,
}

impl std::fmt::Debug for ManagedAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ManagedAnswer([secret])")
    }
}

impl Identity {
    /// A token for the managed identity whose header this is: `OBJECT.SECRET`. `named`: the client or object that the request
    /// means, if it says so.
    pub async fn managed_token(
        &self,
        at: &Authority<'_>,
        header: &str,
        resource: &str,
        named: Option<&str>,
    ) -> Result<ManagedAnswer, Failure> {
        let inner = self.inner();
        let (object, secret) = header.split_once('.').ok_or(Failure::ManagedIdentity)?;
        let object = Guid::parse(object).map_err(|_| Failure::ManagedIdentity)?;
        let name = object.to_string();
        let throttle = &inner.directory.throttle;
        let now = self.now_us();
        throttle
            .check(&name, at.from, now)
            .map_err(Failure::Locked)?;
        let found = inner.db.read(move |tx| {
            let found = store::get(tx, object)?;
            Ok::<_, lazuli_db::Error>((found, store::credentials(tx, object)?))
        });
        let (found, credentials) = found.await.map_err(|error| unavailable(&error.into()))?;
        let mut matches = false;
        for known in &credentials {
            if known.kind == CredentialKind::Endpoint && known.is_good_at(now) {
                let kept = Kept::from_row(&known.data);
                matches |= kept.is_some_and(|kept| !kept.is_slow() && kept.matches(secret));
            }
        }
        let found = found
            .filter(|found| matches && found.enabled && found.kind == ObjectKind::ManagedIdentity);
        let Some(found) = found else {
            throttle.wrong(&name, at.from, now);
            return Err(Failure::ManagedIdentity);
        };
        throttle.right(&name, at.from);
        let is_it = |named: &str| {
            named.eq_ignore_ascii_case(&found.name_key) || named.eq_ignore_ascii_case(&name)
        };
        if !named.is_none_or(is_it) {
            return Err(Failure::ManagedIdentity);
        }
        let asked = Asked::of_resource(resource).ok_or(Failure::Malformed("resource"))?;
        let state = inner.directory.state().await;
        let state = state.map_err(|error| unavailable(&error))?;
        let client = found.app_id().unwrap_or(found.id);
        let order = Order {
            subject: &found,
            client,
            proof: "2",
            audience: at.audience_of(&asked)?,
            asked: &asked,
            nonce: None,
            client_info: false,
            renewable: false,
        };
        let made = self.make_tokens(at, &state, order).await;
        let made = made.map_err(|error| unavailable(&error))?;
        Ok(ManagedAnswer {
            access_token: made.access_token,
            client_id: client.to_string(),
            expires_on: (now / 1_000_000 + super::tokens::LIFE).to_string(),
            resource: resource.to_owned(),
            token_type: "Bearer",
        })
    }
}
