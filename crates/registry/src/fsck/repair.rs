//! Repairs. Each is one transaction that looks again before it acts.
//!
//! A repair concerns this region only and writes no operations: what one disk lost must not be deleted elsewhere.

use lazuli_db::Tx;
use lazuli_wire::oci::{Digest, ParsedManifest};

use super::manifests::references;
use super::{Damage, Finding, Place, sql};
use crate::{Registry, Result, blobs, gc, manifests, metering, repositories};

/// Whether anything was repaired.
pub(super) async fn repair(registry: &Registry, finding: &Finding) -> Result<bool> {
    if finding.repair().is_none() {
        return Ok(false);
    }
    if let Finding::UploadWithoutBytes { upload } = finding {
        let upload = *upload;
        let removed = registry.inner.db.write(move |tx| {
            tx.execute(
                "DELETE FROM uploads WHERE id = ?1",
                &[upload.as_bytes().as_slice().into()],
            )
        });
        let removed = removed.await? > 0;
        registry.inner.store.abort(upload).await?;
        return Ok(removed);
    }
    let (finding, context) = (finding.clone(), Context::new(registry));
    registry
        .inner
        .db
        .write(move |tx| context.repair(tx, &finding))
        .await
}

/// What the changes of a repair need besides the transaction.
pub(crate) struct Context {
    registry: Registry,
    now: i64,
}

