//! A lost database from the journal and the blobs of its bucket.

mod bytes;
mod check;
mod sql;

use std::sync::Arc;

use aws_lc_rs::hmac;
use lazuli_blobs::{BlobStore, Records};
use lazuli_db::{Db, dump};
use lazuli_wire::oci::Digest;

use super::record::{Head, Kind, Line, Record, RecordError};
use super::replay::{self, Segment};
use super::state::{self, State};
use super::{mac_key, names};
use crate::{Error, Result};

pub use sql::is_unfinished;

/// What is filled, and from where.
pub struct Target {
    /// The database: empty, or half filled by a rebuild before.
    pub db: Db,
    /// The store of the blobs.
    pub store: Arc<dyn BlobStore>,
    /// What the journal is authenticated with.
    pub key: [u8; 32],
    /// Which generation; `None`: the newest that is whole.
    pub generation: Option<u64>,
    /// Now, in microseconds since the epoch.
    pub now: i64,
    /// How long digests stay that clients were told of, in microseconds.
    pub lease: i64,
}

/// How far a rebuild is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Parts of the snapshot.
    Snapshot {
        /// Parts that are in.
        done: u64,
        /// Parts there are.
        all: u64,
    },
    /// Segments after it.
    Segments {
        /// Segments that are in.
        done: u64,
        /// Segments there are.
        all: u64,
    },
    /// Objects of the bucket that were looked at.
    Objects(u64),
    /// Manifests and small blobs whose digest was computed.
    Checked(u64),
}

/// What a rebuild came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The generation it is made of.
    pub generation: u64,
    /// When the last record was written, in microseconds since the epoch: what came later is not known.
    pub written_at: i64,
    /// Repositories that hold something.
    pub repositories: u64,
    /// Manifests.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Blobs whose bytes are there.
    pub blobs: u64,
    /// Operations after the snapshot.
    pub operations: u64,
    /// What is missing.
    pub lost: Vec<Lost>,
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The journal cannot be read on from this record.
    Record {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A manifest whose bytes are in no record, or are not its own.
    Manifest {
        /// Whose repository.
        repository: String,
        /// Its digest.
        digest: Digest,
    },
    /// A blob that a manifest names, and that is not in the bucket with its size.
    Blob {
        /// Whose registry.
        registry: i64,
        /// Its digest.
        digest: Digest,
        /// A repository with such a manifest.
        repository: String,
    },
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record { name, problem } => {
                write!(f, "the journal ends before journal/{name}: {problem}")
            }
            Self::Manifest { repository, digest } => {
                write!(
                    f,
                    "manifest {repository}@{digest}: its bytes are in no record"
                )
            }
            Self::Blob {
                digest, repository, ..
            } => write!(f, "blob {digest} of {repository}: it is not in the bucket"),
        }
    }
}

/// Why nothing could be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store keeps no records.
    #[error("a journal is kept beside blobs in a bucket only")]
    NoRecords,
    /// There is no journal, or not that generation of it.
    #[error("there is no such journal in the bucket; whole generations: {0:?}")]
    NoJournal(Vec<u64>),
    /// The database holds something.
    #[error("the database is not empty")]
    NotEmpty,
    /// The snapshot cannot be used.
    #[error("journal/{name}: {source}")]
    Record {
        /// Which record.
        name: String,
        /// Why.
        source: RecordError,
    },
    /// Database or bucket failed.
    #[error(transparent)]
    Registry(#[from] Error),
}

impl From<lazuli_db::Error> for RebuildError {
    fn from(error: lazuli_db::Error) -> Self {
        Self::Registry(error.into())
    }
}

impl From<lazuli_blobs::Error> for RebuildError {
    fn from(error: lazuli_blobs::Error) -> Self {
        Self::Registry(error.into())
    }
}

/// Whether there is a journal beside the blobs of a store.
pub async fn is_kept_in(store: &Arc<dyn BlobStore>) -> Result<bool> {
    let Some(records) = store.records() else {
        return Ok(false);
    };
    let found = records.list(String::new()).await?;
    Ok(!names::whole(&found).is_empty())
}

