//! A whole installation from one place to another: backups, restores and moves between engines and stores.
//!
//! Rows come first, as they are at one moment; then the bytes they name, each hashed on its way. What was deleted from the
//! source after that moment is kept there for a lease, so a copy that takes less finds everything. Bytes that an earlier
//! copy brought are not brought again, so an interrupted or repeated copy goes on where it was.

pub mod arrival;
mod carry;
pub mod closed;
mod follow;
mod sql;

use std::sync::Arc;

use lazuli_blobs::{BlobStore, Location};
use lazuli_db::Db;
use lazuli_wire::oci::Digest;
use tokio::task::JoinSet;

use crate::{Error, Result};

pub use follow::{Checked, Follower, Pass};

/// Blobs on their way at the same time.
const AT_ONCE: usize = 4;

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

/// Whether operations wait for their numbers.
pub async fn has_unnumbered(db: &Db) -> Result<bool> {
    Ok(db.read_one(sql::has_unnumbered).await?)
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
    let brought = carry::carry((registry, &digest, size), &row.location, source, target).await?;
    let Some(place) = brought else {
        return Ok(Step::Missing(digest));
    };
    relocate(db, &row, &place).await?;
    Ok(Step::Brought(size))
}

async fn relocate(db: &Db, row: &sql::Row, place: &Location) -> Result<()> {
    let (registry, key, place) = (row.registry, row.digest.to_bytes(), place.to_string());
    db.write(move |tx| sql::relocate(tx, registry, &key, &place))
        .await?;
    Ok(())
}
