//! The write paths, each as one thing that a client, or work beside requests, wants done.

use std::sync::Arc;

use lazuli_db::clock::ManualClock;
use lazuli_identity::{Delete, MetadataWrite, Push};
use lazuli_registry::attributes::Subject;
use lazuli_registry::gc::{self, Gc};
use lazuli_registry::operations::sequencer::{Options as Numbering, Sequencer};
use lazuli_registry::retention::Retention;
use lazuli_registry::{Error, Registry, Result};
use lazuli_wire::acr::{AttributesChange, Flag};
use lazuli_wire::oci::{Algorithm, Digest, Tag};

use crate::common::*;
use crate::site::Site;

/// Tags that are looked at.
pub const TAGS: [&str; 3] = ["v1", "v2", "latest"];
/// Where mounts come from.
const SOURCE: &str = "source";

const SMALL: &[u8] = b"{}";

fn large() -> Vec<u8> {
    b"a layer of some length ".repeat(10)
}

fn other() -> Vec<u8> {
    b"another layer of some length ".repeat(10)
}

/// Every blob that is looked at.
pub fn blobs() -> [Vec<u8>; 3] {
    [SMALL.to_vec(), large(), other()]
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn bodies() -> [String; 3] {
    let config = digest_of(SMALL);
    let plain = image(
        &config,
        SMALL.len(),
        &[(digest_of(&large()), large().len())],
        "",
    );
    let subject = format!(
        r#","subject":{{"mediaType":"{OCI}","digest":"{}","size":{}}}"#,
        digest_of(plain.as_bytes()),
        plain.len()
    );
    let second = image(&config, SMALL.len(), &[], r#","annotations":{"n":"2"}"#);
    let referrer = image(&config, SMALL.len(), &[], &subject);
    [plain, second, referrer]
}

/// Every manifest that is looked at; the third refers to the first.
pub fn manifests() -> [Digest; 3] {
    bodies().map(|body| digest_of(body.as_bytes()))
}

/// Something that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// A session with one request, of bytes that become a file.
    Upload,
    /// Of bytes that become a row.
    SmallUpload,
    /// A session of several chunks.
    Chunks,
    /// A blob in one request.
    Whole,
    /// A session that is given up.
    Cancel,
    Mount,
    /// `HEAD`, which leases.
    Affirm,
    PutTagged,
    MoveTag,
    PutReferrer,
    DeleteTag,
    DeleteManifest,
    DeleteBlob,
    DeleteRepository,
    /// A tag may not be pulled any more.
    Lock,
    /// Garbage collection, from the end of a lease to the removal of the bytes.
    Collect,
    /// The sequencer of the operation log.
    Number,
}

impl Path {
    pub const ALL: [Self; 17] = [
        Self::Upload,
        Self::SmallUpload,
        Self::Chunks,
        Self::Whole,
        Self::Cancel,
        Self::Mount,
        Self::Affirm,
        Self::PutTagged,
        Self::MoveTag,
        Self::PutReferrer,
        Self::DeleteTag,
        Self::DeleteManifest,
        Self::DeleteBlob,
        Self::DeleteRepository,
        Self::Lock,
        Self::Collect,
        Self::Number,
    ];

    /// Whether a client sees no difference.
    pub fn is_invisible(self) -> bool {
        matches!(self, Self::Affirm | Self::Cancel | Self::Number)
    }

    /// Whether it is done, the second time: what was deleted the first time is not there any more.
    pub fn is_done(self, outcome: &Result<()>) -> bool {
        let deletes = matches!(
            self,
            Self::DeleteTag | Self::DeleteManifest | Self::DeleteBlob | Self::DeleteRepository
        );
        let is_gone = matches!(
            outcome,
            Err(Error::TagUnknown
                | Error::ManifestUnknown
                | Error::BlobUnknown
                | Error::NameUnknown)
        );
        outcome.is_ok() || deletes && is_gone
    }

    /// Brings a fresh repository to where the path begins.
    pub async fn prepare(self, site: &Site, name: &str) {
        let registry = &site.registry;
        let [plain, second, referrer] = bodies();
        push_blob(registry, name, SMALL).await;
        match self {
            Self::Upload | Self::SmallUpload | Self::Chunks | Self::Whole | Self::Cancel => {
                if self == Self::SmallUpload {
                    delete_blob(registry, name, SMALL).await.unwrap();
                }
            }
            Self::Mount => drop(push_blob(registry, SOURCE, &large()).await),
            Self::Affirm | Self::PutTagged | Self::DeleteBlob | Self::Collect => {
                push_blob(registry, name, &large()).await;
                if self == Self::Collect {
                    put(registry, name, "v2", OCI, &second).await.unwrap();
                }
            }
            Self::MoveTag
            | Self::PutReferrer
            | Self::DeleteTag
            | Self::DeleteManifest
            | Self::DeleteRepository
            | Self::Lock
            | Self::Number => {
                push_blob(registry, name, &large()).await;
                for (tag, body) in [("v1", &plain), ("latest", &plain), ("v2", &second)] {
                    put(registry, name, tag, OCI, body).await.unwrap();
                }
            }
        }
        if matches!(self, Self::DeleteManifest) {
            let digest = digest_of(referrer.as_bytes()).to_string();
            put(registry, name, &digest, OCI, &referrer).await.unwrap();
        }
    }

    /// Does it, as a client would: each request once.
    pub async fn run(
        self,
        registry: &Registry,
        clock: &Arc<ManualClock>,
        name: &str,
    ) -> Result<()> {
        let [plain, _, referrer] = bodies();
        let request_id: Arc<str> = "request".into();
        match self {
            Self::Upload => upload(registry, name, &large(), 1).await,
            Self::SmallUpload => upload(registry, name, SMALL, 1).await,
            Self::Chunks => upload(registry, name, &other(), 4).await,
            Self::Whole => {
                let digest = digest_of(&large());
                registry
                    .push_blob(&push(name), &digest, &mut Body::of(&large()))
                    .await
            }
            Self::Cancel => {
                let session = registry.start_upload(&push(name), Algorithm::Sha256)?;
                let mut body = Body::of(&other());
                let session = registry
                    .append_upload(&push(name), request(&session), &mut body)
                    .await?;
                registry.cancel_upload(&push(name), request(&session)).await
            }
            Self::Mount => {
                let (to, from) = (access::<Push>(name), pull(SOURCE));
                let mounted = registry
                    .mount_blob(&to, &from, &digest_of(&large()))
                    .await?;
                assert!(mounted, "{name}");
                Ok(())
            }
            Self::Affirm => {
                // A lease is written anew when half of it is over.
                clock.advance(HOUR / 2);
                let (access, digest) = (pull(name), digest_of(&large()));
                registry.affirm_blob(&access, &digest).await.map(drop)
            }
            Self::PutTagged => put(registry, name, "v1", OCI, &plain).await.map(drop),
            Self::MoveTag => put(registry, name, "v2", OCI, &plain).await.map(drop),
            Self::PutReferrer => {
                let digest = digest_of(referrer.as_bytes()).to_string();
                put(registry, name, &digest, OCI, &referrer).await.map(drop)
            }
            Self::DeleteTag => {
                let tag = Tag::parse("latest").unwrap();
                let access = access::<Delete>(name);
                registry.delete_tag(&access, &tag, &request_id).await
            }
            Self::DeleteManifest => {
                let (access, digest) = (access::<Delete>(name), manifests()[0]);
                let deleted = registry.delete_manifest(&access, &digest, &request_id);
                deleted.await.map(drop)
            }
            Self::DeleteBlob => delete_blob(registry, name, &large()).await,
            Self::DeleteRepository => {
                let access = access::<Delete>(name);
                let deleted = registry.delete_repository(&access, &request_id);
                deleted.await.map(drop)
            }
            Self::Lock => {
                let access = access::<MetadataWrite>(name);
                let subject = Subject::Tag(Tag::parse("latest").unwrap());
                let change = AttributesChange::default().with(Flag::Read, false);
                let set = registry.set_attributes(&access, subject, change, &request_id);
                set.await.map(drop)
            }
            Self::Collect => collect(registry, clock).await,
            Self::Number => {
                // Whoever was at it before may hold the lease still.
                clock.advance(HOUR / 4);
                let mut sequencer = Sequencer::new(registry.log(), name, Numbering::default());
                Ok(sequencer.drain().await.map(drop)?)
            }
        }
    }
}

/// A session, with a client that takes it up where the registry has it.
async fn upload(registry: &Registry, name: &str, bytes: &[u8], chunks: usize) -> Result<()> {
    let access = push(name);
    let mut session = registry.start_upload(&access, Algorithm::Sha256)?;
    let mut pieces: Vec<&[u8]> = bytes.chunks(bytes.len().div_ceil(chunks)).collect();
    let last = pieces.pop().unwrap();
    for piece in pieces {
        let sent = registry
            .append_upload(&access, request(&session), &mut Body::of(piece))
            .await;
        session = match sent {
            Ok(session) => session,
            Err(error) => {
                check_session(registry, name, request(&session)).await;
                return Err(error);
            }
        };
    }
    registry
        .finish_upload(
            &access,
            request(&session),
            &digest_of(bytes),
            &mut Body::of(last),
        )
        .await
}

/// A session whose chunk failed goes on from where the registry says that it is, or is gone.
async fn check_session(
    registry: &Registry,
    name: &str,
    request: lazuli_registry::uploads::SessionRequest<'_>,
) {
    let Ok(found) = registry.upload(&push(name), request).await else {
        return;
    };
    let rest = &other()[found.size as usize..];
    let request = lazuli_registry::uploads::SessionRequest {
        id: found.id,
        state: found.state.as_deref(),
        range: None,
    };
    let finished = registry
        .finish_upload(
            &push(name),
            request,
            &digest_of(&other()),
            &mut Body::of(rest),
        )
        .await;
    // A database that turned read-only takes nothing more.
    assert!(
        finished.is_ok() || registry.db().stats().read_only,
        "{name}: {finished:?}"
    );
}

async fn delete_blob(registry: &Registry, name: &str, bytes: &[u8]) -> Result<()> {
    let (access, request_id) = (access::<Delete>(name), "request".into());
    registry
        .delete_blob(&access, &digest_of(bytes), &request_id)
        .await
}

/// Garbage collection that does not rest, and that leaves the whole log to be looked at.
pub fn hurried() -> gc::Options {
    gc::Options {
        pace: Arc::new(gc::Hurried),
        retention: Retention {
            newest: u32::MAX,
            ..Retention::default()
        },
        ..gc::Options::new(HOUR)
    }
}

/// Until nothing is due any more.
async fn collect(registry: &Registry, clock: &Arc<ManualClock>) -> Result<()> {
    let gc = Gc::open(registry, hurried()).await?;
    for _ in 0..3 {
        clock.advance(2 * HOUR);
        gc.run_once().await?;
    }
    Ok(())
}
