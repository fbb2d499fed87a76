//! The receiving side: bytes are gathered into parts; while some parts are on their way, the next gathers.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::Instant;

use super::claims::Claim;
use super::state::{Part, Unfinished};
use super::{Core, HeldUpload, UNIT};
use crate::gather::Gathering;
use crate::{BoxFuture, Error, Hasher, Held, UploadWriter};

/// Up to this much is gathered without asking for memory, in bytes: small blobs wait for nobody.
const FREE: usize = 256 << 10;
/// No part but the last may be smaller (Amazon S3, "Multipart upload limits").
const LEAST_PART: usize = 5 << 20;
/// Parts of the first size; those after them are larger, so that ten thousand make a very large blob.
const PARTS_OF_A_SIZE: usize = 1000;
/// How often the bucket is told that an upload is alive.
const SIGN_OF_LIFE: std::time::Duration = std::time::Duration::from_mins(10);

pub(super) struct Writer {
    core: Arc<Core>,
    claim: Claim,
    /// The length the upload had before.
    from: u64,
    /// What the bucket has. Its tail is in `gathering` meanwhile.
    state: Unfinished,
    gathering: Gathering,
    /// The bytes of `gathering` that were hashed already: those of an earlier request.
    hashed: usize,
    room: Option<OwnedSemaphorePermit>,
    hashing: Hashing,
    sending: JoinSet<Result<(usize, Part), Error>>,
    sent: Vec<(usize, Part)>,
    next: usize,
    /// When the state that says that this upload exists was written.
    noted: Option<Instant>,
    is_spent: bool,
}

enum Hashing {
    Idle(Box<Hasher>),
    Busy(JoinHandle<Box<Hasher>>),
    Lost,
}

impl Hashing {
    async fn settle(&mut self) -> Result<Box<Hasher>, Error> {
        match std::mem::replace(self, Self::Lost) {
            Self::Idle(hasher) => Ok(hasher),
            Self::Busy(task) => task.await.map_err(|_| Error::Busy),
            // After an error of a write before.
            Self::Lost => Err(Error::NotFound),
        }
    }

    async fn update(&mut self, pieces: Vec<Bytes>) -> Result<(), Error> {
        let mut hasher = self.settle().await?;
        *self = Self::Busy(spawn_blocking(move || {
            for piece in &pieces {
                hasher.update(piece);
            }
            hasher
        }));
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(
        core: Arc<Core>,
        claim: Claim,
        mut state: Unfinished,
        room: Option<OwnedSemaphorePermit>,
        hasher: Hasher,
    ) -> Self {
        let from = state.size();
        let mut gathering = Gathering::default();
        gathering.push(std::mem::take(&mut state.tail));
        Self {
            core,
            claim,
            from,
            next: state.parts.len(),
            hashed: gathering.len(),
            gathering,
            state,
            room,
            hashing: Hashing::Idle(Box::new(hasher)),
            sending: JoinSet::new(),
            sent: Vec::new(),
            noted: None,
            is_spent: false,
        }
    }

    fn part_size(&self) -> usize {
        self.core.options.part_size * (1 + self.next / PARTS_OF_A_SIZE)
    }

    async fn push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if self.is_spent {
            return Err(Error::NotFound);
        }
        let outcome = async {
            while !bytes.is_empty() {
                let size = self.part_size();
                let wanted = size.saturating_sub(self.gathering.len()).min(bytes.len());
                if self.room.is_none() && self.gathering.len() + wanted > FREE {
                    self.room = Some(self.core.room(size).await?);
                }
                self.gathering.push(bytes.split_to(wanted));
                if self.gathering.len() >= size {
                    self.send().await?;
                }
            }
            Ok(())
        };
        let outcome = outcome.await;
        self.is_spent = outcome.is_err();
        outcome
    }

    /// Sends what was gathered as the next part, once not too many are on their way.
    async fn send(&mut self) -> Result<(), Error> {
        self.claim.check()?;
        let multipart = self.multipart().await?;
        let pieces = self.gather().await?;
        while self.sending.len() >= self.core.options.parts_in_flight.max(1) {
            self.join_one().await?;
        }
        let (core, upload, index) = (self.core.clone(), self.claim.upload, self.next);
        let room = self.room.take();
        self.next += 1;
        self.sending.spawn(async move {
            let _room = room;
            let size = pieces.iter().map(|piece| piece.len() as u64).sum();
            let path = core.layout.data(upload);
            let id = core.bucket.put_part(&path, &multipart, index, pieces);
            Ok((
                index,
                Part {
                    id: id.await?,
                    size,
                },
            ))
        });
        Ok(())
    }

    /// Takes what was gathered, and has it hashed as far as it is new.
    async fn gather(&mut self) -> Result<Vec<Bytes>, Error> {
        let pieces = self.gathering.take();
        let mut old = std::mem::take(&mut self.hashed);
        let fresh = pieces
            .iter()
            .filter_map(|piece| {
                let skipped = old.min(piece.len());
                old -= skipped;
                (skipped < piece.len()).then(|| piece.slice(skipped..))
            })
            .collect();
        self.hashing.update(fresh).await?;
        Ok(pieces)
    }

