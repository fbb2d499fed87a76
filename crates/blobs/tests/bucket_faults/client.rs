//! A client whose session is kept as the registry keeps it: length and hash after each request that was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lazuli_blobs::suite::{Store, content, list_blobs, list_uploads, new_upload};
use lazuli_blobs::{Bucket, BucketOptions, BucketStore, Error, Hasher, Location};
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

use crate::objects::Objects;

pub(crate) const PART: usize = 64 << 10;

/// A node on that bucket. Its memory is for sixteen parts.
pub(crate) fn node(objects: &Arc<Objects>) -> Store {
    node_with_parts(objects, PART)
}

pub(crate) fn node_with_parts(objects: &Arc<Objects>, part_size: usize) -> Store {
    let options = BucketOptions {
        part_size,
        memory: 0,
        patience: Duration::from_millis(500),
        parts_in_flight: 2,
        ..BucketOptions::default()
    };
    Arc::new(BucketStore::new(Bucket::new(objects.clone()), options))
}

/// A way to push a blob.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// Lengths of the chunks before the last request.
    pub(crate) chunks: &'static [usize],
    /// The bytes in the last request.
    pub(crate) last: usize,
    /// What the last request names the blob by.
    pub(crate) algorithm: Algorithm,
}

/// Every kind of step comes in one of them.
pub(crate) const WAYS: [Way; 8] = {
    const fn way(chunks: &'static [usize], last: usize, algorithm: Algorithm) -> Way {
        Way {
            chunks,
            last,
            algorithm,
        }
    }
    use Algorithm::{Sha256, Sha512};
    [
        way(&[], 5000, Sha256),
        way(&[], 300_000, Sha256),
        way(&[5000, 1], 100, Sha256),
        way(&[5000, 200_000, 10], 0, Sha256),
        way(&[70_000, 70_000], 70_000, Sha256),
        way(&[200_000, 7], 200_000, Sha256),
        way(&[5000], 100, Sha512),
        way(&[150_000, 10], 90_000, Sha512),
    ]
};

/// An upload in progress.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) upload: UploadId,
    pub(crate) bytes: Bytes,
    reached: u64,
    hasher: Hasher,
}

impl Session {
    pub(crate) fn new(way: Way, seed: u64) -> Self {
        let length = way.chunks.iter().sum::<usize>() + way.last;
        Self {
            upload: new_upload(),
            bytes: content(length, seed),
            reached: 0,
            hasher: Hasher::new(Algorithm::Sha256),
        }
    }

    /// The same session, of which somebody sends other bytes from now on.
    pub(crate) fn with_other_bytes(&self, seed: u64) -> Self {
        let (sent, rest) = (&self.bytes[..self.reached as usize], self.bytes.len());
        let other = content(rest - sent.len(), seed);
        Self {
            bytes: [sent, &other].concat().into(),
            ..self.clone()
        }
    }

    pub(crate) fn digest(&self, way: Way) -> Digest {
        Digest::of(way.algorithm, &self.bytes)
    }

    async fn send(
        &self,
        store: &Store,
        length: usize,
    ) -> Result<Box<dyn lazuli_blobs::UploadWriter>, Error> {
        let writer = store.writer(self.upload, self.reached, self.hasher.clone());
        let mut writer = writer.await?;
        let start = self.reached as usize;
        let chunk = self.bytes.slice(start..start + length);
        for piece in chunk.chunks(30_000) {
            writer.write(chunk.slice_ref(piece)).await?;
        }
        Ok(writer)
    }

    /// PATCH.
    pub(crate) async fn append(&mut self, store: &Store, length: usize) -> Result<(), Error> {
        let writer = self.send(store, length).await?;
        let (reached, hasher) = writer.finish().await?;
        assert_eq!(reached, self.reached + length as u64);
        (self.reached, self.hasher) = (reached, hasher);
        Ok(())
    }

    /// PUT.
    pub(crate) async fn finish(&self, store: &Store, way: Way) -> Result<Location, Error> {
        let (digest, size) = (self.digest(way), self.bytes.len() as u64);
        let writer = self.send(store, way.last).await?;
        if way.algorithm == Algorithm::Sha256 {
            let (_, hasher, held) = writer.finish_last().await?;
            assert_eq!(hasher.finish(), digest);
            return store
                .finish_held(self.upload, held, "1", &digest, size)
                .await;
        }
        writer.finish().await?;
        let hasher = store.rehash(self.upload, size, way.algorithm).await?;
        if hasher.finish() != digest {
            // Another client's bytes; the registry refuses.
            return Err(Error::NotFound);
        }
        store.finish(self.upload, "1", &digest, size).await
    }

    /// What is left of it, in one last request.
    pub(crate) async fn finish_from_here(
        &mut self,
        store: &Store,
        way: Way,
    ) -> Result<Location, Error> {
        let last = self.bytes.len() - self.reached as usize;
        let outcome = self.finish(store, Way { last, ..way }).await;
        assert!(
            matches!(
                outcome,
                Ok(_) | Err(Error::NotFound | Error::Damaged { .. })
            ),
            "{outcome:?}"
        );
        outcome
    }

    /// All of it, without ever trying again.
    pub(crate) async fn push(&mut self, store: &Store, way: Way) -> Result<Location, Error> {
        for length in way.chunks {
            self.append(store, *length).await?;
        }
        self.finish(store, way).await
    }
}

/// What garbage collection does once everything is old: sessions are over, and of all blobs only those are known.
pub(crate) async fn collect(store: &Store, known: &[Location]) {
    for upload in list_uploads(store).await {
        store.abort(upload.upload).await.unwrap();
    }
    for blob in list_blobs(store).await {
        if !known.contains(&blob.location) {
            store.remove(&blob.location).await.unwrap();
        }
    }
}

/// The names of objects that a blob is made of.
pub(crate) fn objects_of(location: &Location, upload: UploadId, way: Way) -> Vec<String> {
    let pointer = format!("blobs/{location}");
    let id = upload.to_string().replace('-', "");
    if !location.as_str().ends_with(&id) {
        return vec![pointer];
    }
    let data = format!("data/{}/{id}", &id[..2]);
    let mut names = vec![pointer, data.clone(), format!("{data}.json")];
    if way.algorithm != Algorithm::Sha256 {
        names.push(format!("{data}.second.json"));
    }
    names
}
