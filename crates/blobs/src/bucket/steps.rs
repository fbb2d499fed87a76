//! The steps from an upload to a blob, and away.

use bytes::Bytes;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use serde::Serialize;

use super::Core;
use super::read::{self, BlobObject};
use super::state::Unfinished;
use super::states;
use crate::{Error, Hasher, Held, Location, Opened};

/// What an object says that is named by the digest of a larger blob.
#[derive(Serialize)]
struct Pointer<'a> {
    /// The object with the bytes.
    object: &'a str,
    size: u64,
    digest: Option<String>,
}

impl Core {
    /// Makes the parts one object, and sees that it is as long as it should be. Repeating it does no harm. Only for bytes of
    /// which this was decided: whoever else makes them whole has the same.
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
                Err(Error::NotFound) => {
                    // Finished before, or not so long.
                    let published = self.published(&small, &large, size).await;
                    return match self.states(upload).await?.into_iter().max() {
                        Some(found) if matches!(published, Err(Error::NotFound)) => {
                            Err(Error::Damaged {
                                expected: size,
                                found,
                            })
                        }
                        _ => published,
                    };
                }
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
        let content = self.content(state, digest).await?;
        let location = if state.multipart.is_none() {
            let path = self.layout.blob(&small);
            self.bucket.put(&path, vec![state.tail.clone()]).await?;
            small
        } else {
            self.decide_for(upload, &large, &content).await?;
            self.complete(upload, state).await?;
            self.point(&large, upload, size).await?;
            large
        };
        if let Err(error) = self.delete_states(upload, &state.kept).await {
            // The upload is over. A walk over all uploads finds what is left.
            tracing::warn!(%upload, %error, "states of a finished upload were not deleted");
        }
        Ok(location)
    }

    /// The digest of the upload's bytes as they were sent. They have to be those that `digest` is the digest of, or of
    /// which it was computed as a whole. Errors: [`Error::NotFound`]: another node has written other bytes since.
    async fn content(&self, state: &Unfinished, digest: &Digest) -> Result<Digest, Error> {
        let content = state.content.ok_or(Error::NotFound)?;
        let is_it = if content.algorithm() == digest.algorithm() {
            content == *digest
        } else {
            state.multipart.is_some()
                || states::digest(digest.algorithm(), state.tail.clone()).await? == *digest
        };
        is_it.then_some(content).ok_or(Error::NotFound)
    }

    /// Writes what is found under the digest of a larger blob.
    pub(super) async fn point(
        &self,
        location: &Location,
        upload: UploadId,
        size: u64,
    ) -> Result<(), Error> {
        let data = self.layout.data(upload);
        let pointer = Pointer {
            object: data.as_ref(),
            size,
            digest: location.digest().map(|digest| digest.to_string()),
        };
        // Strings and numbers always have a JSON form.
        let text: Bytes = serde_json::to_vec(&pointer).unwrap_or_default().into();
        let path = self.layout.blob(location);
        self.bucket.put(&path, vec![text]).await
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
        if self.abort_parts(upload, &lengths, None).await? {
            self.discard(upload).await?;
        }
        // Last: while they are there, what is left is found.
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
        let (state, _room) = self.state(upload, size).await?;
        if state.multipart.is_none() {
            hasher.update(&state.tail);
            return Ok(hasher);
        }
        // Parts cannot be read; only what they make can.
        let content = state.content.ok_or(Error::NotFound)?;
        self.decide_content(upload, &content).await?;
        self.complete(upload, &state).await?;
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
        match location.upload() {
            Some(upload) => self.remove_large(location, upload).await,
            None => self.bucket.delete(&self.layout.blob(location)).await,
        }
    }
}
