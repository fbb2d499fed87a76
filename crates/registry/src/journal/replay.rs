//! Operations of a segment, done again on a database that has everything before them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use lazuli_db::{Error as DbError, Tx, dump, params};
use lazuli_wire::oci::{
    Digest, ImagePlatform, ManifestLimits, ParsedManifest, RepositoryName, Tag,
};

use super::record::{KnownBlob, Line, Logged, Record, Rows, unhex};
use super::tables;
use crate::attributes::{self, Subject};
use crate::merge::Dots;
use crate::operations::{self, Appended, Operation, OperationId};
use crate::{Result, blobs, manifests, repositories, tags};

/// Limits of what was accepted once.
const LIMITS: ManifestLimits = ManifestLimits {
    max_bytes: usize::MAX,
    max_depth: 128,
    max_descriptors: usize::MAX,
    max_annotations: usize::MAX,
    max_keys: usize::MAX,
};

/// A manifest of a repository.
pub(super) type Place = (i64, String, Digest);

/// What goes on from one segment to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Operations whose effect the snapshot has.
    pub(super) included: BTreeSet<String>,
    /// The last operation that was done.
    pub(super) sequence: i64,
    /// Manifests that were pushed and whose bytes were gone when they were to be written down: a delete follows, unless
    /// the journal ends before.
    pub(super) bodiless: BTreeSet<Place>,
}

/// A segment, ready to be done.
pub(super) struct Segment {
    rows: Vec<Rows>,
    blobs: BTreeMap<(i64, Digest), KnownBlob>,
    bodies: HashMap<Digest, String>,
    operations: Vec<(Logged, OperationId, Operation)>,
}

impl Segment {
    /// Sorts a record. The error says what is wrong with it.
    pub(super) fn new(record: Record) -> Result<Self, String> {
        let mut segment = Self {
            rows: Vec::new(),
            blobs: BTreeMap::new(),
            bodies: HashMap::new(),
            operations: Vec::new(),
        };
        let digest = |text: &str| Digest::parse(text).map_err(|_| format!("no digest: {text}"));
        for line in record.lines {
            match line {
                Line::Head(_) => return Err("a second head".to_owned()),
                Line::Rows(rows) => segment.rows.push(rows),
                Line::Blob(blob) => {
                    let key = (blob.registry, digest(&blob.digest)?);
                    segment.blobs.insert(key, blob);
                }
                Line::Manifest(body) => {
                    let known = digest(&body.digest)?;
                    if Digest::of(known.algorithm(), body.text.as_bytes()) != known {
                        return Err(format!("bytes that are not those of {known}"));
                    }
                    segment.bodies.insert(known, body.text);
                }
                Line::Operation(logged) => {
                    let id = identifier(&logged);
                    let id = id.ok_or_else(|| format!("no operation: {}", logged.id))?;
                    let observed = logged.observed.as_deref();
                    let operation = operations::decode(&logged.kind, &logged.payload, observed);
                    let operation = operation.map_err(|error| format!("{id}: {error}"))?;
                    segment.operations.push((logged, id, operation));
                }
            }
        }
        Ok(segment)
    }

    /// Does everything in the caller's transaction; returns how many operations.
    pub(super) fn apply(&self, tx: &mut Tx<'_>, progress: &mut Progress) -> Result<u64> {
        self.replace_small_tables(tx)?;
        let mut done = 0;
        for (logged, id, operation) in &self.operations {
            if logged.sequence <= progress.sequence {
                continue;
            }
            insert(tx, logged, *id)?;
            progress.sequence = logged.sequence;
            done += 1;
            if !progress.included.remove(&logged.id) {
                self.change(tx, progress, logged, *id, operation)?;
            }
        }
        Ok(done)
    }

