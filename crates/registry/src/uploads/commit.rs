//! The last step of an upload: from bytes to a blob of a repository, durable when it returns.

use lazuli_blobs::{Hasher, Held, Location, Opened};
use lazuli_db::Tx;
use lazuli_wire::oci::{Digest, RepositoryName};

use super::receive::{Content, lost_bytes};
use super::{Loaded, repeated, sql};
use crate::attributes::locks;
use crate::blobs::sql::Kept;
use crate::cache::Change;
use crate::sessions::FRESH_US;
use crate::transfer::closed;
use crate::{Error, Registry, Result, blobs, repositories};

/// How long the closing request may be sent again at least, in microseconds.
const REPEATED_US: i64 = 300 * 1_000_000;

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedOwner {
    pub(crate) registry: i64,
    pub(crate) repository: RepositoryName,
    pub(crate) principal: Box<str>,
}

/// A whole upload.
pub(super) struct Arrived {
    pub(super) size: u64,
    pub(super) content: Content,
    pub(super) hasher: Hasher,
}

/// What the transaction found.
enum Outcome {
    /// The blob is new, and where this upload put it.
    Stored,
    /// The registry had the blob already.
    Present(Kept),
}

impl Registry {
    pub(super) async fn commit_upload(
        &self,
        owner: &OwnedOwner,
        loaded: &Loaded,
        is_session: bool,
        digest: Digest,
        arrived: Arrived,
    ) -> Result<()> {
        let actual = self.digest_of(loaded, digest, &arrived).await?;
        if actual != digest {
            if is_session {
                let how = repeated::refused(&digest, &actual);
                self.end_session(owner, loaded, how).await?;
            } else {
                self.inner.store.abort(loaded.id).await?;
            }
            return Err(Error::mismatch(digest, actual));
        }
        let size = arrived.size;
        match arrived.content {
            Content::Memory(bytes) => {
                self.commit_small(owner, loaded, is_session, digest, bytes)
                    .await
            }
            Content::Store(held) => {
                self.commit_stored(owner, loaded, is_session, digest, (size, held))
                    .await
            }
        }
    }

    async fn digest_of(
        &self,
        loaded: &Loaded,
        wanted: Digest,
        arrived: &Arrived,
    ) -> Result<Digest> {
        if wanted.algorithm() == arrived.hasher.algorithm() {
            return Ok(arrived.hasher.clone().finish());
        }
        match &arrived.content {
            Content::Memory(bytes) => Ok(Digest::of(wanted.algorithm(), bytes)),
            Content::Store(_) => {
                let hasher = self
                    .inner
                    .store
                    .rehash(loaded.id, arrived.size, wanted.algorithm())
                    .await
                    .map_err(lost_bytes)?;
                Ok(hasher.finish())
            }
        }
    }