impl Context {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            now: registry.now(),
        }
    }

    fn repair(&self, tx: &mut Tx<'_>, finding: &Finding) -> Result<bool> {
        match finding {
            Finding::BlobDamaged { registry, digest, damage, copy } => {
                let Some(blob) = sql::blob(tx, *registry, digest)? else { return Ok(false) };
                if !matches!(damage, Damage::Missing) {
                    self.put_aside(tx, &blob, &damage.to_string())?;
                }
                match copy {
                    Some(copy) => blobs::sql::relocate(tx, *registry, &digest.to_bytes(), Some(copy.as_str()), None)?,
                    None => self.forget_blob(tx, *registry, digest)?,
                }
                Ok(true)
            }
            Finding::BlobForgotten { registry, digest } => {
                let is_held = blobs::sql::is_held(tx, *registry, &digest.to_bytes())?;
                if !is_held {
                    blobs::sql::condemn(tx, *registry, &digest.to_bytes(), self.now)?;
                }
                Ok(!is_held)
            }
            Finding::BlobAboutToBeRemoved { location } => {
                gc::sql::forget_removal(tx, location)?;
                Ok(true)
            }
            Finding::LinkWithoutBlob { place, digest } => self.unlink(tx, place.repository, digest),
            Finding::LinkDiffers { place, digest } => changed(tx.execute(
                "UPDATE repository_blobs SET registry_id = ?3, size = b.size FROM blobs AS b \
                 WHERE b.registry_id = ?3 AND b.digest = repository_blobs.digest \
                 AND repository_blobs.repository_id = ?1 AND repository_blobs.digest = ?2",
                &[place.repository.into(), (&digest.to_bytes()).into(), place.registry.into()],
            )),
            Finding::LinkForgotten { place, digest } => changed(tx.execute(
                "UPDATE repository_blobs SET check_after = ?3 WHERE repository_id = ?1 AND digest = ?2 AND check_after IS NULL",
                &[place.repository.into(), (&digest.to_bytes()).into(), self.now.into()],
            )),
            Finding::ManifestDamaged { place, digest, found } => self.forget_manifest(tx, place, digest, found),
            Finding::ManifestRecordDiffers { place, digest } => self.rewrite_record(tx, place, digest),
            Finding::ReferencesDiffer { place, digest } => self.rewrite_references(tx, place, digest),
            Finding::ContentMissing { place, blob, .. } => {
                match repositories::sql::holder(tx, place.repository)? {
                    Some(holder) => self.link(tx, place.registry, holder, blob),
                    None => Ok(false),
                }
            }
            Finding::ListingDiffers { place, .. } => {
                let has_manifests = manifests::sql::any(tx, place.repository)?;
                if has_manifests {
                    repositories::sql::list(tx, place.repository, self.now)?;
                } else {
                    repositories::sql::unlist(tx, place.repository)?;
                }
                Ok(true)
            }
            Finding::TagDangling { place, tag } => changed(tx.execute(
                "DELETE FROM tags WHERE repository_id = ?1 AND name = ?2 AND NOT EXISTS (SELECT 1 FROM manifests m \
                 WHERE m.repository_id = tags.repository_id AND m.digest = tags.digest)",
                &[place.repository.into(), tag.into()],
            )),
            Finding::DanglingRows { table, .. } => changed(sql::remove_dangling(tx, table, self.now)),
            _ => Ok(false),
        }
    }

    /// Keeps damaged bytes where nothing serves or removes them.
    pub(crate) fn put_aside(&self, tx: &mut Tx<'_>, blob: &sql::Blob, reason: &str) -> Result<()> {
        let place = (blob.location.as_deref(), blob.content.as_deref());
        self.quarantine(tx, blob.registry, &blob.digest, place, reason)
    }

    fn quarantine(
        &self,
        tx: &mut Tx<'_>,
        registry: i64,
        digest: &Digest,
        (location, content): (Option<&str>, Option<&[u8]>),
        reason: &str,
    ) -> Result<()> {
        tx.execute(
            "INSERT INTO quarantine (id, registry_id, digest, location, content, reason, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            &[
                self.registry.inner.log.unique_number().into(),
                registry.into(),
                (&digest.to_bytes()).into(),
                location.into(),
                content.into(),
                reason.into(),
                self.now.into(),
            ],
        )?;
        Ok(())
    }

    /// No repository holds the blob any more: a client that asks is told so, and pushes it.
    fn forget_blob(&self, tx: &mut Tx<'_>, registry: i64, digest: &Digest) -> Result<()> {
        let bytes = digest.to_bytes();
        let key = [registry.into(), (&bytes).into()];
        let holders = tx.query(
            "SELECT repository_id FROM repository_blobs WHERE registry_id = ?1 AND digest = ?2",
            &key,
            |row| row.get_i64(0),
        )?;
        for repository in holders {
            self.unlink(tx, repository, digest)?;
        }
        tx.execute(
            "DELETE FROM blobs WHERE registry_id = ?1 AND digest = ?2",
            &key,
        )?;
        Ok(())
    }

    fn unlink(&self, tx: &mut Tx<'_>, repository: i64, digest: &Digest) -> Result<bool> {
        let bytes = digest.to_bytes();
        let is_linked = blobs::sql::is_linked(tx, repository, &bytes)?;
        metering::close_interval(tx, repository, &bytes, self.now)?;
        blobs::sql::unlink(tx, repository, &bytes)?;
        Ok(is_linked)
    }

    fn link(&self, tx: &mut Tx<'_>, registry: i64, holder: i64, digest: &Digest) -> Result<bool> {
        let (bytes, until) = (digest.to_bytes(), self.now + self.registry.lease_us());
        let Some((size, _)) = blobs::sql::place(tx, registry, &bytes)? else {
            return Ok(false);
        };
        blobs::sql::affirm(tx, registry, &bytes, until)?;
        blobs::sql::link(tx, registry, holder, &bytes, size, self.now, until)?;
        Ok(true)
    }

    /// Puts a manifest's bytes aside and forgets it, with the tags that name it.
    pub(crate) fn forget_manifest(
        &self,
        tx: &mut Tx<'_>,
        place: &Place,
        digest: &Digest,
        found: &Digest,
    ) -> Result<bool> {
        let Some(manifest) = sql::manifest(tx, place.repository, digest)? else {
            return Ok(false);
        };
        let reason = Damage::Digest { found: *found }.to_string();
        self.quarantine(
            tx,
            place.registry,
            digest,
            (None, Some(&manifest.body)),
            &reason,
        )?;
        let bytes = digest.to_bytes();
        manifests::sql::check_children_later(tx, place.repository, &bytes, self.now)?;
        manifests::sql::remove(tx, place.repository, &bytes)?;
        crate::tags::sql::remove_of_digest(tx, place.repository, &bytes)?;
        Ok(true)
    }

    fn parsed(
        &self,
        tx: &mut Tx<'_>,
        place: &Place,
        digest: &Digest,
    ) -> Result<Option<(sql::Manifest, ParsedManifest)>> {
        let Some(manifest) = sql::manifest(tx, place.repository, digest)? else {
            return Ok(None);
        };
        let limits = self.registry.inner.options.manifest;
        let parsed = ParsedManifest::parse(Some(&manifest.media_type), &manifest.body, &limits)?;
        Ok(Some((manifest, parsed)))
    }

    fn rewrite_record(&self, tx: &mut Tx<'_>, place: &Place, digest: &Digest) -> Result<bool> {
        let Some((manifest, parsed)) = self.parsed(tx, place, digest)? else {
            return Ok(false);
        };
        let subject = parsed
            .subject
            .as_ref()
            .map(|subject| subject.digest.to_bytes());
        changed(tx.execute(
            "UPDATE manifests SET size = ?3, subject = ?4, artifact_type = ?5 WHERE repository_id = ?1 AND digest = ?2",
            &[
                place.repository.into(),
                (&digest.to_bytes()).into(),
                manifest.body.len().into(),
                subject.as_deref().into(),
                parsed.artifact_type.as_deref().into(),
            ],
        ))
    }

    fn rewrite_references(&self, tx: &mut Tx<'_>, place: &Place, digest: &Digest) -> Result<bool> {
        let Some((_, parsed)) = self.parsed(tx, place, digest)? else {
            return Ok(false);
        };
        let bytes = digest.to_bytes();
        // What only the wrong record named is looked at by garbage collection; so is what the right one names, in vain.
        manifests::sql::check_children_later(tx, place.repository, &bytes, self.now)?;
        tx.execute(
            "DELETE FROM manifest_references WHERE repository_id = ?1 AND manifest = ?2",
            &[place.repository.into(), (&bytes).into()],
        )?;
        for (child, kind) in references(&parsed) {
            manifests::sql::add_reference(tx, place.repository, &bytes, &child.to_bytes(), kind)?;
        }
        Ok(true)
    }
}

fn changed(result: Result<u64, lazuli_db::Error>) -> Result<bool> {
    Ok(result? > 0)
}
