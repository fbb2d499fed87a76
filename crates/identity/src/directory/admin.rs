//! Reading and changing the directory. Changes take a proof that the caller may make them.

use lazuli_db::Tx;
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::rbac::ArmAction;
use lazuli_wire::token::Secret;
use serde_json::Value;

use super::install::password_of;
use super::object::{Credential, MAX_ATTRIBUTES, MAX_DISPLAY_NAME, Object, ObjectKind};
use super::passwords::{self, Kept};
use super::{Caller, store};
use crate::error::Error;
use crate::identity::Identity;
use crate::passwords::check_chosen;
use crate::rbac::ArmDenied;

/// The action that changes of the directory need, at the scope of everything. Who can change people can become any of them, so it
/// is one of those that give roles, which Contributor lacks.
const WRITE: &str = "Microsoft.Authorization/directory/write";

/// Proof that a caller may change the directory.
#[derive(Debug, Clone)]
pub struct DirectoryWrite {
    caller: Caller,
}

impl DirectoryWrite {
    /// The operator's command line may.
    pub fn of_operator() -> Self {
        Self {
            caller: Caller::operator(),
        }
    }

    /// Who may.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// Why the directory is not changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is no such object.
    #[error("there is no such {0} in the directory")]
    NotFound(&'static str),
    /// The name is taken.
    #[error("{0}")]
    Exists(String),
    /// A rule forbids it; the text says which.
    #[error("{0}")]
    Invalid(String),
    /// Not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Error),
}

impl From<lazuli_db::Error> for DirectoryError {
    fn from(error: lazuli_db::Error) -> Self {
        Self::Internal(error.into())
    }
}

/// Checks what every object has to keep.
fn check(object: &Object) -> Result<(), DirectoryError> {
    let invalid = |text: &str| Err(DirectoryError::Invalid(text.to_owned()));
    let name = &object.display_name;
    if name.trim().is_empty() || name.chars().count() > MAX_DISPLAY_NAME {
        return invalid("displayName has between 1 and 256 characters");
    }
    if name.chars().any(char::is_control) {
        return invalid("displayName holds no control characters");
    }
    if object.name_key.is_empty() || object.name_key.len() > 256 {
        return invalid("the name has between 1 and 256 characters");
    }
    if Value::from(object.attributes.clone()).to_string().len() > MAX_ATTRIBUTES {
        return invalid("the object is larger than 64 KiB");
    }
    Ok(())
}

/// Checks a user principal name.
pub(crate) fn check_principal_name(name: &str, domain: &str) -> Result<(), DirectoryError> {
    let invalid = |text: String| Err(DirectoryError::Invalid(text));
    let Some((local, at)) = name.split_once('@') else {
        return invalid(format!("userPrincipalName is NAME@{domain}"));
    };
    if !at.eq_ignore_ascii_case(domain) {
        return invalid(format!(
            "The domain portion of the userPrincipalName property is invalid: the domain of this directory is {domain}"
        ));
    }
    let allowed = |c: char| c.is_alphanumeric() || "'.-_!#^~+".contains(c);
    if local.is_empty() || name.len() > 113 || !local.chars().all(allowed) {
        return invalid(
            "userPrincipalName has at most 113 characters: letters, digits and '.-_!#^~+ before the @"
                .to_owned(),
        );
    }
    Ok(())
}

impl Identity {
    /// Whether a caller may change the directory: an Owner of everything, or whoever has a role with this action there.
    pub async fn authorize_directory(&self, caller: &Caller) -> Result<DirectoryWrite, ArmDenied> {
        if !caller.is_operator() {
            let action = ArmAction::parse(WRITE)
                .map_err(|error| ArmDenied::Internal(Error::Directory(error.to_string())))?;
            self.authorize_arm(caller, &action, &ArmScope::root())
                .await?;
        }
        Ok(DirectoryWrite {
            caller: caller.clone(),
        })
    }

    /// An object.
    pub async fn object(&self, id: Guid) -> Result<Option<Object>, Error> {
        Ok(self.inner().db.read(move |tx| store::get(tx, id)).await?)
    }

