//! What an image runs on, read from its configuration when it is pushed: listings say it.

use bytes::Bytes;
use futures_util::StreamExt as _;
use lazuli_db::Tx;
use lazuli_wire::oci::{Descriptor, Digest, ImagePlatform, ManifestKind, RepositoryName};

use super::put::Prepared;
use crate::blobs::BlobBytes;
use crate::{Registry, Result};

/// Media types of configurations that say it.
const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// The configuration, if it is an image's and small enough to be read.
fn config(prepared: &Prepared) -> Option<&Descriptor> {
    let parsed = &prepared.parsed;
    let is_image = matches!(
        parsed.kind,
        ManifestKind::OciManifest | ManifestKind::DockerManifest
    );
    parsed.config.as_ref().filter(|config| {
        is_image
            && CONFIGS.contains(&config.media_type.as_str())
            && config.size <= ImagePlatform::MAX_CONFIG
    })
}

impl Registry {
    /// What an image that is pushed runs on. Nothing, if it was pushed before, or if its configuration cannot be read: that
    /// is no reason to refuse it.
    pub(super) async fn platform_of(
        &self,
        registry: i64,
        name: &RepositoryName,
        prepared: &Prepared,
    ) -> ImagePlatform {
        let Some(config) = config(prepared) else {
            return ImagePlatform::default();
        };
        let read = self.read_config(registry, name, &prepared.digest, &config.digest);
        match read.await {
            Ok(Some(bytes)) => ImagePlatform::of_config(&bytes),
            Ok(None) => ImagePlatform::default(),
            Err(error) => {
                tracing::debug!(%error, "an image's configuration was not read");
                ImagePlatform::default()
            }
        }
    }

    async fn read_config(
        &self,
        registry: i64,
        name: &RepositoryName,
        manifest: &Digest,
        config: &Digest,
    ) -> Result<Option<Bytes>> {
        let (name, manifest, config) = (name.clone(), manifest.to_bytes(), *config);
        let now = self.now();
        let read = move |tx: &mut Tx<'_>| {
            let key = config.to_bytes();
            let find = crate::blobs::sql::find_before_manifest;
            find(tx, registry, name.as_str(), &key, &manifest)
        };
        let found = self.inner.db.read_one(read).await?;
        let found = found
            .map(|found| found.into_blob(config, now))
            .transpose()?;
        let Some(blob) = found.filter(|blob| blob.size <= ImagePlatform::MAX_CONFIG) else {
            return Ok(None);
        };
        let bytes = match self.blob_bytes(&blob).await? {
            BlobBytes::Memory(bytes) => Some(bytes),
            BlobBytes::File(file) => {
                let read = move || -> std::io::Result<Bytes> {
                    use std::os::unix::fs::FileExt as _;
                    let mut bytes = vec![0; file.size as usize];
                    file.file.read_exact_at(&mut bytes, 0)?;
                    Ok(bytes.into())
                };
                tokio::task::spawn_blocking(read)
                    .await
                    .ok()
                    .and_then(Result::ok)
            }
            BlobBytes::Object(object) => {
                let mut pieces = object.read(0..blob.size).await?;
                let mut bytes = Vec::with_capacity(blob.size as usize);
                while let Some(piece) = pieces.next().await {
                    bytes.extend_from_slice(&piece?);
                }
                Some(bytes.into())
            }
        };
        Ok(bytes)
    }
}