/// Fills a database. What an interrupted rebuild left is removed first, so it can be repeated.
pub async fn rebuild(
    target: &Target,
    mut on_progress: impl FnMut(Progress) + Send,
) -> Result<Report, RebuildError> {
    let records = target.store.records().ok_or(RebuildError::NoRecords)?;
    let found = records.list(String::new()).await?;
    let whole = names::whole(&found);
    let wanted = target.generation.or_else(|| whole.last().copied());
    let generation = wanted.filter(|number| whole.contains(number));
    let generation =
        generation.ok_or_else(|| RebuildError::NoJournal(whole.into_iter().collect()))?;
    let reader = Reader {
        records,
        key: mac_key(&target.key),
        generation,
    };
    // Before anything is touched.
    let complete = reader.read(names::complete(generation)).await?;
    if !target.db.write(|tx| sql::begin(tx, &dump_tables())).await? {
        return Err(RebuildError::NotEmpty);
    }
    let mut report = Report {
        generation,
        written_at: complete.head.written_at,
        ..Report::default()
    };
    snapshot(target, &reader, &complete.head, &mut on_progress).await?;
    target.db.write(sql::trim_log).await?;
    let segments = found
        .iter()
        .filter(|name| names::generation(name) == Some(generation))
        .filter(|name| !name.contains("/snapshot-") && **name != names::complete(generation))
        .count() as u64;
    let after = replay::Progress {
        included: complete.head.included.iter().cloned().collect(),
        sequence: complete.head.after,
        ..replay::Progress::default()
    };
    let progress = reader
        .segments(target, (after, segments), &mut report, &mut on_progress)
        .await?;
    for (_, repository, digest) in progress.bodiless {
        report.lost.push(Lost::Manifest { repository, digest });
    }
    bytes::find(target, &mut on_progress).await?;
    check::check(target, &mut report, &mut on_progress).await?;
    let state = State {
        id: complete.head.journal,
        ..State::fresh(names::newest(&found))?
    };
    let (now, lease) = (target.now, target.lease);
    target
        .db
        .write(move |tx| {
            sql::finish(tx, now, now.saturating_add(lease))?;
            state::store(tx, &state)
        })
        .await?;
    check::count(target, &mut report).await?;
    Ok(report)
}

fn dump_tables() -> Vec<&'static str> {
    dump::tables().map(|(name, _)| name).collect()
}

async fn snapshot(
    target: &Target,
    reader: &Reader,
    head: &Head,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), RebuildError> {
    let all = head.parts.unwrap_or(0);
    for number in 1..=all {
        on_progress(Progress::Snapshot {
            done: number - 1,
            all,
        });
        let name = names::part(reader.generation, number);
        let record = reader.read(name).await?;
        target
            .db
            .write(move |tx| {
                for line in &record.lines {
                    if let Line::Rows(rows) = line {
                        let (table, columns, rows) = rows.clone().cells();
                        dump::insert_rows(tx, &table, &columns, &rows)?;
                    } else if let Line::Operation(logged) = line
                        && let Some(id) = replay::identifier(logged)
                    {
                        replay::insert(tx, logged, id)?;
                    }
                }
                Ok::<_, lazuli_db::Error>(())
            })
            .await?;
    }
    Ok(())
}

/// Reads records of one generation.
struct Reader {
    records: Arc<dyn Records>,
    key: hmac::Key,
    generation: u64,
}

impl Reader {
    async fn read(&self, name: String) -> Result<Record, RebuildError> {
        let text = self.records.read(name.clone()).await?;
        Record::read(&text, &self.key).map_err(|source| RebuildError::Record { name, source })
    }

    /// Segments one after the other, to the last, or to one that cannot be used: what comes later builds on it.
    async fn segments(
        &self,
        target: &Target,
        (mut progress, all): (replay::Progress, u64),
        report: &mut Report,
        on_progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<replay::Progress, RebuildError> {
        for number in 1..=all {
            on_progress(Progress::Segments {
                done: number - 1,
                all,
            });
            let name = names::segment(self.generation, number);
            let segment = match self.segment(&name, number, progress.sequence).await {
                Ok(segment) => segment,
                Err(Unusable::Problem(problem)) => {
                    report.lost.push(Lost::Record { name, problem });
                    break;
                }
                Err(Unusable::Error(error)) => return Err(error),
            };
            let (segment, written_at) = segment;
            let before = progress.clone();
            let applied = target.db.write(move |tx| {
                let mut progress = before.clone();
                let done = segment.apply(tx, &mut progress)?;
                Ok::<_, Error>((progress, done))
            });
            let (after, done) = applied.await?;
            progress = after;
            report.operations += done;
            report.written_at = written_at;
        }
        Ok(progress)
    }

    async fn segment(
        &self,
        name: &str,
        number: u64,
        after: i64,
    ) -> Result<(Segment, i64), Unusable> {
        let text = match self.records.read(name.to_owned()).await {
            Ok(text) => text,
            Err(lazuli_blobs::Error::NotFound) => return Err("it is missing".into()),
            Err(error) => return Err(Unusable::Error(error.into())),
        };
        let record = Record::read(&text, &self.key).map_err(|error| error.to_string())?;
        let head = &record.head;
        let is_it = (head.kind, head.generation, head.number)
            == (Kind::Segment, self.generation, number)
            && head.after == after;
        if !is_it {
            return Err("it is another one".into());
        }
        let written_at = head.written_at;
        Ok((Segment::new(record)?, written_at))
    }
}

enum Unusable {
    Problem(String),
    Error(RebuildError),
}

impl From<String> for Unusable {
    fn from(problem: String) -> Self {
        Self::Problem(problem)
    }
}

impl From<&str> for Unusable {
    fn from(problem: &str) -> Self {
        Self::Problem(problem.to_owned())
    }
}
