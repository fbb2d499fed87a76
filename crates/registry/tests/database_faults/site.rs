//! A registry whose database fails on demand, and what anybody can see of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lazuli_blobs::MemoryStore;
use lazuli_db::clock::ManualClock;
use lazuli_db::faults::{Fault, FaultPoint, Faults};
use lazuli_db::{Db, PostgresOptions, SqliteOptions};
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::gc::Gc;
use lazuli_registry::operations::Cursor;
use lazuli_registry::operations::sequencer::{Options as Numbering, Sequencer};
use lazuli_registry::{Error, Registry, fsck};
use lazuli_wire::oci::{Digest, Reference};

use crate::common::*;
use crate::paths;

/// Fails one operation after each arming.
#[derive(Clone, Default)]
pub struct Trap(Arc<Mutex<Option<(FaultPoint, u32, Fault)>>>);

impl Trap {
    pub fn arm(&self, point: FaultPoint, n: u32, fault: Fault) {
        *self.0.lock().unwrap() = Some((point, n, fault));
    }

    /// Whether it was still armed.
    pub fn disarm(&self) -> bool {
        self.0.lock().unwrap().take().is_some()
    }

    fn faults(&self) -> Faults {
        let trap = self.clone();
        Faults::new(move |at| {
            let mut armed = trap.0.lock().unwrap();
            let (point, n, fault) = (*armed)?;
            if point != at {
                return None;
            }
            *armed = (n > 1).then_some((point, n - 1, fault));
            (n == 1).then_some(fault)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgresql,
}

/// What a repository shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    tags: Vec<(String, Digest)>,
    manifests: Vec<bool>,
    blobs: Vec<bool>,
    referrers: usize,
}

pub struct Site {
    pub registry: Registry,
    pub clock: Arc<ManualClock>,
    pub trap: Trap,
    store: Arc<MemoryStore>,
    keep: Keep,
    /// What was read of the log so far.
    numbered: Vec<String>,
}

impl Site {
    /// `None`: this machine has no PostgreSQL, which was said.
    pub async fn open(engine: Engine) -> Option<Self> {
        let keep = match engine {
            Engine::Sqlite => Keep::Folder(tempfile::tempdir().unwrap()),
            Engine::Postgresql => Keep::Database(lazuli_testkit::postgres::Database::create()?),
        };
        let (clock, store) = (
            Arc::new(ManualClock::new(1_800_000_000_000_000)),
            Arc::new(MemoryStore::new()),
        );
        let trap = Trap::default();
        let registry = process(&keep, &trap, &store, &clock).await;
        Some(Self {
            registry,
            clock,
            trap,
            store,
            keep,
            numbered: Vec::new(),
        })
    }

    /// The process ends, and another one begins.
    pub async fn reopen(&mut self) {
        // A database that turned read-only has nothing to finish, and says so.
        let _ = self.registry.db().close(Duration::from_mins(1)).await;
        self.registry = process(&self.keep, &self.trap, &self.store, &self.clock).await;
    }

    /// What a repository shows now.
    pub async fn view(&self, name: &str) -> View {
        let (registry, mut view) = (&self.registry, View::default());
        for tag in paths::TAGS {
            let reference = Reference::parse(tag).unwrap();
            match registry.manifest(&pull(name), &reference).await {
                Ok(manifest) => view.tags.push((tag.to_owned(), manifest.digest)),
                Err(Error::ManifestUnknown | Error::NameUnknown | Error::Locked(_)) => {}
                Err(error) => panic!("{name}:{tag}: {error}"),
            }
        }
        for digest in paths::manifests() {
            let found = registry
                .manifest(&pull(name), &Reference::Digest(digest))
                .await;
            view.manifests.push(match found {
                Ok(_) => true,
                Err(Error::ManifestUnknown | Error::NameUnknown) => false,
                Err(error) => panic!("{name}@{digest}: {error}"),
            });
        }
        for bytes in paths::blobs() {
            view.blobs.push(self.has_blob(name, &bytes).await);
        }
        let referrers = registry
            .referrers(&pull(name), &paths::manifests()[0], None, None, 100)
            .await;
        view.referrers = referrers.unwrap().items.len();
        view
    }

    async fn has_blob(&self, name: &str, bytes: &[u8]) -> bool {
        let blob = match self
            .registry
            .blob(&pull(name), &paths::digest_of(bytes))
            .await
        {
            Ok(blob) => blob,
            Err(Error::BlobUnknown | Error::NameUnknown) => return false,
            Err(error) => panic!("{name}: {error}"),
        };
        match self.registry.blob_bytes(&blob).await.unwrap() {
            BlobBytes::Memory(read) => assert_eq!(read, bytes, "{name}"),
            BlobBytes::File(file) => assert_eq!(file.size, bytes.len() as u64, "{name}"),
            BlobBytes::Object(_) => unreachable!("the store has files"),
        }
        true
    }

    /// Numbers everything: without gaps, and nothing that was numbered before has another number now.
    pub async fn check_log(&mut self) {
        let log = self.registry.log();
        let mut sequencer = Sequencer::new(log, "check", Numbering::default());
        // The one before was ended at any moment, and may hold the lease.
        self.clock.advance(HOUR);
        sequencer.drain().await.unwrap();
        let mut cursor = Cursor {
            origin: log.origin(),
            sequence: 0,
        };
        let mut read = Vec::new();
        loop {
            let entries = log.read_from(cursor, 1000).await.unwrap();
            let Some(last) = entries.last() else { break };
            cursor.sequence = last.sequence;
            read.extend(entries.iter().map(|entry| entry.id.to_string()));
        }
        assert_eq!(read[..self.numbered.len()], self.numbered);
        self.numbered = read;
    }

    /// Everybody is gone, all leases end, everything that nothing needs goes: then everything belongs together.
    pub async fn check_nothing_is_left(&mut self) {
        self.reopen().await;
        let gc = Gc::open(&self.registry, paths::hurried()).await.unwrap();
        for _ in 0..4 {
            self.clock.advance(25 * HOUR);
            gc.run_once().await.unwrap().unwrap();
            gc.walk_once().await.unwrap().unwrap();
        }
        let mut findings = Vec::new();
        let options = fsck::Options {
            verify: true,
            repair: false,
        };
        let summary = fsck::check(&self.registry, options, &mut |finding, _| {
            findings.push(finding.to_string());
        })
        .await
        .unwrap();
        assert!(summary.is_sound() && summary.notes == 0, "{findings:#?}");
        assert!(summary.operations > 100 && summary.manifests > 100);
    }
}

async fn process(
    keep: &Keep,
    trap: &Trap,
    store: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
) -> Registry {
    let db = match keep {
        Keep::Folder(folder) => Db::open_sqlite(SqliteOptions {
            faults: trap.faults(),
            ..SqliteOptions::new(folder.path().join("lazuli.db"))
        }),
        Keep::Database(database) => Db::open_postgres(PostgresOptions {
            connections: 2,
            faults: trap.faults(),
            ..PostgresOptions::new(database.url())
        }),
    };
    Registry::open(db.unwrap(), store.clone(), clock.clone(), options())
        .await
        .unwrap()
}
