//! The steps from an upload to a blob, and away.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use serde::Serialize;

use super::Core;
use super::read::{self, BlobObject};
use super::state::Unfinished;
use crate::{Error, Hasher, Held, Location, Opened};

/// What an object says that is named by the digest of a larger blob.
#[derive(Serialize)]
struct Pointer<'a> {
    /// The object with the bytes.
    object: &'a str,
    size: u64,
    digest: String,
}

impl Core {
    pub(super) fn completed(&self) -> MutexGuard<'_, HashSet<UploadId>> {
        self.completed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the parts one object, and sees that it is as long as it should be. Repeating it does no harm.
    pub(super) async fn complete(&self, upload: UploadId, state: &Unfinished) -> Result<(), Error> {
        let path = self.layout.data(upload);
        let multipart = state.multipart.as_deref().unwrap_or_default();
        let outcome = async {
            let mut parts: Vec<String> = state.parts.iter().map(|part| part.id.clone()).collect();
            if !state.tail.is_empty() {
                let pieces = vec![state.tail.clone()];
                let last = self.bucket.put_part(&path, multipart, parts.len(), pieces);
                parts.push(last.await?);
            }
            self.bucket
                .complete(&path, multipart, parts.into_iter())
                .await
        };
        let outcome = outcome.await;
        // The answer may have been lost, or an earlier call has done it: what counts is what is there.
        let found = match self.bucket.size(&path).await {
            Ok(found) => found,
            Err(Error::NotFound) => return Err(outcome.err().unwrap_or(Error::NotFound)),
            Err(error) => return Err(outcome.err().unwrap_or(error)),
        };
        if found == state.size() {
            return Ok(());
        }
        Err(outcome.err().unwrap_or(Error::Damaged {
            expected: state.size(),
            found,
        }))
    }

    pub(super) async fn publish(
        &self,
        upload: UploadId,
        held: Held,
        prefix: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<Location, Error> {
        let small = Location::new(prefix, digest, upload)?;
        let large = Location::pointing(prefix, digest, upload)?;
        let _claim = self.claims.claim(upload)?;
        let loaded;
        let state = if let Some(held) = &held.0 {
            &held.state
        } else {
            loaded = match self.state(upload, size).await {
                Ok((state, _room)) => state,
                Err(Error::NotFound) => match self.states(upload).await?.into_iter().max() {
                    None => return self.published(&small, &large, size).await,
                    Some(found) => {
                        return Err(Error::Damaged {
                            expected: size,
                            found,
                        });
                    }
                },
                Err(error) => return Err(error),
            };
            &loaded
        };
        if state.size() != size {
            return Err(Error::Damaged {
                expected: size,
                found: state.size(),
            });
        }
        if state.multipart.is_none() {
            let path = self.layout.blob(&small);
            self.bucket.put(&path, vec![state.tail.clone()]).await?;
            self.delete_states(upload, &state.kept).await?;
            return Ok(small);
        }
        self.complete(upload, state).await?;
        self.delete_states(upload, &state.kept).await?;
        self.completed().remove(&upload);
        let data = self.layout.data(upload);
        let pointer = Pointer {
            object: data.as_ref(),
            size,
            digest: digest.to_string(),
        };
        let text: Bytes = serde_json::to_vec(&pointer).unwrap_or_default().into();
        self.bucket
            .put(&self.layout.blob(&large), vec![text])
            .await?;
        Ok(large)
    }

    /// Where an upload is that was finished before.
    pub(super) async fn published(
        &self,
        small: &Location,
        large: &Location,
        size: u64,
    ) -> Result<Location, Error> {
        for location in [small, large] {
            let found = match self.bucket.size(&self.layout.blob(location)).await {
                Ok(_) => self.bucket.size(&self.layout.bytes(location)).await?,
                Err(Error::NotFound) => continue,
                Err(error) => return Err(error),
            };
            return if found == size {
                Ok(location.clone())
            } else {
                Err(Error::Damaged {
                    expected: size,
                    found,
                })
            };
        }
        Err(Error::NotFound)
    }

    pub(super) async fn abort(&self, upload: UploadId) -> Result<(), Error> {
        let lengths = self.states(upload).await?;
        let data = self.layout.data(upload);
        for length in &lengths {
            match self.state(upload, *length).await {
                Ok((state, _)) => {
                    if let Some(multipart) = state.multipart {
                        self.bucket.abort(&data, &multipart).await?;
                        break;
                    }
                }
                Err(Error::NotFound | Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if self.completed().contains(&upload) {
            self.bucket.delete(&data).await?;
            self.completed().remove(&upload);
        }
        self.delete_states(upload, &lengths).await
    }

    pub(super) async fn rehash(
        &self,
        upload: UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Hasher, Error> {
        let _claim = self.claims.claim(upload)?;
        let mut hasher = Hasher::new(algorithm);
        if size == 0 {
            let is_known = !self.states(upload).await?.is_empty();
            return is_known.then_some(hasher).ok_or(Error::NotFound);
        }
        let (state, _room) = self.state_at(upload, size).await?;
        if state.multipart.is_none() {
            hasher.update(&state.tail);
            return Ok(hasher);
        }
        // Parts cannot be read; only what they make can.
        self.complete(upload, &state).await?;
        self.completed().insert(upload);
        let object = BlobObject {
            bucket: self.bucket.clone(),
            path: self.layout.data(upload),
            size,
        };
        read::hash(&object, hasher).await
    }

    pub(super) async fn open(&self, location: &Location, size: u64) -> Result<Opened, Error> {
        let path = self.layout.bytes(location);
        let found = self.bucket.size(&path).await?;
        if found != size {
            return Err(Error::Damaged {
                expected: size,
                found,
            });
        }
        Ok(Opened::Object(BlobObject {
            bucket: self.bucket.clone(),
            path,
            size,
        }))
    }

    pub(super) async fn remove(&self, location: &Location) -> Result<(), Error> {
        self.bucket.delete(&self.layout.bytes(location)).await?;
        if location.upload().is_some() {
            self.bucket.delete(&self.layout.blob(location)).await?;
        }
        Ok(())
    }
}
