//! Receiving bytes: a few stay in memory (and go to the database), more go to the blob store.

use std::future::Future;

use bytes::Bytes;
use lazuli_blobs::{Hasher, Held, UploadWriter};

use super::Loaded;
use super::state::TOO_LONG;
use crate::{Error, Registry, Result};

/// A body as it arrives.
pub trait Incoming: Send {
    /// The length announced for all of it, in bytes.
    fn length(&self) -> Option<u64>;

    /// The next piece; `None` at the end. Errors: [`Error::BodyIncomplete`], [`Error::BodyTooLarge`].
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes>>> + Send;
}

/// Where the bytes of an upload are.
#[derive(Debug)]
pub(super) enum Content {
    Memory(Vec<u8>),
    Store(Held),
}

enum Target {
    Memory(Vec<u8>),
    Store(Box<dyn UploadWriter>),
    /// After an error of the store.
    Lost(Error),
}

/// Takes the bytes of one request.
pub(super) struct Receiver<'a> {
    registry: &'a Registry,
    loaded: &'a Loaded,
    target: Target,
    /// Bytes that may still come.
    room: u64,
    /// Bytes that this chunk may still have, if it says how long it is.
    promised: Option<u64>,
}

impl<'a> Receiver<'a> {
    /// `range`: what the chunk says that it is.
    pub(super) async fn new(
        registry: &'a Registry,
        loaded: &'a Loaded,
        range: Option<(u64, u64)>,
    ) -> Result<Self> {
        let target = if let Some(content) = &loaded.content {
            Target::Memory(content.clone())
        } else {
            let hasher = resume(registry, loaded).await?;
            let writer = registry
                .inner
                .store
                .writer(loaded.id, loaded.size, hasher)
                .await;
            Target::Store(writer.map_err(lost_bytes)?)
        };
        Ok(Self {
            registry,
            loaded,
            target,
            room: registry.inner.options.blob_max.saturating_sub(loaded.size),
            promised: range.map(|(start, end)| end - start + 1),
        })
    }

    pub(super) async fn receive(&mut self, body: &mut impl Incoming) -> Result<()> {
        let announced = body.length().unwrap_or(0);
        self.check_room(announced)?;
        if let Target::Memory(content) = &self.target
            && content.len() as u64 + announced > self.registry.inner.options.inline_blob_max as u64
        {
            self.spill().await?;
        }
        while let Some(piece) = body.next().await {
            self.take(piece?).await?;
        }
        Ok(())
    }

    /// A blob may grow to a limit over all its requests.
    fn check_room(&self, length: u64) -> Result<()> {
        if length > self.room {
            Err(Error::BodyTooLarge(self.registry.inner.options.blob_max))
        } else {
            Ok(())
        }
    }

    async fn take(&mut self, piece: Bytes) -> Result<()> {
        self.check_room(piece.len() as u64)?;
        self.room -= piece.len() as u64;
        if let Some(promised) = &mut self.promised {
            let left = promised.checked_sub(piece.len() as u64);
            *promised = left.ok_or(Error::SizeInvalid(TOO_LONG))?;
        }
        if let Target::Memory(content) = &mut self.target {
            if content.len() + piece.len() <= self.registry.inner.options.inline_blob_max {
                content.extend_from_slice(&piece);
                return Ok(());
            }
            self.spill().await?;
        }
        if let Target::Store(writer) = &mut self.target
            && let Err(error) = writer.write(piece).await
        {
            self.target = Target::Lost(lost_bytes(error));
            return Err(Error::Internal("the blob store refused bytes"));
        }
        Ok(())
    }

    /// Moves what is in memory to the blob store.
    async fn spill(&mut self) -> Result<()> {
        let Target::Memory(content) = &mut self.target else {
            return Ok(());
        };
        // A copy: should the store refuse, what was acknowledged stays where it is.
        let content = content.clone();
        let mut writer = self
            .registry
            .inner
            .store
            .writer(self.loaded.id, 0, Hasher::new(self.loaded.algorithm))
            .await?;
        if !content.is_empty() {
            writer.write(content.into()).await.map_err(lost_bytes)?;
        }
        self.target = Target::Store(writer);
        Ok(())
    }

    /// Waits for the writes. Returns how many bytes the upload has now, where they are, and their hash.
    /// `is_last`: the upload is committed next.
    pub(super) async fn finish(self, is_last: bool) -> Result<(u64, Content, Hasher)> {
        match self.target {
            Target::Memory(content) => {
                let mut hasher = Hasher::new(self.loaded.algorithm);
                hasher.update(&content);
                Ok((content.len() as u64, Content::Memory(content), hasher))
            }
            Target::Store(writer) => {
                let (size, hasher, held) = if is_last {
                    writer.finish_last().await.map_err(lost_bytes)?
                } else {
                    let (size, hasher) = writer.finish().await.map_err(lost_bytes)?;
                    (size, hasher, Held::default())
                };
                Ok((size, Content::Store(held), hasher))
            }
            Target::Lost(error) => Err(error),
        }
    }
}

/// The hash of the bytes stored so far. After a restart of the machine the saved state may be ahead of the bytes: then they are read.
pub(super) async fn resume(registry: &Registry, loaded: &Loaded) -> Result<Hasher> {
    let is_sound = loaded.boot == registry.inner.boot || registry.inner.store.keeps_unfinished();
    if is_sound
        && let Ok(hasher) = Hasher::restore(&loaded.hash_state)
        && hasher.len() == loaded.size
    {
        return Ok(hasher);
    }
    registry
        .inner
        .store
        .rehash(loaded.id, loaded.size, loaded.algorithm)
        .await
        .map_err(lost_bytes)
}

/// A session whose bytes are gone is a session no more.
pub(super) fn lost_bytes(error: lazuli_blobs::Error) -> Error {
    match error {
        lazuli_blobs::Error::NotFound
        | lazuli_blobs::Error::Damaged { .. }
        | lazuli_blobs::Error::Poisoned => Error::UploadUnknown,
        other => other.into(),
    }
}
