//! What becomes of the bytes of a larger upload: decided once, by an object beside them that only one can make.
//!
//! Two nodes may work on one upload without knowing of each other: one of them was thought dead, or a client sends both
//! different bytes. So nobody makes the bytes whole, or deletes them, before it has made this object, which fails for all but
//! one. It says what the bytes are; whoever sent others has lost. Bytes that were acknowledged under one digest are never
//! replaced, nor deleted with the pointer of another digest, nor by an abort that comes late.

use lazuli_wire::oci::{Digest, UploadId};
use serde::{Deserialize, Serialize};

use super::Core;
use crate::{Error, Location};

/// The text of the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Fate {
    /// They are the blob of this location, or will be.
    Blob(String),
    /// They are bytes of this digest, made whole to be hashed with another algorithm. A second object says what then
    /// becomes of them.
    Content(String),
    /// They are deleted.
    Discarded,
}

impl Core {
    /// What was decided, if anything.
    async fn read_fate(&self, upload: UploadId, is_second: bool) -> Result<Option<Fate>, Error> {
        let path = self.layout.fate(upload, is_second);
        let text = match self.bucket.get(&path).await {
            Ok(text) => text,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let fate = serde_json::from_slice(&text).map_err(|_| Error::Damaged {
            expected: 0,
            found: text.len() as u64,
        })?;
        Ok(Some(fate))
    }

    /// Decides, unless it is decided: what then holds.
    async fn decide(&self, upload: UploadId, is_second: bool, fate: Fate) -> Result<Fate, Error> {
        let path = self.layout.fate(upload, is_second);
        // A string and a word always have a JSON form.
        let text = serde_json::to_vec(&fate).unwrap_or_default();
        match self.bucket.create(&path, text.into()).await {
            Ok(true) => Ok(fate),
            Ok(false) => {
                let decided = self.read_fate(upload, is_second).await?;
                Ok(decided.unwrap_or(Fate::Discarded))
            }
            // It may have been made and the answer lost.
            Err(error) => match self.read_fate(upload, is_second).await {
                Ok(Some(decided)) => Ok(decided),
                _ => Err(error),
            },
        }
    }

    /// The last word, if there is one, and where it is or would be.
    async fn fate(&self, upload: UploadId) -> Result<(Option<Fate>, bool), Error> {
        match self.read_fate(upload, false).await? {
            Some(Fate::Content(_)) => Ok((self.read_fate(upload, true).await?, true)),
            fate => Ok((fate, false)),
        }
    }

    /// The bytes, which are `content`, shall be the blob of that location. Errors: [`Error::NotFound`] when they are to be
    /// something else.
    pub(super) async fn decide_for(
        &self,
        upload: UploadId,
        location: &Location,
        content: &Digest,
    ) -> Result<(), Error> {
        let wanted = Fate::Blob(location.to_string());
        let is_same = location.digest().as_ref() == Some(content);
        let first = if is_same {
            self.decide(upload, false, wanted.clone()).await?
        } else {
            // Whoever knows the other digest has had it computed from the whole bytes.
            let first = self.read_fate(upload, false).await?;
            first.ok_or(Error::NotFound)?
        };
        let last = if first == Fate::Content(content.to_string()) {
            self.decide(upload, true, wanted.clone()).await?
        } else {
            first
        };
        (last == wanted).then_some(()).ok_or(Error::NotFound)
    }

    /// The bytes, which are `content`, shall be whole. Errors: [`Error::NotFound`] when they are to be something else.
    pub(super) async fn decide_content(
        &self,
        upload: UploadId,
        content: &Digest,
    ) -> Result<(), Error> {
        let wanted = Fate::Content(content.to_string());
        let decided = self.decide(upload, false, wanted.clone()).await?;
        let is_it = match &decided {
            Fate::Blob(location) => Location::parse(location)?.digest().as_ref() == Some(content),
            other => *other == wanted,
        };
        is_it.then_some(()).ok_or(Error::NotFound)
    }

    /// Frees bytes that were made whole and became no blob. If they are about to become one, they are listed as one from
    /// now on: whether anybody was told of it, a walk over all blobs finds out.
    pub(super) async fn discard(&self, upload: UploadId) -> Result<(), Error> {
        let data = self.layout.data(upload);
        let size = match self.bucket.size(&data).await {
            Ok(size) => Some(size),
            Err(Error::NotFound) => None,
            Err(error) => return Err(error),
        };
        let decided = match (self.fate(upload).await?, size) {
            ((Some(decided), _), _) => decided,
            ((None, is_second), Some(_)) => self.decide(upload, is_second, Fate::Discarded).await?,
            ((None, _), None) => Fate::Discarded,
        };
        if let Fate::Blob(location) = decided {
            let location = Location::parse(&location)?;
            return self.point(&location, upload, size.unwrap_or(0)).await;
        }
        self.bucket.delete(&data).await?;
        self.delete_fate(upload).await
    }

    async fn delete_fate(&self, upload: UploadId) -> Result<(), Error> {
        for is_second in [true, false] {
            let path = self.layout.fate(upload, is_second);
            self.bucket.delete(&path).await?;
        }
        Ok(())
    }

    /// Deletes the bytes behind a pointer, unless they are another one's.
    pub(super) async fn remove_large(
        &self,
        location: &Location,
        upload: UploadId,
    ) -> Result<(), Error> {
        let is_ours = match self.fate(upload).await?.0 {
            Some(Fate::Blob(owner)) => owner == location.as_str(),
            _ => true,
        };
        if is_ours {
            self.bucket.delete(&self.layout.data(upload)).await?;
            self.delete_fate(upload).await?;
        }
        // Last: while it is there, what is left is found and removed again.
        self.bucket.delete(&self.layout.blob(location)).await
    }
}
