//! Rights that were loaded, by whose they are.

use std::sync::Arc;

use lazuli_wire::Guid;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::rights::Loaded;

/// Bytes the cache may hold, about.
const CAPACITY: u64 = 32 * 1024 * 1024;

/// Whose rights: the object, and the groups its token names, if the token is another directory's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) tenant: Guid,
    pub(crate) object: Guid,
    pub(crate) external: bool,
    pub(crate) groups: Arc<[Guid]>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Owner, Arc<Loaded>> for Weight {
    fn weight(&self, owner: &Owner, loaded: &Arc<Loaded>) -> u64 {
        (256 + owner.groups.len() * 16) as u64 + loaded.weight()
    }
}

/// A bounded cache of rights.
pub(crate) struct RightsCache(Cache<Owner, Arc<Loaded>, Weight>);

impl RightsCache {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, Weight))
    }

    /// Rights, if they are of this generation or a newer one.
    pub(crate) fn get(&self, owner: &Owner, generation: i64) -> Option<Arc<Loaded>> {
        self.0
            .get(owner)
            .filter(|loaded| loaded.generation >= generation)
    }

    pub(crate) fn insert(&self, owner: Owner, loaded: Arc<Loaded>) {
        self.0.insert(owner, loaded);
    }
}
