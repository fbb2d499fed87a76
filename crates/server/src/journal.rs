//! The journal beside the blobs of a bucket: settings, the first start of a server, and what monitoring reads of it.

use anyhow::Context as _;
use lazuli_api::Exposition;
use lazuli_db::Db;
use lazuli_registry::journal::{Journal, Options};
use lazuli_registry::{Registry, journal, transfer};

use crate::config::{Settings, StorageUrl};
use crate::data_folder::DataFolder;
use crate::{storage, wire_up};

/// What records are authenticated with.
pub(crate) fn key(master_key: &[u8; 32]) -> [u8; 32] {
    wire_up::derive(master_key, "journal")
}

/// The journal of a server; `None` where none is kept.
pub(crate) async fn open(
    settings: &Settings,
    registry: &Registry,
    master_key: &[u8; 32],
) -> anyhow::Result<Option<Journal>> {
    if !settings.storage.journal {
        return Ok(None);
    }
    let options = Options {
        interval: settings.storage.journal_interval.0,
        ..Options::new(key(master_key))
    };
    let journal = Journal::open(registry, options).await;
    journal.context("the journal in the bucket cannot be kept")
}

/// A new database beside blobs whose database was lost: garbage collection would take them all for leftovers.
pub(crate) async fn check_first_start(
    settings: &Settings,
    folder: &DataFolder,
    db: &Db,
) -> anyhow::Result<()> {
    if journal::is_unfinished(db).await? {
        anyhow::bail!(
            "a rebuild of this database was begun and not finished: run `lazuli rebuild` again"
        );
    }
    let StorageUrl::Bucket { text, .. } = &settings.storage.url else {
        return Ok(());
    };
    if transfer::is_used(db).await? {
        return Ok(());
    }
    let store = storage::open(settings, folder.path()).await?;
    // Another node may have made both at this moment: the database first.
    if journal::is_kept_in(&store).await? && !transfer::is_used(db).await? {
        anyhow::bail!(
            "the database is empty, and {text} has the journal of another one: `lazuli rebuild` makes the database anew from \
             it. If it is not wanted, give another folder of the bucket, or delete {text}/journal/"
        );
    }
    Ok(())
}

/// Adds the journal's metrics to an exposition.
pub(crate) fn collector(journal: Journal) -> Box<dyn Fn(&mut Exposition) + Send + Sync> {
    Box::new(move |out| {
        let status = journal.status();
        out.family(
            "lazuli_journal_behind_seconds",
            "gauge",
            "How long ago the first change was made that is not in the bucket's journal; 0 when all are.",
        );
        out.sample("", &[], status.behind.as_secs_f64());
        out.family(
            "lazuli_journal_behind_operations",
            "gauge",
            "Changes that are not in the bucket's journal.",
        );
        out.sample("", &[], status.operations_behind as f64);
        out.family(
            "lazuli_journal_generation",
            "gauge",
            "The snapshot that the journal goes on from; 0 while there is none.",
        );
        out.sample("", &[], status.generation as f64);
    })
}
