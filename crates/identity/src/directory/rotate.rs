//! New keys for the tokens of the directory: by order, and by age.

use lazuli_db::{Tx, params};

use super::LONGEST_LIFE;
use super::state::NO_REGISTRY;
use super::store;
use crate::error::Error;
use crate::identity::Identity;
use crate::keys::{Purpose, SigningKey};
use crate::rotation::OldTokens;
use crate::store::{
    KeyRow, delete_keys, delete_retired_keys, insert_key, keys_made_at, retire_keys,
};

impl Identity {
    /// Makes a new key for the tokens of the directory. [`OldTokens::Revoke`] ends all sessions too.
    pub async fn rotate_directory_key(&self, old: OldTokens) -> Result<(), Error> {
        self.rotate_directory_key_made_before(old, i64::MAX)
            .await
            .map(drop)
    }

    /// As [`Self::rotate_directory_key`], if the one that signs now was made before a time.
    pub(crate) async fn rotate_directory_key_made_before(
        &self,
        old: OldTokens,
        made_before: i64,
    ) -> Result<bool, Error> {
        let (now, master) = (self.now_us(), self.inner().master.clone());
        let made = tokio::task::spawn_blocking(move || {
            let key = SigningKey::generate(Purpose::Directory)?;
            Ok::<_, Error>(KeyRow {
                kid: key.kid().to_owned(),
                purpose: Purpose::Directory.as_str().to_owned(),
                sealed: key.seal(&master, NO_REGISTRY)?,
                created_at: now,
                retired_at: None,
            })
        });
        let row = made.await.map_err(|_| Error::ShuttingDown)??;
        let write = move |tx: &mut Tx<'_>| replace(tx, &row, old, made_before, now);
        let rotated = self.inner().db.write(write).await?;
        self.policy_changed().await?;
        Ok(rotated)
    }
}

fn replace(
    tx: &mut Tx<'_>,
    row: &KeyRow,
    old: OldTokens,
    made_before: i64,
    now: i64,
) -> Result<bool, lazuli_db::Error> {
    if keys_made_at(tx, NO_REGISTRY)?.is_none_or(|made_at| made_at >= made_before) {
        return Ok(false);
    }
    match old {
        OldTokens::Revoke => {
            delete_keys(tx, NO_REGISTRY)?;
            tx.execute(
                "UPDATE directory_objects SET sessions_valid_from = ?1",
                params![now],
            )?;
        }
        OldTokens::Expire => {
            let before = now.saturating_sub(LONGEST_LIFE * 1_000_000);
            delete_retired_keys(tx, NO_REGISTRY, Purpose::Directory, before)?;
            retire_keys(tx, NO_REGISTRY, now)?;
        }
    }
    insert_key(tx, NO_REGISTRY, row)?;
    store::bump(tx)?;
    Ok(true)
}
