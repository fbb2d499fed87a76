//! The receiving side: bytes are gathered into chunks; while one chunk is hashed and written on a thread that may
//! block, the next gathers.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::core::Core;
use super::sessions::{Claim, Watch};
use crate::disk::DiskFile;
use crate::gather::Gathering;
use crate::{BoxFuture, Error, Hasher, Operation, UploadWriter};

/// Starts receiving after the bytes that were hashed. Without a file, the first chunk creates it.
pub(super) fn start(
    core: Arc<Core>,
    claim: Claim,
    file: Option<Arc<dyn DiskFile>>,
    hasher: Hasher,
) -> Box<dyn UploadWriter> {
    Box::new(Writer {
        gathering: Gathering::default(),
        write_behind: WriteBehind::from(hasher.len()),
        state: State::Idle(Box::new(Progress { file, hasher })),
        _watch: claim.watch(),
        claim: Arc::new(claim),
        _receiving: core.receiving.clone(),
        core,
    })
}

struct Writer {
    core: Arc<Core>,
    claim: Arc<Claim>,
    gathering: Gathering,
    state: State,
    write_behind: WriteBehind,
    _receiving: Arc<()>,
    _watch: Watch,
}

enum State {
    Idle(Box<Progress>),
    /// A chunk is being hashed and written.
    Writing(JoinHandle<Result<Box<Progress>, Error>>),
    /// After an error.
    Spent,
}

/// How far an upload has come.
struct Progress {
    file: Option<Arc<dyn DiskFile>>,
    hasher: Hasher,
}

impl Writer {
    async fn push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let limit = self.core.chunk_size();
        while !bytes.is_empty() {
            let room = limit.saturating_sub(self.gathering.len());
            let piece = bytes.split_to(room.min(bytes.len()));
            self.gathering.push(piece);
            if self.gathering.len() >= limit {
                self.submit().await?;
            }
        }
        Ok(())
    }

    /// Sends what was gathered on its way, once the chunk before is through.
    async fn submit(&mut self) -> Result<(), Error> {
        let progress = self.settle().await?;
        self.write_behind
            .advance(&self.core, &self.claim, &progress)
            .await?;
        let pieces = self.gathering.take();
        let (core, claim) = (self.core.clone(), self.claim.clone());
        let work = move || progress.advance(&core, &claim, &pieces);
        self.state = State::Writing(self.core.hashing.run(work));
        Ok(())
    }

    /// Waits for the chunk under way. On an error the writer is spent.
    async fn settle(&mut self) -> Result<Box<Progress>, Error> {
        match std::mem::replace(&mut self.state, State::Spent) {
            State::Idle(progress) => Ok(progress),
            State::Writing(task) => match join(task, Operation::Write).await {
                // A sync failed meanwhile; better to say why.
                Err(Error::Poisoned) => Err(self
                    .write_behind
                    .settle()
                    .await
                    .err()
                    .unwrap_or(Error::Poisoned)),
                outcome => outcome,
            },
            State::Spent => self.claim.check().and(Err(Error::Io {
                op: Operation::Write,
                source: io::Error::other("an earlier write of this writer failed"),
            })),
        }
    }

    async fn complete(mut self) -> Result<(u64, Hasher), Error> {
        let has_no_file = matches!(&self.state, State::Idle(progress) if progress.file.is_none());
        if self.gathering.len() > 0 || has_no_file {
            self.submit().await?;
        }
        let progress = self.settle().await?;
        self.write_behind.settle().await?;
        self.claim.check()?;
        Ok((progress.hasher.len(), progress.hasher))
    }
}

/// What goes to the device while more is received.
struct WriteBehind {
    /// The bytes the kernel was told to write the last time.
    told: Range<u64>,
    /// The end of what was synced, or is being.
    synced: u64,
    /// The work under way, and whether it is a sync.
    working: Option<(JoinHandle<Result<(), Error>>, bool)>,
}

impl WriteBehind {
    fn from(offset: u64) -> Self {
        Self {
            told: offset..offset,
            synced: offset,
            working: None,
        }
    }

    /// Begins what is due, unless there is work under way: then more gathers, up to twice the interval between syncs.
    async fn advance(
        &mut self,
        core: &Arc<Core>,
        claim: &Arc<Claim>,
        progress: &Progress,
    ) -> Result<(), Error> {
        let Some(file) = &progress.file else {
            return Ok(());
        };
        let (options, end) = (&core.options, progress.hasher.len());
        let is_sync_due = end - self.synced >= options.sync_interval;
        let is_far_behind = end - self.synced >= options.sync_interval.saturating_mul(2);
        match &self.working {
            Some((task, _)) if !task.is_finished() && !is_far_behind => return Ok(()),
            _ => self.settle().await?,
        }
        if !is_sync_due && end - self.told.end < options.writeback_interval {
            return Ok(());
        }
        // What was told the last time has arrived by now, and may leave the cache unless it is to be kept.
        let start = self
            .told
            .start
            .max(options.cached_prefix.min(self.told.end));
        self.told = self.told.end..end;
        let (core, file) = (core.clone(), file.clone());
        let write_back = move || {
            // Only a hint: whether the bytes arrive is for the sync to say.
            let outcome = file.write_back(start, end - start);
            let _ = core.health.check(Operation::WriteBack, outcome);
            (core, file)
        };
        let task = if is_sync_due {
            self.synced = end;
            // Nobody else may sync the file before the outcome is known: the kernel tells of a failure only once.
            let claim = claim.clone();
            spawn_blocking(move || {
                let (core, file) = write_back();
                core.sync_upload(&claim, &*file)
            })
        } else {
            spawn_blocking(move || {
                write_back();
                Ok(())
            })
        };
        self.working = Some((task, is_sync_due));
        Ok(())
    }

    /// Waits for a sync under way, or takes the outcome of other work.
    async fn settle(&mut self) -> Result<(), Error> {
        match self.working.take() {
            Some((task, true)) => join(task, Operation::SyncData).await,
            _ => Ok(()),
        }
    }
}

pub(super) async fn join<T>(task: JoinHandle<Result<T, Error>>, op: Operation) -> Result<T, Error> {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::Io {
            op,
            source: io::Error::other(error),
        }),
    }
}

impl UploadWriter for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.push(bytes))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(u64, Hasher), Error>> {
        Box::pin((*self).complete())
    }
}

impl Progress {
    /// Hashes and writes a chunk.
    fn advance(
        mut self: Box<Self>,
        core: &Core,
        claim: &Claim,
        pieces: &[Bytes],
    ) -> Result<Box<Self>, Error> {
        core.health.check_writable()?;
        claim.check()?;
        let file = match self.file.take() {
            Some(file) => file,
            None => core.create(claim)?,
        };
        let offset = self.hasher.len();
        for piece in pieces {
            self.hasher.update(piece);
        }
        let interval = core.options.writeback_interval.max(1);
        if offset / interval != self.hasher.len() / interval {
            core.check_space()?;
        }
        let outcome = write_all(&*file, pieces, offset);
        core.health.check(Operation::Write, outcome)?;
        self.file = Some(file);
        Ok(self)
    }
}

/// Writes all pieces, however little the system takes at a time.
fn write_all(file: &dyn DiskFile, pieces: &[Bytes], mut offset: u64) -> io::Result<()> {
    /// Linux takes no more in one call.
    const MAX_SLICES: usize = 1024;
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let batch = &rest[..rest.len().min(MAX_SLICES)];
        match file.write_at(batch, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
