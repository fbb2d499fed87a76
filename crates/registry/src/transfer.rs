//! A whole installation from one place to another: backups, restores and moves between engines and stores.
//!
//! Rows come first, as they are at one moment; then the bytes they name, each hashed on its way. What was deleted from the
//! source after that moment is kept there for a lease, so a copy that takes less finds everything. Bytes that an earlier
//! copy brought are not brought again, so an interrupted or repeated copy goes on where it was.

mod sql;

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lazuli_blobs::{BlobStore, Hasher, Location, Opened};
use lazuli_db::Db;
use lazuli_wire::oci::{Digest, UploadId};
use tokio::task::JoinSet;

use crate::{Error, Result};

/// Blobs on their way at the same time.
const AT_ONCE: usize = 4;
/// Bytes read from a file at a time.
const PIECE: u64 = 1 << 20;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Rows of a table.
    Rows {
        /// The table.
        table: &'static str,
        /// Rows that are copied.
        done: u64,
        /// Rows there are.
        all: u64,
    },
    /// Bytes of blobs.
    Blobs {
        /// Blobs that are there.
        blobs: u64,
        /// Blobs there are.
        all: u64,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes there are.
        all_bytes: u64,
    },
}

/// What a copy of the bytes came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs that were brought.
    pub brought: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were there from an earlier copy.
    pub reused: u64,
    /// Blobs whose bytes the source does not have, or has damaged. Their rows are copied as they are.
    pub missing: Vec<Digest>,
}

/// Copies all rows of `source` into `target`, whose own are removed, and takes out what means nothing in another place.
/// Blocking; not for async code.
pub fn copy_rows(
    source: &Db,
    target: &Db,
    mut on_progress: impl FnMut(Progress) + Send + 'static,
) -> Result<()> {
    lazuli_db::copy_rows(source, target, move |table, done, all| {
        on_progress(Progress::Rows { table, done, all });
    })?;
    target.write_blocking(sql::forget_places)?;
    Ok(())
}

/// Whether a database holds an installation.
pub async fn is_used(db: &Db) -> Result<bool> {
    Ok(db.read(sql::has_registries).await?)
}

/// Brings the bytes of all blobs that the rows of `db` name from one store to another, and makes the rows name their new
/// places. `known`: databases of earlier copies, whose places in `target` are used again.
pub async fn copy_blobs(
    db: &Db,
    source: &Arc<dyn BlobStore>,
    target: &Arc<dyn BlobStore>,
    known: &[Db],
    mut on_progress: impl FnMut(Progress),
) -> Result<Copied> {
    let (all, all_bytes) = db.read(sql::total).await?;
    let mut copied = Copied::default();
    let (mut done, mut done_bytes) = (0, 0);
    let mut after = (0, Vec::new());
    let mut running: JoinSet<Result<Step>> = JoinSet::new();
    loop {
        let (registry, digest) = after.clone();
        let page = db.read(move |tx| sql::page(tx, registry, &digest)).await?;
        let is_last = page.is_empty();
        for row in page {
            after = (row.registry, row.digest.to_bytes());
            while running.len() >= AT_ONCE {
                finish_one(&mut running, &mut copied, &mut done, &mut done_bytes).await?;
            }
            let (source, target) = (source.clone(), target.clone());
            let (db, known) = (db.clone(), known.to_vec());
            running.spawn(async move { bring(row, &db, &source, &target, &known).await });
            on_progress(Progress::Blobs {
                blobs: done,
                all,
                bytes: done_bytes,
                all_bytes,
            });
        }
        if is_last {
            break;
        }
    }
    while !running.is_empty() {
        finish_one(&mut running, &mut copied, &mut done, &mut done_bytes).await?;
        on_progress(Progress::Blobs {
            blobs: done,
            all,
            bytes: done_bytes,
            all_bytes,
        });
    }
    Ok(copied)
}

/// What became of one blob.
enum Step {
    Brought(u64),
    Reused(u64),
    Missing(Digest),
}

