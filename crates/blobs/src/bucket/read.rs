//! Reading a blob from a bucket, and letting a client read it there.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use lazuli_wire::oci::{Algorithm, Digest};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _};

use super::client::{Bucket, failed};
use crate::{Error, Hasher};

/// How often reading begins again without getting any further.
const MAX_BROKEN: u32 = 2;

/// A blob in a bucket.
#[derive(Debug, Clone)]
pub struct BlobObject {
    pub(super) bucket: Bucket,
    pub(super) path: Path,
    pub(super) size: u64,
}

impl BlobObject {
    /// Its length in bytes, as checked when opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its bytes from `start` to before `end`, in pieces. A broken connection is taken up again where it broke, however
    /// long the reader takes: an object never changes.
    pub async fn read(
        &self,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        if range.is_empty() {
            return Ok(futures_util::stream::empty().boxed());
        }
        let reading = Reading {
            pieces: self.ask(range.clone()).await?,
            object: self.clone(),
            left: range,
            broken: 0,
        };
        Ok(futures_util::stream::try_unfold(reading, Reading::next).boxed())
    }

    async fn ask(&self, range: Range<u64>) -> Result<Pieces, Error> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = self.bucket.objects.get_opts(&self.path, options).await;
        let got = got.map_err(|error| failed("get object", &error))?;
        Ok(got.into_stream())
    }

    /// An address at which anybody may read the whole of it for that long; `None` where the bucket has no such thing.
    pub async fn signed_url(&self, valid_for: Duration) -> Result<Option<String>, Error> {
        let Some(signer) = &self.bucket.signer else {
            return Ok(None);
        };
        let signed = signer
            .signed_url(http_method(), &self.path, valid_for)
            .await;
        match signed {
            Ok(url) => Ok(Some(url.into())),
            Err(error) => Err(failed("sign a URL", &error)),
        }
    }

    /// Where it is, as the bucket knows it.
    pub fn key(&self) -> &str {
        self.path.as_ref()
    }

    /// The digest of its bytes, all of which are read.
    pub async fn hash(&self, algorithm: Algorithm) -> Result<Digest, Error> {
        let hasher = hash(self, Hasher::new(algorithm)).await?;
        Ok(hasher.finish())
    }

    /// Hashes its bytes on, from where the hash is to `end`.
    pub async fn hash_on(&self, hasher: Hasher, end: u64) -> Result<Hasher, Error> {
        hash_to(self, hasher, end).await
    }

    /// Whether it is still there. Errors: [`Error::NotFound`].
    pub async fn look(&self) -> Result<(), Error> {
        let looked = self.bucket.objects.head(&self.path).await;
        looked
            .map(drop)
            .map_err(|error| failed("look up object", &error))
    }
}

type Pieces = BoxStream<'static, object_store::Result<Bytes>>;

/// A range on its way.
struct Reading {
    object: BlobObject,
    pieces: Pieces,
    left: Range<u64>,
    /// How often it broke since the last byte came.
    broken: u32,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        while !self.left.is_empty() {
            let error = match self.pieces.next().await {
                Some(Ok(piece)) if piece.is_empty() => continue,
                Some(Ok(piece)) => {
                    self.left.start += piece.len() as u64;
                    self.broken = 0;
                    return Ok(Some((piece, self)));
                }
                Some(Err(error)) => failed("read object", &error),
                None => Error::Damaged {
                    expected: self.left.end,
                    found: self.left.start,
                },
            };
            self.broken += 1;
            if self.broken > MAX_BROKEN {
                return Err(error);
            }
            tracing::debug!(object = self.object.key(), %error, "reading goes on where it broke");
            self.pieces = self.object.ask(self.left.clone()).await?;
        }
        Ok(None)
    }
}

fn http_method() -> http::Method {
    http::Method::GET
}

/// Hashes all bytes of an object.
pub(super) async fn hash(object: &BlobObject, hasher: Hasher) -> Result<Hasher, Error> {
    hash_to(object, hasher, object.size).await
}

/// Hashes bytes of an object, a few at a time on a thread that may take long.
async fn hash_to(object: &BlobObject, mut hasher: Hasher, end: u64) -> Result<Hasher, Error> {
    let mut pieces = object.read(hasher.len()..end).await?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        hasher = tokio::task::spawn_blocking(move || {
            hasher.update(&piece);
            hasher
        })
        .await
        .map_err(|_| Error::Busy)?;
    }
    if hasher.len() != end {
        return Err(Error::Damaged {
            expected: end,
            found: hasher.len(),
        });
    }
    Ok(hasher)
}
