//! The rows of this crate: registries, signing keys, credentials.

use lazuli_db::{Error, Result, Tx, params, settings};
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::RepositoryPattern;

use crate::keys::Purpose;
use crate::passwords::PasswordHash;
use crate::principal::RegistryId;

/// Which of the admin user's two passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminPassword {
    /// `password`
    First,
    /// `password2`
    Second,
}

impl AdminPassword {
    /// Its name in Azure's interface and in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "password",
            Self::Second => "password2",
        }
    }

    /// The password of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::First, Self::Second]
            .into_iter()
            .find(|password| password.as_str() == name)
    }
}

/// What is read of a registry.
pub(crate) struct Rows {
    pub(crate) name: String,
    pub(crate) anonymous_pull: bool,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) credentials: Vec<CredentialRow>,
    /// The generation of the policy.
    pub(crate) policy: i64,
    /// As a resource of the management plane, if it is one.
    pub(crate) resource: Option<ResourceRow>,
    /// What everybody may pull, even when anonymous pull is off.
    pub(crate) anonymous_repositories: Vec<RepositoryPattern>,
}

/// What a registry's resource decides about access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceRow {
    pub(crate) scope: ArmScope,
    pub(crate) admin_enabled: bool,
    pub(crate) abac: bool,
    pub(crate) arm_tokens: bool,
}

/// A signing key as stored. Times in microseconds.
#[derive(Clone)]
pub(crate) struct KeyRow {
    pub(crate) kid: String,
    pub(crate) purpose: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) retired_at: Option<i64>,
}

/// A password of the admin user as stored.
pub(crate) struct CredentialRow {
    pub(crate) name: String,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) expires_at: Option<i64>,
}

/// Reads a registry; `None` when there is none.
pub(crate) fn load(tx: &mut Tx<'_>, registry: RegistryId) -> Result<Option<Rows>> {
    let id = registry.get();
    let Some((name, anonymous_pull)) = configured(tx, registry)? else {
        return Ok(None);
    };
    let keys = tx.query(
        "SELECT kid, purpose, sealed, created_at, retired_at FROM signing_keys WHERE registry_id = ?1
         ORDER BY created_at DESC, kid LIMIT 100",
        params![id],
        |row| {
            Ok(KeyRow {
                kid: row.get_string(0)?,
                purpose: row.get_string(1)?,
                sealed: row.get_bytes(2)?,
                created_at: row.get_i64(3)?,
                retired_at: row.get_i64_opt(4)?,
            })
        },
    )?;
    let credentials = tx.query(
        "SELECT name, salt, iterations, hash, expires_at FROM credentials
         WHERE registry_id = ?1 AND kind = 'admin' AND owner = '' ORDER BY name LIMIT 10",
        params![id],
        |row| {
            Ok(CredentialRow {
                name: row.get_string(0)?,
                salt: row.get_bytes(1)?,
                iterations: row.get_i64(2)?,
                hash: row.get_bytes(3)?,
                expires_at: row.get_i64_opt(4)?,
            })
        },
    )?;
    let resource = resource(tx, registry, &name)?;
    Ok(Some(Rows {
        name,
        anonymous_pull,
        keys,
        credentials,
        policy: crate::rbac::policy::generation(tx)?,
        resource,
        anonymous_repositories: anonymous_repositories(tx, registry)?,
    }))
}

fn resource(tx: &mut Tx<'_>, registry: RegistryId, name: &str) -> Result<Option<ResourceRow>> {
    let row = tx.query_one(
        "SELECT subscription_id, resource_group, admin_enabled, abac, arm_tokens FROM registry_resources
         WHERE registry_id = ?1",
        params![registry.get()],
        |row| {
            let scope = ArmScope::registry(row.get_text(0)?, row.get_text(1)?, name);
            Ok(ResourceRow {
                scope: scope.map_err(|_| Error::Corrupt("registry_resources.resource_group"))?,
                admin_enabled: row.get_bool(2)?,
                abac: row.get_bool(3)?,
                arm_tokens: row.get_bool(4)?,
            })
        },
    )?;
    Ok(row)
}

/// The setting that holds what everybody may pull from a registry.
fn anonymous_setting(registry: RegistryId) -> String {
    format!("anonymous_repositories.{registry}")
}

/// What everybody may pull from a registry, even when anonymous pull is off.
pub(crate) fn anonymous_repositories(
    tx: &mut Tx<'_>,
    registry: RegistryId,
) -> Result<Vec<RepositoryPattern>> {
    match settings::get(tx, &anonymous_setting(registry))? {
        Some(text) => serde_json::from_str(&text).map_err(|_| Error::Corrupt("settings.value")),
        None => Ok(Vec::new()),
    }
}

/// Sets it.
pub(crate) fn set_anonymous_repositories(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    patterns: &[RepositoryPattern],
) -> Result<()> {
    let name = anonymous_setting(registry);
    if patterns.is_empty() {
        return settings::remove(tx, &name);
    }
    let text = serde_json::to_string(patterns).unwrap_or_default();
    settings::set(tx, &name, &text)
}

