//! Records of a bucket: objects below `journal/`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::StreamExt as _;

use super::Core;
use super::client::missing;
use crate::{BoxFuture, Error, RECORD_MAX, Records};

pub(super) struct BucketRecords(pub(super) Arc<Core>);

impl Records for BucketRecords {
    fn create(&self, name: String, text: Bytes) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            let path = self.0.layout.record(&name);
            self.0.bucket.create(&path, text).await
        })
    }

    fn read(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        Box::pin(async move {
            let path = self.0.layout.record(&name);
            let found = self.0.bucket.size(&path).await?;
            if found > RECORD_MAX {
                return Err(Error::Damaged {
                    expected: RECORD_MAX,
                    found,
                });
            }
            self.0.bucket.get(&path).await
        })
    }

    fn list(&self, folder: String) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(async move {
            let within = self.0.layout.record(folder.trim_end_matches('/'));
            let mut objects = self.0.bucket.objects.list(Some(&within));
            let mut names = Vec::new();
            while let Some(object) = objects.next().await {
                let object = object.map_err(|error| missing("list objects", &error))?;
                let name = self.0.layout.below(&object.location);
                names.extend(name.strip_prefix("journal/").map(str::to_owned));
            }
            names.sort_unstable();
            Ok(names)
        })
    }

    fn remove(&self, name: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.0.bucket.delete(&self.0.layout.record(&name)).await })
    }
}