    /// The multipart upload, begun if there is none, and made known: should this process die, somebody finds it.
    async fn multipart(&mut self) -> Result<String, Error> {
        let upload = self.claim.upload;
        let (multipart, is_new) = if let Some(multipart) = &self.state.multipart {
            (multipart.clone(), false)
        } else {
            self.give_up_earlier().await?;
            let path = self.core.layout.data(upload);
            let multipart = self.core.bucket.create_multipart(&path).await?;
            self.state.multipart = Some(multipart.clone());
            (multipart, true)
        };
        let is_silent = self.noted.is_none_or(|at| at.elapsed() >= SIGN_OF_LIFE);
        if is_new || (is_silent && self.from == 0) {
            let begun = Unfinished {
                multipart: Some(multipart.clone()),
                ..Unfinished::default()
            };
            let path = self.core.layout.state(upload, 0);
            let noting = self.core.bucket.put(&path, vec![begun.write()]).await;
            if let (Err(error), true) = (noting, is_new) {
                // Nobody would find it.
                let data = self.core.layout.data(upload);
                let _ = self.core.bucket.abort(&data, &multipart).await;
                return Err(error);
            }
            self.noted = Some(Instant::now());
            if !self.state.kept.contains(&0) {
                self.state.kept.push(0);
            }
        }
        Ok(multipart)
    }

    /// Gives up the parts of an earlier attempt, of which nothing was acknowledged: the states that know of them go soon.
    async fn give_up_earlier(&self) -> Result<(), Error> {
        let (core, upload) = (&self.core, self.claim.upload);
        let lengths = core.states(upload).await?;
        core.abort_parts(upload, &lengths, None).await.map(drop)
    }

    async fn join_one(&mut self) -> Result<(), Error> {
        if let Some(joined) = self.sending.join_next().await {
            self.sent.push(joined.map_err(|_| Error::Busy)??);
        }
        Ok(())
    }

    /// Waits for everything. What is left over is the tail.
    async fn settle(mut self, is_last: bool) -> Result<(Unfinished, Hasher, Self), Error> {
        if self.is_spent {
            return Err(Error::NotFound);
        }
        if !is_last
            && self.state.multipart.is_some()
            && self.gathering.len() >= LEAST_PART.min(self.core.options.part_size)
        {
            self.send().await?;
        }
        let pieces = self.gather().await?;
        let hasher = self.hashing.settle().await?;
        while !self.sending.is_empty() {
            self.join_one().await?;
        }
        self.claim.check()?;
        self.sent.sort_unstable_by_key(|(index, _)| *index);
        let mut state = std::mem::take(&mut self.state);
        state
            .parts
            .extend(self.sent.drain(..).map(|(_, part)| part));
        state.tail = join(pieces);
        state.content = Some(hasher.clone().finish());
        Ok((state, *hasher, self))
    }

    async fn keep(self) -> Result<(u64, Hasher), Error> {
        let (mut state, hasher, this) = self.settle(false).await?;
        let (core, upload, size) = (&this.core, this.claim.upload, state.size());
        let before = std::mem::take(&mut state.kept);
        state.kept = vec![size];
        if this.from != size && before.contains(&this.from) && this.from > 0 {
            // Should this length not be recorded, the client goes on from the one before.
            state.kept.push(this.from);
        }
        let path = core.layout.state(upload, size);
        core.bucket.put(&path, vec![state.write()]).await?;
        if let Err(cut_off) = this.claim.check() {
            core.bucket.delete(&path).await?;
            return Err(cut_off);
        }
        let obsolete = if this.from == 0 {
            // Whatever an earlier attempt left.
            let left = core.states(upload).await?;
            let others: Vec<u64> = left.iter().copied().filter(|left| *left != size).collect();
            let kept = state.multipart.as_deref();
            core.abort_parts(upload, &others, kept).await?;
            left
        } else {
            before
        };
        for length in obsolete {
            if !state.kept.contains(&length) {
                core.bucket
                    .delete(&core.layout.state(upload, length))
                    .await?;
            }
        }
        Ok((size, hasher))
    }

    async fn hold(self) -> Result<(u64, Hasher, Held), Error> {
        let (state, hasher, mut this) = self.settle(true).await?;
        let size = state.size();
        let room = this.room.take();
        let held = HeldUpload { state, _room: room };
        Ok((size, hasher, Held(Some(Arc::new(held)))))
    }
}

/// One piece of all: of small ones, in practice of one.
fn join(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.swap_remove(0),
        _ => pieces.concat().into(),
    }
}

impl UploadWriter for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.push(bytes))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(u64, Hasher), Error>> {
        Box::pin((*self).keep())
    }

    fn finish_last(self: Box<Self>) -> BoxFuture<'static, Result<(u64, Hasher, Held), Error>> {
        Box::pin((*self).hold())
    }
}

/// Units of memory for so many bytes.
pub(super) fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
