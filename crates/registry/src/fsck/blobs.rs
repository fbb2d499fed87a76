//! Blobs, and the repositories that hold them.

use std::collections::HashSet;

use lazuli_blobs::{BlobEntry, Location};
use lazuli_wire::oci::Digest;

use super::{Checker, Damage, Finding, sql, store};
use crate::{Registry, Result};

/// Rows read at a time; small blobs come with their bytes.
const PAGE: u32 = 100;
const LINK_PAGE: u32 = 500;

impl Checker<'_> {
    /// Every blob has its bytes. Returns the orphans that can take the place of damaged files.
    pub(super) async fn check_blobs(&mut self, orphans: &[BlobEntry]) -> Result<HashSet<Location>> {
        let mut adopted = HashSet::new();
        let mut after = (i64::MIN, Vec::new());
        loop {
            let from = after.clone();
            let page = self
                .registry
                .inner
                .db
                .read(move |tx| sql::blobs(tx, &from, PAGE))
                .await?;
            let Some(last) = page.last() else { break };
            after = (last.registry, last.digest.to_bytes());
            for blob in page {
                self.summary.blobs += 1;
                self.summary.bytes += blob.size;
                let (registry, digest) = (blob.registry, blob.digest);
                if let Some(damage) = self.damage(&blob).await? {
                    if !self.is_unchanged(&blob).await? {
                        continue;
                    }
                    let copy = good_copy(self.registry, &blob, orphans).await?;
                    adopted.extend(copy.clone());
                    let finding = Finding::BlobDamaged {
                        registry,
                        digest,
                        damage,
                        copy,
                    };
                    self.report(finding).await?;
                } else if !blob.is_held && !blob.is_condemned {
                    self.report(Finding::BlobForgotten { registry, digest })
                        .await?;
                }
            }
        }
        self.check_removals().await?;
        Ok(adopted)
    }

    async fn damage(&self, blob: &sql::Blob) -> Result<Option<Damage>> {
        match (&blob.content, &blob.location) {
            (Some(content), None) => {
                let found = Digest::of(blob.digest.algorithm(), content);
                let length = content.len() as u64;
                Ok(if length == blob.size {
                    (found != blob.digest).then_some(Damage::Digest { found })
                } else {
                    Some(Damage::Length { found: length })
                })
            }
            (None, Some(text)) => match Location::parse(text) {
                Ok(location) if location.digest() == Some(blob.digest) => {
                    store::inspect(
                        self.registry,
                        &location,
                        &blob.digest,
                        blob.size,
                        self.options.verify,
                    )
                    .await
                }
                _ => Ok(Some(Damage::NoPlace)),
            },
            // The scrub put damaged bytes aside.
            (None, None) => Ok(Some(Damage::Missing)),
            _ => Ok(Some(Damage::NoPlace)),
        }
    }

    /// Beside a running server, garbage collection or a healing push may have been faster.
    async fn is_unchanged(&self, blob: &sql::Blob) -> Result<bool> {
        let (registry, digest) = (blob.registry, blob.digest);
        let now = self
            .registry
            .inner
            .db
            .read(move |tx| sql::blob(tx, registry, &digest))
            .await?;
        Ok(now.is_some_and(|now| now.location == blob.location && now.content == blob.content))
    }

    async fn check_removals(&mut self) -> Result<()> {
        let mut after = String::new();
        loop {
            let from = after.clone();
            let page = self
                .registry
                .inner
                .db
                .read(move |tx| sql::removals_in_use(tx, &from, LINK_PAGE))
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after.clone_from(last);
            for (location, _) in page.into_iter().filter(|(_, in_use)| *in_use) {
                self.report(Finding::BlobAboutToBeRemoved { location })
                    .await?;
            }
        }
    }

    /// Every blob that a repository holds is there, and garbage collection knows of those that nothing names.
    pub(super) async fn check_links(&mut self) -> Result<()> {
        let mut after = (i64::MIN, Vec::new());
        loop {
            let from = after.clone();
            let page = self
                .registry
                .inner
                .db
                .read(move |tx| sql::links(tx, &from, LINK_PAGE))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = (last.repository, last.digest.to_bytes());
            for link in page {
                self.summary.links += 1;
                let Some(place) = link.place else { continue }; // counted among the dangling rows
                let digest = link.digest;
                let finding = match link.blob_size {
                    None => Some(Finding::LinkWithoutBlob { place, digest }),
                    Some(size) if size != link.size || link.registry != place.registry => {
                        Some(Finding::LinkDiffers { place, digest })
                    }
                    Some(_) if !link.is_referenced && !link.is_due => {
                        Some(Finding::LinkForgotten { place, digest })
                    }
                    Some(_) => None,
                };
                if let Some(finding) = finding {
                    self.report(finding).await?;
                }
            }
        }
    }
}

/// A file that no row knows and that is the damaged blob, every byte compared.
async fn good_copy(
    registry: &Registry,
    blob: &sql::Blob,
    orphans: &[BlobEntry],
) -> Result<Option<Location>> {
    let candidates = orphans.iter().filter(|entry| {
        entry.digest == blob.digest
            && entry.size == blob.size
            && store::registry_of(&entry.location) == Some(blob.registry)
    });
    for entry in candidates {
        if store::inspect(registry, &entry.location, &blob.digest, blob.size, true)
            .await?
            .is_none()
        {
            return Ok(Some(entry.location.clone()));
        }
    }
    Ok(None)
}