/// Whether a registry exists.
pub(crate) fn registry_exists(tx: &mut Tx<'_>, registry: RegistryId) -> Result<bool> {
    let found = tx.query_one(
        "SELECT 1 FROM registries WHERE id = ?1",
        params![registry.get()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// Makes a registry; `false` when it exists.
pub(crate) fn insert_registry(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    name: &str,
    anonymous_pull: bool,
    now: i64,
) -> Result<bool> {
    let inserted = tx.execute(
        "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        params![registry.get(), name, anonymous_pull, now],
    )?;
    Ok(inserted == 1)
}

/// Stores a signing key.
pub(crate) fn insert_key(tx: &mut Tx<'_>, registry: RegistryId, key: &KeyRow) -> Result<()> {
    tx.execute(
        "INSERT INTO signing_keys (registry_id, kid, purpose, sealed, created_at, retired_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            registry.get(),
            &key.kid,
            &key.purpose,
            &key.sealed,
            key.created_at,
            key.retired_at
        ],
    )?;
    Ok(())
}

/// When the keys that sign now were made: the oldest of them, in microseconds since the Unix epoch.
pub(crate) fn keys_made_at(tx: &mut Tx<'_>, registry: RegistryId) -> Result<Option<i64>> {
    let made_at = tx.query_one(
        "SELECT min(created_at) FROM signing_keys WHERE registry_id = ?1 AND retired_at IS NULL",
        params![registry.get()],
        |row| row.get_i64_opt(0),
    )?;
    Ok(made_at.flatten())
}

/// The registries whose signing keys are from before a time.
pub(crate) fn registries_with_keys_made_before(
    tx: &mut Tx<'_>,
    before: i64,
) -> Result<Vec<RegistryId>> {
    tx.query(
        "SELECT registry_id FROM signing_keys WHERE retired_at IS NULL GROUP BY registry_id HAVING min(created_at) < ?1",
        params![before],
        |row| Ok(RegistryId::new(row.get_i64(0)?)),
    )
}

/// Retires the keys that sign now.
pub(crate) fn retire_keys(tx: &mut Tx<'_>, registry: RegistryId, now: i64) -> Result<()> {
    tx.execute(
        "UPDATE signing_keys SET retired_at = ?2 WHERE registry_id = ?1 AND retired_at IS NULL",
        params![registry.get(), now],
    )?;
    Ok(())
}

/// Deletes the keys of a purpose that were retired before a time.
pub(crate) fn delete_retired_keys(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    purpose: Purpose,
    before: i64,
) -> Result<()> {
    tx.execute(
        "DELETE FROM signing_keys WHERE registry_id = ?1 AND purpose = ?2 AND retired_at < ?3",
        params![registry.get(), purpose.as_str(), before],
    )?;
    Ok(())
}

/// Deletes all keys.
pub(crate) fn delete_keys(tx: &mut Tx<'_>, registry: RegistryId) -> Result<()> {
    tx.execute(
        "DELETE FROM signing_keys WHERE registry_id = ?1",
        params![registry.get()],
    )?;
    Ok(())
}

/// Sets one of the admin user's passwords. `sealed`: its text, if it was generated.
pub(crate) fn put_admin_password(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    which: AdminPassword,
    hash: &PasswordHash,
    sealed: Option<&[u8]>,
    now: i64,
) -> Result<()> {
    tx.execute(
        "INSERT INTO credentials (registry_id, kind, owner, name, salt, iterations, hash, sealed, created_at, expires_at)
         VALUES (?1, 'admin', '', ?2, ?3, ?4, ?5, ?6, ?7, NULL)
         ON CONFLICT (registry_id, kind, owner, name) DO UPDATE SET salt = excluded.salt,
           iterations = excluded.iterations, hash = excluded.hash, sealed = excluded.sealed,
           created_at = excluded.created_at, expires_at = NULL",
        params![
            registry.get(),
            which.as_str(),
            hash.salt(),
            hash.iterations(),
            hash.hash(),
            sealed,
            now
        ],
    )?;
    Ok(())
}

/// The admin user's passwords that were generated, as sealed.
pub(crate) fn sealed_passwords(
    tx: &mut Tx<'_>,
    registry: RegistryId,
) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    tx.query(
        "SELECT name, sealed FROM credentials WHERE registry_id = ?1 AND kind = 'admin' AND owner = ''
         ORDER BY name LIMIT 10",
        params![registry.get()],
        |row| Ok((row.get_string(0)?, row.get_bytes_opt(1)?)),
    )
}

/// Removes a registry, its keys, its credentials, its scope maps and tokens, and its host names.
pub(crate) fn delete_registry(tx: &mut Tx<'_>, registry: RegistryId) -> Result<()> {
    let id = registry.get();
    for sql in [
        "DELETE FROM signing_keys WHERE registry_id = ?1",
        "DELETE FROM credentials WHERE registry_id = ?1",
        "DELETE FROM registry_hosts WHERE registry_id = ?1",
        "DELETE FROM registry_tokens WHERE registry_id = ?1",
        "DELETE FROM scope_maps WHERE registry_id = ?1",
        "DELETE FROM registries WHERE id = ?1",
    ] {
        tx.execute(sql, params![id])?;
    }
    settings::remove(tx, &anonymous_setting(registry))
}

/// Allows or forbids anonymous pull; `false` when the registry does not exist.
pub(crate) fn set_anonymous_pull(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    allowed: bool,
) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE registries SET anonymous_pull = ?2 WHERE id = ?1",
        params![registry.get(), allowed],
    )?;
    Ok(changed == 1)
}

/// What the configuration decides of a registry: its name, and whether everybody may pull.
pub(crate) fn configured(tx: &mut Tx<'_>, registry: RegistryId) -> Result<Option<(String, bool)>> {
    tx.query_one(
        "SELECT name, anonymous_pull FROM registries WHERE id = ?1",
        params![registry.get()],
        |row| Ok((row.get_string(0)?, row.get_bool(1)?)),
    )
}

/// Sets what the configuration decides of a registry; a flag it does not mention stays.
pub(crate) fn configure(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    name: &str,
    anonymous_pull: Option<bool>,
) -> Result<()> {
    tx.execute(
        "UPDATE registries SET name = ?2, anonymous_pull = COALESCE(?3, anonymous_pull) WHERE id = ?1",
        params![registry.get(), name, anonymous_pull],
    )?;
    Ok(())
}
