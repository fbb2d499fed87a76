//! New signing keys: by order, and by age.

use std::time::Duration;

use lazuli_db::Tx;

use crate::directory::state::NO_REGISTRY;
use crate::error::Error;
use crate::identity::Identity;
use crate::keys::Purpose;
use crate::principal::RegistryId;
use crate::store::{self, KeyRow};
use crate::{install, tokens};

/// What happens to tokens of the old keys when keys are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTokens {
    /// They live until they expire.
    Expire,
    /// They are refused from now on (elsewhere within ten seconds).
    Revoke,
}

impl Identity {
    /// Makes new signing keys. New tokens are signed with them from now on.
    pub async fn rotate_signing_keys(
        &self,
        registry: RegistryId,
        old: OldTokens,
    ) -> Result<(), Error> {
        self.rotate(registry, old, i64::MAX).await.map(drop)
    }

    /// Makes new signing keys for every registry whose keys sign for `age` already, as [`OldTokens::Expire`]. Returns
    /// how many registries that were. Several processes may do this at the same time: one of them succeeds.
    pub async fn rotate_aged_signing_keys(&self, age: Duration) -> Result<usize, Error> {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let before = self.inner().clock.now_us().saturating_sub(age);
        let aged = self
            .inner()
            .db
            .read(move |tx| store::registries_with_keys_made_before(tx, before));
        let mut rotated = 0;
        for registry in aged.await? {
            if registry == NO_REGISTRY {
                let directory = self.rotate_directory_key_made_before(OldTokens::Expire, before);
                rotated += usize::from(directory.await?);
                continue;
            }
            rotated += usize::from(self.rotate(registry, OldTokens::Expire, before).await?);
        }
        Ok(rotated)
    }

    /// Makes new keys if those that sign now were made before a time.
    async fn rotate(
        &self,
        registry: RegistryId,
        old: OldTokens,
        made_before: i64,
    ) -> Result<bool, Error> {
        let inner = self.inner();
        let now = inner.clock.now_us();
        let keys = install::new_keys(&inner.master, registry, now).await?;
        let write = move |tx: &mut Tx<'_>| replace(tx, registry, &keys, old, made_before, now);
        let rotated = inner.db.write(write).await?;
        inner.states.reload(registry).await?;
        Ok(rotated)
    }
}

fn replace(
    tx: &mut Tx<'_>,
    registry: RegistryId,
    keys: &[KeyRow],
    old: OldTokens,
    made_before: i64,
    now: i64,
) -> Result<bool, Error> {
    if !store::registry_exists(tx, registry)? {
        return Err(Error::UnknownRegistry(registry));
    }
    if store::keys_made_at(tx, registry)?.is_some_and(|made_at| made_at >= made_before) {
        return Ok(false);
    }
    match old {
        OldTokens::Revoke => store::delete_keys(tx, registry)?,
        OldTokens::Expire => {
            for purpose in Purpose::ALL {
                let before = now.saturating_sub(tokens::longest_life_us(purpose));
                store::delete_retired_keys(tx, registry, purpose, before)?;
            }
            store::retire_keys(tx, registry, now)?;
        }
    }
    for key in keys {
        store::insert_key(tx, registry, key)?;
    }
    Ok(true)
}
