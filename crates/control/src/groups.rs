//! Resource groups.

use std::collections::BTreeMap;

use lazuli_db::{Row, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::arm::{GroupBody, GroupPath, check_group_name, check_tags};

use crate::actor::Actor;
use crate::control::{Control, Made};
use crate::locks::{self, Change};
use crate::{Error, Result, registries, subscriptions};

/// A resource group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where it is.
    pub path: GroupPath,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

const SELECT: &str = "SELECT subscription_id, name, location, tags FROM resource_groups
    WHERE subscription_id = ?1 AND group_key = ?2";
const LIST: &str = "SELECT subscription_id, name, location, tags FROM resource_groups
    WHERE subscription_id = ?1 AND group_key > ?2 ORDER BY group_key LIMIT ?3";

fn read(row: &Row<'_>) -> lazuli_db::Result<Group> {
    let corrupt = lazuli_db::Error::Corrupt;
    Ok(Group {
        path: GroupPath {
            subscription: Guid::parse(row.get_text(0)?)
                .map_err(|_| corrupt("resource_groups.subscription_id"))?,
            name: row.get_text(1)?.into(),
        },
        location: row.get_string(2)?,
        tags: serde_json::from_str(row.get_text(3)?)
            .map_err(|_| corrupt("resource_groups.tags"))?,
    })
}

pub(crate) fn find(tx: &mut Tx<'_>, path: &GroupPath) -> lazuli_db::Result<Option<Group>> {
    let subscription = path.subscription.to_string();
    tx.query_one(SELECT, params![&subscription, &path.key()], read)
}

/// Fails if there is no such group.
pub(crate) fn require(tx: &mut Tx<'_>, path: &GroupPath) -> Result<Group> {
    find(tx, path)?.ok_or_else(|| unknown(path))
}

pub(crate) fn unknown(path: &GroupPath) -> Error {
    Error::NotFound {
        code: "ResourceGroupNotFound",
        message: format!("Resource group '{}' could not be found.", path.name),
    }
}

/// Locations as Azure compares them: in lower case, without spaces.
pub(crate) fn location(text: &str) -> Result<String> {
    let normal: String = text
        .chars()
        .filter(|character| *character != ' ')
        .flat_map(char::to_lowercase)
        .collect();
    let is_good = (1..=64).contains(&normal.len())
        && normal
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_good.then_some(normal).ok_or_else(|| {
        let message = format!("The provided location '{text}' is not the name of a location, such as 'eastus' or 'local'.");
        Error::invalid("LocationNotAvailableForResourceGroup", message, "location")
    })
}

pub(crate) fn insert(tx: &mut Tx<'_>, group: &Group, now: i64) -> lazuli_db::Result<()> {
    let tags = serde_json::json!(group.tags).to_string();
    tx.execute(
        "INSERT INTO resource_groups (subscription_id, group_key, name, location, tags, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (subscription_id, group_key) DO UPDATE SET tags = excluded.tags, updated_at = excluded.updated_at",
        params![
            &group.path.subscription.to_string(),
            &group.path.key(),
            &*group.path.name,
            &group.location,
            &tags,
            now
        ],
    )
    .map(drop)
}

impl Control {
    /// A page of the groups of a subscription, after a key. Which of them a caller may read is decided by the caller.
    pub async fn groups(&self, subscription: Guid, after: &str, limit: u32) -> Result<Vec<Group>> {
        let after = after.to_owned();
        self.read(move |tx| {
            subscriptions::require(tx, subscription)?;
            let id = subscription.to_string();
            Ok(tx.query(LIST, params![&id, &after, limit], read)?)
        })
        .await
    }

    /// A group.
    pub async fn group(&self, actor: &Actor, path: &GroupPath) -> Result<Group> {
        actor.check(&path.scope()?)?;
        let path = path.clone();
        self.read(move |tx| {
            subscriptions::require(tx, path.subscription)?;
            require(tx, &path)
        })
        .await
    }

    /// Makes a group, or replaces its tags. Returns whether it is new.
    pub async fn put_group(
        &self,
        actor: &Actor,
        path: &GroupPath,
        body: GroupBody,
    ) -> Result<(Group, bool)> {
        check_group_name(&path.name)?;
        let wanted = body.location.as_deref().map(location).transpose()?;
        let tags = body.tags.unwrap_or_default();
        check_tags(&tags)?;
        not_managed(body.managed_by.as_deref())?;
        let path = path.clone();
        self.change(actor, &path.scope()?, Change::Write, move |tx, now| {
            subscriptions::require(tx, path.subscription)?;
            let known = find(tx, &path)?;
            let location = match (&known, &wanted) {
                (Some(known), Some(wanted)) if known.location != *wanted => {
                    return Err(Error::conflict(
                        "InvalidResourceGroupLocation",
                        format!(
                            "Invalid resource group location '{wanted}'. The Resource group already exists in location '{}'.",
                            known.location
                        ),
                    ));
                }
                (Some(known), _) => known.location.clone(),
                (None, Some(wanted)) => wanted.clone(),
                (None, None) => {
                    let message = "The location property is required for this definition.";
                    return Err(Error::invalid("LocationRequired", message, "location"));
                }
            };
            let group = Group {
                path: known.as_ref().map_or_else(|| path.clone(), |known| known.path.clone()),
                location,
                tags: tags.clone(),
            };
            if known.as_ref() == Some(&group) {
                return Ok(Made::nothing((group, false)));
            }
            insert(tx, &group, now)?;
            Ok(Made::change((group, known.is_none())))
        })
        .await
    }

    /// Changes the tags of a group.
    pub async fn patch_group(
        &self,
        actor: &Actor,
        path: &GroupPath,
        body: GroupBody,
    ) -> Result<Group> {
        not_managed(body.managed_by.as_deref())?;
        if let Some(tags) = &body.tags {
            check_tags(tags)?;
        }
        let path = path.clone();
        self.change(actor, &path.scope()?, Change::Write, move |tx, now| {
            let mut group = require(tx, &path)?;
            let Some(tags) = body.tags.clone().filter(|tags| *tags != group.tags) else {
                return Ok(Made::nothing(group));
            };
            group.tags = tags;
            insert(tx, &group, now)?;
            Ok(Made::change(group))
        })
        .await
    }

    /// Deletes a group and what is in it; `false` when there is none. Each resource goes by itself: what is gone stays gone
    /// if another one cannot go.
    pub async fn delete_group(&self, actor: &Actor, path: &GroupPath) -> Result<bool> {
        let scope = path.scope()?;
        actor.check(&scope)?;
        let (wanted, locked) = (path.clone(), scope.clone());
        let is_there = self
            .read(move |tx| {
                subscriptions::require(tx, wanted.subscription)?;
                locks::check(tx, &locked, Change::Delete)?;
                registries::holds_no_default(tx, &wanted)?;
                Ok(find(tx, &wanted)?.is_some())
            })
            .await?;
        if !is_there {
            return Ok(false);
        }
        self.empty_group(actor, path).await?;
        let (wanted, below) = (path.clone(), scope.clone());
        self.change(actor, &scope, Change::Delete, move |tx, _| {
            is_empty(tx, &wanted)?;
            let removed = tx.execute(
                "DELETE FROM resource_groups WHERE subscription_id = ?1 AND group_key = ?2",
                params![&wanted.subscription.to_string(), &wanted.key()],
            )?;
            lazuli_identity::rbac::store::delete_assignments_below(tx, &below)?;
            locks::remove_with(tx, &below)?;
            Ok(if removed == 0 {
                Made::nothing(false)
            } else {
                Made::change(true)
            })
        })
        .await
    }
}

/// Fails if something was made in the group while it was being emptied.
fn is_empty(tx: &mut Tx<'_>, path: &GroupPath) -> Result<()> {
    let left = tx.query_one(
        "SELECT 1 FROM registry_resources WHERE subscription_id = ?1 AND group_key = ?2 LIMIT 1",
        params![&path.subscription.to_string(), &path.key()],
        |row| row.get_i64(0),
    )?;
    if left.is_some() {
        let message = format!(
            "Resources were made in the resource group '{}' while it was being deleted. Delete it again.",
            path.name
        );
        return Err(Error::conflict("ResourceGroupBeingDeleted", message));
    }
    Ok(())
}

fn not_managed(managed_by: Option<&str>) -> Result<()> {
    if managed_by.is_some() {
        return Err(Error::NotAvailable {
            feature: "groups that others manage",
            target: Some("managedBy"),
        });
    }
    Ok(())
}
