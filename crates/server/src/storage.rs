//! From settings to the place of the blobs.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use lazuli_api::Redirects;
use lazuli_blobs::{Access, BlobStore, Bucket, BucketOptions, BucketStore, DiskOptions, DiskStore};

use crate::config::{Settings, StorageUrl};

/// Opens the place of the blobs. A bucket is tried out, so that a mistake is told now and not to the first client.
pub(crate) async fn open(settings: &Settings, folder: &Path) -> anyhow::Result<Arc<dyn BlobStore>> {
    let storage = &settings.storage;
    let StorageUrl::Bucket { url, text } = &storage.url else {
        let options = DiskOptions {
            reserved_space: storage.reserved_free_space.0,
            ..DiskOptions::default()
        };
        let store = DiskStore::open(folder, options);
        let store =
            store.with_context(|| format!("cannot open the blob store in {}", folder.display()))?;
        return Ok(Arc::new(store));
    };
    let authorities = storage
        .authorities
        .as_deref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
    let access = Access {
        endpoint: storage.endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
        region: storage.region.as_ref().map(|region| region.0.clone()),
        access_key: storage.access_key.as_ref().map(|key| key.0.clone()),
        secret_key: secret_key(settings)?,
        authorities: authorities.transpose()?,
    };
    let bucket = Bucket::connect(url, &access)
        .with_context(|| format!("the object store {text} cannot be used as configured"))?;
    let options = BucketOptions {
        prefix: url.prefix.clone(),
        part_size: bytes(storage.part_size.0),
        memory: bytes(storage.upload_memory.0),
        ..BucketOptions::default()
    };
    let store = BucketStore::new(bucket, options);
    store.check().await.with_context(|| {
        format!(
            "the object store {text} cannot be used: an object was to be written, read and deleted; \
             see storage.url, storage.endpoint and the credentials"
        )
    })?;
    Ok(Arc::new(store))
}

fn secret_key(settings: &Settings) -> anyhow::Result<Option<String>> {
    let storage = &settings.storage;
    match (&storage.secret_key, &storage.secret_key_file) {
        (Some(_), Some(_)) => anyhow::bail!(
            "storage.secret_key and storage.secret_key_file are both set; give one of them"
        ),
        (Some(secret), None) => Ok(Some(secret.expose().to_owned())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        (None, None) => Ok(None),
    }
}

/// Which blobs clients fetch from the object store.
pub(crate) fn redirects(settings: &Settings) -> Option<Redirects> {
    let storage = &settings.storage;
    let is_bucket = storage.url != StorageUrl::Disk;
    (is_bucket && storage.redirect).then_some(Redirects {
        from_size: storage.redirect_from.0,
        lifetime: storage.signed_url_lifetime.0,
    })
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
