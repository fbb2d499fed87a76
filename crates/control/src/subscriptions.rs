//! Subscriptions.

use lazuli_db::{Row, Tx, params};
use lazuli_identity::Caller;
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;

use crate::control::Control;
use crate::{Error, Result};

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its identifier.
    pub id: Guid,
    /// The tenant it belongs to.
    pub tenant: Guid,
    /// What people call it.
    pub name: String,
}

fn read(row: &Row<'_>) -> lazuli_db::Result<Subscription> {
    let guid = |column, name| {
        Guid::parse(row.get_text(column)?).map_err(|_| lazuli_db::Error::Corrupt(name))
    };
    Ok(Subscription {
        id: guid(0, "subscriptions.id")?,
        tenant: guid(1, "subscriptions.tenant_id")?,
        name: row.get_string(2)?,
    })
}

pub(crate) fn all(tx: &mut Tx<'_>) -> lazuli_db::Result<Vec<Subscription>> {
    tx.query(
        "SELECT id, tenant_id, name FROM subscriptions ORDER BY created_at, id LIMIT 1000",
        params![],
        read,
    )
}

/// Fails if there is no such subscription.
pub(crate) fn require(tx: &mut Tx<'_>, id: Guid) -> Result<Subscription> {
    let found = tx.query_one(
        "SELECT id, tenant_id, name FROM subscriptions WHERE id = ?1",
        params![&id.to_string()],
        read,
    )?;
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: Guid) -> Error {
    Error::NotFound {
        code: "SubscriptionNotFound",
        message: format!("The subscription '{id}' could not be found."),
    }
}

impl Control {
    /// The subscriptions in which a caller has any role.
    pub async fn subscriptions(&self, caller: &Caller) -> Result<Vec<Subscription>> {
        let all = self.read(|tx| Ok(all(tx)?)).await?;
        let mut seen = Vec::new();
        for subscription in all {
            if self.is_visible(caller, subscription.id).await? {
                seen.push(subscription);
            }
        }
        Ok(seen)
    }

    /// A subscription, if the caller has any role in it.
    pub async fn subscription(&self, caller: &Caller, id: Guid) -> Result<Subscription> {
        let found = self.read(move |tx| require(tx, id)).await?;
        if self.is_visible(caller, id).await? {
            Ok(found)
        } else {
            Err(unknown(id))
        }
    }

    async fn is_visible(&self, caller: &Caller, id: Guid) -> Result<bool> {
        let scope = ArmScope::subscription(&id.to_string())?;
        match self.inner().identity.reaches(caller, &scope).await {
            Ok(is_visible) => Ok(is_visible),
            Err(lazuli_identity::ArmDenied::Internal(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }
}
