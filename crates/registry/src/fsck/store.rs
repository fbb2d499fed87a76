//! What the store holds and the database does not know, and the other way round.

use std::collections::HashSet;

use lazuli_blobs::{BlobEntry, Listed, Location};
use lazuli_wire::oci::Digest;

use super::{Checker, Damage, Finding, sql};
use crate::{Registry, Result, gc};

/// Most orphans remembered; more are not reported.
const MAX_ORPHANS: usize = 100_000;
/// Rows read at a time.
const PAGE: u32 = 500;
/// An upload without a session may be one that is just arriving, unless it is older, in microseconds.
const ARRIVING: i64 = 3_600_000_000;

impl Checker<'_> {
    /// Files that no row knows.
    pub(super) async fn find_orphans(&mut self) -> Result<Vec<BlobEntry>> {
        let mut orphans = Vec::new();
        let mut lister = self.registry.inner.store.list();
        while let Some(batch) = lister.next().await? {
            let mut entries = Vec::new();
            for listed in batch {
                self.summary.files += 1;
                match listed {
                    Listed::Blob(entry) => entries.push(entry),
                    Listed::Foreign(path) => {
                        self.report(Finding::ForeignFile { path }).await?;
                    }
                }
            }
            orphans.extend(unknown(self.registry, entries).await?);
            orphans.truncate(MAX_ORPHANS);
        }
        Ok(orphans)
    }

    /// Reports those that are still unknown and were not taken in the place of a damaged blob.
    pub(super) async fn report_orphans(
        &mut self,
        orphans: &[BlobEntry],
        adopted: &HashSet<Location>,
    ) -> Result<()> {
        let left = orphans
            .iter()
            .filter(|entry| !adopted.contains(&entry.location))
            .cloned()
            .collect();
        for entry in unknown(self.registry, left).await? {
            self.report(Finding::OrphanFile {
                location: entry.location,
                size: entry.size,
            })
            .await?;
        }
        Ok(())
    }

    pub(super) async fn check_uploads(&mut self, orphans: &[BlobEntry]) -> Result<()> {
        let registry = self.registry;
        let (store, db, now) = (&registry.inner.store, &registry.inner.db, registry.now());
        let mut lister = store.list_uploads();
        while let Some(batch) = lister.next().await? {
            for listed in batch
                .into_iter()
                .filter(|listed| listed.modified_us < now - ARRIVING)
            {
                let upload = listed.upload;
                if !db.read(move |tx| gc::sql::has_upload(tx, upload)).await? {
                    self.report(Finding::OrphanUpload {
                        upload,
                        size: listed.size,
                    })
                    .await?;
                }
            }
        }
        let mut after = Vec::new();
        loop {
            let from = after.clone();
            let page = db
                .read(move |tx| sql::stored_uploads(tx, &from, now, PAGE))
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = last.as_bytes().to_vec();
            for (upload, size) in page {
                let found = store.upload_len(upload).await?;
                // A crash between the last two steps of a push leaves the session and, instead of its bytes, an orphan.
                if found.is_some_and(|found| found >= size)
                    || orphans.iter().any(|orphan| orphan.location.is_of(upload))
                {
                    continue;
                }
                let is_open = move |tx: &mut lazuli_db::Tx<'_>| sql::is_stored(tx, upload, size);
                if db.read(is_open).await? {
                    self.report(Finding::UploadWithoutBytes { upload }).await?;
                }
            }
        }
    }
}

/// Those of the files that no row knows.
pub(crate) async fn unknown(
    registry: &Registry,
    mut entries: Vec<BlobEntry>,
) -> Result<Vec<BlobEntry>> {
    let names: Vec<_> = entries
        .iter()
        .map(|entry| (entry.location.clone(), entry.digest))
        .collect();
    let known = registry
        .inner
        .db
        .read(move |tx| {
            let mut is_known = |location: &Location, digest: &Digest| match registry_of(location) {
                Some(registry) => gc::sql::is_known(tx, registry, digest, location.as_str()),
                None => Ok(true),
            };
            names
                .iter()
                .map(|(location, digest)| is_known(location, digest))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let mut known = known.into_iter();
    entries.retain(|_| known.next() == Some(false));
    Ok(entries)
}

/// The registry a location belongs to: its first part.
pub(crate) fn registry_of(location: &Location) -> Option<i64> {
    location.as_str().split('/').next()?.parse().ok()
}

/// What is wrong with a stored file; `None`: nothing. Reads it only if asked to verify.
pub(super) async fn inspect(
    registry: &Registry,
    location: &Location,
    digest: &Digest,
    size: u64,
    verify: bool,
) -> Result<Option<Damage>> {
    let opened = match registry.inner.store.open(location, size).await {
        Ok(opened) => opened,
        Err(lazuli_blobs::Error::NotFound) => return Ok(Some(Damage::Missing)),
        Err(lazuli_blobs::Error::Damaged { found, .. }) => {
            return Ok(Some(Damage::Length { found }));
        }
        Err(error) => return Err(error.into()),
    };
    if !verify {
        return Ok(None);
    }
    match registry.inner.store.hash(opened, digest.algorithm()).await {
        Ok(found) if found == *digest => Ok(None),
        Ok(found) => Ok(Some(Damage::Digest { found })),
        // An object store that does not answer says nothing of the blob.
        Err(error @ lazuli_blobs::Error::ObjectStore { .. }) => Err(error.into()),
        // A sector that cannot be read is damage like any other.
        Err(error) => {
            tracing::error!(%location, %error, "a blob cannot be read");
            Ok(Some(Damage::Unreadable))
        }
    }
}
