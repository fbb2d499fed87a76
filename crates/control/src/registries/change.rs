//! Registries are made and changed.

use lazuli_db::Tx;
use lazuli_identity::{NewRegistry, RegistryId, insert_registry, rbac::policy};
use lazuli_wire::arm::{RegistryBody, RegistryPath, Sku, check_registry_name, check_tags};

use super::settings::{Settings, missing_in};
use super::{RegistryResource, require, sql};
use crate::actor::{Actor, Precondition};
use crate::control::{Control, Made};
use crate::locks::Change;
use crate::{Error, Result, groups, subscriptions, tiers};

/// What became of a registry.
enum Outcome {
    Made(RegistryResource),
    Changed(RegistryResource),
    /// There is none: keys have to be made first.
    Missing,
}

impl Control {
    /// Makes a registry, or replaces what is said of it: what the body leaves out goes back to its default. Returns whether it is
    /// new.
    pub async fn put_registry(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        body: RegistryBody,
        condition: Precondition,
    ) -> Result<(RegistryResource, bool)> {
        check_registry_name(&path.name)?;
        check_body(&body)?;
        // Keys take time to make: only when there is really something to make.
        let outcome = self.try_put(actor, path, &body, &condition, None).await?;
        let outcome = match outcome {
            Outcome::Missing => {
                let new = self.inner().identity.prepare_registry().await?;
                self.try_put(actor, path, &body, &condition, Some(new))
                    .await?
            }
            known => known,
        };
        match outcome {
            Outcome::Made(made) => {
                self.registries_changed().await;
                Ok((made, true))
            }
            Outcome::Changed(changed) => {
                self.inner().identity.reload_registry(changed.id).await?;
                Ok((changed, false))
            }
            Outcome::Missing => Err(Error::Database(lazuli_db::Error::Conflict)),
        }
    }

    async fn try_put(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        body: &RegistryBody,
        condition: &Precondition,
        new: Option<NewRegistry>,
    ) -> Result<Outcome> {
        let (path, body, condition) = (path.clone(), body.clone(), condition.clone());
        let (by, hosts) = (actor.object(), self.inner().hosts.get().cloned());
        self.change(actor, &path.scope()?, Change::Write, move |tx, now| {
            subscriptions::require(tx, path.group.subscription)?;
            let group = groups::require(tx, &path.group)?;
            let known = sql::find(tx, &path)?;
            condition.check(known.as_ref().map(|known| known.version))?;
            if let Some(known) = known {
                same_location(&body, &known)?;
                let mut wanted = known.clone();
                wanted.settings = Settings {
                    name: known.settings.name.clone(),
                    ..Settings::default()
                };
                (wanted.admin_user, wanted.abac, wanted.arm_tokens) = (false, false, true);
                wanted.anonymous_pull = false;
                wanted.tags.clear();
                let changed = apply(tx, &known, wanted, &body, &by, now)?;
                return Ok(changed.map(Outcome::Changed));
            }
            if lazuli_identity::registry_id(tx, &path.key())?.is_some() {
                let message = format!(
                    "The registry DNS name {} is already in use. You can check if the name is already claimed using following \
                     API: https://docs.microsoft.com/rest/api/containerregistry/registries/checknameavailability",
                    path.key()
                );
                return Err(Error::conflict("AlreadyInUse", message));
            }
            let location = match &body.location {
                Some(location) => groups::location(location)?,
                None => return Err(Error::invalid(
                    "LocationRequired",
                    "The location property is required for this definition.",
                    "location",
                )),
            };
            if body.sku.is_none() {
                let message = "The sku is required: Basic, Standard or Premium.";
                return Err(Error::invalid("MissingSku", message, "sku"));
            }
            let id = new.as_ref().map_or(RegistryId::new(0), NewRegistry::registry);
            let mut made = RegistryResource {
                id,
                path: RegistryPath { group: group.path, name: path.name.clone() },
                location,
                sku: Sku::Premium,
                admin_user: false,
                abac: false,
                arm_tokens: true,
                anonymous_pull: false,
                tags: std::collections::BTreeMap::new(),
                settings: Settings {
                    name: (path.key() != *path.name).then(|| path.name.to_string()),
                    ..Settings::default()
                },
                version: 1,
                created_at: now,
                created_by: by.clone(),
                updated_at: now,
                updated_by: by.clone(),
                hosts: Vec::new(),
            };
            merge(&mut made, &body);
            check(&made)?;
            let Some(new) = &new else {
                return Ok(Made::nothing(Outcome::Missing));
            };
            if !insert_registry(tx, new, &path.key(), made.anonymous_pull, now)? {
                return Err(lazuli_db::Error::Conflict.into());
            }
            sql::put(tx, &made)?;
            if let Some(hosts) = &hosts {
                let taken = sql::taken_hosts(tx)?;
                for host in hosts.allocate(&path.key(), &taken) {
                    sql::add_host(tx, id, &host)?;
                }
            }
            policy::bump(tx)?;
            let made = sql::find(tx, &path)?.unwrap_or(made);
            Ok(Made::change(Outcome::Made(made)).of(id))
        })
        .await
    }

