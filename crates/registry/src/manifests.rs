//! Manifests: kept byte for byte, alive while a dot of the operation log keeps them.

pub(crate) mod sql;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lazuli_db::Tx;
use lazuli_identity::{Delete, Pull, Push, RepositoryAccess};
use lazuli_wire::oci::{
    Algorithm, Digest, ManifestKind, ManifestWarning, ParsedManifest, Reference, Tag,
};

use crate::cache::Change;
use crate::operations::{self, Appended, Operation, OperationId};
use crate::{Error, Registry, Result, blobs, repositories, tags};

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
    /// Push only if the tag names this manifest now (`If-Match`).
    pub expected: Option<Digest>,
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
        self.inner
            .cache
            .manifest(access.registry().get(), access.repository(), reference)
    }

    /// The manifest a reference names.
    pub async fn manifest(
        &self,
        access: &RepositoryAccess<Pull>,
        reference: &Reference,
    ) -> Result<Arc<StoredManifest>> {
        let registry = access.registry().get();
        let name = access.repository();
        if let Some(found) = self.inner.cache.manifest(registry, name, reference) {
            return Ok(found);
        }
        let ticket = self.inner.cache.ticket(registry, Some(name));
        let (tx_name, tx_reference) = (name.clone(), reference.clone());
        let found = self
            .inner
            .db
            .read(move |tx| {
                let repository =
                    repositories::sql::find(tx, registry, &tx_name)?.ok_or(Error::NameUnknown)?;
                let digest = match &tx_reference {
                    Reference::Digest(digest) => digest.to_bytes(),
                    Reference::Tag(tag) => {
                        tags::sql::find(tx, repository, tag)?.ok_or(Error::ManifestUnknown)?
                    }
                };
                let (media_type, body) =
                    sql::find(tx, repository, &digest)?.ok_or(Error::ManifestUnknown)?;
                let digest = Digest::from_bytes(&digest)
                    .ok_or(Error::Internal("a stored digest cannot be read"))?;
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
            let fence = this.inner.cache.close(registry, Some(&name));
            let (now, inner) = (this.now(), this.inner.clone());
            let result = this
                .inner
                .db
                .write(move |tx| {
                    let new_id = || inner.log.unique_number();
                    let (repository, listed) =
                        repositories::sql::ensure(tx, registry, &name, now, new_id)?;
                    prepared.store(tx, repository, now)?;
                    prepared.log(tx, &context, registry, name.as_str(), repository, now)?;
                    if !listed {
                        repositories::sql::set_listed(tx, repository, true)?;
                    }
                    Ok::<_, Error>(listed)
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
                    let repository =
                        repositories::sql::find(tx, registry, &name)?.ok_or(Error::NameUnknown)?;
                    let mut removed = Removed::default();
                    let mut queue = VecDeque::from([digest]);
                    while let Some(digest) = queue.pop_front() {
                        let Some(tags) = remove(
                            tx,
                            &context,
                            registry,
                            (repository, name.as_str()),
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
                        repositories::sql::set_listed(tx, repository, false)?;
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

/// A manifest that passed every check that needs no database.
struct Prepared {
    digest: Digest,
    digest_bytes: Vec<u8>,
    parsed: ParsedManifest,
    tags: Vec<Tag>,
    expected: Option<Digest>,
    body: Bytes,
}

impl Prepared {
    fn new(new: NewManifest, limits: &lazuli_wire::oci::ManifestLimits) -> Result<Self> {
        let parsed = ParsedManifest::parse(new.content_type.as_deref(), &new.body, limits)?;
        let mut tags = new.tags;
        let digest = match new.reference {
            Reference::Digest(expected) => {
                let actual = Digest::of(expected.algorithm(), &new.body);
                if actual != expected {
                    return Err(Error::DigestMismatch { expected, actual });
                }
                actual
            }
            Reference::Tag(tag) => {
                tags.insert(0, tag);
                Digest::of(Algorithm::Sha256, &new.body)
            }
        };
        Ok(Self {
            digest,
            digest_bytes: digest.to_bytes(),
            parsed,
            tags,
            expected: new.expected,
            body: new.body,
        })
    }

    /// The blobs the repository has to hold: not those that are only linked to (foreign layers).
    fn needed(&self) -> impl Iterator<Item = &Digest> {
        self.parsed
            .config
            .iter()
            .chain(&self.parsed.layers)
            .filter(|d| d.is_distributable())
            .map(|d| &d.digest)
    }

    fn store(&self, tx: &mut Tx<'_>, repository: i64, now: i64) -> Result<()> {
        if sql::exists(tx, repository, &self.digest_bytes)? {
            return Ok(());
        }
        let mut missing = Vec::new();
        for digest in self.needed() {
            if !blobs::sql::is_linked(tx, repository, &digest.to_bytes())? {
                missing.push(*digest);
            }
        }
        if !missing.is_empty() {
            return Err(Error::ManifestBlobUnknown(missing));
        }
        sql::insert(
            tx,
            repository,
            &self.digest_bytes,
            &self.parsed,
            &self.body,
            now,
        )?;
        for (descriptor, kind) in self
            .parsed
            .config
            .iter()
            .map(|d| (d, sql::CONFIG))
            .chain(self.parsed.layers.iter().map(|d| (d, sql::LAYER)))
            .chain(self.parsed.manifests.iter().map(|d| (d, sql::MANIFEST)))
        {
            sql::add_reference(
                tx,
                repository,
                &self.digest_bytes,
                &descriptor.digest.to_bytes(),
                kind,
            )?;
        }
        Ok(())
    }

    /// One operation for the push and each tag; the first dot replaces the one this origin had, each further one its predecessor.
    fn log(
        &self,
        tx: &mut Tx<'_>,
        context: &operations::Context,
        registry: i64,
        name: &str,
        repository: i64,
        now: i64,
    ) -> Result<()> {
        let origin = context.log().origin();
        let mut superseded = sql::dot_of(tx, repository, &self.digest_bytes, origin)?
            .and_then(|b| OperationId::from_bytes(&b));
        if let (Some(expected), Some(tag)) = (&self.expected, self.tags.first())
            && tags::sql::find(tx, repository, tag)?.as_deref()
                != Some(expected.to_bytes().as_slice())
        {
            return Err(Error::PreconditionFailed);
        }
        let targets: Vec<Option<&Tag>> = if self.tags.is_empty() {
            vec![None]
        } else {
            self.tags.iter().map(Some).collect()
        };
        for tag in targets {
            let after = tag
                .map(|tag| tags::sql::newest_hlc(tx, repository, tag))
                .transpose()?
                .flatten();
            let operation = Operation::PutManifest {
                digest: self.digest,
                media_type: self.parsed.media_type.clone(),
                size: self.body.len() as u64,
                blobs: self
                    .needed()
                    .chain(self.parsed.manifests.iter().map(|d| &d.digest))
                    .copied()
                    .collect(),
                tag: tag.cloned(),
                superseded,
            };
            let appended =
                operations::append(tx, context, registry, Some(name), &operation, after)?;
            if let Some(tag) = tag {
                tags::sql::set(tx, repository, tag, &self.digest_bytes, &appended, now)?;
                tags::sql::add_version(tx, repository, tag, Some(&self.digest_bytes), &appended)?;
            }
            superseded = Some(appended.id);
        }
        if let Some(dot) = superseded {
            sql::set_dot(tx, repository, &self.digest_bytes, origin, dot.as_bytes())?;
        }
        Ok(())
    }
}

/// Removes one manifest with its tags; `None` if the repository does not hold it.
fn remove(
    tx: &mut Tx<'_>,
    context: &operations::Context,
    registry: i64,
    (repository, name): (i64, &str),
    digest: &Digest,
    now: i64,
) -> Result<Option<Vec<Tag>>> {
    let bytes = digest.to_bytes();
    if !sql::exists(tx, repository, &bytes)? {
        return Ok(None);
    }
    let tags = tags::sql::of_digest(tx, repository, digest)?;
    let observed: Vec<_> = sql::dots(tx, repository, &bytes)?
        .iter()
        .filter_map(|b| OperationId::from_bytes(b))
        .collect();
    let after = newest_version(tx, repository, &tags)?;
    let operation = Operation::DeleteManifest {
        digest: *digest,
        observed,
        tags: tags.clone(),
    };
    let appended = operations::append(tx, context, registry, Some(name), &operation, after)?;
    record_untagged(tx, repository, &tags, &appended)?;
    tags::sql::remove_of_digest(tx, repository, &bytes)?;
    sql::check_children_later(tx, repository, &bytes, now)?;
    sql::remove(tx, repository, &bytes)?;
    Ok(Some(tags))
}

/// Removes every manifest and tag of a repository, and hands its blobs to garbage collection. Returns the dots it saw.
pub(crate) fn remove_all(
    tx: &mut Tx<'_>,
    repository: i64,
    now: i64,
) -> Result<(Removed, Vec<OperationId>)> {
    let manifests = sql::all(tx, repository)?;
    let tags = tags::sql::all(tx, repository)?;
    let observed = sql::all_dots(tx, repository)?
        .iter()
        .filter_map(|b| OperationId::from_bytes(b))
        .collect();
    sql::remove_all(tx, repository)?;
    tags::sql::remove_all(tx, repository)?;
    blobs::sql::check_all_later(tx, repository, now)?;
    Ok((Removed { manifests, tags }, observed))
}

/// The newest clock reading among the versions of some tags.
pub(crate) fn newest_version(
    tx: &mut Tx<'_>,
    repository: i64,
    tags: &[Tag],
) -> Result<Option<i64>> {
    let mut newest = None;
    for tag in tags {
        newest = newest.max(tags::sql::newest_hlc(tx, repository, tag)?);
    }
    Ok(newest)
}

/// Records in the history of some tags that they name nothing now.
pub(crate) fn record_untagged(
    tx: &mut Tx<'_>,
    repository: i64,
    tags: &[Tag],
    version: &Appended,
) -> Result<()> {
    for tag in tags {
        tags::sql::add_version(tx, repository, tag, None, version)?;
    }
    Ok(())
}
