//! What cached answers are found by, and how much memory they take.

use std::sync::Arc;

use lazuli_wire::oci::{Digest, Reference, RepositoryName};
use quick_cache::{Equivalent, Weighter};

use crate::blobs::StoredBlob;
use crate::listing::Page;
use crate::manifests::StoredManifest;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key<T> {
    pub(super) registry: i64,
    pub(super) repository: RepositoryName,
    pub(super) item: T,
}

#[derive(Hash)]
pub(super) struct KeyRef<'a, T> {
    pub(super) registry: i64,
    pub(super) repository: &'a RepositoryName,
    pub(super) item: &'a T,
}

impl<T: Eq> Equivalent<Key<T>> for KeyRef<'_, T> {
    fn equivalent(&self, key: &Key<T>) -> bool {
        self.registry == key.registry
            && *self.item == key.item
            && *self.repository == key.repository
    }
}

#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) generation: u64,
    pub(super) value: Arc<V>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self {
            generation: self.generation,
            value: self.value.clone(),
        }
    }
}

/// What a page of names was asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) last: Option<Box<str>>,
    pub(crate) limit: u32,
}

#[derive(Debug, Clone)]
pub(super) struct ByBytes;

impl Weighter<Key<Reference>, Entry<StoredManifest>> for ByBytes {
    fn weight(&self, key: &Key<Reference>, entry: &Entry<StoredManifest>) -> u64 {
        (entry.value.body.len() + key.repository.as_str().len() + 512) as u64
    }
}

impl Weighter<Key<Digest>, Entry<StoredBlob>> for ByBytes {
    fn weight(&self, key: &Key<Digest>, entry: &Entry<StoredBlob>) -> u64 {
        (entry.value.inline_len() + key.repository.as_str().len() + 512) as u64
    }
}

impl Weighter<(i64, Option<RepositoryName>, PageKey), Entry<Page>> for ByBytes {
    fn weight(&self, _: &(i64, Option<RepositoryName>, PageKey), entry: &Entry<Page>) -> u64 {
        (entry.value.weight() + 512) as u64
    }
}

#[derive(Hash)]
pub(super) struct PageRef<'a> {
    pub(super) registry: i64,
    pub(super) repository: Option<&'a RepositoryName>,
    pub(super) page: &'a PageKey,
}

impl Equivalent<(i64, Option<RepositoryName>, PageKey)> for PageRef<'_> {
    fn equivalent(&self, key: &(i64, Option<RepositoryName>, PageKey)) -> bool {
        self.registry == key.0 && self.repository == key.1.as_ref() && *self.page == key.2
    }
}
