//! First start: the tenant, the key that signs its tokens, and its first administrator.

use lazuli_db::{Tx, settings};
use lazuli_wire::Guid;
use lazuli_wire::arm_scope::ArmScope;
use lazuli_wire::token::Secret;
use serde_json::Value;

use super::object::{Credential, CredentialKind, Object, ObjectKind};
use super::passwords::{self, Kept};
use super::state::NO_REGISTRY;
use super::store;
use crate::error::Error;
use crate::identity::Identity;
use crate::keys::{Purpose, SigningKey};
use crate::passwords::check_chosen;
use crate::random;
use crate::rbac::store::{RoleAssignment, put_assignment};
use crate::store::{KeyRow, insert_key};

/// The role that may do everything, by its number in Azure.
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// How the directory is made.
#[derive(Debug, Clone)]
pub struct DirectoryOptions {
    /// The domain of its users, such as `lazuli.test`. Takes effect at every start; users keep their names.
    pub domain: String,
    /// The first administrator's password; `None`: one is generated. Counts at first start only.
    pub admin_password: Option<Secret>,
}

/// The directory of an installation, as its start found or made it.
#[derive(Debug, Clone)]
pub struct DirectoryStart {
    /// The tenant.
    pub tenant: Guid,
    /// Its domain.
    pub domain: String,
    /// What was made just now; `None` when everything was there.
    pub made: Option<FirstAdministrator>,
}

/// The first administrator, told once.
#[derive(Debug, Clone)]
pub struct FirstAdministrator {
    /// The object.
    pub object: Guid,
    /// The name to sign in with.
    pub name: String,
    /// The password that was generated, unless one was given. It is kept nowhere else.
    pub generated_password: Option<Secret>,
}

impl Identity {
    /// Makes the directory if there is none: its tenant, a signing key, and the user `admin` of its domain, who has the role
    /// Owner over everything. Several processes may do this at the same time: one of them succeeds.
    pub async fn install_directory(
        &self,
        options: DirectoryOptions,
    ) -> Result<DirectoryStart, Error> {
        let inner = self.inner();
        let domain = options.domain.to_lowercase();
        let found = inner.db.read(store::load).await?;
        if let Some(found) = found {
            if *found.domain != *domain {
                let domain = domain.clone();
                inner
                    .db
                    .write(move |tx| settings::set(tx, store::DOMAIN, &domain))
                    .await?;
            }
            inner.directory.reload().await?;
            return Ok(DirectoryStart {
                tenant: found.tenant,
                domain,
                made: None,
            });
        }
        let first = self.prepare(&domain, options.admin_password).await?;
        let (object, name) = (first.user.id, first.user.principal_name().to_owned());
        let generated_password = first.generated.clone();
        let wanted = domain.clone();
        let made = inner.db.write(move |tx| first.store(tx, &wanted)).await?;
        self.policy_changed().await?;
        let tenant = inner.directory.state().await?.tenant;
        let made = made.then_some(FirstAdministrator {
            object,
            name,
            generated_password,
        });
        Ok(DirectoryStart {
            tenant,
            domain,
            made,
        })
    }

    async fn prepare(&self, domain: &str, password: Option<Secret>) -> Result<First, Error> {
        let (now, master) = (self.inner().clock.now_us(), self.inner().master.clone());
        if let Some(password) = &password {
            check_chosen(password.expose())?;
        }
        let work = move || {
            let key = SigningKey::generate(Purpose::Directory)?;
            let row = KeyRow {
                kid: key.kid().to_owned(),
                purpose: Purpose::Directory.as_str().to_owned(),
                sealed: key.seal(&master, NO_REGISTRY)?,
                created_at: now,
                retired_at: None,
            };
            if let Some(password) = password {
                return Ok::<_, Error>((row, Kept::of_chosen(password.expose())?, None));
            }
            let password = passwords::generate_secret()?;
            let kept = Kept::of_generated(password.expose())?;
            Ok((row, kept, Some(password)))
        };
        let made = tokio::task::spawn_blocking(work).await;
        let (key, kept, generated) = made.map_err(|_| Error::ShuttingDown)??;
        let name = format!("admin@{domain}");
        let mut user = Object::new(
            random::guid()?,
            ObjectKind::User,
            &name,
            "Administrator",
            now,
        );
        let name = Value::from(name);
        user.attributes.insert("userPrincipalName".to_owned(), name);
        let nickname = Value::from("admin");
        user.attributes.insert("mailNickname".to_owned(), nickname);
        let owner = RoleAssignment {
            id: random::guid()?,
            scope: ArmScope::root(),
            role: Guid::parse(OWNER).map_err(|_| Error::NoDirectory)?,
            principal: user.id,
            principal_type: "User".to_owned(),
            description: Some("The first administrator.".to_owned()),
            condition: None,
            created_at: now,
            created_by: user.id.to_string(),
            updated_at: now,
            updated_by: user.id.to_string(),
        };
        Ok(First {
            tenant: random::guid()?,
            key,
            password: password_of(&kept, user.id, now),
            user,
            owner,
            generated,
            now,
        })
    }
}

/// The credential of a user.
pub(crate) fn password_of(kept: &Kept, user: Guid, now: i64) -> Credential {
    Credential {
        // A user has one password: its number is the user's.
        id: user,
        kind: CredentialKind::Password,
        name: "password".to_owned(),
        hint: String::new(),
        starts_at: now,
        expires_at: None,
        data: kept.to_row(),
    }
}

/// What a first start stores.
struct First {
    tenant: Guid,
    key: KeyRow,
    user: Object,
    password: Credential,
    owner: RoleAssignment,
    generated: Option<Secret>,
    now: i64,
}

impl First {
    fn store(&self, tx: &mut Tx<'_>, domain: &str) -> Result<bool, Error> {
        let tenant = settings::claim(tx, store::TENANT, &self.tenant.to_string())?;
        settings::set(tx, store::DOMAIN, domain)?;
        // Another process may have been faster.
        if store::load(tx)?.is_some() {
            return Ok(false);
        }
        let tenant = Guid::parse(&tenant).map_err(|_| Error::NoDirectory)?;
        insert_key(tx, NO_REGISTRY, &self.key)?;
        store::insert(tx, tenant, &self.user)?;
        store::put_credential(tx, self.user.id, &self.password, self.now)?;
        put_assignment(tx, &self.owner).map_err(|error| match error {
            crate::rbac::store::AssignmentError::Database(error) => Error::Database(error),
            other => Error::Directory(other.to_string()),
        })?;
        Ok(true)
    }
}
