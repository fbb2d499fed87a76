//! Locks: what they hold fast, and how they are made.

use lazuli_db::{Row, Tx, params};
use lazuli_wire::arm::{LockBody, LockLevel, check_lock_name};
use lazuli_wire::arm_scope::ArmScope;

use crate::actor::Actor;
use crate::control::{Control, Made};
use crate::{Error, Result};

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The resource that is locked, in lower case.
    pub scope: ArmScope,
    /// Its name.
    pub name: String,
    /// How strong it is.
    pub level: LockLevel,
    /// What it is for.
    pub notes: Option<String>,
}

/// How a change meets locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A lock that allows reading only stands against it.
    Write,
    /// Every lock stands against it, those of what is below too.
    Delete,
    /// No lock stands against it: it is about locks.
    OfLocks,
}

const SELECT_AT: &str = "SELECT scope, name, level, notes FROM resource_locks WHERE scope = ?1 ORDER BY name_key LIMIT 1000";

fn read(row: &Row<'_>) -> lazuli_db::Result<Lock> {
    let corrupt = lazuli_db::Error::Corrupt;
    Ok(Lock {
        scope: ArmScope::parse(row.get_text(0)?).map_err(|_| corrupt("resource_locks.scope"))?,
        name: row.get_string(1)?,
        level: LockLevel::parse(row.get_text(2)?).ok_or(corrupt("resource_locks.level"))?,
        notes: row.get_string_opt(3)?,
    })
}

/// Those on exactly this resource.
fn at(tx: &mut Tx<'_>, key: &str) -> lazuli_db::Result<Vec<Lock>> {
    tx.query(SELECT_AT, params![key], read)
}

fn below(tx: &mut Tx<'_>, scope: &ArmScope) -> lazuli_db::Result<Vec<Lock>> {
    let (from, to) = if scope.is_root() {
        ("/".to_owned(), "0".to_owned())
    } else {
        (format!("{}/", scope.key()), format!("{}0", scope.key()))
    };
    tx.query(
        "SELECT scope, name, level, notes FROM resource_locks WHERE scope > ?1 AND scope < ?2 ORDER BY scope, name_key
         LIMIT 1000",
        params![&from, &to],
        read,
    )
}

/// Fails if a lock stands against a change.
pub(crate) fn check(tx: &mut Tx<'_>, scope: &ArmScope, change: Change) -> Result<()> {
    let stands = |lock: &Lock| match change {
        Change::Write => lock.level == LockLevel::ReadOnly,
        Change::Delete => true,
        Change::OfLocks => false,
    };
    if change == Change::OfLocks {
        return Ok(());
    }
    for key in scope.ancestor_keys() {
        if let Some(lock) = at(tx, key)?.iter().find(|lock| stands(lock)) {
            return Err(locked(scope, lock, change));
        }
    }
    if change == Change::Delete
        && let Some(lock) = below(tx, scope)?.first()
    {
        return Err(locked(scope, lock, change));
    }
    Ok(())
}

fn locked(scope: &ArmScope, lock: &Lock, change: Change) -> Error {
    let what = match change {
        Change::Delete => "delete",
        Change::Write | Change::OfLocks => "write",
    };
    Error::conflict(
        "ScopeLocked",
        format!(
            "The scope '{scope}' cannot perform {what} operation because following scope(s) are locked: '{}'. Please remove \
             the lock '{}' and try again.",
            lock.scope, lock.name
        ),
    )
}

/// Removes the locks of a resource that goes, and of what is below it. There are none, or it would not go.
pub(crate) fn remove_with(tx: &mut Tx<'_>, scope: &ArmScope) -> Result<()> {
    tx.execute(
        "DELETE FROM resource_locks WHERE scope = ?1",
        params![scope.key()],
    )?;
    Ok(())
}

impl Control {
    /// The locks that hold a resource: its own, and those above it; at a subscription or group also those below.
    pub async fn locks(&self, actor: &Actor) -> Result<Vec<Lock>> {
        let scope = actor.scope().clone();
        self.read(move |tx| {
            let mut found = Vec::new();
            for key in scope.ancestor_keys() {
                found.extend(at(tx, key)?);
            }
            found.extend(below(tx, &scope)?);
            Ok(found)
        })
        .await
    }

    /// A lock of a resource.
    pub async fn lock(&self, actor: &Actor, name: &str) -> Result<Lock> {
        let (scope, name) = (actor.scope().clone(), name.to_owned());
        self.read(move |tx| find(tx, &scope, &name)?.ok_or_else(|| no_lock(&name)))
            .await
    }

    /// Makes a lock, or changes it. Returns whether it is new.
    pub async fn put_lock(
        &self,
        actor: &Actor,
        name: &str,
        body: LockBody,
    ) -> Result<(Lock, bool)> {
        check_lock_name(name)?;
        if body.notes.as_ref().is_some_and(|notes| notes.len() > 2048) {
            let message = "the notes of a lock have at most 512 characters";
            return Err(Error::invalid(
                "InvalidParameter",
                message,
                "properties.notes",
            ));
        }
        let (scope, name) = (actor.scope().clone(), name.to_owned());
        let resource = scope.clone();
        self.change(actor, &resource, Change::OfLocks, move |tx, now| {
            let known = find(tx, &scope, &name)?;
            tx.execute(
                "INSERT INTO resource_locks (scope, name_key, name, level, notes, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (scope, name_key) DO UPDATE SET level = excluded.level, notes = excluded.notes",
                params![
                    scope.key(),
                    &name.to_lowercase(),
                    &name,
                    body.level.as_str(),
                    body.notes.as_deref(),
                    now
                ],
            )?;
            let lock = find(tx, &scope, &name)?.ok_or_else(|| no_lock(&name))?;
            let detail = serde_json::json!({"lock": name, "level": body.level.as_str()});
            Ok(Made::change((lock, known.is_none())).detail(detail))
        })
        .await
    }

    /// Removes a lock; `false` when there was none.
    pub async fn delete_lock(&self, actor: &Actor, name: &str) -> Result<bool> {
        let (scope, name) = (actor.scope().clone(), name.to_owned());
        let resource = scope.clone();
        self.change(actor, &resource, Change::OfLocks, move |tx, _| {
            let removed = tx.execute(
                "DELETE FROM resource_locks WHERE scope = ?1 AND name_key = ?2",
                params![scope.key(), &name.to_lowercase()],
            )?;
            if removed == 0 {
                return Ok(Made::nothing(false));
            }
            Ok(Made::change(true).detail(serde_json::json!({"lock": name})))
        })
        .await
    }
}

fn find(tx: &mut Tx<'_>, scope: &ArmScope, name: &str) -> Result<Option<Lock>> {
    Ok(tx.query_one(
        "SELECT scope, name, level, notes FROM resource_locks WHERE scope = ?1 AND name_key = ?2",
        params![scope.key(), &name.to_lowercase()],
        read,
    )?)
}

fn no_lock(name: &str) -> Error {
    Error::NotFound {
        code: "LockNotFound",
        message: format!("The lock '{name}' could not be found."),
    }
}
