//! The closing request of an upload, sent again: by the client, or by a proxy before many nodes, because the node that carried it
//! out died before it answered. It gets the answer of the first time.

use lazuli_blobs::{Hasher, Held};
use lazuli_wire::oci::{Digest, UploadId};

use super::commit::Arrived;
use super::receive::Content;
use super::{Incoming, Loaded, OwnedOwner, sql};
use crate::{Error, Registry, Result, blobs, repositories};

/// What is kept of a session that ended because its bytes had another digest.
pub(super) fn refused(wanted: &Digest, actual: &Digest) -> Vec<u8> {
    [&[REFUSED][..], &wanted.to_bytes(), &actual.to_bytes()].concat()
}

/// No digest begins with it.
const REFUSED: u8 = 0;

impl Registry {
    /// The outcome of a closing request that was carried out before. A blob that the session became is leased again, because the
    /// client will be told of it again. Errors: [`Error::UploadUnknown`]: there was none, or the repository has lost the blob since.
    pub(super) async fn finished_before(
        &self,
        owner: OwnedOwner,
        id: UploadId,
        digest: Digest,
    ) -> Result<()> {
        let (asked, key) = (owner.clone(), digest.to_bytes());
        let how = self
            .inner
            .db
            .read(move |tx| sql::ended(tx, &asked, id))
            .await?
            .ok_or(Error::UploadUnknown)?;
        if let Some([REFUSED, rest @ ..]) = how.get(..)
            && let Some(actual) = rest.strip_prefix(&key[..]).and_then(Digest::from_bytes)
        {
            return Err(Error::mismatch(digest, actual));
        }
        if how != key {
            return Err(Error::UploadUnknown);
        }
        let until = self.leased_until(self.now());
        self.inner
            .db
            .write(move |tx| {
                let found = repositories::sql::find(tx, owner.registry, &owner.repository)?;
                let holder = found.ok_or(Error::UploadUnknown)?.holder;
                let is_there = blobs::sql::is_readable(tx, holder, &key)?
                    && blobs::sql::lease(tx, owner.registry, holder, &key, until)?;
                is_there.then_some(()).ok_or(Error::UploadUnknown)
            })
            .await
    }
}

/// The whole upload, when the store does not know it as unfinished any more, nothing was to be added, and its hash is the right
/// one: then a blob was made of it that no row names yet.
pub(super) async fn already_stored(
    loaded: &Loaded,
    digest: &Digest,
    body: &mut impl Incoming,
) -> Result<Option<Arrived>> {
    while let Some(piece) = body.next().await {
        if !piece?.is_empty() {
            return Ok(None);
        }
    }
    let Ok(hasher) = Hasher::restore(&loaded.hash_state) else {
        return Ok(None);
    };
    let is_whole = hasher.len() == loaded.size && hasher.clone().finish() == *digest;
    Ok(is_whole.then(|| Arrived {
        size: loaded.size,
        content: Content::Store(Held::default()),
        hasher,
    }))
}

/// Reads a body to its end, for nothing.
pub(super) async fn drop_body(body: &mut impl Incoming) -> Result<()> {
    while let Some(piece) = body.next().await {
        piece?;
    }
    Ok(())
}
