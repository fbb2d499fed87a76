//! Manifests: kept byte for byte, alive while a dot of the operation log keeps them.

mod delete;
mod platform;
mod put;
pub(crate) mod sql;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lazuli_identity::{Delete, Pull, Push, RepositoryAccess};
use lazuli_wire::oci::{Digest, ManifestKind, ManifestWarning, Reference, Tag};

use crate::attributes::locks;
use crate::cache::{Cache, Change};
use crate::transfer::closed;
use crate::{Error, Registry, Result, repositories, tags};

pub(crate) use delete::{drain, forget_attributes};
use put::Prepared;
pub(crate) use put::{insert, needed};

/// Manifests larger than this are parsed and hashed away from the threads that serve requests, in bytes.
const LARGE: usize = 64 << 10;

/// A manifest as it was pushed.
#[derive(Debug)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// The digest as text.
    pub digest_text: Bytes,
    /// The digest as an entity tag: the text in quotation marks.
    pub entity_tag: Bytes,
    /// The media type it was pushed with.
    pub media_type: Bytes,
    /// The kind that media type names.
    pub kind: Option<ManifestKind>,
    /// The bytes.
    pub body: Bytes,
}

impl StoredManifest {
    fn new(digest: Digest, media_type: &str, body: Vec<u8>) -> Self {
        let text = digest.to_string();
        Self {
            digest,
            entity_tag: format!("\"{text}\"").into(),
            digest_text: text.into(),
            kind: ManifestKind::from_media_type(media_type),
            media_type: media_type.to_owned().into(),
            body: body.into(),
        }
    }
}

/// A manifest to be stored.
#[derive(Debug)]
pub struct NewManifest {
    /// The tag or digest it is pushed to.
    pub reference: Reference,
    /// The request's `Content-Type`.
    pub content_type: Option<String>,
    /// The bytes.
    pub body: Bytes,
    /// Further tags it gets (`tag=` parameters of a push by digest).
    pub tags: Vec<Tag>,
    /// What has to hold for the tag, or nothing happens.
    pub condition: Option<Condition>,
}

/// What a tag has to be for a push to it to happen (RFC 9110, section 13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It names this manifest (`If-Match: "digest"`).
    Names(Digest),
    /// It exists (`If-Match: *`).
    Exists,
    /// It does not exist (`If-None-Match: *`).
    Absent,
}

impl Condition {
    fn holds(self, tag: Option<&[u8]>) -> bool {
        match self {
            Self::Names(digest) => tag == Some(&digest.to_bytes()),
            Self::Exists => tag.is_some(),
            Self::Absent => tag.is_none(),
        }
    }
}

/// What a push did.
#[derive(Debug)]
pub struct Stored {
    /// The manifest's digest, in the client's algorithm.
    pub digest: Digest,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// What a strict reader would object to.
    pub warnings: Vec<ManifestWarning>,
}

/// What a delete removed.
#[derive(Debug, Default, Clone)]
pub struct Removed {
    /// The manifests: the one asked for and those that referred to it.
    pub manifests: Vec<Digest>,
    /// The tags that named them.
    pub tags: Vec<Tag>,
}

impl Registry {
    /// The manifest a reference names, if memory has it: no waiting, for the common case.
    pub fn cached_manifest(
        &self,
        access: &RepositoryAccess<Pull>,
        reference: &Reference,
    ) -> Option<Arc<StoredManifest>> {
        self.remembered_now(|cache| {
            cache.manifest(access.registry().get(), access.repository(), reference)
        })
    }

    /// The manifest a reference names.
    pub async fn manifest(
        &self,
        access: &RepositoryAccess<Pull>,
        reference: &Reference,
    ) -> Result<Arc<StoredManifest>> {
        let registry = access.registry().get();
        let name = access.repository();
        let look = |cache: &Cache| cache.manifest(registry, name, reference);
        if let Some(found) = self.remembered(look).await {
            return Ok(found);
        }
        let ticket = self.inner.cache.ticket(registry, Some(name));
        let (tx_name, tx_reference) = (name.clone(), reference.clone());
        let found =
            self.inner
                .db
                .read(move |tx| {
                    let repository = repositories::sql::find(tx, registry, &tx_name)?
                        .ok_or(Error::NameUnknown)?;
                    let digest = match &tx_reference {
                        Reference::Digest(digest) => digest.to_bytes(),
                        Reference::Tag(tag) => tags::sql::find(tx, repository.id, tag)?
                            .ok_or(Error::ManifestUnknown)?,
                    };
                    let (media_type, body) =
                        sql::find(tx, repository.id, &digest)?.ok_or(Error::ManifestUnknown)?;
                    let digest = Digest::from_bytes(&digest)
                        .ok_or(Error::Internal("a stored digest cannot be read"))?;
                    locks::check_pull_of(tx, &repository, &digest, tx_reference.tag())?;
                    Ok::<_, Error>(StoredManifest::new(digest, &media_type, body))
                })
                .await?;
        let found = Arc::new(found);
        self.inner
            .cache
            .keep_manifest(ticket, registry, name, reference.clone(), found.clone());
        Ok(found)
    }