    fn replace_small_tables(&self, tx: &mut Tx<'_>) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        for table in tables::SMALL.iter().rev() {
            match *table {
                "settings" => clear_settings(tx)?,
                table => dump::clear_table(tx, table)?,
            }
        }
        for rows in &self.rows {
            let (table, columns, rows) = rows.clone().cells();
            dump::insert_rows(tx, &table, &columns, &rows)?;
        }
        Ok(())
    }

    fn change(
        &self,
        tx: &mut Tx<'_>,
        progress: &mut Progress,
        logged: &Logged,
        id: OperationId,
        operation: &Operation,
    ) -> Result<()> {
        let Some(Ok(name)) = logged.repository.as_deref().map(RepositoryName::parse) else {
            return Ok(());
        };
        let (registry, now) = (logged.registry, logged.created_at);
        let tried = Cell::new(id.hlc() ^ logged.sequence.rotate_left(40));
        let new_id = || tried.replace(tried.get().wrapping_add(1)) & i64::MAX;
        let row = repositories::sql::ensure(tx, registry, &name, now, new_id)?;
        let repository = row.id;
        let change = Change {
            logged,
            registry,
            repository,
            holder: row.holder,
            now,
            version: Appended {
                id,
                hlc: id.hlc(),
                origin: id.origin(),
            },
        };
        match operation {
            Operation::PutManifest {
                digest,
                media_type,
                blobs,
                tag,
                platform,
                superseded,
                ..
            } => {
                let body = (media_type.as_str(), platform);
                let is_there = self.put(tx, &change, (digest, body), blobs)?;
                if is_there {
                    let (key, dot) = (digest.to_bytes(), id.as_bytes());
                    manifests::sql::set_dot(tx, repository, &key, id.origin(), dot)?;
                    repositories::sql::list(tx, repository, now)?;
                    progress.bodiless.remove(&change.place(digest));
                } else {
                    progress.bodiless.insert(change.place(digest));
                }
                debug_assert!(superseded.is_none_or(|old| old.origin() == id.origin()));
                if let Some(tag) = tag {
                    change.set_tag(tx, tag, digest, is_there)?;
                }
            }
            Operation::DeleteManifest {
                digest,
                observed,
                tags,
            } => {
                change.remove(tx, digest, observed)?;
                change.untag_all(tx, tags)?;
                manifests::forget_attributes(tx, repository, digest, tags)?;
                progress.bodiless.remove(&change.place(digest));
                change.unlist_if_empty(tx)?;
            }
            Operation::Untag { tag } => {
                change.untag_all(tx, std::slice::from_ref(tag))?;
                attributes::sql::remove(tx, repository, &Subject::Tag(tag.clone()))?;
            }
            Operation::SetAttributes {
                subject,
                attributes,
            } => attributes::set(tx, &row, subject, attributes, id.hlc(), now)?,
            Operation::DeleteBlob { digest } => {
                match blobs::unlink(tx, registry, row.holder, digest, now) {
                    // Garbage collection, which leaves no operation, or a push that had none.
                    Ok(()) | Err(crate::Error::BlobUnknown) => {}
                    Err(error) => return Err(error),
                }
            }
            Operation::DeleteRepository { .. } => {
                repositories::sql::replace(tx, registry, &name, &row, id.hlc(), now, new_id)?;
                let is_here = |(owner, of, _): &Place| (*owner, of.as_str()) == (registry, &name);
                progress.bodiless.retain(|place| !is_here(place));
            }
            Operation::Setting { .. } | Operation::Control { .. } => {}
        }
        Ok(())
    }

    /// Stores a manifest, and links what it names; false if its bytes are not known.
    fn put(
        &self,
        tx: &mut Tx<'_>,
        change: &Change<'_>,
        (digest, (media_type, platform)): (&Digest, (&str, &ImagePlatform)),
        named: &[Digest],
    ) -> Result<bool> {
        let Change {
            registry,
            repository,
            holder,
            now,
            ..
        } = *change;
        for blob in named {
            if let Some(known) = self.blobs.get(&(registry, *blob)) {
                keep_blob(tx, blob, known, now)?;
            }
        }
        let key = digest.to_bytes();
        let parsed = if manifests::sql::exists(tx, repository, &key)? {
            let found = manifests::sql::find(tx, repository, &key)?;
            found.and_then(|(media_type, body)| parse(&media_type, &body))
        } else {
            let body = self.bodies.get(digest);
            let parsed = body.and_then(|body| parse(media_type, body.as_bytes()));
            if let (Some(body), Some(parsed)) = (body, &parsed) {
                let about = (parsed, platform);
                manifests::insert(tx, repository, &key, about, body.as_bytes(), now)?;
            }
            parsed
        };
        let Some(parsed) = parsed else {
            return Ok(false);
        };
        for descriptor in manifests::needed(&parsed) {
            let blob = descriptor.digest.to_bytes();
            let size = if let Some((size, _)) = blobs::sql::place(tx, registry, &blob)? {
                size
            } else {
                let size = i64::try_from(descriptor.size).unwrap_or(i64::MAX);
                expect_blob(tx, registry, &blob, size, now)?;
                size
            };
            blobs::sql::link(tx, registry, holder, &blob, size, now, now)?;
        }
        Ok(true)
    }
}

/// An operation at work.
struct Change<'a> {
    logged: &'a Logged,
    registry: i64,
    repository: i64,
    /// Whose its blobs are.
    holder: i64,
    now: i64,
    version: Appended,
}