    /// Changes what the body says of a registry.
    pub async fn patch_registry(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        body: RegistryBody,
        condition: Precondition,
    ) -> Result<RegistryResource> {
        check_body(&body)?;
        let by = actor.object();
        let (path, scope) = (path.clone(), path.scope()?);
        let changed = self.change(actor, &scope, Change::Write, move |tx, now| {
            let known = require(tx, &path)?;
            condition.check(Some(known.version))?;
            same_location(&body, &known)?;
            apply(tx, &known, known.clone(), &body, &by, now)
        });
        let changed = changed.await?;
        self.inner().identity.reload_registry(changed.id).await?;
        Ok(changed)
    }
}

/// What can be said of a body without looking at what is there.
fn check_body(body: &RegistryBody) -> Result<()> {
    if let Some(tags) = &body.tags {
        check_tags(tags)?;
    }
    missing_in(body)
}

fn same_location(body: &RegistryBody, known: &RegistryResource) -> Result<()> {
    let Some(wanted) = &body.location else {
        return Ok(());
    };
    if groups::location(wanted)? == known.location {
        return Ok(());
    }
    let message = format!(
        "The resource '{}' already exists in location '{}' in resource group '{}'. A resource with the same name cannot be \
         created in location '{wanted}'. Please select a new resource name.",
        known.path.name, known.location, known.path.group.name
    );
    Err(Error::conflict("InvalidResourceLocation", message))
}

/// `start`: what the body is laid over.
fn apply(
    tx: &mut Tx<'_>,
    known: &RegistryResource,
    start: RegistryResource,
    body: &RegistryBody,
    by: &str,
    now: i64,
) -> Result<Made<RegistryResource>> {
    let mut wanted = start;
    merge(&mut wanted, body);
    check(&wanted)?;
    if wanted.sku < known.sku {
        tiers::fits(tx, known.id, wanted.sku)?;
    }
    if wanted == *known {
        return Ok(Made::nothing(wanted).of(known.id));
    }
    wanted.version = known.version + 1;
    wanted.updated_at = now;
    by.clone_into(&mut wanted.updated_by);
    sql::put(tx, &wanted)?;
    policy::bump(tx)?;
    let detail = changes(known, &wanted);
    Ok(Made::change(wanted).of(known.id).detail(detail))
}

fn merge(registry: &mut RegistryResource, body: &RegistryBody) {
    registry.settings.merge(body);
    let flags = [
        (&mut registry.admin_user, body.admin_user),
        (&mut registry.anonymous_pull, body.anonymous_pull),
        (&mut registry.abac, body.abac),
        (&mut registry.arm_tokens, body.arm_tokens),
    ];
    for (flag, wanted) in flags {
        *flag = wanted.unwrap_or(*flag);
    }
    if let Some(sku) = body.sku {
        registry.sku = sku;
    }
    if let Some(tags) = &body.tags {
        registry.tags.clone_from(tags);
    }
}

fn check(registry: &RegistryResource) -> Result<()> {
    registry
        .settings
        .check(registry.sku, registry.anonymous_pull)?;
    registry.settings.missing()
}

/// What decides about access, as it is now, for the log.
fn changes(known: &RegistryResource, wanted: &RegistryResource) -> serde_json::Value {
    let mut changes = serde_json::Map::new();
    let mut note = |name: &str, is_same: bool, value: serde_json::Value| {
        if !is_same {
            changes.insert(name.to_owned(), value);
        }
    };
    note("sku", known.sku == wanted.sku, wanted.sku.as_str().into());
    note(
        "adminUserEnabled",
        known.admin_user == wanted.admin_user,
        wanted.admin_user.into(),
    );
    note(
        "anonymousPullEnabled",
        known.anonymous_pull == wanted.anonymous_pull,
        wanted.anonymous_pull.into(),
    );
    note("abac", known.abac == wanted.abac, wanted.abac.into());
    note(
        "armTokens",
        known.arm_tokens == wanted.arm_tokens,
        wanted.arm_tokens.into(),
    );
    note("tags", known.tags == wanted.tags, true.into());
    serde_json::Value::Object(changes)
}

impl<T> Made<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Made<U> {
        Made {
            value: map(self.value),
            is_change: self.is_change,
            registry: self.registry,
            detail: self.detail,
        }
    }
}
