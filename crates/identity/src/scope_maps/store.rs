//! The rows of scope maps, tokens and their passwords. Every function takes a transaction; those that change something note it in
//! [`policy`].

use lazuli_db::{Error, Result, Row, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::rbac::ScopeMapAction;

use super::system_maps;
use crate::principal::RegistryId;
use crate::rbac::policy;

mod passwords;

pub use passwords::{
    TokenPassword, TokenPasswordName, keep_passwords, list_passwords, put_password,
};

/// Scope maps or tokens in a list at most; a registry has no more (as many as Azure's largest tier allows).
const MAX_ROWS: i64 = 50_000;

/// Actions of one scope map at most.
pub const MAX_ACTIONS: usize = 500;

/// A scope map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeMap {
    /// Its name. Compares in lower case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it allows.
    pub actions: Vec<ScopeMapAction>,
    /// Whether every registry has it, and nobody can change it.
    pub is_system: bool,
    /// Grows with every change.
    pub version: i64,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
}

/// A token: a user name for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryToken {
    /// Its name. Compares in lower case.
    pub name: String,
    /// What it is known by in tokens and logs; another one after it was deleted and made again.
    pub object_id: Guid,
    /// The name of its scope map.
    pub scope_map: String,
    /// Whether it may sign in, and what it was given counts.
    pub enabled: bool,
    /// Grows with every change.
    pub version: i64,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
}

/// Why a scope map or a token cannot be stored or removed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ScopeMapError {
    /// The maps that every registry has never change.
    #[error("the scope map {0} is system-defined and cannot be changed")]
    System(String),
    /// Too many actions.
    #[error("a scope map has at most 500 actions")]
    TooManyActions,
    /// Tokens use the map.
    #[error("the token {0} uses the scope map")]
    InUse(String),
    /// There is no such map.
    #[error("there is no scope map {0}")]
    UnknownMap(String),
    /// There is no such token.
    #[error("there is no token {0}")]
    UnknownToken(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] lazuli_db::Error),
}

fn read_map(row: &Row<'_>) -> Result<ScopeMap> {
    Ok(ScopeMap {
        name: row.get_string(0)?,
        description: row.get_string(1)?,
        actions: serde_json::from_str(row.get_text(2)?)
            .map_err(|_| Error::Corrupt("scope_maps.actions"))?,
        is_system: row.get_bool(3)?,
        version: row.get_i64(4)?,
        created_at: row.get_i64(5)?,
    })
}

fn read_token(row: &Row<'_>) -> Result<RegistryToken> {
    Ok(RegistryToken {
        name: row.get_string(0)?,
        object_id: Guid::parse(row.get_text(1)?)
            .map_err(|_| Error::Corrupt("registry_tokens.object_id"))?,
        scope_map: row.get_string(2)?,
        enabled: row.get_bool(3)?,
        version: row.get_i64(4)?,
        created_at: row.get_i64(5)?,
    })
}

/// When the registry was made: since then it has its system maps.
fn made_at(tx: &mut Tx<'_>, registry: RegistryId) -> Result<i64> {
    let made_at = tx.query_one(
        "SELECT created_at FROM registries WHERE id = ?1",
        params![registry.get()],
        |row| row.get_i64(0),
    )?;
    Ok(made_at.unwrap_or(0))
}

fn system(tx: &mut Tx<'_>, registry: RegistryId) -> Result<Vec<ScopeMap>> {
    let created_at = made_at(tx, registry)?;
    let maps = system_maps().iter().map(|map| ScopeMap {
        name: map.name.to_owned(),
        description: map.description.to_owned(),
        actions: map.actions.clone(),
        is_system: true,
        version: 1,
        created_at,
    });
    Ok(maps.collect())
}

/// All scope maps of a registry, by name, the system's among them.
pub fn list_maps(tx: &mut Tx<'_>, registry: RegistryId) -> Result<Vec<ScopeMap>> {
    let mut maps = system(tx, registry)?;
    maps.extend(tx.query(
        "SELECT name, description, actions, is_system, version, created_at FROM scope_maps
         WHERE registry_id = ?1 ORDER BY name_key LIMIT ?2",
        params![registry.get(), MAX_ROWS],
        read_map,
    )?);
    Ok(maps)
}

/// A scope map by its name.
pub fn map(tx: &mut Tx<'_>, registry: RegistryId, name: &str) -> Result<Option<ScopeMap>> {
    let key = name.to_lowercase();
    if key.starts_with('_') {
        let known = system(tx, registry)?;
        return Ok(known.into_iter().find(|map| map.name == key));
    }
    tx.query_one(
        "SELECT name, description, actions, is_system, version, created_at FROM scope_maps
         WHERE registry_id = ?1 AND name_key = ?2",
        params![registry.get(), &key],
        read_map,
    )
}