async fn finish_one(
    running: &mut JoinSet<Result<Step>>,
    copied: &mut Copied,
    done: &mut u64,
    done_bytes: &mut u64,
) -> Result<()> {
    let Some(step) = running.join_next().await else {
        return Ok(());
    };
    *done += 1;
    match step.map_err(|_| Error::Internal("copying a blob ended early"))?? {
        Step::Brought(size) => {
            copied.brought += 1;
            copied.bytes += size;
            *done_bytes += size;
        }
        Step::Reused(size) => {
            copied.reused += 1;
            *done_bytes += size;
        }
        Step::Missing(digest) => copied.missing.push(digest),
    }
    Ok(())
}

async fn bring(
    row: sql::Row,
    db: &Db,
    source: &Arc<dyn BlobStore>,
    target: &Arc<dyn BlobStore>,
    known: &[Db],
) -> Result<Step> {
    let (registry, digest, size) = (row.registry, row.digest, row.size);
    for earlier in known {
        let key = digest.to_bytes();
        let place = earlier
            .read(move |tx| sql::place(tx, registry, &key))
            .await?;
        let Some(place) = place.and_then(|place| Location::parse(&place).ok()) else {
            continue;
        };
        if target.open(&place, size).await.is_ok() {
            relocate(db, &row, &place).await?;
            return Ok(Step::Reused(size));
        }
    }
    let Ok(location) = Location::parse(&row.location) else {
        return Ok(Step::Missing(digest));
    };
    let opened = match source.open(&location, size).await {
        Ok(opened) => opened,
        Err(lazuli_blobs::Error::NotFound | lazuli_blobs::Error::Damaged { .. }) => {
            return Ok(Step::Missing(digest));
        }
        Err(error) => return Err(error.into()),
    };
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::Internal("the system gave no random bytes"))?;
    let upload = UploadId::from_random(random);
    let mut writer = target
        .writer(upload, 0, Hasher::new(digest.algorithm()))
        .await?;
    let mut pieces = Pieces::of(opened, size).await?;
    while let Some(piece) = pieces.next().await? {
        writer.write(piece).await?;
    }
    let (length, hasher, held) = writer.finish_last().await?;
    if hasher.finish() != digest {
        target.abort(upload).await?;
        return Ok(Step::Missing(digest));
    }
    let prefix = registry.to_string();
    let place = target.finish_held(upload, held, &prefix, &digest, length);
    relocate(db, &row, &place.await?).await?;
    Ok(Step::Brought(size))
}

async fn relocate(db: &Db, row: &sql::Row, place: &Location) -> Result<()> {
    let (registry, key, place) = (row.registry, row.digest.to_bytes(), place.to_string());
    db.write(move |tx| sql::relocate(tx, registry, &key, &place))
        .await?;
    Ok(())
}

/// The bytes of a blob, in pieces.
enum Pieces {
    File {
        file: Arc<std::fs::File>,
        offset: u64,
        size: u64,
    },
    Object(futures_util::stream::BoxStream<'static, Result<Bytes, lazuli_blobs::Error>>),
}

impl Pieces {
    async fn of(opened: Opened, size: u64) -> Result<Self> {
        Ok(match opened {
            Opened::File(blob) => Self::File {
                file: blob.file,
                offset: 0,
                size,
            },
            Opened::Object(object) => Self::Object(object.read(0..size).await?),
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Object(pieces) => Ok(pieces.next().await.transpose()?),
            Self::File { offset, size, .. } if offset == size => Ok(None),
            Self::File { file, offset, size } => {
                let (file, at) = (file.clone(), *offset);
                let wanted = (*size - at).min(PIECE);
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; wanted as usize];
                    file.read_exact_at(&mut piece, at).map(|()| piece)
                });
                let piece = read
                    .await
                    .map_err(|_| Error::Internal("reading a blob ended early"))?;
                *offset += wanted;
                // A file that cannot be read ends early here; its hash tells.
                Ok(piece.ok().map(Bytes::from))
            }
        }
    }
}
