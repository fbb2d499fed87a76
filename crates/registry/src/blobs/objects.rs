//! Blobs in an object store: read through this server, or at an address that clients are sent to.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use lazuli_blobs::BlobObject;
use lazuli_identity::{Pull, RepositoryAccess};
use quick_cache::sync::Cache as Store;

use super::{BlobBytes, Content, StoredBlob};
use crate::{Error, Registry, Result};

/// Most addresses remembered.
const ADDRESSES: usize = 4096;

/// Addresses that were signed, by the object's name, and until when they are handed out, in microseconds.
#[derive(Debug)]
pub(crate) struct Addresses(Store<Box<str>, (Bytes, i64)>);

impl Addresses {
    pub(crate) fn new() -> Self {
        Self(Store::new(ADDRESSES))
    }
}

impl Registry {
    /// An address of the object that was signed before and is good for long enough.
    pub fn ready_url(&self, object: &BlobObject) -> Option<Bytes> {
        let (url, until) = self.inner.addresses.0.get(object.key())?;
        (self.now() < until).then_some(url)
    }

    /// An address at which anybody may read the object for `lifetime` at least; `None` if its store has no such thing.
    pub async fn signed_url(
        &self,
        object: &BlobObject,
        lifetime: Duration,
    ) -> Result<Option<Bytes>> {
        if let Some(url) = self.ready_url(object) {
            return Ok(Some(url));
        }
        // Good for half as long again, so that it can be handed out for that half.
        let half = lifetime / 2;
        let now = self.now();
        let Some(url) = object.signed_url(lifetime + half).await? else {
            return Ok(None);
        };
        let url = Bytes::from(url);
        let until = now.saturating_add(half.as_micros() as i64);
        self.inner
            .addresses
            .0
            .insert(object.key().into(), (url.clone(), until));
        Ok(Some(url))
    }

    /// The bytes of a part of an object. If it is gone, the blob is looked up again: another node may have collected it, and
    /// a push since then may have put it elsewhere.
    ///
    /// Errors: [`Error::Damaged`] when the store no longer has it as recorded.
    pub async fn read_object(
        &self,
        access: &RepositoryAccess<Pull>,
        blob: &StoredBlob,
        object: &BlobObject,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, lazuli_blobs::Error>>> {
        match object.read(range.clone()).await {
            Ok(pieces) => Ok(pieces),
            Err(lazuli_blobs::Error::NotFound) => {
                // It was there when it was looked up last.
                if let Content::Stored(location) = &blob.content {
                    self.forget_file(location);
                }
                let (_, bytes) = self.open_blob(access, &blob.digest).await?;
                let BlobBytes::Object(object) = bytes else {
                    return Err(Error::Damaged);
                };
                match object.read(range).await {
                    Err(lazuli_blobs::Error::NotFound) => Err(Error::Damaged),
                    pieces => Ok(pieces?),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}
