//! Things of a registry seen as registers: each is written one version after the other, and read by everyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lazuli_identity::{MetadataWrite, RegistryId, testing};
use lazuli_registry::attributes::Subject;
use lazuli_registry::listing::PageRequest;
use lazuli_registry::{Error, Registry};
use lazuli_wire::acr::{AttributesChange, Flag};
use lazuli_wire::oci::{Algorithm, Digest, Reference, Tag};
use tokio::sync::Mutex;

use crate::common::*;

/// What of the registry is the register. But for the first, odd versions are there and even ones are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tag that moves from manifest to manifest.
    Moving,
    /// A tag that comes and goes.
    Tag,
    /// A manifest, asked for by its digest.
    Manifest,
    /// A tag whose manifest comes and goes.
    TagOfManifest,
    Blob,
    TagList,
    Catalog,
    /// A tag in a repository that comes and goes.
    Repository,
    /// A tag that may be pulled, or may not.
    Lock,
}

pub(super) const KINDS: [Kind; 9] = [
    Kind::Moving,
    Kind::Tag,
    Kind::Manifest,
    Kind::TagOfManifest,
    Kind::Blob,
    Kind::TagList,
    Kind::Catalog,
    Kind::Repository,
    Kind::Lock,
];

enum Seen {
    Version(u64),
    Present,
    Absent,
}

pub(super) struct Register {
    kind: Kind,
    name: String,
    writing: Mutex<()>,
    /// The newest version that a write began with.
    begun: AtomicU64,
    /// The newest version whose write was acknowledged.
    acknowledged: AtomicU64,
    /// The newest version that a read that has ended is known to have seen.
    read: AtomicU64,
}

/// A manifest of no content but a number.
fn body(number: u64) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"n":"{number}"}}}}"#
    )
}

fn digest_of(body: &str) -> Digest {
    Digest::of(Algorithm::Sha256, body.as_bytes())
}

impl Register {
    /// Several registers share a repository, so that they share a fence of the cache.
    pub(super) async fn new(kind: Kind, number: usize, registry: &Registry) -> Arc<Self> {
        let own = matches!(kind, Kind::Catalog | Kind::Repository);
        let name = if own {
            format!("own/{number}")
        } else {
            format!("shared/{}", number % 2)
        };
        if !own {
            put(registry, &name, "stays", INDEX, &body(0))
                .await
                .unwrap();
        }
        Arc::new(Self {
            kind,
            name: format!("{name}:{kind:?}-{number}").to_lowercase(),
            writing: Mutex::new(()),
            begun: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            read: AtomicU64::new(0),
        })
    }

    fn repository(&self) -> &str {
        self.name.split_once(':').unwrap().0
    }

    fn tag(&self) -> &str {
        self.name.split_once(':').unwrap().1
    }

