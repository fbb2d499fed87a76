//! A push of a manifest: the checks that need no database, then its rows and its operations.

use bytes::Bytes;
use lazuli_db::Tx;
use lazuli_wire::oci::{
    Algorithm, Descriptor, Digest, ImagePlatform, ParsedManifest, Reference, Tag,
};

use super::{Condition, NewManifest, sql};
use crate::operations::{self, Operation, OperationId};
use crate::repositories::sql::Row;
use crate::{Error, Result, blobs, tags};

/// A manifest that passed every check that needs no database.
pub(super) struct Prepared {
    pub(super) digest: Digest,
    digest_bytes: Vec<u8>,
    pub(super) parsed: ParsedManifest,
    pub(super) tags: Vec<Tag>,
    condition: Option<Condition>,
    body: Bytes,
}

impl Prepared {
    pub(super) fn new(new: NewManifest, limits: &lazuli_wire::oci::ManifestLimits) -> Result<Self> {
        let parsed = ParsedManifest::parse(new.content_type.as_deref(), &new.body, limits)?;
        let mut tags = new.tags;
        let digest = match new.reference {
            Reference::Digest(expected) => {
                let actual = Digest::of(expected.algorithm(), &new.body);
                if actual != expected {
                    return Err(Error::mismatch(expected, actual));
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
            condition: new.condition,
            body: new.body,
        })
    }

    /// The blobs the repository has to hold.
    fn needed(&self) -> impl Iterator<Item = &Digest> {
        needed(&self.parsed).map(|descriptor| &descriptor.digest)
    }

    pub(super) fn store(
        &self,
        tx: &mut Tx<'_>,
        row: &Row,
        platform: &ImagePlatform,
        now: i64,
    ) -> Result<()> {
        let repository = row.id;
        let mut missing = Vec::new();
        for digest in self.needed() {
            if !blobs::sql::is_readable(tx, row.holder, &digest.to_bytes())? {
                missing.push(*digest);
            }
        }
        if !missing.is_empty() {
            return Err(Error::ManifestBlobUnknown(missing));
        }
        if sql::exists(tx, repository, &self.digest_bytes)? {
            return Ok(());
        }
        let about = (&self.parsed, platform);
        insert(tx, repository, &self.digest_bytes, about, &self.body, now)
    }

    /// One operation for the push and each tag; the first dot replaces the one this origin had, each further one its predecessor.
    pub(super) fn log(
        &self,
        tx: &mut Tx<'_>,
        context: &operations::Context,
        registry: i64,
        (row, name): (&Row, &str),
        platform: &ImagePlatform,
        now: i64,
    ) -> Result<()> {
        let repository = row.id;
        let origin = context.log().origin();
        let mut superseded = sql::dot_of(tx, repository, &self.digest_bytes, origin)?
            .and_then(|b| OperationId::from_bytes(&b));
        if let (Some(condition), Some(tag)) = (self.condition, self.tags.first())
            && !condition.holds(tags::sql::find(tx, repository, tag)?.as_deref())
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
                .flatten()
                .max(Some(row.floor));
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
                platform: platform.clone(),
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

/// The blobs that a repository with this manifest has to hold: not those that are only linked to (foreign layers).
pub(crate) fn needed(parsed: &ParsedManifest) -> impl Iterator<Item = &Descriptor> {
    let all = parsed.config.iter().chain(&parsed.layers);
    all.filter(|descriptor| descriptor.is_distributable())
}

/// The rows of a manifest that the repository does not hold yet.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
    (parsed, platform): (&ParsedManifest, &ImagePlatform),
    body: &[u8],
    now: i64,
) -> Result<()> {
    sql::insert(tx, repository, digest, (parsed, platform), body, now)?;
    for (descriptor, kind) in parsed
        .config
        .iter()
        .map(|d| (d, sql::CONFIG))
        .chain(parsed.layers.iter().map(|d| (d, sql::LAYER)))
        .chain(parsed.manifests.iter().map(|d| (d, sql::MANIFEST)))
    {
        let child = descriptor.digest.to_bytes();
        sql::add_reference(tx, repository, digest, &child, kind)?;
    }
    Ok(())
}
