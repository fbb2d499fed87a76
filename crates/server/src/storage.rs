//! From settings to the place of the blobs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lazuli_api::Redirects;
use lazuli_blobs::{Access, BlobStore, Bucket, BucketOptions, BucketStore, DiskOptions, DiskStore};
use lazuli_db::Db;
use lazuli_registry::nodes::RECORD_AGE;

use crate::config::{DatabaseUrl, Settings, StorageUrl};
use crate::secrets;

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
        secret_key: secrets::given(
            "storage.secret_key",
            storage.secret_key.as_ref(),
            storage.secret_key_file.as_deref(),
        )?,
        sas_token: sas_token(storage.sas_token_file.as_deref())?,
        authorities: authorities.transpose()?,
        ..Access::default()
    };
    let bucket = Bucket::connect(url, &access)
        .with_context(|| format!("the object store {text} cannot be used as configured"))?;
    let options = BucketOptions {
        prefix: url.prefix.clone(),
        part_size: bytes(storage.part_size.0),
        memory: bytes(storage.upload_memory.0),
        ..BucketOptions::default()
    };
    let mut store = BucketStore::new(bucket, options);
    store.check().await.with_context(|| {
        format!(
            "the object store {text} cannot be used: an object was to be written, read and deleted; \
             see storage.url, storage.endpoint and the credentials"
        )
    })?;
    if storage.redirect
        && let Err(error) = store.check_signing().await
    {
        tracing::warn!(
            %error,
            "these credentials cannot sign addresses in the object store: all bytes go through this server, as with storage.redirect = false"
        );
    }
    Ok(Arc::new(store))
}

/// Azure's portal shows tokens with the question mark of a query.
fn sas_token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let text = file.map(secrets::read).transpose()?;
    Ok(text.map(|text| text.trim_start_matches('?').to_owned()))
}

/// Which blobs clients fetch from the object store.
pub(crate) fn redirects(settings: &Settings) -> Option<Redirects> {
    let storage = &settings.storage;
    let is_bucket = storage.url != StorageUrl::Disk;
    (is_bucket && storage.redirect).then_some(Redirects {
        from_size: storage.redirect_from.0,
        lifetime: storage.signed_url_lifetime.0,
        callers: storage.redirect_for,
        networks: storage
            .redirect_networks
            .iter()
            .map(|network| network.parsed)
            .collect(),
    })
}

/// How long after a blob left its last repository clients may still come for an object: another node may answer from memory
/// for a while, and the address is good for a while.
pub(crate) fn sent_for(settings: &Settings) -> Duration {
    let is_shared = matches!(settings.database.url, DatabaseUrl::Postgres(_));
    let redirects = redirects(settings).filter(|_| is_shared);
    let record_age = Duration::from_micros(u64::try_from(RECORD_AGE).unwrap_or(0));
    redirects.map_or(Duration::ZERO, |redirects| redirects.lifetime + record_age)
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// A database server can be reached from anywhere: refuses one whose blobs are in another place, where every blob would seem
/// lost. `path` names this data folder; it is made when the database is new. A bucket is named by its URL.
pub(crate) async fn check(settings: &Settings, db: &Db, path: &Path) -> anyhow::Result<()> {
    if let StorageUrl::Bucket { text, .. } = &settings.storage.url {
        let theirs = claim_store(db, text.clone()).await?;
        anyhow::ensure!(
            theirs == *text,
            "the blobs of this database are not in {text}: give all nodes the same storage.url"
        );
        return Ok(());
    }
    let ours = match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let fresh = format!(
        "{:016x}",
        getrandom::u64().context("the system gave no random bytes")?
    );
    let offered = ours.clone().unwrap_or(fresh);
    if claim_store(db, offered.clone()).await? != offered {
        anyhow::bail!(
            "the blobs of this database are in another data folder or in a bucket: start lazuli with that folder, or with \
             the storage.url of the other nodes. Servers can share a database while blobs are in a bucket, not while they \
             are on local disks; a moved folder needs its file store-id"
        );
    }
    if ours.is_none() {
        std::fs::write(path, format!("{offered}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Names the place of a database's blobs if it has no name yet; returns the name it has.
async fn claim_store(db: &Db, name: String) -> anyhow::Result<String> {
    let known = db.write(move |tx| lazuli_db::settings::claim(tx, "blob_store", &name));
    Ok(known.await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::config::{Configuration, Given};

    fn sent_for(pairs: &[(&str, &str)]) -> u64 {
        let settings = Configuration::load(&Given::of(pairs)).unwrap().settings;
        super::sent_for(&settings).as_secs()
    }

    #[test]
    fn bytes_outlive_the_addresses_that_other_nodes_give() {
        let url = ("database.url", "postgres://db/lazuli");
        let bucket = ("storage.url", "s3://b");
        let lifetime = ("storage.signed_url_lifetime", "5m");
        assert_eq!(sent_for(&[]), 0);
        assert_eq!(sent_for(&[bucket, lifetime]), 0);
        assert_eq!(sent_for(&[bucket, url, lifetime]), 360);
        let streams = ("storage.redirect", "false");
        assert_eq!(sent_for(&[bucket, url, lifetime, streams]), 0);
    }
}
