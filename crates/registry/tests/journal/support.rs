//! Journals at work, and what a registry answers with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lazuli_blobs::{BlobStore, Records};
use lazuli_db::{Db, Error, SqliteOptions, params};
use lazuli_registry::Registry;
use lazuli_registry::fsck;
use lazuli_registry::journal::{self, Journal, Options, RebuildError, Report, Target};
use lazuli_registry::leases::Lease;
use lazuli_registry::operations::sequencer::{self, Sequencer};

use lazuli_wire::oci::{Algorithm, Digest};

use crate::common::*;

pub(crate) const KEY: [u8; 32] = [9; 32];

pub(crate) fn journal_options() -> Options {
    Options {
        operations: 3,
        bytes: 2000,
        ..Options::new(KEY)
    }
}

pub(crate) async fn journal(registry: &Registry, options: Options) -> Journal {
    Journal::open(registry, options).await.unwrap().unwrap()
}

/// Numbers everything that was committed.
pub(crate) async fn number(registry: &Registry) {
    // The clock stands still: the lease of the one before would never end.
    let ended = Lease::take_back(registry.db(), "sequencer/1");
    ended.await.unwrap();
    let mut sequencer = Sequencer::new(registry.log(), "test", sequencer::Options::default());
    sequencer.drain().await.unwrap();
}

pub(crate) fn records(f: &Fixture) -> Arc<dyn Records> {
    f.store.records().unwrap()
}

pub(crate) async fn names(f: &Fixture) -> Vec<String> {
    records(f).list(String::new()).await.unwrap()
}

/// Segments of the newest generation, in order.
pub(crate) async fn segments(f: &Fixture) -> Vec<String> {
    let names = names(f).await;
    let newest = names.iter().map(|name| &name[..8]).max().unwrap_or("");
    let is_segment = |name: &&String| name.starts_with(newest) && name.len() == 23;
    names.iter().filter(is_segment).cloned().collect()
}

pub(crate) struct Rebuilt {
    pub(crate) registry: Registry,
    pub(crate) db: Db,
    pub(crate) report: Report,
    _folder: tempfile::TempDir,
}

pub(crate) fn embedded() -> (tempfile::TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(SqliteOptions::new(folder.path().join("lazuli.db"))).unwrap();
    (folder, db)
}

pub(crate) fn target(f: &Fixture, db: &Db) -> Target {
    Target {
        db: db.clone(),
        store: f.store.clone(),
        key: KEY,
        generation: None,
        now: 1_800_000_000_000_000,
        lease: 1_000_000,
    }
}

/// A rebuild into a new database.
pub(crate) async fn rebuild(f: &Fixture) -> Result<Rebuilt, RebuildError> {
    let (folder, db) = embedded();
    let report = journal::rebuild(&target(f, &db), |_| {}).await?;
    let registry = Registry::open(db.clone(), f.store.clone(), f.clock.clone(), options());
    Ok(Rebuilt {
        registry: registry.await.unwrap(),
        db,
        report,
        _folder: folder,
    })
}

/// Nothing that a check of everything finds is more than a leftover.
pub(crate) async fn assert_sound(registry: &Registry) {
    assert_sound_but_for(registry, "nothing").await;
}

/// The same, but for findings of a kind.
pub(crate) async fn assert_sound_but_for(registry: &Registry, kind: &str) {
    let mut findings = Vec::new();
    let mut note = |finding: &fsck::Finding, _| findings.push(format!("{finding:?}"));
    let summary = fsck::check(registry, fsck::Options::default(), &mut note).await;
    let is_sound = summary.unwrap().is_sound();
    // Leftovers are no fault.
    let is_allowed = |found: &String| found.starts_with(kind) || found.starts_with("Orphan");
    let is_sound = is_sound || findings.iter().all(is_allowed);
    assert!(is_sound, "{findings:#?}");
}

/// What can be asked of a registry, by names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    listed: BTreeSet<String>,
    manifests: BTreeMap<(String, String), (String, String, Option<String>)>,
    tags: BTreeMap<(String, String), String>,
    attributes: BTreeMap<(String, String, String), (i64, bool)>,
    platforms: BTreeMap<(String, String), Platform>,
    /// Of blobs that a manifest of the repository names.
    links: BTreeSet<(String, String, i64)>,
    contents: BTreeMap<String, String>,
    /// Names, hosts, credentials and keys.
    small: BTreeSet<String>,
}

