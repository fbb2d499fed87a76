//! The closing request of an upload, sent again: by the client, or by a proxy before many nodes, because the node that carried it
//! out died before it answered. What was done once is not refused the second time.

use lazuli_blobs::{Hasher, Held};
use lazuli_wire::oci::{Digest, UploadId};

use super::commit::Arrived;
use super::receive::Content;
use super::{Incoming, Loaded, OwnedOwner, sql};
use crate::{Error, Registry, Result, blobs, repositories};

impl Registry {
    /// Whether the session was finished as this blob, and the repository still has it. It is leased again, because the client
    /// will be told of it again.
    pub(super) async fn was_finished(
        &self,
        owner: OwnedOwner,
        id: UploadId,
        digest: Digest,
    ) -> Result<bool> {
        let key = digest.to_bytes();
        let (asked, wanted) = (owner.clone(), key.clone());
        let ended = self
            .inner
            .db
            .read(move |tx| sql::was_finished_as(tx, &asked, id, &wanted));
        if !ended.await? {
            return Ok(false);
        }
        let until = self.leased_until(self.now());
        self.inner
            .db
            .write(move |tx| {
                let found = repositories::sql::find(tx, owner.registry, &owner.repository)?;
                let Some(repository) = found else {
                    return Ok(false);
                };
                Ok::<_, Error>(
                    blobs::sql::is_readable(tx, repository.holder, &key)?
                        && blobs::sql::lease(tx, owner.registry, repository.holder, &key, until)?,
                )
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