/// Makes a scope map or replaces the one of its name; its version is counted here.
pub fn put_map(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    map: &ScopeMap,
) -> std::result::Result<(), ScopeMapError> {
    let key = map.name.to_lowercase();
    if key.starts_with('_') {
        return Err(ScopeMapError::System(map.name.clone()));
    }
    if map.actions.len() > MAX_ACTIONS {
        return Err(ScopeMapError::TooManyActions);
    }
    let actions = serde_json::to_string(&map.actions).unwrap_or_default();
    tx.execute(
        "INSERT INTO scope_maps (registry_id, name_key, name, description, actions, is_system, version, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 1, ?6)
         ON CONFLICT (registry_id, name_key) DO UPDATE SET description = excluded.description,
           actions = excluded.actions, version = scope_maps.version + 1",
        params![
            registry.get(),
            &key,
            &map.name,
            &map.description,
            &actions,
            map.created_at
        ],
    )?;
    policy::bump(tx)?;
    Ok(())
}

/// Removes a scope map that no token uses; `false` when there is none.
pub fn delete_map(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    name: &str,
) -> std::result::Result<bool, ScopeMapError> {
    let key = name.to_lowercase();
    if key.starts_with('_') && map(tx, registry, &key)?.is_some() {
        return Err(ScopeMapError::System(name.to_owned()));
    }
    let user = tx.query_one(
        "SELECT name FROM registry_tokens WHERE registry_id = ?1 AND scope_map = ?2",
        params![registry.get(), &key],
        |row| row.get_string(0),
    )?;
    if let Some(user) = user {
        return Err(ScopeMapError::InUse(user));
    }
    let deleted = tx.execute(
        "DELETE FROM scope_maps WHERE registry_id = ?1 AND name_key = ?2",
        params![registry.get(), &key],
    )?;
    if deleted > 0 {
        policy::bump(tx)?;
    }
    Ok(deleted > 0)
}

/// All tokens of a registry, by name.
pub fn list_tokens(tx: &mut Tx<'_>, registry: RegistryId) -> Result<Vec<RegistryToken>> {
    tx.query(
        "SELECT name, object_id, scope_map, enabled, version, created_at FROM registry_tokens
         WHERE registry_id = ?1 ORDER BY name_key LIMIT ?2",
        params![registry.get(), MAX_ROWS],
        read_token,
    )
}

/// A token by its name.
pub fn token(tx: &mut Tx<'_>, registry: RegistryId, name: &str) -> Result<Option<RegistryToken>> {
    tx.query_one(
        "SELECT name, object_id, scope_map, enabled, version, created_at FROM registry_tokens
         WHERE registry_id = ?1 AND name_key = ?2",
        params![registry.get(), &name.to_lowercase()],
        read_token,
    )
}

/// Makes a token, or changes scope map and state of the one of its name; its version is counted here.
pub fn put_token(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    token: &RegistryToken,
) -> std::result::Result<(), ScopeMapError> {
    if map(tx, registry, &token.scope_map)?.is_none() {
        return Err(ScopeMapError::UnknownMap(token.scope_map.clone()));
    }
    tx.execute(
        "INSERT INTO registry_tokens (registry_id, name_key, name, object_id, scope_map, enabled, version, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)
         ON CONFLICT (registry_id, name_key) DO UPDATE SET scope_map = excluded.scope_map, enabled = excluded.enabled,
           version = registry_tokens.version + 1",
        params![
            registry.get(),
            &token.name.to_lowercase(),
            &token.name,
            &token.object_id.to_string(),
            &token.scope_map.to_lowercase(),
            token.enabled,
            token.created_at
        ],
    )?;
    policy::bump(tx)?;
    Ok(())
}

/// Removes a token and its passwords; `false` when there is none. What it was given ends at once.
pub fn delete_token(tx: &mut Tx<'_>, registry: RegistryId, name: &str) -> Result<bool> {
    let key = name.to_lowercase();
    tx.execute(
        "DELETE FROM credentials WHERE registry_id = ?1 AND kind = 'token' AND owner = ?2",
        params![registry.get(), &key],
    )?;
    let deleted = tx.execute(
        "DELETE FROM registry_tokens WHERE registry_id = ?1 AND name_key = ?2",
        params![registry.get(), &key],
    )?;
    policy::bump(tx)?;
    Ok(deleted > 0)
}

/// Removes all scope maps, tokens and their passwords of a registry that is deleted.
pub fn delete_all(tx: &mut Tx<'_>, registry: RegistryId) -> Result<()> {
    for sql in [
        "DELETE FROM credentials WHERE registry_id = ?1 AND kind = 'token'",
        "DELETE FROM registry_tokens WHERE registry_id = ?1",
        "DELETE FROM scope_maps WHERE registry_id = ?1",
    ] {
        tx.execute(sql, params![registry.get()])?;
    }
    policy::bump(tx)
}