/// Architecture, system, and when it was pushed.
type Platform = (Option<String>, Option<String>, i64);

/// The first digits of a digest, for messages that can be read.
fn short(digest: &[u8]) -> String {
    Digest::from_bytes(digest).unwrap().to_string()[..19].to_owned()
}

fn sum(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()[..19].to_owned()
}

pub(crate) async fn facts(db: &Db) -> Facts {
    db.read(|tx| {
        let mut facts = Facts::default();
        facts.listed.extend(tx.query(
            "SELECT name FROM repositories WHERE listed <> 0",
            params![],
            |row| row.get_string(0),
        )?);
        facts.manifests.extend(tx.query(
            "SELECT r.name, m.digest, m.media_type, m.body, m.subject FROM manifests m JOIN repositories r ON r.id = m.repository_id AND r.deleted_at IS NULL",
            params![],
            |row| {
                let key = (row.get_string(0)?, short(row.get_bytes_ref(1)?));
                let subject = row.get_bytes_opt(4)?.map(|digest| short(&digest));
                Ok((key, (row.get_string(2)?, sum(row.get_bytes_ref(3)?), subject)))
            },
        )?);
        facts.tags.extend(tx.query(
            "SELECT r.name, t.name, t.digest FROM tags t JOIN repositories r ON r.id = t.repository_id AND r.deleted_at IS NULL",
            params![],
            |row| Ok(((row.get_string(0)?, row.get_string(1)?), short(row.get_bytes_ref(2)?))),
        )?);
        facts.attributes.extend(tx.query(
            "SELECT r.name, a.tag, a.digest, a.flags, r.restricted FROM attributes a JOIN repositories r ON r.id = a.repository_id AND r.deleted_at IS NULL",
            params![],
            |row| {
                let key = (row.get_string(0)?, row.get_string(1)?, sum(row.get_bytes_ref(2)?));
                Ok((key, (row.get_i64(3)?, row.get_bool(4)?)))
            },
        )?);
        facts.platforms.extend(tx.query(
            "SELECT r.name, m.digest, m.architecture, m.os, m.created_at FROM manifests m JOIN repositories r ON r.id = m.repository_id AND r.deleted_at IS NULL",
            params![],
            |row| {
                let key = (row.get_string(0)?, short(row.get_bytes_ref(1)?));
                Ok((key, (row.get_string_opt(2)?, row.get_string_opt(3)?, row.get_i64(4)?)))
            },
        )?);
        facts.links.extend(tx.query(
            "SELECT DISTINCT r.name, b.digest, b.size FROM repository_blobs b JOIN repositories r ON r.holder = b.repository_id AND r.deleted_at IS NULL \
             JOIN manifest_references m ON m.repository_id = r.id AND m.child = b.digest",
            params![],
            |row| Ok((row.get_string(0)?, short(row.get_bytes_ref(1)?), row.get_i64(2)?)),
        )?);
        facts.contents.extend(tx.query(
            "SELECT b.digest, b.content FROM blobs b JOIN manifest_references m ON m.child = b.digest JOIN repositories r ON r.id = m.repository_id AND r.deleted_at IS NULL WHERE b.content IS NOT NULL",
            params![],
            |row| Ok((short(row.get_bytes_ref(0)?), sum(row.get_bytes_ref(1)?))),
        )?);
        facts.small.extend(tx.query(
            "SELECT 'registry ' || name FROM registries UNION ALL SELECT 'host ' || host FROM registry_hosts \
             UNION ALL SELECT 'user ' || name FROM credentials UNION ALL SELECT 'key ' || kid FROM signing_keys \
             UNION ALL SELECT name || ' ' || value FROM settings WHERE name LIKE 'test%'",
            params![],
            |row| row.get_string(0),
        )?);
        Ok::<_, Error>(facts)
    })
    .await
    .unwrap()
}

/// Runs a statement that changes the small tables.
pub(crate) async fn change(db: &Db, statement: &'static str) {
    db.write(move |tx| tx.execute(statement, params![]).map(drop))
        .await
        .unwrap();
}

/// What makes a database one in use.
pub(crate) async fn install(f: &Fixture) {
    change(
        &f.db,
        "INSERT INTO registries (id, name, anonymous_pull, created_at) VALUES (1, 'lazuli', 0, 5)",
    )
    .await;
}
