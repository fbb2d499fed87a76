//! What of the directory decides about tokens, in memory: tenant, keys, the generation of the policy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lazuli_wire::Guid;

use crate::directory::{Directory, store};
use crate::error::Error;
use crate::external::TrustedIssuer;
use crate::keys::{MasterKey, Purpose, SigningKey};
use crate::principal::RegistryId;

/// Microseconds after which a state is no longer relied on.
pub(crate) const STALE_AFTER: i64 = 10_000_000;

/// Microseconds after which it is read again in the background.
const REFRESH_AFTER: i64 = 5_000_000;

/// How long a state is relied on at least when a token names a key that it does not know.
pub(crate) const UNKNOWN_KEY_RELOAD: i64 = 1_000_000;

/// Keys of the directory are rows of no registry.
pub(crate) const NO_REGISTRY: RegistryId = RegistryId::new(0);

/// A key, and when it was replaced by another one (microseconds).
pub(crate) struct DirectoryKey {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) retired_at: Option<i64>,
}

/// The directory as it was at a time.
pub(crate) struct DirectoryState {
    pub(crate) tenant: Guid,
    pub(crate) domain: Box<str>,
    /// The newest first.
    pub(crate) keys: Vec<DirectoryKey>,
    /// Whose tokens are taken besides.
    pub(crate) issuers: Vec<TrustedIssuer>,
    /// Of the policy; with every change of the directory it grows.
    pub(crate) generation: i64,
    /// Microseconds.
    pub(crate) loaded_at: i64,
}

impl DirectoryState {
    fn new(
        rows: store::DirectoryRows,
        previous: Option<&Self>,
        master: &MasterKey,
        loaded_at: i64,
    ) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(rows.keys.len());
        for row in rows.keys {
            let known = previous
                .into_iter()
                .flat_map(|state| &state.keys)
                .find(|known| known.key.kid() == row.kid);
            let key = match known {
                Some(known) => Arc::clone(&known.key),
                None => Arc::new(SigningKey::unseal(
                    master,
                    NO_REGISTRY,
                    Purpose::Directory,
                    &row.kid,
                    &row.sealed,
                )?),
            };
            keys.push(DirectoryKey {
                key,
                retired_at: row.retired_at,
            });
        }
        Ok(Self {
            tenant: rows.tenant,
            domain: rows.domain,
            keys,
            issuers: rows.issuers,
            generation: rows.generation,
            loaded_at,
        })
    }

    /// The key that signs now.
    pub(crate) fn signing_key(&self) -> Result<Arc<SigningKey>, Error> {
        let mut current = self.keys.iter().filter(|key| key.retired_at.is_none());
        let key = current.next().ok_or(Error::NoDirectory)?;
        Ok(Arc::clone(&key.key))
    }

    /// The key with this name.
    pub(crate) fn key(&self, kid: &str) -> Option<&SigningKey> {
        let found = self.keys.iter().find(|key| key.key.kid() == kid)?;
        Some(&found.key)
    }
}

impl Directory {
    /// The state, no older than [`STALE_AFTER`].
    pub(crate) async fn state(self: &Arc<Self>) -> Result<Arc<DirectoryState>, Error> {
        let now = self.clock.now_us();
        match self.current.load_full() {
            Some(state) if now - state.loaded_at < STALE_AFTER => {
                self.refresh_if_due(&state, now);
                Ok(state)
            }
            _ => self.load_unless_newer(now - STALE_AFTER).await,
        }
    }

    pub(crate) fn refresh_if_due(self: &Arc<Self>, state: &DirectoryState, now: i64) {
        if now - state.loaded_at < REFRESH_AFTER || self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let directory = Arc::clone(self);
        let refresh = async move {
            if let Err(error) = directory.reload().await {
                tracing::warn!(%error, "cannot read the directory again");
            }
            directory.refreshing.store(false, Ordering::Release);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(refresh)),
            Err(_) => self.refreshing.store(false, Ordering::Release),
        }
    }

    /// Reads the state from the database now.
    pub(crate) async fn reload(&self) -> Result<Arc<DirectoryState>, Error> {
        let _one_at_a_time = self.loading.lock().await;
        self.load().await
    }

    /// As [`Self::reload`], unless somebody else has read it after a time (microseconds).
    pub(crate) async fn load_unless_newer(&self, than: i64) -> Result<Arc<DirectoryState>, Error> {
        let _one_at_a_time = self.loading.lock().await;
        match self.current.load_full() {
            Some(state) if state.loaded_at > than => Ok(state),
            _ => self.load().await,
        }
    }

    async fn load(&self) -> Result<Arc<DirectoryState>, Error> {
        // Taken before the query: what changes after it is newer than this state.
        let loaded_at = self.clock.now_us();
        let rows = self.db.read(store::load).await?.ok_or(Error::NoDirectory)?;
        let (previous, master) = (self.current.load_full(), Arc::clone(&self.master));
        // Opening a private key takes milliseconds.
        let state = tokio::task::spawn_blocking(move || {
            DirectoryState::new(rows, previous.as_deref(), &master, loaded_at)
        })
        .await
        .map_err(|_| Error::ShuttingDown)??;
        let state = Arc::new(state);
        self.current.store(Some(Arc::clone(&state)));
        Ok(state)
    }
}
