//! Another registry that has the same content: what is damaged here is fetched from there.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lazuli_blobs::{Hasher, Location};
use lazuli_wire::oci::{Digest, RepositoryName, UploadId};

use super::copies::Spare;
use super::work::Work;
use super::worker::Worker;
use super::{Halt, Inner, sql};
use crate::blobs;

/// Repositories that are asked for a blob, one after the other.
const ASKED: u32 = 10;

/// Why a peer did not give what it was asked for, for the log.
pub type PeerError = Box<dyn std::error::Error + Send + Sync>;

/// A registry with the same content.
pub trait Peer: Send + Sync + 'static {
    /// The bytes of a blob of this size (bytes), unverified.
    fn blob(
        &self,
        repository: RepositoryName,
        digest: Digest,
        size: u64,
    ) -> BoxStream<'static, Result<Bytes, PeerError>>;

    /// The bytes of a manifest, unverified; `None` if it has none.
    fn manifest(
        &self,
        repository: RepositoryName,
        digest: Digest,
    ) -> BoxFuture<'_, Result<Option<Bytes>, PeerError>>;
}

/// Fetches a blob into the store, where no row names it yet.
pub(super) async fn fetch(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    blob: &sql::Blob,
) -> Result<Option<Spare>, Halt> {
    let Some(peer) = inner.peer.clone() else {
        return Ok(None);
    };
    let (registry, key) = (blob.registry, blob.digest.to_bytes());
    let db = &inner.registry.inner.db;
    let names = db
        .read(move |tx| blobs::sql::holders(tx, registry, &key, ASKED))
        .await?;
    for name in names
        .iter()
        .filter_map(|name| RepositoryName::parse(name).ok())
    {
        let bytes = peer.blob(name.clone(), blob.digest, blob.size);
        match receive(work, inner, blob, bytes).await? {
            Ok(location) => {
                tracing::info!(digest = %blob.digest, repository = %name, "fetched from the peer");
                let now = inner.registry.inner.clock.monotonic();
                worker.pacing.charge(now, blob.size);
                // Garbage collection leaves what is so new to whoever made it.
                return Ok(Some(Spare {
                    location,
                    against_removal: None,
                }));
            }
            Err(error) => {
                tracing::warn!(digest = %blob.digest, repository = %name, %error, "not fetched from the peer");
            }
        }
    }
    Ok(None)
}

/// The inner error is the peer's, the outer one ours.
async fn receive(
    work: &mut Work,
    inner: &Inner,
    blob: &sql::Blob,
    mut bytes: BoxStream<'static, Result<Bytes, PeerError>>,
) -> Result<Result<Location, PeerError>, Halt> {
    let store = inner.registry.inner.store.clone();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Halt::Away(lazuli_blobs::Error::Busy))?;
    let upload = UploadId::from_random(random);
    let hasher = Hasher::new(blob.digest.algorithm());
    let mut writer = store.writer(upload, 0, hasher).await.map_err(Halt::Away)?;
    let outcome = async {
        while let Some(piece) = bytes.next().await {
            work.keep_lease(inner).await?;
            match piece {
                Ok(piece) => writer.write(piece).await.map_err(Halt::Away)?,
                Err(error) => return Ok(Err(error)),
            }
        }
        let (size, hasher, held) = writer.finish_last().await.map_err(Halt::Away)?;
        let found = hasher.finish();
        if size != blob.size || found != blob.digest {
            let error = format!(
                "{size} bytes of {found} came, not {} of {}",
                blob.size, blob.digest
            );
            return Ok(Err(error.into()));
        }
        let prefix = blob.registry.to_string();
        let placed = store.finish_held(upload, held, &prefix, &blob.digest, size);
        Ok(Ok(placed.await.map_err(Halt::Away)?))
    };
    let outcome = outcome.await;
    if !matches!(outcome, Ok(Ok(_))) {
        store.abort(upload).await.map_err(Halt::Away)?;
    }
    outcome
}

/// The right bytes of a manifest, if the peer has them. One that does not answer is asked again later: without the bytes, the
/// manifest's tags would have to go.
pub(super) async fn manifest(
    inner: &Inner,
    repository: &str,
    digest: &Digest,
) -> Result<Option<Bytes>, Halt> {
    let Some(peer) = inner.peer.clone() else {
        return Ok(None);
    };
    let Ok(name) = RepositoryName::parse(repository) else {
        return Ok(None);
    };
    match peer.manifest(name, *digest).await {
        Ok(found) => Ok(found.filter(|bytes| Digest::of(digest.algorithm(), bytes) == *digest)),
        Err(error) => {
            tracing::warn!(%digest, repository, %error, "not fetched from the peer");
            Err(Halt::Away(lazuli_blobs::Error::Busy))
        }
    }
}