    /// Stores a manifest and moves its tags, all in one transaction.
    pub async fn put_manifest(
        &self,
        access: &RepositoryAccess<Push>,
        new: NewManifest,
        request_id: &Arc<str>,
    ) -> Result<Stored> {
        if new.tags.len() > self.inner.options.tags_per_push {
            return Err(Error::TooManyTags(self.inner.options.tags_per_push));
        }
        let limits = self.inner.options.manifest;
        let prepared = if new.body.len() > LARGE {
            tokio::task::spawn_blocking(move || Prepared::new(new, &limits))
                .await
                .map_err(|_| Error::Internal("parsing a manifest ended early"))??
        } else {
            Prepared::new(new, &limits)?
        };
        let registry = access.registry().get();
        let name = access.repository().clone();
        let context = self
            .inner
            .log
            .context(&Arc::from(access.principal().key()), request_id);
        let this = self.clone();
        let platform = self.platform_of(registry, &name, &prepared).await;
        self.to_the_end(async move {
            let mut changes: Vec<_> = prepared
                .tags
                .iter()
                .cloned()
                .map(Reference::Tag)
                .map(Change::Manifest)
                .collect();
            changes.push(Change::Manifest(Reference::Digest(prepared.digest)));
            let stored = Stored {
                digest: prepared.digest,
                subject: prepared.parsed.subject.as_ref().map(|s| s.digest),
                warnings: prepared.parsed.warnings.clone(),
            };
            // With a database of its own this process writes one after the other anyway.
            let _turn = match this.inner.nodes {
                Some(_) => Some(
                    this.inner
                        .turns
                        .take(registry, &name, prepared.digest)
                        .await,
                ),
                None => None,
            };
            let fence = this.inner.cache.close(registry, Some(&name));
            let (now, inner) = (this.now(), this.inner.clone());
            let result = this
                .inner
                .db
                .write(move |tx| {
                    let new_id = || inner.log.unique_number();
                    let row = repositories::sql::ensure(tx, registry, &name, now, new_id)?;
                    locks::check_push(tx, &row, &prepared.digest, &prepared.tags)?;
                    prepared.store(tx, &row, &platform, now)?;
                    prepared.log(
                        tx,
                        &context,
                        registry,
                        (&row, name.as_str()),
                        &platform,
                        now,
                    )?;
                    if !row.is_listed {
                        repositories::sql::list(tx, row.id, now)?;
                    }
                    Ok::<_, Error>(row.is_listed)
                })
                .await;
            fence.open(&changes);
            if !result? {
                this.inner.cache.close(registry, None).open_forgetting_all();
            }
            this.inner.log.committed();
            Ok(stored)
        })
        .await
    }

    /// Deletes a manifest, the tags that name it, and the manifests that refer to it.
    pub async fn delete_manifest(
        &self,
        access: &RepositoryAccess<Delete>,
        digest: &Digest,
        request_id: &Arc<str>,
    ) -> Result<Removed> {
        let registry = access.registry().get();
        let name = access.repository().clone();
        let context = self
            .inner
            .log
            .context(&Arc::from(access.principal().key()), request_id);
        let (this, digest) = (self.clone(), *digest);
        self.to_the_end(async move {
            let fence = this.inner.cache.close(registry, Some(&name));
            let catalog = this.inner.cache.close(registry, None);
            let now = this.now();
            let removed = this
                .inner
                .db
                .write(move |tx| {
                    closed::check(tx, now)?;
                    let row =
                        repositories::sql::find(tx, registry, &name)?.ok_or(Error::NameUnknown)?;
                    let repository = row.id;
                    locks::check_deletion_in(tx, &row)?;
                    let mut removed = Removed::default();
                    let mut queue = VecDeque::from([digest]);
                    while let Some(digest) = queue.pop_front() {
                        let Some(tags) = delete::remove(
                            tx,
                            &context,
                            registry,
                            (&row, name.as_str()),
                            &digest,
                            now,
                        )?
                        else {
                            continue;
                        };
                        queue.extend(sql::referrers_of(tx, repository, &digest)?);
                        removed.manifests.push(digest);
                        removed.tags.extend(tags);
                    }
                    if removed.manifests.is_empty() {
                        return Err(Error::ManifestUnknown);
                    }
                    if !sql::any(tx, repository)? {
                        repositories::sql::unlist(tx, repository)?;
                    }
                    Ok::<_, Error>(removed)
                })
                .await;
            fence.open_forgetting_all();
            catalog.open_forgetting_all();
            this.inner.log.committed();
            removed
        })
        .await
    }
}