    async fn commit_small(
        &self,
        owner: &OwnedOwner,
        loaded: &Loaded,
        is_session: bool,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<()> {
        let content = bytes.clone();
        let link = self.link(
            owner,
            loaded,
            is_session,
            digest,
            bytes.len() as u64,
            move |tx, registry, key, now, until| {
                blobs::sql::insert(
                    tx,
                    registry,
                    key,
                    (content.len() as i64, blobs::sql::Bytes::Content(&content)),
                    now,
                    until,
                )
            },
        );
        if let Outcome::Present(kept) = link.await?
            && !self.is_whole(&kept, bytes.len() as u64, digest).await
        {
            self.heal(owner, digest, None, Some(bytes)).await?;
        }
        Ok(())
    }

    async fn commit_stored(
        &self,
        owner: &OwnedOwner,
        loaded: &Loaded,
        is_session: bool,
        digest: Digest,
        (size, held): (u64, Held),
    ) -> Result<()> {
        let registry = owner.registry;
        let present = self
            .inner
            .db
            .read(move |tx| blobs::sql::kept(tx, registry, &digest.to_bytes()).map_err(Error::from))
            .await?;
        let is_present = match &present {
            None => false,
            Some(kept) => self.is_whole(kept, size, digest).await,
        };
        if is_present {
            let unknown =
                |_: &mut Tx<'_>, _: i64, _: &[u8], _: i64, _: i64| Err(lazuli_db::Error::Conflict);
            match self
                .link(owner, loaded, is_session, digest, size, unknown)
                .await
            {
                Ok(_) => {
                    tell(self.inner.store.abort(loaded.id).await);
                    return Ok(());
                }
                // Garbage collection was faster: store it anew.
                Err(Error::Database(lazuli_db::Error::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        let location = self
            .inner
            .store
            .finish_held(loaded.id, held, &registry.to_string(), &digest, size)
            .await
            .map_err(lost_bytes)?;
        let text = location.to_string();
        let row = text.clone();
        let outcome = self
            .link(
                owner,
                loaded,
                is_session,
                digest,
                size,
                move |tx, registry, key, now, until| {
                    blobs::sql::insert(
                        tx,
                        registry,
                        key,
                        (size as i64, blobs::sql::Bytes::Location(&row)),
                        now,
                        until,
                    )
                },
            )
            .await;
        let did_not_happen = matches!(
            outcome,
            Err(Error::OutOfSpace
                | Error::ReadOnly
                | Error::Busy
                | Error::Moving { .. }
                | Error::Locked(_))
        );
        if did_not_happen && self.inner.nodes.is_none() {
            // The session cannot go on: its bytes would only keep the disk full. Another node may have been sent the same
            // request, and have made them a blob: then they are not ours to remove.
            let _ = self.inner.store.remove(&location).await;
        }
        match outcome? {
            Outcome::Stored => Ok(()),
            Outcome::Present(Kept::At(other)) if other == text => Ok(()),
            Outcome::Present(kept) if !self.is_whole(&kept, size, digest).await => {
                self.heal(owner, digest, Some(text), None).await
            }
            // Somebody pushed the same blob meanwhile: theirs stays.
            Outcome::Present(_) => {
                tell(self.inner.store.remove(&location).await);
                Ok(())
            }
        }
    }

    /// Makes the blob a member of the repository, in one durable transaction: inserts it if the registry does not have it.
    async fn link(
        &self,
        owner: &OwnedOwner,
        loaded: &Loaded,
        is_session: bool,
        digest: Digest,
        size: u64,
        mut insert: impl FnMut(&mut Tx<'_>, i64, &[u8], i64, i64) -> Result<(), lazuli_db::Error>
        + Send
        + 'static,
    ) -> Result<Outcome> {
        let (owner, session, inner) = (owner.clone(), loaded.clone(), self.inner.clone());
        let (now, until) = (self.now(), self.leased_until(self.now()));
        self.inner
            .db
            .write(move |tx| {
                let registry = owner.registry;
                let key = digest.to_bytes();
                let new_id = || inner.log.unique_number();
                let row = repositories::sql::ensure(tx, registry, &owner.repository, now, new_id)?;
                locks::check_upload(tx, &row)?;
                let repository = row.holder;
                let outcome = if blobs::sql::affirm(tx, registry, &key, until)? {
                    let kept = blobs::sql::kept(tx, registry, &key)?;
                    Outcome::Present(kept.unwrap_or(Kept::Nowhere))
                } else {
                    insert(tx, registry, &key, now, until)?;
                    Outcome::Stored
                };
                blobs::sql::link(tx, registry, repository, &key, size as i64, now, until)?;
                if is_session {
                    let forget_at = (session.created_at + FRESH_US).max(now + REPEATED_US);
                    sql::end(tx, &owner, &session, &key, forget_at)?;
                }
                Ok::<_, Error>(outcome)
            })
            .await
    }

    /// Whether the stored bytes still hash to their digest: who pushes a blob again gets it healed, and pays for the look.
    async fn is_whole(&self, kept: &Kept, size: u64, digest: Digest) -> bool {
        let location = match kept {
            Kept::Inline => return true,
            Kept::Nowhere => return false,
            Kept::At(location) => location,
        };
        let Ok(location) = Location::parse(location) else {
            return false;
        };
        match self.inner.store.open(&location, size).await {
            Ok(file @ Opened::File(_)) => {
                let hashed = self.inner.store.hash(file, digest.algorithm()).await;
                matches!(hashed, Ok(actual) if actual == digest)
            }
            // An object store keeps its own checksums; reading all of it back for each push would cost more than it tells.
            Ok(Opened::Object(_)) => true,
            Err(_) => false,
        }
    }

    /// A push of a blob whose stored copy is missing or cut replaces that copy.
    async fn heal(
        &self,
        owner: &OwnedOwner,
        digest: Digest,
        location: Option<String>,
        content: Option<Vec<u8>>,
    ) -> Result<()> {
        tracing::warn!(%digest, registry = owner.registry, "a damaged blob was healed by a push");
        let (registry, now) = (owner.registry, self.now());
        let fence = self.inner.cache.close(registry, Some(&owner.repository));
        let result = self
            .inner
            .db
            .write(move |tx| {
                closed::check(tx, now)?;
                if let Some((size, Some(old))) =
                    blobs::sql::place(tx, registry, &digest.to_bytes())?
                {
                    crate::gc::sql::add_removal(tx, &old, size as u64, now)?;
                }
                blobs::sql::relocate(
                    tx,
                    registry,
                    &digest.to_bytes(),
                    location.as_deref(),
                    content.as_deref(),
                )
                .map_err(Error::from)
            })
            .await;
        fence.open(&[Change::Blob(digest)]);
        // Other repositories may have the blob in memory too.
        self.inner.cache.clear();
        result
    }
}

/// The push is done; what could not be freed garbage collection finds.
fn tell(freed: Result<(), lazuli_blobs::Error>) {
    if let Err(error) = freed {
        tracing::warn!(%error, "the bytes of a blob that was there already were not freed");
    }
}
