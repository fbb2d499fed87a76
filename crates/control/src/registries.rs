//! Registries as resources.

mod change;
mod remove;
mod settings;
pub(crate) mod sql;

use std::collections::BTreeMap;

use lazuli_db::{Tx, params};
use lazuli_identity::RegistryId;
use lazuli_wire::arm::{
    CheckName, GroupPath, REGISTRY_TYPE, RegistryPath, Sku, Within, check_registry_name,
};

pub use settings::Settings;

use crate::actor::{Actor, tag};
use crate::control::Control;
use crate::{Error, Result, groups, subscriptions};

/// A registry as a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryResource {
    /// Its number.
    pub id: RegistryId,
    /// Where it is.
    pub path: RegistryPath,
    /// Its location.
    pub location: String,
    /// Its tier.
    pub sku: Sku,
    /// Whether its admin user may sign in.
    pub admin_user: bool,
    /// Whether rights on repositories come from data actions with conditions.
    pub abac: bool,
    /// Whether tokens for the management plane are taken, too.
    pub arm_tokens: bool,
    /// Whether everybody may pull.
    pub anonymous_pull: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Everything else.
    pub settings: Settings,
    /// Grows with every change.
    pub version: i64,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// The object that made it.
    pub created_by: String,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// The object that changed it last.
    pub updated_by: String,
    /// The hosts that lead to it by themselves.
    pub hosts: Vec<String>,
}

impl RegistryResource {
    /// The name in host names and for the admin user.
    pub fn login_name(&self) -> String {
        self.path.key()
    }

    /// The tag of this version, without quotes (`ETag`).
    pub fn tag(&self) -> String {
        tag(self.version)
    }

    /// Whether this is the registry that every installation begins with.
    pub fn is_default(&self) -> bool {
        self.id == RegistryId::DEFAULT
    }
}

/// Whether a name can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameCheck {
    /// Yes.
    Free,
    /// No registry can be called so.
    Invalid(String),
    /// Another registry is called so.
    Taken(String),
}

/// Fails if there is no such registry.
pub(crate) fn require(tx: &mut Tx<'_>, path: &RegistryPath) -> Result<RegistryResource> {
    if let Some(found) = sql::find(tx, path)? {
        return Ok(found);
    }
    subscriptions::require(tx, path.group.subscription)?;
    groups::require(tx, &path.group)?;
    Err(Error::no_resource(
        REGISTRY_TYPE,
        &path.name,
        &path.group.name,
    ))
}

/// Fails if the registry that every installation begins with is in this group: it is not deleted, so neither is its group.
pub(crate) fn holds_no_default(tx: &mut Tx<'_>, group: &GroupPath) -> Result<()> {
    let held = tx.query_one(
        "SELECT 1 FROM registry_resources WHERE registry_id = ?1 AND subscription_id = ?2 AND group_key = ?3",
        params![
            RegistryId::DEFAULT.get(),
            &group.subscription.to_string(),
            &group.key()
        ],
        |row| row.get_i64(0),
    )?;
    if held.is_none() {
        return Ok(());
    }
    Err(default_stays())
}

fn default_stays() -> Error {
    Error::conflict(
        "DefaultRegistry",
        "The registry of this server's configuration, and the resource group it is in, cannot be deleted.",
    )
}

/// Whether this can be a name, whatever is there.
pub fn check_name(name: &str) -> Result<()> {
    Ok(check_registry_name(name)?)
}

impl Control {
    /// A registry.
    pub async fn registry(&self, actor: &Actor, path: &RegistryPath) -> Result<RegistryResource> {
        actor.check(&path.scope()?)?;
        let path = path.clone();
        self.read(move |tx| require(tx, &path)).await
    }

    /// Fails if there is no such registry: for requests about something below it.
    pub async fn within(&self, actor: &Actor, path: &RegistryPath) -> Result<()> {
        if !path.scope()?.contains(actor.scope()) {
            return actor.check(&path.scope()?);
        }
        let path = path.clone();
        self.read(move |tx| require(tx, &path).map(drop)).await
    }

    /// A page of registries, by name, after one. Which of them a caller may read is decided by the caller.
    pub async fn registries(
        &self,
        within: &Within,
        after: &str,
        limit: u32,
    ) -> Result<Vec<RegistryResource>> {
        let (within, after) = (within.clone(), after.to_owned());
        self.read(move |tx| {
            subscriptions::require(tx, within.subscription())?;
            let group = within
                .group()
                .map(|group| groups::require(tx, group))
                .transpose()?;
            let key = group.map(|group| group.path.key());
            Ok(sql::list(
                tx,
                within.subscription(),
                key.as_deref(),
                &after,
                limit,
            )?)
        })
        .await
    }

    /// Whether a registry could have this name.
    pub async fn check_name(&self, actor: &Actor, asked: &CheckName) -> Result<NameCheck> {
        if !asked.kind.eq_ignore_ascii_case(REGISTRY_TYPE) {
            let message = format!("The type has to be {REGISTRY_TYPE}.");
            return Err(Error::invalid("InvalidParameter", message, "type"));
        }
        if asked.hashed_name {
            return Err(Error::NotAvailable {
                feature: "generated domain name labels",
                target: Some("autoGeneratedDomainNameLabelScope"),
            });
        }
        let subscription = actor.scope().clone();
        if let Err(error) = check_registry_name(&asked.name) {
            return Ok(NameCheck::Invalid(format!(
                "The registry name '{}' is invalid: {error}.",
                asked.name
            )));
        }
        let name = asked.name.to_ascii_lowercase();
        let taken = self
            .read(move |tx| {
                if let Some(Ok(id)) = subscription.subscription_id().map(lazuli_wire::Guid::parse) {
                    subscriptions::require(tx, id)?;
                }
                Ok(lazuli_identity::registry_id(tx, &name)?.is_some())
            })
            .await?;
        Ok(if taken {
            NameCheck::Taken(format!("The registry {} is already in use.", asked.name))
        } else {
            NameCheck::Free
        })
    }
}
