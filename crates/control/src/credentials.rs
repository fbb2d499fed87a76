//! The admin user of a registry, and what the registry uses.

use lazuli_db::params;
use lazuli_identity::{AdminCredentials, AdminPassword, put_admin_password};
use lazuli_wire::arm::RegistryPath;

use crate::actor::Actor;
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::registries::{RegistryResource, require};
use crate::tiers::{self, Limits};
use crate::{Error, Result};

/// What a registry uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of blobs, each counted once.
    pub size: i64,
    /// Scope maps that people made.
    pub scope_maps: i64,
    /// Tokens.
    pub tokens: i64,
    /// Rules for addresses.
    pub ip_rules: i64,
    /// What its tier allows.
    pub limits: Limits,
}

impl Control {
    /// The admin user's name and passwords.
    pub async fn admin_credentials(
        &self,
        actor: &Actor,
        path: &RegistryPath,
    ) -> Result<AdminCredentials> {
        let registry = self.registry(actor, path).await?;
        has_admin(&registry)?;
        Ok(self.inner().identity.admin_credentials(registry.id).await?)
    }

    /// Replaces one of the admin user's passwords; returns both.
    pub async fn regenerate_credential(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        which: &str,
    ) -> Result<AdminCredentials> {
        let which = AdminPassword::parse(which).ok_or_else(|| {
            let message =
                format!("'{which}' is not the name of a password: password or password2.");
            Error::invalid("InvalidParameter", message, "name")
        })?;
        let registry = self.registry(actor, path).await?;
        has_admin(&registry)?;
        let password = self
            .inner()
            .identity
            .generate_admin_password(registry.id, which)?;
        let (wanted, id) = (path.clone(), registry.id);
        self.change(actor, &path.scope()?, Change::Write, move |tx, now| {
            let registry = require(tx, &wanted)?;
            has_admin(&registry)?;
            if registry.id != id {
                return Err(lazuli_db::Error::Conflict.into());
            }
            put_admin_password(tx, id, &password, now)?;
            let detail = serde_json::json!({"password": which.as_str()});
            Ok(Made::change(()).of(id).detail(detail))
        })
        .await?;
        self.inner().identity.reload_registry(id).await?;
        Ok(self.inner().identity.admin_credentials(id).await?)
    }

    /// What a registry uses of what it may.
    pub async fn usage(&self, actor: &Actor, path: &RegistryPath) -> Result<Usage> {
        actor.check(&path.scope()?)?;
        let path = path.clone();
        self.read(move |tx| {
            let registry = require(tx, &path)?;
            let size = tx.query_one(
                "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE registry_id = ?1 AND condemned_at IS NULL",
                params![registry.id.get()],
                |row| row.get_i64(0),
            )?;
            let (scope_maps, tokens) = tiers::counts(tx, registry.id)?;
            Ok(Usage {
                size: size.unwrap_or(0),
                scope_maps,
                tokens,
                ip_rules: registry.settings.ip_rules.len() as i64,
                limits: tiers::limits(registry.sku),
            })
        })
        .await
    }
}

fn has_admin(registry: &RegistryResource) -> Result<()> {
    if registry.admin_user {
        return Ok(());
    }
    let message = format!(
        "The admin user of the registry '{}' is disabled. Enable it by setting adminUserEnabled to true.",
        registry.path.name
    );
    Err(Error::invalid(
        "UnAuthorizedForCredentialOperations",
        message,
        "",
    ))
}