    /// The object of a kind with this name: a user principal name, an application's number.
    pub async fn object_named(
        &self,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Option<Object>, Error> {
        let (tenant, name) = (self.tenant().await?.id, name.to_owned());
        let found = self
            .inner()
            .db
            .read(move |tx| store::find(tx, tenant, kind, &name));
        Ok(found.await?)
    }

    /// The objects of a kind that people call so.
    pub async fn objects_called(
        &self,
        kind: ObjectKind,
        display_name: &str,
    ) -> Result<Vec<Object>, Error> {
        let (tenant, name) = (self.tenant().await?.id, display_name.to_owned());
        let found = self
            .inner()
            .db
            .read(move |tx| store::named(tx, tenant, kind, &name));
        Ok(found.await?)
    }

    /// Objects of a kind, in the order of their names, behind one.
    pub async fn objects(
        &self,
        kind: ObjectKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Object>, Error> {
        let (tenant, after) = (self.tenant().await?.id, after.to_owned());
        let found = self
            .inner()
            .db
            .read(move |tx| store::list(tx, tenant, kind, &after, limit));
        Ok(found.await?)
    }

    /// The credentials of an object, without what they are compared with.
    pub async fn object_credentials(&self, id: Guid) -> Result<Vec<Credential>, Error> {
        let found = self.inner().db.read(move |tx| store::credentials(tx, id));
        Ok(found.await?)
    }

    /// The members of a group, not of the groups in it.
    pub async fn group_members(&self, group: Guid) -> Result<Vec<Object>, Error> {
        let found = self.inner().db.read(move |tx| {
            let ids = store::members(tx, group)?;
            ids.into_iter()
                .filter_map(|id| store::get(tx, id).transpose())
                .collect::<lazuli_db::Result<Vec<Object>>>()
        });
        Ok(found.await?)
    }

    /// The groups that an object is in: by itself, or also through other groups.
    pub async fn groups_of_object(&self, id: Guid, transitive: bool) -> Result<Vec<Object>, Error> {
        let found = self.inner().db.read(move |tx| {
            let ids = if transitive {
                store::groups_of(tx, id)?
            } else {
                store::within(tx, id)?
            };
            ids.into_iter()
                .filter_map(|id| store::get(tx, id).transpose())
                .collect::<lazuli_db::Result<Vec<Object>>>()
        });
        Ok(found.await?)
    }

    /// Adds an object, with a password if it is a user that has one.
    pub async fn add_object(
        &self,
        _may: &DirectoryWrite,
        object: Object,
        password: Option<Secret>,
    ) -> Result<Object, DirectoryError> {
        check(&object)?;
        let tenant = self.tenant().await?;
        if object.kind == ObjectKind::User {
            check_principal_name(object.principal_name(), &tenant.domain)?;
        }
        let now = self.now_us();
        let password = match password {
            Some(password) => Some(password_of(&chosen(password).await?, object.id, now)),
            None => None,
        };
        let added = object.clone();
        let written = self.inner().db.write(move |tx| {
            if !store::insert(tx, tenant.id, &added)? {
                return Ok::<_, lazuli_db::Error>(false);
            }
            if let Some(password) = &password {
                store::put_credential(tx, added.id, password, now)?;
            }
            Ok(true)
        });
        if !written.await? {
            let (kind, name) = (object.kind, &object.name_key);
            return Err(DirectoryError::Exists(format!(
                "Another object with the same value for property {} already exists: there is a {kind} {name}.",
                if kind == ObjectKind::User {
                    "userPrincipalName"
                } else {
                    "appId"
                }
            )));
        }
        self.policy_changed().await?;
        Ok(object)
    }

    /// Changes an object. `change` may run more than once.
    pub async fn change_object(
        &self,
        _may: &DirectoryWrite,
        id: Guid,
        change: impl Fn(&mut Object) -> Result<(), DirectoryError> + Send + 'static,
    ) -> Result<Object, DirectoryError> {
        let now = self.now_us();
        let domain = self.tenant().await?.domain;
        let work = move |tx: &mut Tx<'_>| {
            let mut object = store::get(tx, id)?.ok_or(DirectoryError::NotFound("object"))?;
            let (was_enabled, name) = (object.enabled, object.principal_name().to_owned());
            change(&mut object)?;
            check(&object)?;
            if object.kind == ObjectKind::User && object.principal_name() != name {
                check_principal_name(object.principal_name(), &domain)?;
                object.name_key = object.principal_name().to_lowercase();
            }
            if was_enabled && !object.enabled {
                // What was given out stays void when the object is enabled again.
                object.sessions_valid_from = now;
            }
            object.updated_at = now;
            store::update(tx, &object)?;
            Ok::<_, DirectoryError>(object)
        };
        let changed = self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(changed)
    }

    /// Removes an object, its credentials and memberships; with an application goes its service principal.
    pub async fn remove_object(
        &self,
        _may: &DirectoryWrite,
        id: Guid,
    ) -> Result<(), DirectoryError> {
        let tenant = self.tenant().await?.id;
        let work = move |tx: &mut Tx<'_>| {
            let object = store::get(tx, id)?.ok_or(DirectoryError::NotFound("object"))?;
            if object.kind == ObjectKind::Application {
                let principal = ObjectKind::ServicePrincipal;
                if let Some(other) = store::find(tx, tenant, principal, &object.name_key)? {
                    store::delete(tx, other.id)?;
                }
            }
            store::delete(tx, id)?;
            Ok::<_, DirectoryError>(())
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(())
    }

    /// Adds a member to a group. A group is never a member of itself, not even through others.
    pub async fn add_group_member(
        &self,
        _may: &DirectoryWrite,
        group: Guid,
        member: Guid,
    ) -> Result<(), DirectoryError> {
        let work = move |tx: &mut Tx<'_>| {
            group_there(tx, group)?;
            let member_kind = store::get(tx, member)?.map(|object| object.kind);
            match member_kind {
                None => return Err(DirectoryError::NotFound("member")),
                Some(ObjectKind::Application) => {
                    let text = "An application is no member of groups: add its service principal.";
                    return Err(DirectoryError::Invalid(text.to_owned()));
                }
                Some(ObjectKind::Group)
                    if member == group || store::groups_of(tx, group)?.contains(&member) =>
                {
                    let text = "A group cannot be a member of itself, nor of a group in it.";
                    return Err(DirectoryError::Invalid(text.to_owned()));
                }
                Some(_) => {}
            }
            if store::is_member(tx, group, member)? {
                let text = "One or more added object references already exist for the following modified properties: 'members'.";
                return Err(DirectoryError::Exists(text.to_owned()));
            }
            store::add_member(tx, group, member)?;
            Ok(())
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(())
    }

    /// Removes a member from a group.
    pub async fn remove_group_member(
        &self,
        _may: &DirectoryWrite,
        group: Guid,
        member: Guid,
    ) -> Result<(), DirectoryError> {
        let work = move |tx: &mut Tx<'_>| {
            group_there(tx, group)?;
            if store::remove_member(tx, group, member)? {
                Ok(())
            } else {
                Err(DirectoryError::NotFound("member"))
            }
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(())
    }

    /// Replaces a user's password, by a generated one if none is given; that one is returned and kept nowhere else. Sessions
    /// of the old one end.
    pub async fn set_user_password(
        &self,
        _may: &DirectoryWrite,
        user: Guid,
        password: Option<Secret>,
    ) -> Result<Option<Secret>, DirectoryError> {
        let now = self.now_us();
        let (kept, generated) = if let Some(password) = password {
            (chosen(password).await?, None)
        } else {
            let password = passwords::generate_secret()?;
            let kept = Kept::of_generated(password.expose())?;
            (kept, Some(password))
        };
        let credential = password_of(&kept, user, now);
        let work = move |tx: &mut Tx<'_>| {
            let mut object = store::get(tx, user)?
                .filter(|object| object.kind == ObjectKind::User)
                .ok_or(DirectoryError::NotFound("user"))?;
            object.sessions_valid_from = now;
            object.updated_at = now;
            store::update(tx, &object)?;
            store::put_credential(tx, user, &credential, now)?;
            Ok::<_, DirectoryError>(())
        };
        self.inner().db.write(work).await?;
        self.policy_changed().await?;
        Ok(generated)
    }
}

fn group_there(tx: &mut Tx<'_>, group: Guid) -> Result<(), DirectoryError> {
    let found = store::get(tx, group)?;
    found
        .filter(|object| object.kind == ObjectKind::Group)
        .map(drop)
        .ok_or(DirectoryError::NotFound("group"))
}

/// Hashes a password that a person chose.
async fn chosen(password: Secret) -> Result<Kept, DirectoryError> {
    check_chosen(password.expose()).map_err(|error| DirectoryError::Invalid(error.to_string()))?;
    let hashing = tokio::task::spawn_blocking(move || Kept::of_chosen(password.expose()));
    Ok(hashing.await.map_err(|_| Error::ShuttingDown)??)
}
