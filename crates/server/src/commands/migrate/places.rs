//! The place that is left and the one that is filled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lazuli_blobs::BlobStore;
use lazuli_db::Db;
use lazuli_db::clock::Clock;
use lazuli_registry::journal;
use lazuli_registry::transfer::{arrival, closed};

use super::super::opened::folder_of;
use crate::config::{Configuration, DatabaseUrl, Given, Settings, StorageUrl, absolute};
use crate::data_folder::{DataFolder, Held, write_private};
use crate::{master_key, storage, wire_up};

pub(super) struct Places {
    /// The configuration file of the new place.
    pub(super) file: PathBuf,
    pub(super) source: Db,
    pub(super) from: Arc<dyn BlobStore>,
    pub(super) target: Db,
    pub(super) to: Arc<dyn BlobStore>,
    /// The new place, for people.
    pub(super) name: String,
    /// What the new place is marked with until it is whole.
    pub(super) mark: String,
    /// The time that the servers of the old place go by.
    pub(super) clock: Arc<dyn Clock>,
    /// How long a digest that was affirmed stays, by the longer of both settings.
    pub(super) lease: Duration,
    key: [u8; master_key::LENGTH],
    new_folder: DataFolder,
    /// Whether the new place has no master key yet.
    lacks_key: bool,
    _held: Option<Held>,
}

impl Places {
    pub(super) async fn open(given: &Given, file: PathBuf) -> anyhow::Result<Self> {
        let old = Configuration::load(given)?.settings;
        let new = Given {
            file: Some(file.clone()),
            flags: Vec::new(),
            variables: given.variables.clone(),
        };
        let new = Configuration::load(&new)
            .with_context(|| format!("in the configuration of the new place, {}", file.display()))?
            .settings;
        let old_folder = folder_of(&old)?;
        refuse_the_same(&old, &new)?;
        let key = master_key::for_command(&old, &old_folder)?;
        let (name, blobs) = names(&new);
        let source = wire_up::open_database_beside(&old, &old_folder)?;
        let clock = wire_up::clock_of(&source).await?;
        let installation = arrival::installation(&source)
            .await?
            .context("there is no registry here yet: start lazuli with the new configuration")?;
        // Before anything is made there.
        refuse_if_moved(&source, &new, &name).await?;
        // The running server has the folder, if it stays the same.
        let (new_folder, held) = if is_same_folder(&old, &new) && !old_folder.is_unused() {
            (old_folder.clone(), None)
        } else {
            let (folder, held) = DataFolder::hold(&new.general.data_dir)?;
            (folder, Some(held))
        };
        let lacks_key = lacks_key(&new, &new_folder, &key)?;
        let from = storage::open(&old, old_folder.path()).await?;
        let target = wire_up::open_database(&new, &new_folder)?;
        let to = storage::open(&new, new_folder.path()).await?;
        Ok(Self {
            mark: format!("{installation} into {blobs}"),
            clock,
            lease: old.leases.duration.0.max(new.leases.duration.0),
            file,
            source,
            from,
            target,
            to,
            name,
            key,
            new_folder,
            lacks_key,
            _held: held,
        })
    }

    /// Copies the master key into the new data folder, if it has none.
    pub(super) fn copy_key(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.lacks_key) {
            write_private(&key_path(&self.new_folder), &self.key)?;
        }
        Ok(())
    }

    /// Blobs that a new database does not know would be another installation's, or collected as nobody's.
    pub(super) async fn refuse_used_store(&self) -> anyhow::Result<()> {
        if let Some(blob) = arrival::blob_in(&*self.to).await? {
            bail!(
                "the store of the new place is not empty: it has the blob {blob}, perhaps of another registry. Give another \
                 storage.url, such as a folder of the bucket that nothing uses, or another data_dir"
            );
        }
        if journal::is_kept_in(&self.to).await? {
            bail!(
                "the store of the new place is not empty: it has the journal of another registry. Give another storage.url, \
                 such as a folder of the bucket that nothing uses"
            );
        }
        Ok(())
    }

    /// What is left to do about the master key.
    pub(super) fn missing_key(&self) -> String {
        if !self.lacks_key {
            return String::new();
        }
        format!(
            "     and bring its master key to the new one: LAZULI_MASTER_KEY, master_key_file or {}\n",
            key_path(&self.new_folder).display()
        )
    }

    pub(super) async fn close(&self) {
        for db in [&self.target, &self.source] {
            let _ = db.close(Duration::from_secs(30)).await;
        }
    }
}

