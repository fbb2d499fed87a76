//! First start: the subscription, its resource group and the default registry as a resource.

use std::collections::BTreeMap;

use lazuli_db::Tx;
use lazuli_db::params;
use lazuli_identity::{RegistryId, random_guid};
use lazuli_wire::Guid;
use lazuli_wire::arm::{GroupPath, RegistryPath, Sku};

use crate::control::Control;
use crate::groups::{self, Group};
use crate::registries::{RegistryResource, Settings, sql};
use crate::subscriptions::{self, Subscription};
use crate::{Error, Result};

/// The group of the default registry, and the location of everything that was not given one.
const GROUP: &str = "lazuli";
const LOCATION: &str = "local";

/// What every installation has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The first subscription.
    pub subscription: Subscription,
    /// The group of the default registry.
    pub group: GroupPath,
}

impl Control {
    /// Makes the first subscription, the group `lazuli` and the default registry as a resource in it, as far as they are missing.
    /// `tenant`: of the embedded directory, which has to be made first. To be called at every start.
    pub async fn install(&self, tenant: Guid) -> Result<Installed> {
        let identity = &self.inner().identity;
        let (fresh, now) = (random_guid()?, self.now());
        let known = self.read(|tx| Ok(installed(tx)?)).await?;
        let installed = match known {
            Some(known) => known,
            None => {
                self.inner()
                    .db
                    .write(move |tx| make(tx, tenant, fresh, now))
                    .await?
            }
        };
        identity
            .complete_admin_passwords(RegistryId::DEFAULT)
            .await?;
        Ok(installed)
    }
}

/// `None`: something is missing.
fn installed(tx: &mut Tx<'_>) -> lazuli_db::Result<Option<Installed>> {
    let Some(subscription) = subscriptions::all(tx)?.into_iter().next() else {
        return Ok(None);
    };
    let resource = tx.query_one(
        "SELECT resource_group FROM registry_resources WHERE registry_id = ?1",
        params![RegistryId::DEFAULT.get()],
        |row| row.get_string(0),
    )?;
    Ok(resource.map(|group| Installed {
        group: GroupPath {
            subscription: subscription.id,
            name: group.into(),
        },
        subscription,
    }))
}

fn make(tx: &mut Tx<'_>, tenant: Guid, fresh: Guid, now: i64) -> Result<Installed> {
    if let Some(known) = installed(tx)? {
        return Ok(known);
    }
    let subscription = if let Some(known) = subscriptions::all(tx)?.into_iter().next() {
        known
    } else {
        let new = Subscription {
            id: fresh,
            tenant,
            name: "Lazuli".to_owned(),
        };
        tx.execute(
            "INSERT INTO subscriptions (id, tenant_id, name, created_at) VALUES (?1, ?2, ?3, ?4)",
            params![&new.id.to_string(), &tenant.to_string(), &new.name, now],
        )?;
        new
    };
    let path = GroupPath {
        subscription: subscription.id,
        name: GROUP.into(),
    };
    if groups::find(tx, &path)?.is_none() {
        let group = Group {
            path: path.clone(),
            location: LOCATION.to_owned(),
            tags: BTreeMap::new(),
        };
        groups::insert(tx, &group, now)?;
    }
    let registry = tx.query_one(
        "SELECT name, anonymous_pull, created_at FROM registries WHERE id = ?1",
        params![RegistryId::DEFAULT.get()],
        |row| Ok((row.get_string(0)?, row.get_bool(1)?, row.get_i64(2)?)),
    )?;
    let (name, anonymous_pull, created_at) = registry.ok_or(Error::Identity(
        lazuli_identity::Error::UnknownRegistry(RegistryId::DEFAULT),
    ))?;
    let resource = RegistryResource {
        id: RegistryId::DEFAULT,
        path: RegistryPath {
            group: path.clone(),
            name: name.into(),
        },
        location: LOCATION.to_owned(),
        sku: Sku::Premium,
        admin_user: true,
        abac: false,
        arm_tokens: true,
        anonymous_pull,
        tags: BTreeMap::new(),
        settings: Settings::default(),
        version: 1,
        created_at,
        created_by: String::new(),
        updated_at: created_at,
        updated_by: String::new(),
        hosts: Vec::new(),
    };
    sql::put(tx, &resource)?;
    Ok(Installed {
        subscription,
        group: path,
    })
}
