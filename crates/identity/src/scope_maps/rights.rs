//! Everything that decides what one token may do, in memory.

use std::sync::Arc;

use lazuli_db::{Error, Result, Tx, params};
use lazuli_wire::Guid;
use lazuli_wire::rbac::ScopeMapAction;
use lazuli_wire::token::Actions;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::store;
use crate::passwords::PasswordHash;
use crate::principal::RegistryId;
use crate::rbac::policy;

/// Bytes the cache may hold, about.
const CAPACITY: u64 = 16 * 1024 * 1024;

/// A password of a token.
pub(crate) struct StoredPassword {
    pub(crate) hash: PasswordHash,
    /// Microseconds.
    pub(crate) expires_at: Option<i64>,
}

/// A token, as it was read.
pub(crate) struct TokenRights {
    /// Of the policy.
    pub(crate) generation: i64,
    /// Whether there is a token of the name.
    pub(crate) exists: bool,
    pub(crate) name: Box<str>,
    pub(crate) object: Guid,
    pub(crate) enabled: bool,
    pub(crate) passwords: Vec<StoredPassword>,
    actions: Vec<ScopeMapAction>,
}

impl TokenRights {
    /// An enabled token that may do this.
    #[cfg(test)]
    pub(crate) fn of(actions: Vec<ScopeMapAction>) -> Self {
        Self {
            generation: 0,
            exists: true,
            name: "CI".into(),
            object: Guid::from_bytes([7; 16]),
            enabled: true,
            passwords: Vec::new(),
            actions,
        }
    }

    /// What the token may do with a repository: what any of the map's actions allows.
    pub(crate) fn on_repository(&self, repository: &str) -> Actions {
        self.actions
            .iter()
            .filter(|entry| entry.repositories.matches(repository))
            .map(|entry| entry.action)
            .collect()
    }
}

/// Reads a token by the key of its name. For one that is not there the database has the same work.
pub(crate) fn load(tx: &mut Tx<'_>, registry: RegistryId, key: &str) -> Result<TokenRights> {
    // First: whatever is read after it is at least as new.
    let generation = policy::generation(tx)?;
    let token = store::token(tx, registry, key)?;
    let scope_map = token.as_ref().map_or("-", |token| &token.scope_map);
    let map = store::map(tx, registry, scope_map)?;
    let passwords = tx.query(
        "SELECT salt, iterations, hash, expires_at FROM credentials
         WHERE registry_id = ?1 AND kind = 'token' AND owner = ?2 ORDER BY name LIMIT 10",
        params![registry.get(), key],
        |row| {
            let hash = PasswordHash::from_columns(
                row.get_bytes(0)?,
                row.get_i64(1)?,
                row.get_bytes_ref(2)?,
            );
            Ok(StoredPassword {
                hash: hash.ok_or(Error::Corrupt("credentials.hash"))?,
                expires_at: row.get_i64_opt(3)?,
            })
        },
    )?;
    Ok(TokenRights {
        generation,
        exists: token.is_some(),
        name: token.as_ref().map_or(key, |token| &token.name).into(),
        object: token.as_ref().map_or(Guid::ZERO, |token| token.object_id),
        enabled: token.is_some_and(|token| token.enabled),
        passwords,
        // Without its map a token may do nothing.
        actions: map.map(|map| map.actions).unwrap_or_default(),
    })
}

#[derive(Clone)]
struct Weight;

impl Weighter<(RegistryId, Box<str>), Arc<TokenRights>> for Weight {
    fn weight(&self, key: &(RegistryId, Box<str>), rights: &Arc<TokenRights>) -> u64 {
        (512 + key.1.len() + 64 * rights.actions.len()) as u64
    }
}

/// A bounded cache of tokens.
pub(crate) struct TokenRightsCache(Cache<(RegistryId, Box<str>), Arc<TokenRights>, Weight>);

impl TokenRightsCache {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, Weight))
    }

    pub(crate) fn get(
        &self,
        registry: RegistryId,
        key: &str,
        generation: i64,
    ) -> Option<Arc<TokenRights>> {
        self.0
            .get(&(registry, key.into()))
            .filter(|rights| rights.generation >= generation)
    }

    pub(crate) fn insert(&self, registry: RegistryId, key: &str, rights: Arc<TokenRights>) {
        self.0.insert((registry, key.into()), rights);
    }
}
