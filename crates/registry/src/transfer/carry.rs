//! The bytes of a blob from one store to another, hashed on their way.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lazuli_blobs::{BlobStore, Hasher, Location, Opened};
use lazuli_wire::oci::{Digest, UploadId};

use crate::{Error, Result};

/// Bytes read from a file at a time.
const PIECE: u64 = 1 << 20;

/// Brings the bytes of a blob, and says where they are now; `None`: the source does not have them, or has damaged ones.
pub(super) async fn carry(
    (registry, digest, size): (i64, &Digest, u64),
    location: &str,
    source: &Arc<dyn BlobStore>,
    target: &Arc<dyn BlobStore>,
) -> Result<Option<Location>> {
    let Ok(location) = Location::parse(location) else {
        return Ok(None);
    };
    let opened = match source.open(&location, size).await {
        Ok(opened) => opened,
        Err(lazuli_blobs::Error::NotFound | lazuli_blobs::Error::Damaged { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::Internal("the system gave no random bytes"))?;
    let upload = UploadId::from_random(random);
    let mut writer = target
        .writer(upload, 0, Hasher::new(digest.algorithm()))
        .await?;
    let mut pieces = Pieces::of(opened, size).await?;
    while let Some(piece) = pieces.next().await? {
        writer.write(piece).await?;
    }
    let (length, hasher, held) = writer.finish_last().await?;
    if hasher.finish() != *digest {
        target.abort(upload).await?;
        return Ok(None);
    }
    let prefix = registry.to_string();
    let place = target.finish_held(upload, held, &prefix, digest, length);
    Ok(Some(place.await?))
}

/// The bytes of a blob, in pieces.
enum Pieces {
    File {
        file: Arc<std::fs::File>,
        offset: u64,
        size: u64,
    },
    Object(futures_util::stream::BoxStream<'static, Result<Bytes, lazuli_blobs::Error>>),
}

impl Pieces {
    async fn of(opened: Opened, size: u64) -> Result<Self> {
        Ok(match opened {
            Opened::File(blob) => Self::File {
                file: blob.file,
                offset: 0,
                size,
            },
            Opened::Object(object) => Self::Object(object.read(0..size).await?),
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Object(pieces) => Ok(pieces.next().await.transpose()?),
            Self::File { offset, size, .. } if offset == size => Ok(None),
            Self::File { file, offset, size } => {
                let (file, at) = (file.clone(), *offset);
                let wanted = (*size - at).min(PIECE);
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; wanted as usize];
                    file.read_exact_at(&mut piece, at).map(|()| piece)
                });
                let piece = read
                    .await
                    .map_err(|_| Error::Internal("reading a blob ended early"))?;
                *offset += wanted;
                // A file that cannot be read ends early here; its hash tells.
                Ok(piece.ok().map(Bytes::from))
            }
        }
    }
}