    /// A body of this register's own: digests are shared by all of a repository.
    fn body(&self, version: u64) -> String {
        let number = self.tag().bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte)) % 1_000_000
        });
        body(number * 1_000_000 + version)
    }

    fn bytes(&self) -> Vec<u8> {
        self.name.as_bytes().to_vec()
    }

    /// Writes the next version by way of a node.
    pub(super) async fn write(&self, node: &Registry) {
        let _one_at_a_time = self.writing.lock().await;
        let version = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        if self.kind == Kind::Moving || version % 2 == 1 {
            self.add(node, version).await;
        } else {
            self.remove(node).await;
        }
        self.acknowledged.store(version, Ordering::SeqCst);
    }

    /// Moves the tag, whatever becomes of the server meanwhile; true if that was acknowledged.
    pub(super) async fn try_move(&self, node: &Registry) -> bool {
        assert_eq!(self.kind, Kind::Moving);
        let _one_at_a_time = self.writing.lock().await;
        let version = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let body = self.body(version);
        let outcome = put(node, self.repository(), self.tag(), INDEX, &body).await;
        if outcome.is_ok() {
            self.acknowledged.store(version, Ordering::SeqCst);
        }
        outcome.is_ok()
    }

    async fn add(&self, node: &Registry, version: u64) {
        let body = match self.kind {
            Kind::Moving => self.body(version),
            _ => self.body(0),
        };
        match self.kind {
            Kind::Lock if version > 1 => self.set_readable(node, true).await,
            Kind::Blob => drop(push_blob(node, self.repository(), &self.bytes()).await),
            Kind::Manifest => {
                let digest = digest_of(&body).to_string();
                put(node, self.repository(), &digest, INDEX, &body)
                    .await
                    .unwrap();
            }
            _ => drop(
                put(node, self.repository(), self.tag(), INDEX, &body)
                    .await
                    .unwrap(),
            ),
        }
    }

    async fn set_readable(&self, node: &Registry, is_readable: bool) {
        let change = AttributesChange::default().with(Flag::Read, is_readable);
        let access = access::<MetadataWrite>(self.repository());
        let (subject, id) = (
            Subject::Tag(Tag::parse(self.tag()).unwrap()),
            "request".into(),
        );
        let set = node.set_attributes(&access, subject, change, &id).await;
        set.unwrap();
    }

    async fn remove(&self, node: &Registry) {
        let (access, request) = (delete(self.repository()), "request".into());
        match self.kind {
            Kind::Moving => unreachable!(),
            Kind::Lock => self.set_readable(node, false).await,
            Kind::Tag | Kind::TagList => {
                let tag = Tag::parse(self.tag()).unwrap();
                node.delete_tag(&access, &tag, &request).await.unwrap();
            }
            Kind::Manifest | Kind::TagOfManifest => {
                let digest = digest_of(&self.body(0));
                let removed = node.delete_manifest(&access, &digest, &request).await;
                removed.unwrap();
            }
            Kind::Blob => {
                let digest = Digest::of(Algorithm::Sha256, &self.bytes());
                node.delete_blob(&access, &digest, &request).await.unwrap();
            }
            Kind::Catalog | Kind::Repository => {
                node.delete_repository(&access, &request).await.unwrap();
            }
        }
    }

    /// Reads by way of a node and checks what it says against what was acknowledged and read before.
    /// False: there was no answer.
    pub(super) async fn read(&self, node: &Registry) -> bool {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let oldest = acknowledged.max(self.read.load(Ordering::SeqCst));
        let Some(seen) = self.look(node).await else {
            return false;
        };
        let newest = self.begun.load(Ordering::SeqCst);
        let possible = match seen {
            Seen::Version(version) => (oldest..=newest).contains(&version).then_some(version),
            Seen::Present => (oldest..=newest).find(|version| version % 2 == 1),
            Seen::Absent => (oldest..=newest).find(|version| version % 2 == 0),
        };
        let what = match seen {
            Seen::Version(version) => format!("version {version}"),
            Seen::Present => "presence".to_owned(),
            Seen::Absent => "absence".to_owned(),
        };
        let Some(version) = possible else {
            panic!(
                "{}: {what} was read, but it is one of {oldest}..={newest}",
                self.name
            );
        };
        self.read.fetch_max(version, Ordering::SeqCst);
        true
    }

    async fn look(&self, node: &Registry) -> Option<Seen> {
        let access = pull(self.repository());
        let there = |there: bool| if there { Seen::Present } else { Seen::Absent };
        Some(match self.kind {
            Kind::Blob => {
                let digest = Digest::of(Algorithm::Sha256, &self.bytes());
                there(exists(node.blob(&access, &digest).await))
            }
            Kind::TagList => {
                let request = PageRequest {
                    last: None,
                    limit: 100,
                    ..PageRequest::default()
                };
                let page = node.tags(&access, request).await.unwrap();
                there(page.names.iter().any(|name| **name == *self.tag()))
            }
            Kind::Catalog => {
                let request = PageRequest {
                    last: None,
                    limit: 100,
                    ..PageRequest::default()
                };
                let access = testing::catalog_access(RegistryId::DEFAULT);
                let page = node.catalog(&access, request).await.unwrap();
                there(page.names.iter().any(|name| **name == *self.repository()))
            }
            Kind::Manifest => {
                let reference = Reference::Digest(digest_of(&self.body(0)));
                there(exists(node.manifest(&access, &reference).await))
            }
            Kind::Tag | Kind::TagOfManifest | Kind::Repository | Kind::Lock => {
                there(exists(node.manifest(&access, &tag(self.tag())).await))
            }
            Kind::Moving => match node.manifest(&access, &tag(self.tag())).await {
                Ok(found) => {
                    let version = (1..=self.begun.load(Ordering::SeqCst))
                        .rev()
                        .find(|version| found.digest == digest_of(&self.body(*version)));
                    Seen::Version(version.expect("a version that was written"))
                }
                Err(Error::ManifestUnknown) => Seen::Version(0),
                Err(Error::Database(_)) => return None,
                Err(error) => panic!("{error}"),
            },
        })
    }
}

fn exists<T>(found: Result<T, Error>) -> bool {
    match found {
        Ok(_) => true,
        Err(
            Error::NameUnknown | Error::ManifestUnknown | Error::BlobUnknown | Error::Locked(_),
        ) => false,
        Err(error) => panic!("{error}"),
    }
}
