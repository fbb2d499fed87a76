//! First start: the default registry, its keys and its admin user.

use std::num::NonZeroU32;
use std::sync::Arc;

use lazuli_db::{Db, settings};
use lazuli_wire::token::Secret;

use crate::error::Error;
use crate::keys::{MasterKey, Purpose, SigningKey};
use crate::passwords::{self, DEFAULT_PBKDF2_ITERATIONS, PasswordHash};
use crate::principal::RegistryId;
use crate::random;
use crate::registries;
use crate::store::{self, AdminPassword, KeyRow};

/// How identity is opened.
#[derive(Debug, Clone)]
pub struct IdentityOptions {
    /// The name of the default registry, which is also its admin user's. Lower case. Takes effect at every start.
    pub registry_name: String,
    /// Whether everybody may pull from the default registry. `Some` takes effect at every start, `None` leaves it as
    /// it is (off at first).
    pub anonymous_pull: Option<bool>,
    /// Whether admin users may sign in, and tokens given to them count.
    pub admin_enabled: bool,
    /// The admin user's first password; `None`: one is generated. Counts at first start only.
    pub admin_password: Option<Secret>,
    /// Iterations of PBKDF2 for passwords that people choose. Stored with each hash.
    pub password_iterations: NonZeroU32,
}

impl IdentityOptions {
    /// The defaults for a default registry of this name.
    pub fn new(registry_name: impl Into<String>) -> Self {
        Self {
            registry_name: registry_name.into(),
            anonymous_pull: None,
            admin_enabled: true,
            admin_password: None,
            password_iterations: DEFAULT_PBKDF2_ITERATIONS,
        }
    }
}

/// What the first start made, told once.
#[derive(Debug, Clone)]
pub struct FirstStart {
    /// The admin user's name.
    pub admin_name: String,
    /// The password that was generated, unless one was given. It is kept nowhere else.
    pub generated_password: Option<Secret>,
}

/// Makes the default registry if there is none, and applies the options that count at every start.
pub(crate) async fn install(
    db: &Db,
    master: &Arc<MasterKey>,
    options: &IdentityOptions,
    now: i64,
) -> Result<Option<FirstStart>, Error> {
    let registry = RegistryId::DEFAULT;
    let exists = db
        .read(move |tx| store::registry_exists(tx, registry))
        .await?;
    if exists {
        apply(db, options).await?;
        return Ok(None);
    }
    let keys = new_keys(master, registry, now).await?;
    let (hash, generated) = first_password(options).await?;
    let sealed = generated
        .as_ref()
        .map(|password| registries::seal(master, registry, AdminPassword::First, password))
        .transpose()?;
    let (name, anonymous_pull) = (
        options.registry_name.clone(),
        options.anonymous_pull.unwrap_or(false),
    );
    let installation = random::uuid()?;
    let installed = db
        .write(move |tx| {
            // Another process may have been faster.
            if !store::insert_registry(tx, registry, &name, anonymous_pull, now)? {
                return Ok::<_, lazuli_db::Error>(false);
            }
            settings::claim(tx, "installation", &installation)?;
            // The number of this region in the operation log. A region that joins others is given another one.
            settings::claim(tx, "origin", "1")?;
            keys.iter()
                .try_for_each(|key| store::insert_key(tx, registry, key))?;
            let (which, sealed) = (AdminPassword::First, sealed.as_deref());
            store::put_admin_password(tx, registry, which, &hash, sealed, now)?;
            Ok(true)
        })
        .await?;
    Ok(installed.then(|| FirstStart {
        admin_name: options.registry_name.clone(),
        generated_password: generated,
    }))
}

async fn apply(db: &Db, options: &IdentityOptions) -> Result<(), Error> {
    let (name, flag) = (options.registry_name.clone(), options.anonymous_pull);
    let known = db
        .read(|tx| store::configured(tx, RegistryId::DEFAULT))
        .await?;
    if known
        .is_some_and(|(known, allowed)| known != name || flag.is_some_and(|flag| flag != allowed))
    {
        db.write(move |tx| store::configure(tx, RegistryId::DEFAULT, &name, flag))
            .await?;
    }
    Ok(())
}

/// A key for each purpose, sealed, ready to be stored.
pub(crate) async fn new_keys(
    master: &Arc<MasterKey>,
    registry: RegistryId,
    now: i64,
) -> Result<Vec<KeyRow>, Error> {
    // Side by side: the search for primes takes a good part of the first start.
    let tasks = Purpose::ALL.map(|purpose| {
        let master = Arc::clone(master);
        tokio::task::spawn_blocking(move || {
            let key = SigningKey::generate(purpose)?;
            Ok::<_, Error>(KeyRow {
                kid: key.kid().to_owned(),
                purpose: purpose.as_str().to_owned(),
                sealed: key.seal(&master, registry)?,
                created_at: now,
                retired_at: None,
            })
        })
    });
    let mut keys = Vec::with_capacity(tasks.len());
    for task in tasks {
        keys.push(task.await.map_err(|_| Error::ShuttingDown)??);
    }
    Ok(keys)
}

async fn first_password(
    options: &IdentityOptions,
) -> Result<(PasswordHash, Option<Secret>), Error> {
    if let Some(password) = &options.admin_password {
        return Ok((
            hash_chosen(password.clone(), options.password_iterations).await?,
            None,
        ));
    }
    let password = passwords::generate_password()?;
    Ok((
        PasswordHash::of_generated(password.expose())?,
        Some(password),
    ))
}

/// Hashes a password chosen by a person, in the blocking pool.
pub(crate) async fn hash_chosen(
    password: Secret,
    iterations: NonZeroU32,
) -> Result<PasswordHash, Error> {
    passwords::check_chosen(password.expose())?;
    let hashing =
        tokio::task::spawn_blocking(move || PasswordHash::of_chosen(password.expose(), iterations));
    Ok(hashing.await.map_err(|_| Error::ShuttingDown)??)
}
