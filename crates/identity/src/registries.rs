//! Registries made and deleted by the management plane, and the passwords of their admin users, which it shows.
//!
//! What costs time (keys, hashes) is prepared first; the functions that take a transaction store it together with
//! whatever else belongs to the change. After the commit, [`Identity::reload_registry`] or [`Identity::forget_registry`]
//! makes it hold in this process at once; others notice within ten seconds.

use lazuli_db::{Tx, params, settings};
use lazuli_wire::token::Secret;

use crate::error::Error;
use crate::identity::Identity;
use crate::install;
use crate::keys::MasterKey;
use crate::passwords::{self, PasswordHash};
use crate::principal::RegistryId;
use crate::store::{self, AdminPassword, KeyRow};

/// The setting that holds the last number given to a registry. Numbers are never given twice: what a deleted registry leaves
/// behind for a while belongs to its number.
const LAST: &str = "registries.last";

/// A password that was generated and is not stored yet.
#[derive(Clone)]
pub struct GeneratedPassword {
    which: AdminPassword,
    secret: Secret,
    hash: PasswordHash,
    sealed: Vec<u8>,
}

impl GeneratedPassword {
    /// The password itself.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// The keys and admin passwords of a registry that is not stored yet.
#[derive(Clone)]
pub struct NewRegistry {
    registry: RegistryId,
    keys: Vec<KeyRow>,
    passwords: [GeneratedPassword; 2],
}

impl NewRegistry {
    /// The number it will have.
    pub fn registry(&self) -> RegistryId {
        self.registry
    }
}

/// The admin user of a registry.
#[derive(Debug, Clone)]
pub struct AdminCredentials {
    /// Its name, which is the registry's.
    pub username: String,
    /// The passwords that were generated. Those a person chose are kept as a hash only.
    pub passwords: Vec<(AdminPassword, Secret)>,
}

impl Identity {
    /// Makes keys and passwords for a registry that is to be made. Takes a fifth of a second of processor time.
    pub async fn prepare_registry(&self) -> Result<NewRegistry, Error> {
        let inner = self.inner();
        let now = inner.clock.now_us();
        let registry = inner.db.write(next_number).await?;
        let keys = install::new_keys(&inner.master, registry, now).await?;
        let password = |which| self.generate_admin_password(registry, which);
        Ok(NewRegistry {
            registry,
            keys,
            passwords: [
                password(AdminPassword::First)?,
                password(AdminPassword::Second)?,
            ],
        })
    }

    /// Makes a password for the admin user, to be stored with [`put_admin_password`].
    pub fn generate_admin_password(
        &self,
        registry: RegistryId,
        which: AdminPassword,
    ) -> Result<GeneratedPassword, Error> {
        let secret = passwords::generate_password()?;
        Ok(GeneratedPassword {
            which,
            hash: PasswordHash::of_generated(secret.expose())?,
            sealed: seal(&self.inner().master, registry, which, &secret)?,
            secret,
        })
    }

    /// The admin user's name and generated passwords.
    pub async fn admin_credentials(&self, registry: RegistryId) -> Result<AdminCredentials, Error> {
        let inner = self.inner();
        let rows = inner.db.read(move |tx| {
            let name = store::configured(tx, registry)?.map(|(name, _)| name);
            Ok::<_, Error>((name, store::sealed_passwords(tx, registry)?))
        });
        let (name, rows) = rows.await?;
        let mut passwords = Vec::with_capacity(rows.len());
        for (name, sealed) in rows {
            let which =
                AdminPassword::parse(&name).ok_or(lazuli_db::Error::Corrupt("credentials.name"))?;
            if let Some(sealed) = sealed {
                let text = inner.master.open(&context(registry, which), &sealed)?;
                let text = String::from_utf8(text)
                    .map_err(|_| lazuli_db::Error::Corrupt("credentials.sealed"))?;
                passwords.push((which, Secret::new(text)));
            }
        }
        Ok(AdminCredentials {
            username: name.ok_or(Error::UnknownRegistry(registry))?,
            passwords,
        })
    }

    /// Gives the admin user those of its two passwords that it has none for yet.
    pub async fn complete_admin_passwords(&self, registry: RegistryId) -> Result<(), Error> {
        let inner = self.inner();
        let rows = inner
            .db
            .read(move |tx| store::sealed_passwords(tx, registry))
            .await?;
        for which in [AdminPassword::First, AdminPassword::Second] {
            if rows.iter().all(|(name, _)| name != which.as_str()) {
                self.regenerate(registry, which).await?;
            }
        }
        Ok(())
    }

    /// Reads a registry's keys, passwords and flags again, because they were changed.
    pub async fn reload_registry(&self, registry: RegistryId) -> Result<(), Error> {
        self.inner().states.reload(registry).await.map(drop)
    }

    /// Forgets a registry that was deleted: from now on nobody has rights in it here.
    pub async fn forget_registry(&self, registry: RegistryId) {
        self.inner().states.forget(registry).await;
    }
}

fn next_number(tx: &mut Tx<'_>) -> Result<RegistryId, Error> {
    let highest = tx.query_one("SELECT max(id) FROM registries", params![], |row| {
        row.get_i64_opt(0)
    })?;
    let given = settings::get(tx, LAST)?.and_then(|last| last.parse().ok());
    let number = highest.flatten().max(given).unwrap_or(1) + 1;
    settings::set(tx, LAST, &number.to_string())?;
    Ok(RegistryId::new(number))
}

/// A GUID that nothing else has: for subscriptions, roles, tokens.
pub fn random_guid() -> Result<lazuli_wire::Guid, Error> {
    Ok(crate::random::guid()?)
}

/// The number of a registry of this name (lower case).
pub fn registry_id(tx: &mut Tx<'_>, name: &str) -> lazuli_db::Result<Option<RegistryId>> {
    tx.query_one(
        "SELECT id FROM registries WHERE name = ?1",
        params![name],
        |row| row.get_i64(0).map(RegistryId::new),
    )
}

/// Stores a registry with its keys and passwords; `false` if its name (lower case) is taken.
pub fn insert_registry(
    tx: &mut Tx<'_>,
    new: &NewRegistry,
    name: &str,
    anonymous_pull: bool,
    now: i64,
) -> lazuli_db::Result<bool> {
    if !store::insert_registry(tx, new.registry, name, anonymous_pull, now)? {
        return Ok(false);
    }
    for key in &new.keys {
        store::insert_key(tx, new.registry, key)?;
    }
    for password in &new.passwords {
        put_admin_password(tx, new.registry, password, now)?;
    }
    Ok(true)
}

/// Stores a generated password of the admin user.
pub fn put_admin_password(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    password: &GeneratedPassword,
    now: i64,
) -> lazuli_db::Result<()> {
    let sealed = Some(password.sealed.as_slice());
    store::put_admin_password(tx, registry, password.which, &password.hash, sealed, now)
}

/// Removes a registry, its keys, its credentials and its host names. Its number is never given again.
pub fn delete_registry(tx: &mut Tx<'_>, registry: RegistryId) -> lazuli_db::Result<()> {
    store::delete_registry(tx, registry)
}

/// Seals a password so that it opens only as this password of this registry.
pub(crate) fn seal(
    master: &MasterKey,
    registry: RegistryId,
    which: AdminPassword,
    password: &Secret,
) -> Result<Vec<u8>, Error> {
    Ok(master.seal(&context(registry, which), password.expose().as_bytes())?)
}

fn context(registry: RegistryId, which: AdminPassword) -> Vec<u8> {
    format!("lazuli admin password/{registry}/{}", which.as_str()).into_bytes()
}