impl Change<'_> {
    fn place(&self, digest: &Digest) -> Place {
        let name = self.logged.repository.clone().unwrap_or_default();
        (self.registry, name, *digest)
    }

    /// A tag never names what is not there.
    fn set_tag(&self, tx: &mut Tx<'_>, tag: &Tag, digest: &Digest, is_there: bool) -> Result<()> {
        let (repository, version) = (self.repository, &self.version);
        if is_there {
            tags::sql::set(tx, repository, tag, &digest.to_bytes(), version, self.now)?;
        } else {
            tags::sql::remove(tx, repository, tag)?;
        }
        let key = digest.to_bytes();
        tags::sql::add_version(tx, repository, tag, Some(&key), version)?;
        Ok(())
    }

    fn untag_all(&self, tx: &mut Tx<'_>, names: &[Tag]) -> Result<()> {
        for tag in names {
            tags::sql::remove(tx, self.repository, tag)?;
            tags::sql::add_version(tx, self.repository, tag, None, &self.version)?;
        }
        Ok(())
    }

    /// Removes what keeps a manifest alive, and the manifest if that was all.
    fn remove(&self, tx: &mut Tx<'_>, digest: &Digest, observed: &[OperationId]) -> Result<()> {
        let (repository, key) = (self.repository, digest.to_bytes());
        let mut dots = Dots::default();
        for dot in manifests::sql::dots(tx, repository, &key)? {
            if let Some(dot) = OperationId::from_bytes(&dot) {
                dots.put(dot, None);
            }
        }
        dots.delete(observed);
        if dots.is_live() {
            return Ok(());
        }
        tags::sql::remove_of_digest(tx, repository, &key)?;
        manifests::sql::check_children_later(tx, repository, &key, self.now)?;
        manifests::sql::remove(tx, repository, &key)?;
        Ok(())
    }

    fn unlist_if_empty(&self, tx: &mut Tx<'_>) -> Result<()> {
        if !manifests::sql::any(tx, self.repository)? {
            repositories::sql::unlist(tx, self.repository)?;
        }
        Ok(())
    }
}

fn parse(media_type: &str, body: &[u8]) -> Option<ParsedManifest> {
    ParsedManifest::parse(Some(media_type), body, &LIMITS).ok()
}

/// The identifier of an operation, if it is one.
pub(super) fn identifier(logged: &Logged) -> Option<OperationId> {
    OperationId::from_bytes(&unhex(&logged.id)?)
}

fn clear_settings(tx: &mut Tx<'_>) -> Result<(), DbError> {
    let names = tables::LOCAL_SETTINGS.map(lazuli_db::Value::Text);
    tx.execute(
        "DELETE FROM settings WHERE name NOT IN (?1, ?2, ?3, ?4, ?5, ?6)",
        &names,
    )
    .map(drop)
}

/// The row of an operation.
pub(super) fn insert(tx: &mut Tx<'_>, logged: &Logged, id: OperationId) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO operations (id, origin, sequence, hlc, registry_id, repository, kind, principal, request_id, \
         dependencies, observed, payload, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
        params![
            id.as_bytes(),
            i64::from(id.origin()),
            logged.sequence,
            id.hlc(),
            logged.registry,
            logged.repository.as_deref(),
            logged.kind.as_str(),
            logged.principal.as_str(),
            logged.request.as_str(),
            logged.observed.as_deref(),
            logged.payload.as_str(),
            logged.created_at
        ],
    )?;
    tx.execute(
        "INSERT INTO origins (origin, sequence) VALUES (?1, ?2) \
         ON CONFLICT (origin) DO UPDATE SET sequence = excluded.sequence",
        params![i64::from(id.origin()), logged.sequence],
    )
    .map(drop)
}

/// Makes the row of a blob, or gives it its bytes.
fn keep_blob(tx: &mut Tx<'_>, digest: &Digest, known: &KnownBlob, now: i64) -> Result<(), DbError> {
    let (key, content) = (digest.to_bytes(), known.content.as_deref());
    expect_blob(tx, known.registry, &key, known.size, now)?;
    if content.is_some() {
        blobs::sql::relocate(tx, known.registry, &key, None, content)?;
    }
    Ok(())
}

/// The row of a blob whose place is looked up later.
fn expect_blob(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
    size: i64,
    now: i64,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO blobs (registry_id, digest, size, location, content, created_at, leased_until, condemned_at) \
         VALUES (?1, ?2, ?3, NULL, NULL, ?4, ?4, NULL) ON CONFLICT DO NOTHING",
        params![registry, digest, size, now],
    )
    .map(drop)
}
