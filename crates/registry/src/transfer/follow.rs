//! An installation follows another one that is at work: each pass brings what is new and takes away what is gone, bytes
//! before the rows that name them. A pass that was broken off is not lost: the next one begins with what is there.

mod seen;
mod sql;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use lazuli_blobs::{BlobStore, Location};
use lazuli_db::{Db, Exceptions, Followed, compare_rows, follow_rows};
use lazuli_wire::oci::Digest;
use tokio::task::JoinSet;

use super::{Progress, arrival, carry};
use crate::gc::sql::{TRUST, WALKED_AT};
use crate::{Error, Result};
use seen::Seen;
use sql::{Blob, Change, Placed};

/// Blobs on their way at the same time.
const AT_ONCE: usize = 8;
/// Rows of blobs written in one transaction.
const BATCH: usize = 100;

/// What each side has for itself: what is under way, and places. Rows of blobs are followed here, because theirs differ.
const OWN: Exceptions = Exceptions {
    tables: &[
        "blobs",
        "uploads",
        "leases",
        "blob_removals",
        "blob_suspects",
        "closings",
    ],
    rows: &[
        ("settings", "name", Some("blob_store")),
        ("settings", "name", Some(arrival::ROW)),
        ("settings", "name", Some(TRUST)),
        ("settings", "name", Some(WALKED_AT)),
        ("quarantine", "location", None),
    ],
    columns: &[],
};

/// And what goes on changing while nobody writes: counted pulls, duties' own notes, leases of digests that were asked for.
const ALIVE: Exceptions = Exceptions {
    tables: &[
        "blobs",
        "uploads",
        "leases",
        "blob_removals",
        "blob_suspects",
        "closings",
        "transfers",
        "scrub_passes",
        "gc_runs",
    ],
    columns: &[("repository_blobs", "leased_until")],
    ..OWN
};

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Blobs in the store, and their bytes.
    pub blobs: (u64, u64),
    /// Blobs that were brought, and their bytes.
    pub brought: (u64, u64),
    /// Rows that were written or removed.
    pub rows: u64,
    /// Blobs whose bytes the source does not have, or has damaged.
    pub missing: Vec<Digest>,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that are the same on both sides.
    pub rows: u64,
    /// Tables with rows that are not, and how many.
    pub different: Vec<(&'static str, u64)>,
}

