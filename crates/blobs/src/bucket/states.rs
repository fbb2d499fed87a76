//! States of uploads in the bucket: what any node continues from.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use lazuli_wire::oci::{Algorithm, Digest, UploadId};
use object_store::ObjectStoreExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::client::{failed, missing};
use super::state::Unfinished;
use super::writer::units;
use super::{Core, UNIT};
use crate::Error;

impl Core {
    /// Memory for so many bytes. Waits for others to give it back.
    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let room = self.memory.clone().acquire_many_owned(units(bytes));
        match tokio::time::timeout(self.options.patience, room).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::Overloaded),
        }
    }

    /// The lengths at which there are states of an upload.
    pub(super) async fn states(&self, upload: UploadId) -> Result<Vec<u64>, Error> {
        let mut objects = self.bucket.objects.list(Some(&self.layout.upload(upload)));
        let mut lengths = Vec::new();
        while let Some(object) = objects.next().await {
            let object = object.map_err(|error| missing("list objects", &error))?;
            if let Some((_, length)) = self.layout.read_state(&object.location) {
                lengths.push(length);
            }
        }
        Ok(lengths)
    }

    /// The state at that length. Large tails take memory that is counted.
    pub(super) async fn state(
        &self,
        upload: UploadId,
        length: u64,
    ) -> Result<(Unfinished, Option<OwnedSemaphorePermit>), Error> {
        let path = self.layout.state(upload, length);
        let got = self.bucket.objects.get(&path).await;
        let got = got.map_err(|error| failed("get object", &error))?;
        let room = if got.meta.size > UNIT as u64 * 4 {
            Some(self.room(got.meta.size as usize).await?)
        } else {
            None
        };
        let text = got.bytes().await;
        let text = text.map_err(|error| failed("get object", &error))?;
        let mut state = Unfinished::read(&text).map_err(|_| Error::Damaged {
            expected: length,
            found: 0,
        })?;
        if state.size() != length {
            return Err(Error::Damaged {
                expected: length,
                found: state.size(),
            });
        }
        if !state.kept.contains(&length) {
            state.kept.push(length);
        }
        Ok((state, room))
    }

    /// The upload as it was at `offset`, where its bytes were `content`: another node may have written other bytes since.
    pub(super) async fn state_at(
        &self,
        upload: UploadId,
        offset: u64,
        content: &Digest,
    ) -> Result<(Unfinished, Option<OwnedSemaphorePermit>), Error> {
        match self.state(upload, offset).await {
            Err(Error::NotFound) => {}
            Ok((state, room)) if state.content.as_ref() == Some(content) => {
                return Ok((state, room));
            }
            Ok(_) => return Err(Error::NotFound),
            Err(error) => return Err(error),
        }
        // A longer one that was not recorded has the bytes too. Those in parts cannot be looked at.
        let mut lengths = self.states(upload).await?;
        lengths.sort_unstable();
        let Some(&found) = lengths.last() else {
            return Err(Error::NotFound);
        };
        for length in lengths.into_iter().filter(|length| *length > offset) {
            let (mut state, room) = self.state(upload, length).await?;
            if state.multipart.is_none() {
                state.tail.truncate(offset as usize);
                if digest(content.algorithm(), state.tail.clone()).await? == *content {
                    state.content = Some(*content);
                    return Ok((state, room));
                }
            }
        }
        Err(Error::Damaged {
            expected: offset,
            found,
        })
    }

    /// Gives up the parts that states of these lengths know of, but for those of one multipart upload. Whether there were
    /// any.
    pub(super) async fn abort_parts(
        &self,
        upload: UploadId,
        lengths: &[u64],
        kept: Option<&str>,
    ) -> Result<bool, Error> {
        let data = self.layout.data(upload);
        let mut seen = HashSet::new();
        for length in lengths {
            let multipart = match self.state(upload, *length).await {
                Ok((state, _)) => state.multipart,
                Err(Error::NotFound | Error::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            if let Some(multipart) = multipart
                && Some(&*multipart) != kept
                && !seen.contains(&multipart)
            {
                self.bucket.abort(&data, &multipart).await?;
                seen.insert(multipart);
            }
        }
        Ok(!seen.is_empty())
    }

    pub(super) async fn delete_states(
        &self,
        upload: UploadId,
        lengths: &[u64],
    ) -> Result<(), Error> {
        for length in lengths {
            self.bucket
                .delete(&self.layout.state(upload, *length))
                .await?;
        }
        Ok(())
    }
}

/// The digest of bytes in memory, computed on a thread that may take long.
pub(super) async fn digest(algorithm: Algorithm, bytes: Bytes) -> Result<Digest, Error> {
    let hashing = tokio::task::spawn_blocking(move || Digest::of(algorithm, &bytes));
    hashing.await.map_err(|_| Error::Busy)
}
