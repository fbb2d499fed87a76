//! Managed identities as resources: objects of the directory that stand for a resource of the management plane. Every function
//! takes a transaction; changes are noted in the policy.

use std::collections::BTreeMap;

use lazuli_db::{Result, Tx};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use serde_json::{Value, json};

use super::object::{Object, ObjectKind};
use super::store;

/// The attribute in which Entra keeps the resource's identifier, and the one before it in the list.
const NAMES: &str = "alternativeNames";
const EXPLICIT: &str = "isExplicit=True";
const LOCATION: &str = "location";
const TAGS: &str = "tags";

/// Managed identities at most.
const MOST: u32 = 10_000;

/// A managed identity and its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedResource {
    /// The object, which has roles.
    pub object: Guid,
    /// What it signs in as.
    pub application: Guid,
    /// The resource.
    pub resource: ArmScope,
    /// Where it is.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

fn read(object: &Object) -> Option<ManagedResource> {
    let resource = object
        .texts(NAMES)
        .find_map(|name| ArmScope::parse(name).ok())?;
    let tags = object.attributes.get(TAGS).cloned().unwrap_or_default();
    Some(ManagedResource {
        object: object.id,
        application: object.app_id()?,
        resource,
        location: object.text(LOCATION).unwrap_or_default().to_owned(),
        tags: serde_json::from_value(tags).unwrap_or_default(),
    })
}

/// The managed identities that are resources, below a scope, by the key of their resources.
pub fn list_managed(
    tx: &mut Tx<'_>,
    tenant: Guid,
    within: &ArmScope,
) -> Result<Vec<ManagedResource>> {
    let objects = store::list(tx, tenant, ObjectKind::ManagedIdentity, "", MOST)?;
    let mut found: Vec<_> = objects
        .iter()
        .filter_map(read)
        .filter(|one| within.contains(&one.resource))
        .collect();
    found.sort_by(|one, other| one.resource.cmp(&other.resource));
    Ok(found)
}

/// The managed identity of a resource.
pub fn find_managed(
    tx: &mut Tx<'_>,
    tenant: Guid,
    resource: &ArmScope,
) -> Result<Option<ManagedResource>> {
    let mut found = list_managed(tx, tenant, resource)?;
    found.retain(|one| one.resource == *resource);
    Ok(found.pop())
}

/// Stores a managed identity, or changes its tags.
pub fn put_managed(tx: &mut Tx<'_>, tenant: Guid, new: &ManagedResource, now: i64) -> Result<()> {
    let known = store::get(tx, new.object)?;
    let is_new = known.is_none();
    let name = new.application.to_string();
    let mut object = known.unwrap_or_else(|| {
        let display = new.resource.name();
        Object::new(new.object, ObjectKind::ManagedIdentity, &name, display, now)
    });
    let attributes = [
        (NAMES, json!([EXPLICIT, new.resource.as_str()])),
        ("servicePrincipalType", Value::from("ManagedIdentity")),
        (LOCATION, Value::from(new.location.as_str())),
        (TAGS, json!(new.tags)),
    ];
    for (name, value) in attributes {
        object.attributes.insert(name.to_owned(), value);
    }
    object.updated_at = now;
    if is_new {
        store::insert(tx, tenant, &object)?;
    } else {
        store::update(tx, &object)?;
    }
    Ok(())
}

/// Removes a managed identity; `false` when it is gone already. Assignments that name it stay, and mean nothing.
pub fn delete_managed(tx: &mut Tx<'_>, object: Guid) -> Result<bool> {
    store::delete(tx, object)
}
