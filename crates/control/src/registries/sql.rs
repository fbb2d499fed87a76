//! Rows of registries as resources.

use lazuli_db::{Row, Tx, params};
use lazuli_identity::RegistryId;
use lazuli_wire::Guid;
use lazuli_wire::arm::{GroupPath, RegistryPath, Sku};

use super::{RegistryResource, Settings};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.registry_id, r.subscription_id, r.resource_group, g.name, r.location, r.sku, r.admin_enabled, r.abac,
               r.arm_tokens, g.anonymous_pull, r.tags, r.properties, r.version, r.created_at, r.created_by, r.updated_at,
               r.updated_by FROM registry_resources r JOIN registries g ON g.id = r.registry_id ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> lazuli_db::Result<RegistryResource> {
    let corrupt = lazuli_db::Error::Corrupt;
    let settings: Settings = serde_json::from_str(row.get_text(11)?)
        .map_err(|_| corrupt("registry_resources.properties"))?;
    let name = settings.name.clone().unwrap_or(row.get_string(3)?);
    Ok(RegistryResource {
        id: RegistryId::new(row.get_i64(0)?),
        path: RegistryPath {
            group: GroupPath {
                subscription: Guid::parse(row.get_text(1)?)
                    .map_err(|_| corrupt("registry_resources.subscription_id"))?,
                name: row.get_text(2)?.into(),
            },
            name: name.into(),
        },
        location: row.get_string(4)?,
        sku: Sku::parse(row.get_text(5)?).ok_or(corrupt("registry_resources.sku"))?,
        admin_user: row.get_bool(6)?,
        abac: row.get_bool(7)?,
        arm_tokens: row.get_bool(8)?,
        anonymous_pull: row.get_bool(9)?,
        tags: serde_json::from_str(row.get_text(10)?)
            .map_err(|_| corrupt("registry_resources.tags"))?,
        settings,
        version: row.get_i64(12)?,
        created_at: row.get_i64(13)?,
        created_by: row.get_string(14)?,
        updated_at: row.get_i64(15)?,
        updated_by: row.get_string(16)?,
        hosts: Vec::new(),
    })
}

/// The hosts that lead to a registry by themselves.
fn with_hosts(tx: &mut Tx<'_>, mut found: RegistryResource) -> lazuli_db::Result<RegistryResource> {
    found.hosts = tx.query(
        "SELECT host FROM registry_hosts WHERE registry_id = ?1 ORDER BY host LIMIT 100",
        params![found.id.get()],
        |row| row.get_string(0),
    )?;
    Ok(found)
}

/// The registry of a name, wherever it is.
pub(crate) fn by_name(tx: &mut Tx<'_>, key: &str) -> lazuli_db::Result<Option<RegistryResource>> {
    let found = tx.query_one(select!("WHERE g.name = ?1"), params![key], read)?;
    found.map(|found| with_hosts(tx, found)).transpose()
}

/// The registry at a path.
pub(crate) fn find(
    tx: &mut Tx<'_>,
    path: &RegistryPath,
) -> lazuli_db::Result<Option<RegistryResource>> {
    let found = by_name(tx, &path.key())?;
    Ok(found.filter(|found| {
        found.path.group.subscription == path.group.subscription
            && found.path.group.key() == path.group.key()
    }))
}

/// A page of the registries of a subscription, or of one of its groups, after a name.
pub(crate) fn list(
    tx: &mut Tx<'_>,
    subscription: Guid,
    group: Option<&str>,
    after: &str,
    limit: u32,
) -> lazuli_db::Result<Vec<RegistryResource>> {
    let subscription = subscription.to_string();
    let found = match group {
        Some(group) => tx.query(
            select!("WHERE r.subscription_id = ?1 AND r.group_key = ?2 AND g.name > ?3 ORDER BY g.name LIMIT ?4"),
            params![&subscription, group, after, limit],
            read,
        )?,
        None => tx.query(
            select!("WHERE r.subscription_id = ?1 AND g.name > ?2 ORDER BY g.name LIMIT ?3"),
            params![&subscription, after, limit],
            read,
        )?,
    };
    found
        .into_iter()
        .map(|found| with_hosts(tx, found))
        .collect()
}

/// Stores a resource, or replaces it.
pub(crate) fn put(tx: &mut Tx<'_>, new: &RegistryResource) -> lazuli_db::Result<()> {
    let tags = serde_json::json!(new.tags).to_string();
    let settings = serde_json::json!(new.settings).to_string();
    tx.execute(
        "INSERT INTO registry_resources (registry_id, subscription_id, group_key, resource_group, location, sku,
           admin_enabled, abac, arm_tokens, tags, properties, version, created_at, created_by, updated_at, updated_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (registry_id) DO UPDATE SET sku = excluded.sku, admin_enabled = excluded.admin_enabled,
           abac = excluded.abac, arm_tokens = excluded.arm_tokens, tags = excluded.tags,
           properties = excluded.properties, version = excluded.version, updated_at = excluded.updated_at,
           updated_by = excluded.updated_by",
        params![
            new.id.get(),
            &new.path.group.subscription.to_string(),
            &new.path.group.key(),
            &*new.path.group.name,
            &new.location,
            new.sku.as_str(),
            new.admin_user,
            new.abac,
            new.arm_tokens,
            &tags,
            &settings,
            new.version,
            new.created_at,
            &new.created_by,
            new.updated_at,
            &new.updated_by
        ],
    )?;
    tx.execute(
        "UPDATE registries SET anonymous_pull = ?2 WHERE id = ?1",
        params![new.id.get(), new.anonymous_pull],
    )?;
    Ok(())
}

/// All hosts that lead to a registry.
pub(crate) fn taken_hosts(tx: &mut Tx<'_>) -> lazuli_db::Result<Vec<String>> {
    tx.query(
        "SELECT host FROM registry_hosts ORDER BY host LIMIT 100000",
        params![],
        |row| row.get_string(0),
    )
}

/// Lets a host lead to a registry; nothing happens if it leads to another one.
pub(crate) fn add_host(tx: &mut Tx<'_>, registry: RegistryId, host: &str) -> lazuli_db::Result<()> {
    tx.execute(
        "INSERT INTO registry_hosts (host, registry_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![host, registry.get()],
    )
    .map(drop)
}