/// The way from one place to another.
pub struct Follower {
    source: Db,
    target: Db,
    from: Arc<dyn BlobStore>,
    to: Arc<dyn BlobStore>,
    /// Blobs that come without their bytes, because there are none in their places in the source. One that was pushed again
    /// has another place.
    left: BTreeSet<Placed>,
    /// Blobs that were read in their places in the target.
    verified: Seen,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl Follower {
    /// From the first database and store to the second ones.
    pub fn new(
        (source, from): (Db, Arc<dyn BlobStore>),
        (target, to): (Db, Arc<dyn BlobStore>),
    ) -> Self {
        Self {
            source,
            target,
            from,
            to,
            left: BTreeSet::new(),
            verified: Seen::default(),
        }
    }

    /// Brings what differs. `leave_missing`: rows of blobs whose bytes are nowhere come all the same, as those of damaged
    /// blobs: nobody is told of such a blob until it is pushed again.
    pub async fn pass(
        &mut self,
        leave_missing: bool,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Pass> {
        let mut pass = self.blobs(leave_missing, &mut on_progress).await?;
        let on_table = |table, done, all| on_progress(Progress::Rows { table, done, all });
        let followed = follow_rows(&self.source, &self.target, &OWN, on_table).await?;
        pass.rows += followed.iter().map(|table| table.different).sum::<u64>();
        Ok(pass)
    }

    /// Compares every row of both sides, but for what changes without anybody writing.
    pub async fn compare(&self, mut on_progress: impl FnMut(Progress) + Send) -> Result<Checked> {
        let on_table = |table, done, all| on_progress(Progress::Rows { table, done, all });
        let followed = compare_rows(&self.source, &self.target, &ALIVE, on_table).await?;
        let mut checked = Checked::default();
        let mut note = |table: &Followed| {
            checked.rows += table.rows;
            if table.different > 0 {
                checked.different.push((table.table, table.different));
            }
        };
        followed.iter().for_each(&mut note);
        let mut pairs = Pairs::new(&self.source, &self.target);
        let mut blobs = Followed {
            table: "blobs",
            rows: 0,
            different: 0,
        };
        while let Some((mine, theirs)) = pairs.next().await? {
            blobs.rows += u64::from(mine.is_some());
            let is_equal = match (&mine, &theirs) {
                (Some(mine), Some(theirs)) => mine.is_same(theirs) && self.is_placed(mine, theirs),
                _ => false,
            };
            blobs.different += u64::from(!is_equal);
        }
        note(&blobs);
        Ok(checked)
    }

    /// Reads what the target has of blobs that were not read yet, and hashes it. Damaged ones are forgotten, so that the
    /// next pass brings them again; they are returned.
    pub async fn verify(&mut self, mut on_progress: impl FnMut(Progress)) -> Result<Vec<Digest>> {
        let (all, all_bytes) = self.target.read(super::sql::total).await?;
        let (mut done, mut bytes) = (0, 0);
        let mut damaged = Vec::new();
        let mut running: JoinSet<Result<(Blob, bool)>> = JoinSet::new();
        let mut blobs = Stream::new(&self.target);
        self.verified.begin();
        loop {
            let next = blobs.next().await?;
            let is_over = next.is_none();
            if let Some(blob) = next.filter(|blob| blob.location.is_some()) {
                if self.verified.knows(&blob.placed()) {
                    (done, bytes) = (done + 1, bytes + blob.size);
                    continue;
                }
                let store = self.to.clone();
                running.spawn(async move {
                    let is_whole = is_whole(&store, &blob).await?;
                    Ok((blob, is_whole))
                });
            }
            while running.len() >= AT_ONCE || is_over && !running.is_empty() {
                let Some(outcome) = running.join_next().await else {
                    break;
                };
                let (blob, is_whole) =
                    outcome.map_err(|_| Error::Internal("reading a blob ended early"))??;
                (done, bytes) = (done + 1, bytes + blob.size);
                on_progress(Progress::Blobs {
                    blobs: done,
                    all,
                    bytes,
                    all_bytes,
                });
                if is_whole {
                    self.verified.remember(&blob.placed());
                    continue;
                }
                damaged.push(blob.digest);
                let forget = move |tx: &mut lazuli_db::Tx<'_>| sql::forget(tx, &blob);
                self.target.write(forget).await?;
            }
            if is_over {
                self.verified.end();
                return Ok(damaged);
            }
        }
    }

    /// Whether the target has bytes where the source has.
    fn is_placed(&self, mine: &Blob, theirs: &Blob) -> bool {
        mine.location.is_none() || theirs.location.is_some() || self.left.contains(&mine.placed())
    }

    async fn blobs(
        &mut self,
        leave_missing: bool,
        on_progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Pass> {
        let (all, all_bytes) = self.source.read(super::sql::total).await?;
        let mut pass = Pass::default();
        let mut pairs = Pairs::new(&self.source, &self.target);
        let mut running: JoinSet<Result<(Blob, Option<Location>)>> = JoinSet::new();
        let (mut changes, mut unnamed) = (Vec::new(), 0);
        loop {
            let next = pairs.next().await?;
            let is_over = next.is_none();
            match next {
                None | Some((None, None)) => {}
                Some((None, Some(theirs))) => changes.push(Change::Remove(theirs)),
                Some((Some(mine), theirs)) => {
                    let has_place = theirs.as_ref().is_some_and(|row| row.location.is_some());
                    let is_left = self.left.contains(&mine.placed());
                    if mine.location.is_some() && !has_place && !is_left {
                        let (from, to) = (self.from.clone(), self.to.clone());
                        running.spawn(async move {
                            let location = mine.location.clone().unwrap_or_default();
                            let what = (mine.registry, &mine.digest, mine.size);
                            let place = carry::carry(what, &location, &from, &to).await?;
                            Ok((mine, place))
                        });
                    } else {
                        if mine.location.is_some() {
                            pass.blobs.0 += 1;
                            pass.blobs.1 += mine.size;
                        }
                        if theirs.is_none_or(|theirs| !mine.is_equal(&theirs)) {
                            changes.push(Change::Put(mine, None));
                        }
                    }
                }
            }
            while running.len() >= AT_ONCE || is_over && !running.is_empty() {
                let Some(outcome) = running.join_next().await else {
                    break;
                };
                let (blob, place) =
                    outcome.map_err(|_| Error::Internal("copying a blob ended early"))??;
                if place.is_none() && self.has_moved(&blob).await? {
                    // The next pass sees what became of it.
                    pass.rows += 1;
                    continue;
                }
                pass.blobs.0 += 1;
                pass.blobs.1 += blob.size;
                if place.is_some() {
                    pass.brought.0 += 1;
                    pass.brought.1 += blob.size;
                    unnamed += 1;
                } else {
                    pass.missing.push(blob.digest);
                    if !leave_missing {
                        continue;
                    }
                    self.left.insert(blob.placed());
                }
                changes.push(Change::Put(blob, place));
            }
            on_progress(Progress::Blobs {
                blobs: pass.blobs.0,
                all: all.max(pass.blobs.0),
                bytes: pass.blobs.1,
                all_bytes: all_bytes.max(pass.blobs.1),
            });
            // What was brought and has no row yet is nobody's if this ends here.
            if changes.len() >= BATCH || unnamed >= AT_ONCE || is_over && !changes.is_empty() {
                unnamed = 0;
                pass.rows += changes.len() as u64;
                let changes = Arc::new(std::mem::take(&mut changes));
                let write = move |tx: &mut lazuli_db::Tx<'_>| sql::apply(tx, &changes);
                self.target.write(write).await?;
            }
            if is_over {
                return Ok(pass);
            }
        }
    }

    /// Whether the source has another place for a blob by now, or none.
    async fn has_moved(&self, blob: &Blob) -> Result<bool> {
        let (registry, key) = (blob.registry, blob.digest.to_bytes());
        let read = move |tx: &mut lazuli_db::Tx<'_>| super::sql::place(tx, registry, &key);
        Ok(self.source.read(read).await? != blob.location)
    }
}

async fn is_whole(store: &Arc<dyn BlobStore>, blob: &Blob) -> Result<bool> {
    let place = blob.location.as_deref().unwrap_or_default();
    let Ok(place) = Location::parse(place) else {
        return Ok(false);
    };
    let opened = match store.open(&place, blob.size).await {
        Err(lazuli_blobs::Error::NotFound | lazuli_blobs::Error::Damaged { .. }) => {
            return Ok(false);
        }
        opened => opened?,
    };
    match store.hash(opened, blob.digest.algorithm()).await {
        Err(lazuli_blobs::Error::NotFound | lazuli_blobs::Error::Damaged { .. }) => Ok(false),
        hashed => Ok(hashed? == blob.digest),
    }
}

/// The rows of blobs of one side, in the order of their key.
struct Stream {
    db: Db,
    rows: VecDeque<Blob>,
    after: (i64, Vec<u8>),
    is_over: bool,
}

impl Stream {
    fn new(db: &Db) -> Self {
        Self {
            db: db.clone(),
            rows: VecDeque::new(),
            after: (i64::MIN, Vec::new()),
            is_over: false,
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if !self.rows.is_empty() || self.is_over {
            return Ok(());
        }
        let (registry, digest) = self.after.clone();
        let read = move |tx: &mut lazuli_db::Tx<'_>| sql::page(tx, registry, &digest);
        let rows = self.db.read_one(read).await?;
        match rows.last() {
            Some(last) => self.after = (last.registry, last.digest.to_bytes()),
            None => self.is_over = true,
        }
        self.rows.extend(rows);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Blob>> {
        self.fill().await?;
        Ok(self.rows.pop_front())
    }
}

/// The rows of both sides, those with the same key together.
struct Pairs {
    mine: Stream,
    theirs: Stream,
}

impl Pairs {
    fn new(source: &Db, target: &Db) -> Self {
        Self {
            mine: Stream::new(source),
            theirs: Stream::new(target),
        }
    }

    async fn next(&mut self) -> Result<Option<(Option<Blob>, Option<Blob>)>> {
        let (one, other) = tokio::join!(self.mine.fill(), self.theirs.fill());
        one?;
        other?;
        let order = match (self.mine.rows.front(), self.theirs.rows.front()) {
            (Some(mine), Some(theirs)) => mine.key().cmp(&theirs.key()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return Ok(None),
        };
        let mine = order.is_le().then(|| self.mine.rows.pop_front());
        let theirs = order.is_ge().then(|| self.theirs.rows.pop_front());
        Ok(Some((mine.flatten(), theirs.flatten())))
    }
}
