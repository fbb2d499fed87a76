//! Walks over a bucket, a bounded number of objects at a time.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::ObjectMeta;

use super::Core;
use super::client::missing;
use crate::{
    BlobEntry, BlobLister, BoxFuture, Error, Listed, ListedUpload, Location, UploadLister,
};

const BATCH: usize = 500;

type Objects = BoxStream<'static, object_store::Result<ObjectMeta>>;

/// The next objects; `None` at the end.
async fn batch(objects: &mut Objects) -> Result<Option<Vec<ObjectMeta>>, Error> {
    let mut found = Vec::new();
    while let Some(object) = objects.next().await {
        found.push(object.map_err(|error| missing("list objects", &error))?);
        if found.len() == BATCH {
            return Ok(Some(found));
        }
    }
    Ok((!found.is_empty()).then_some(found))
}

pub(super) struct Blobs {
    core: Arc<Core>,
    objects: Objects,
    is_measured: bool,
}

impl Blobs {
    /// `is_measured`: one more request for each larger blob tells its size, else it is 0.
    pub(super) fn new(core: Arc<Core>, is_measured: bool) -> Self {
        let objects = core
            .bucket
            .objects
            .list(Some(&core.layout.blobs()))
            .fuse()
            .boxed();
        Self {
            core,
            objects,
            is_measured,
        }
    }
}

/// What an object below `blobs` is.
async fn listed(
    core: &Core,
    object: ObjectMeta,
    is_measured: bool,
) -> Result<Option<Listed>, Error> {
    let name = core.layout.below(&object.location);
    let location = name.strip_prefix("blobs/").map(Location::parse);
    let Some(Ok(location)) = location else {
        return Ok(Some(Listed::Foreign(name.to_owned())));
    };
    let size = match location.upload() {
        None => object.size,
        Some(_) if is_measured => size_of(core, &location).await?,
        Some(_) => 0,
    };
    Ok(location.digest().map(|digest| {
        Listed::Blob(BlobEntry {
            location,
            digest,
            size,
            modified_us: object.last_modified.timestamp_micros(),
        })
    }))
}

/// The size of a larger blob, whose bytes are another object than the one that is listed.
async fn size_of(core: &Core, location: &Location) -> Result<u64, Error> {
    match core.bucket.size(&core.layout.bytes(location)).await {
        // Being removed, or half removed: what is left is listed, so that it can be.
        Err(Error::NotFound) => Ok(0),
        size => size,
    }
}

/// The size of a blob that was listed without it.
pub(super) async fn measure(core: &Core, entry: &BlobEntry) -> Result<u64, Error> {
    if entry.location.upload().is_none() {
        return Ok(entry.size);
    }
    size_of(core, &entry.location).await
}

impl BlobLister for Blobs {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Listed>>, Error>> {
        Box::pin(async move {
            let Some(found) = batch(&mut self.objects).await? else {
                return Ok(None);
            };
            let mut all = Vec::with_capacity(found.len());
            for object in found {
                all.extend(listed(&self.core, object, self.is_measured).await?);
            }
            Ok(Some(all))
        })
    }
}

pub(super) struct Uploads {
    core: Arc<Core>,
    objects: Objects,
}

impl Uploads {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let objects = core
            .bucket
            .objects
            .list(Some(&core.layout.uploads()))
            .fuse()
            .boxed();
        Self { core, objects }
    }
}

impl UploadLister for Uploads {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<ListedUpload>>, Error>> {
        Box::pin(async move {
            let Some(found) = batch(&mut self.objects).await? else {
                return Ok(None);
            };
            // The states of one upload follow each other; those cut apart by a batch come twice, which does no harm.
            let mut all: Vec<ListedUpload> = Vec::new();
            for object in found {
                let Some((upload, size)) = self.core.layout.read_state(&object.location) else {
                    continue;
                };
                let modified_us = object.last_modified.timestamp_micros();
                match all.last_mut().filter(|last| last.upload == upload) {
                    Some(last) => {
                        last.size = last.size.max(size);
                        last.modified_us = last.modified_us.max(modified_us);
                    }
                    None => all.push(ListedUpload {
                        upload,
                        size,
                        modified_us,
                        is_quarantined: false,
                    }),
                }
            }
            Ok(Some(all))
        })
    }
}