fn key_path(folder: &DataFolder) -> PathBuf {
    folder.path().join("master.key")
}

/// Refuses a new place with another key: its server could not open the signing keys.
fn lacks_key(new: &Settings, folder: &DataFolder, key: &[u8]) -> anyhow::Result<bool> {
    let general = &new.general;
    let path = key_path(folder);
    let is_there = path
        .try_exists()
        .with_context(|| format!("cannot look at {}", path.display()))?;
    if general.master_key.is_none() && general.master_key_file.is_none() && !is_there {
        return Ok(true);
    }
    if master_key::for_command(new, folder)? != *key {
        bail!(
            "the new place has another master key than this one: the secrets in the database could not be opened there"
        );
    }
    Ok(false)
}

fn is_same_folder(old: &Settings, new: &Settings) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| absolute(path));
    real(&old.general.data_dir) == real(&new.general.data_dir)
}

fn refuse_the_same(old: &Settings, new: &Settings) -> anyhow::Result<()> {
    const HINT: &str = "(variables LAZULI_… hold for both places)";
    let same_folder = is_same_folder(old, new);
    let is_same_database = match (&old.database.url, &new.database.url) {
        (DatabaseUrl::Embedded, DatabaseUrl::Embedded) => same_folder,
        (DatabaseUrl::Postgres(one), DatabaseUrl::Postgres(other)) => one == other,
        _ => false,
    };
    if is_same_database {
        bail!(
            "the new place has the same database as this one; give it another database.url, or another data_dir {HINT}"
        );
    }
    let endpoint =
        |settings: &Settings| settings.storage.endpoint.as_ref().map(|url| url.0.clone());
    let is_same_store = match (&old.storage.url, &new.storage.url) {
        (StorageUrl::Disk, StorageUrl::Disk) => same_folder,
        (StorageUrl::Bucket { text: one, .. }, StorageUrl::Bucket { text: other, .. }) => {
            one == other && endpoint(old) == endpoint(new)
        }
        _ => false,
    };
    if is_same_store {
        bail!(
            "the new place has the same blobs as this one, and two registries must not share them; give it another \
             storage.url, or another data_dir {HINT}"
        );
    }
    Ok(())
}

/// Refuses a move from a registry that was moved elsewhere, or to a place that is gone.
async fn refuse_if_moved(source: &Db, new: &Settings, name: &str) -> anyhow::Result<()> {
    let Some(closed) = closed::state(source, i64::MIN).await? else {
        return Ok(());
    };
    if closed.until.is_none() && closed.to != name {
        bail!(
            "this registry was moved to {} already; `lazuli migrate --abort` opens it again",
            closed.to
        );
    }
    let folder = &new.general.data_dir;
    if closed.until.is_none()
        && new.database.url == DatabaseUrl::Embedded
        && folder.try_exists().is_ok_and(|is_there| !is_there)
    {
        bail!(lost(&closed.to));
    }
    Ok(())
}

/// Of a move that is complete, to a place that has nothing.
pub(super) fn lost(place: &str) -> String {
    format!(
        "this registry was moved to {place} already, but there is nothing now; `lazuli migrate --abort` opens it again"
    )
}

/// The place, and where its blobs are.
fn names(settings: &Settings) -> (String, String) {
    let folder = absolute(&settings.general.data_dir);
    let blobs = match &settings.storage.url {
        StorageUrl::Disk => folder.display().to_string(),
        StorageUrl::Bucket { text, .. } => text.clone(),
    };
    let database = match &settings.database.url {
        DatabaseUrl::Embedded => folder.display().to_string(),
        url @ DatabaseUrl::Postgres(_) => url.masked(),
    };
    if database == blobs {
        return (database, blobs);
    }
    (format!("{database} and {blobs}"), blobs)
}
