//! The states of the registries in memory, and how they follow the database.
//!
//! Another process may change a password, a key or a flag at any time (`lazuli admin`, another node). A state is
//! therefore relied on for [`STALE_AFTER`] at most; under load it is read again before that, in the background, so
//! that no request waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use lazuli_db::Db;
use lazuli_db::clock::Clock;
use tokio::sync::Mutex;

use crate::error::Error;
use crate::keys::MasterKey;
use crate::principal::RegistryId;
use crate::rbac::policy::Known;
use crate::state::RegistryState;
use crate::store;

/// Microseconds after which a state is no longer relied on.
pub(crate) const STALE_AFTER: i64 = 10_000_000;

/// Microseconds after which a state is read again in the background.
const REFRESH_AFTER: i64 = 5_000_000;

/// How long a state is relied on at least when a token names a key that it does not know: another node may have
/// rotated the keys just now, but an attacker must not cause a query with every request.
pub(crate) const UNKNOWN_KEY_RELOAD: i64 = 1_000_000;

type Map = HashMap<RegistryId, Arc<RegistryState>>;

/// The registries' states.
pub(crate) struct States {
    db: Db,
    clock: Arc<dyn Clock>,
    master: Arc<MasterKey>,
    admin_enabled: bool,
    current: ArcSwap<Map>,
    /// Held while one state is read; readers of `current` never wait for it.
    loading: Mutex<()>,
    refreshing: AtomicBool,
    generations: AtomicU64,
    /// Grows when all states are void.
    epoch: AtomicU64,
    pub(crate) policy: Known,
}

impl States {
    pub(crate) fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        master: Arc<MasterKey>,
        admin_enabled: bool,
    ) -> Self {
        Self {
            db,
            clock,
            master,
            admin_enabled,
            current: ArcSwap::default(),
            loading: Mutex::new(()),
            refreshing: AtomicBool::new(false),
            generations: AtomicU64::new(1),
            epoch: AtomicU64::new(0),
            policy: Known::new(),
        }
    }

    /// All states there are, however old.
    pub(crate) fn current(&self) -> Guard<Arc<Map>> {
        self.current.load()
    }

    /// The state of a registry, no older than [`STALE_AFTER`].
    pub(crate) async fn get(
        self: &Arc<Self>,
        registry: RegistryId,
    ) -> Result<Arc<RegistryState>, Error> {
        let now = self.clock.now_us();
        let known = self.current().get(&registry).map(Arc::clone);
        match known {
            Some(state) if self.is_good(&state, now) => {
                self.refresh_if_due(&state, now);
                Ok(state)
            }
            _ => self.load_unless_newer(registry, now - STALE_AFTER).await,
        }
    }

    /// Whether a state is relied on still.
    pub(crate) fn is_good(&self, state: &RegistryState, now: i64) -> bool {
        now - state.loaded_at < STALE_AFTER && state.epoch == self.epoch.load(Ordering::Acquire)
    }

    /// From now on no state is relied on that was read before.
    pub(crate) fn expire(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Reads a state again in the background when it is about to become stale.
    pub(crate) fn refresh_if_due(self: &Arc<Self>, state: &RegistryState, now: i64) {
        if now - state.loaded_at < REFRESH_AFTER || self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (states, registry) = (Arc::clone(self), state.registry);
        let refresh = async move {
            if let Err(error) = states.reload(registry).await {
                tracing::warn!(%registry, %error, "cannot read the registry's credentials and keys again");
            }
            states.refreshing.store(false, Ordering::Release);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(refresh)),
            Err(_) => self.refreshing.store(false, Ordering::Release),
        }
    }

    /// Reads a state from the database now.
    pub(crate) async fn reload(&self, registry: RegistryId) -> Result<Arc<RegistryState>, Error> {
        let _one_at_a_time = self.loading.lock().await;
        self.load(registry).await
    }

    /// As [`Self::reload`], unless somebody else has read the state after a time (microseconds).
    pub(crate) async fn load_unless_newer(
        &self,
        registry: RegistryId,
        than: i64,
    ) -> Result<Arc<RegistryState>, Error> {
        let _one_at_a_time = self.loading.lock().await;
        let known = self.current().get(&registry).map(Arc::clone);
        match known {
            Some(state)
                if state.loaded_at > than && state.epoch == self.epoch.load(Ordering::Acquire) =>
            {
                Ok(state)
            }
            _ => self.load(registry).await,
        }
    }

    /// Forgets a registry that was deleted.
    pub(crate) async fn forget(&self, registry: RegistryId) {
        let _one_at_a_time = self.loading.lock().await;
        let mut map = Map::clone(&self.current());
        if map.remove(&registry).is_some() {
            self.current.store(Arc::new(map));
        }
    }

    async fn load(&self, registry: RegistryId) -> Result<Arc<RegistryState>, Error> {
        // Taken before the query: what changes after it is newer than this state.
        let loaded_at = self.clock.now_us();
        let epoch = self.epoch.load(Ordering::Acquire);
        let rows = self.db.read(move |tx| store::load(tx, registry)).await?;
        let rows = rows.ok_or(Error::UnknownRegistry(registry))?;
        self.policy.note(rows.policy, loaded_at);
        let previous = self.current().get(&registry).map(Arc::clone);
        let (master, admin_enabled) = (Arc::clone(&self.master), self.admin_enabled);
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        // Opening a private key takes milliseconds.
        let state = tokio::task::spawn_blocking(move || {
            RegistryState::new(
                registry,
                rows,
                previous.as_deref(),
                admin_enabled,
                &master,
                generation,
                (loaded_at, epoch),
            )
        })
        .await
        .map_err(|_| Error::ShuttingDown)??;
        let state = Arc::new(state);
        let mut map = Map::clone(&self.current());
        map.insert(registry, Arc::clone(&state));
        self.current.store(Arc::new(map));
        Ok(state)
    }
}
