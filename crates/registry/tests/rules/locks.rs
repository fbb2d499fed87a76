//! Locks: every flag on every kind of subject against everything that can be done.

use lazuli_identity::{MetadataWrite, RegistryId, testing};
use lazuli_registry::attributes::Subject;
use lazuli_registry::details::Details;
use lazuli_registry::listing::PageRequest;
use lazuli_registry::{Error, Registry};
use lazuli_wire::acr::{AttributesChange, Flag, Flags};
use lazuli_wire::oci::{Algorithm, Digest, Reference, Tag};

use crate::common::*;
use crate::on_both_engines;

const ALL: PageRequest<'static> = PageRequest {
    last: None,
    limit: 1000,
    order_by: lazuli_wire::oci::OrderBy::Name,
    at: None,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Repository,
    Tag,
    Manifest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    PushAgain,
    MoveTag,
    AddTag,
    PushAnother,
    Upload,
    MountInto,
    MountFrom,
    Untag,
    DeleteManifest,
    DeleteSubject,
    DeleteRepository,
    DeleteBlob,
    PullByTag,
    PullByDigest,
    PullBlob,
    HeadBlob,
    Referrers,
    ListTags,
    ListTagDetails,
    ListManifests,
    ListReferrers,
    Catalog,
    CatalogByTime,
}

use Act::*;
use Flag::{Delete, List, Read, Write};
use On::{Manifest, Repository};

const GONE: &[(On, Flag)] = &[
    (Repository, Write),
    (Repository, Delete),
    (Manifest, Write),
    (Manifest, Delete),
    (On::Tag, Write),
    (On::Tag, Delete),
];

/// What is refused, or not shown, and by which flags alone.
const RULES: [(Act, &[(On, Flag)]); 23] = [
    (
        PushAgain,
        &[(Repository, Write), (Manifest, Write), (On::Tag, Write)],
    ),
    (MoveTag, &[(Repository, Write), (On::Tag, Write)]),
    (AddTag, &[(Repository, Write), (Manifest, Write)]),
    (PushAnother, &[(Repository, Write)]),
    (Upload, &[(Repository, Write)]),
    (MountInto, &[(Repository, Write)]),
    (MountFrom, &[(Repository, Read)]),
    (
        Untag,
        &[
            (Repository, Write),
            (Repository, Delete),
            (On::Tag, Write),
            (On::Tag, Delete),
        ],
    ),
    (DeleteManifest, GONE),
    // The manifest and its tag go with the one that they refer to.
    (DeleteSubject, GONE),
    (DeleteRepository, GONE),
    (DeleteBlob, &[(Repository, Write), (Repository, Delete)]),
    (
        PullByTag,
        &[(Repository, Read), (Manifest, Read), (On::Tag, Read)],
    ),
    (PullByDigest, &[(Repository, Read), (Manifest, Read)]),
    (PullBlob, &[(Repository, Read)]),
    (HeadBlob, &[(Repository, Read)]),
    (Referrers, &[(Repository, Read)]),
    (ListTags, &[(On::Tag, List)]),
    (ListTagDetails, &[(On::Tag, List)]),
    (ListManifests, &[(Manifest, List)]),
    (ListReferrers, &[(Repository, Read), (Manifest, List)]),
    (Catalog, &[(Repository, List)]),
    (CatalogByTime, &[(Repository, List)]),
];

/// A repository with a subject, a referrer of it, which has the tag `v1`, and a blob of its own.
struct Scene {
    name: String,
    subject: Digest,
    digest: Digest,
    body: String,
    blob: Digest,
}

impl Scene {
    async fn new(registry: &Registry, name: String) -> Self {
        let (subject, layer) = push_image(registry, &name, "base", "x").await;
        let config = push_blob(registry, &name, b"{}").await;
        let referred = format!(
            r#","subject":{{"mediaType":"{OCI}","digest":"{subject}","size":9}},"annotations":{{"n":"{name}"}}"#
        );
        let body = image(&config, 2, &[(layer, 160)], &referred);
        let digest = put(registry, &name, "v1", OCI, &body).await.unwrap().digest;
        let blob = push_blob(registry, &name, name.as_bytes()).await;
        Self {
            name,
            subject,
            digest,
            body,
            blob,
        }
    }

    fn subject_of(&self, on: On) -> Subject {
        match on {
            On::Repository => Subject::Repository,
            On::Tag => Subject::Tag(Tag::parse("v1").unwrap()),
            On::Manifest => Subject::Manifest(self.digest),
        }
    }

    /// Whether it is done, or shown.
    async fn perform(&self, registry: &Registry, act: Act) -> Result<bool, Error> {
        let (name, id) = (self.name.as_str(), &"r".into());
        let (pulls, deletes) = (pull(name), delete(name));
        let other = self.body.replace(r#""n":""#, r#""n":"other "#);
        let catalog = testing::catalog_access(RegistryId::DEFAULT);
        let by_time = PageRequest {
            order_by: lazuli_wire::oci::OrderBy::TimeDescending,
            ..ALL
        };
        let shown = |names: &[Box<str>], wanted: &str| names.iter().any(|name| **name == *wanted);
        Ok(match act {
            PushAgain => put(registry, name, "v1", OCI, &self.body)
                .await
                .map(|_| true)?,
            MoveTag => put(registry, name, "v1", OCI, &other).await.map(|_| true)?,
            AddTag => put(registry, name, "v2", OCI, &self.body)
                .await
                .map(|_| true)?,
            PushAnother => put(registry, name, "v2", OCI, &other).await.map(|_| true)?,
            Upload => {
                let bytes = b"something new";
                let digest = Digest::of(Algorithm::Sha256, bytes);
                let session = registry.start_upload(&push(name), Algorithm::Sha256)?;
                let (access, body) = (push(name), &mut Body::of(bytes));
                let finished = registry.finish_upload(&access, request(&session), &digest, body);
                finished.await.map(|()| true)?
            }
            MountInto => {
                let blob = push_blob(registry, "elsewhere", b"from elsewhere").await;
                let (into, from) = (push(name), pull("elsewhere"));
                registry.mount_blob(&into, &from, &blob).await?
            }
            MountFrom => {
                let (into, from) = (push("elsewhere"), pull(name));
                registry.mount_blob(&into, &from, &self.blob).await?
            }
            Untag => {
                let tag = Tag::parse("v1").unwrap();
                let gone = registry.delete_tag(&deletes, &tag, id).await;
                gone.map(|()| true)?
            }
            DeleteManifest => {
                let gone = registry.delete_manifest(&deletes, &self.digest, id);
                gone.await.map(|_| true)?
            }
            DeleteSubject => {
                let gone = registry.delete_manifest(&deletes, &self.subject, id);
                gone.await.map(|_| true)?
            }
            DeleteRepository => {
                let gone = registry.delete_repository(&deletes, id).await;
                gone.map(|_| true)?
            }
            DeleteBlob => {
                let gone = registry.delete_blob(&deletes, &self.blob, id).await;
                gone.map(|()| true)?
            }
            PullByTag => {
                let found = registry.manifest(&pulls, &tag("v1")).await;
                found.map(|_| true)?
            }
            PullByDigest => {
                let reference = Reference::Digest(self.digest);
                let found = registry.manifest(&pulls, &reference).await;
                found.map(|_| true)?
            }
            PullBlob => registry.blob(&pulls, &self.blob).await.map(|_| true)?,
            HeadBlob => {
                let found = registry.affirm_blob(&pulls, &self.blob).await;
                found.map(|_| true)?
            }
            Referrers | ListReferrers => {
                let found = registry.referrers(&pulls, &self.subject, None, None, 10);
                let found = found.await?;
                act == Referrers || found.items.iter().any(|item| item.digest == self.digest)
            }
            ListTags => shown(&registry.tags(&pulls, ALL).await?.names, "v1"),
            ListTagDetails => {
                let listed = registry.list_tags(&pulls, ALL, None).await?;
                listed.items.iter().any(|tag| *tag.name == *"v1")
            }
            ListManifests => {
                let listed = registry.list_manifests(&pulls, by_time, None).await?;
                listed.items.iter().any(|item| item.digest == self.digest)
            }
            Catalog => shown(&registry.catalog(&catalog, ALL).await?.names, name),
            CatalogByTime => shown(&registry.catalog(&catalog, by_time).await?.names, name),
        })
    }
}

async fn set(registry: &Registry, name: &str, subject: Subject, flag: Flag, is_on: bool) {
    let change = AttributesChange::default().with(flag, is_on);
    let access = access::<MetadataWrite>(name);
    let id = "r".into();
    let details = registry.set_attributes(&access, subject, change, &id);
    let flags = match details.await.unwrap() {
        Details::Repository(details) => details.flags,
        Details::Tag(details) => details.attributes.flags,
        Details::Manifest(details) => details.attributes.flags,
    };
    assert_eq!(flags, Flags::ALL.with(flag, is_on));
}

async fn a_flag_forbids_what_it_says_and_nothing_else(f: Fixture) {
    let registry = &f.registry;
    for (act, forbidden) in RULES {
        for on in [On::Repository, On::Tag, On::Manifest] {
            for flag in Flag::ALL {
                let name = format!("{act:?}/{on:?}/{flag:?}").to_lowercase();
                let scene = Scene::new(registry, name.clone()).await;
                // What memory has must not outlive the lock.
                for warm in [PullByTag, PullByDigest, PullBlob, ListTags, Act::Catalog] {
                    assert!(scene.perform(registry, warm).await.unwrap(), "{warm:?}");
                }
                set(registry, &name, scene.subject_of(on), flag, false).await;
                let is_allowed = !forbidden.contains(&(on, flag));
                match scene.perform(registry, act).await {
                    Ok(done) => assert_eq!(done, is_allowed, "{name}"),
                    Err(Error::Locked(locked)) => {
                        assert!(!is_allowed, "{name}");
                        assert_eq!(locked.subject, scene.subject_of(on), "{name}");
                        assert_eq!(locked.flag, flag, "{name}");
                    }
                    Err(error) => panic!("{name}: {error}"),
                }
                if is_allowed {
                    continue;
                }
                // Nothing happened, and it works again once the lock is open.
                set(registry, &name, scene.subject_of(on), flag, true).await;
                assert!(scene.perform(registry, act).await.unwrap(), "{name}");
            }
        }
    }
}

async fn attributes_go_with_what_they_belong_to(f: Fixture) {
    let registry = &f.registry;
    let scene = Scene::new(registry, "a".to_owned()).await;
    let (id, deletes) = ("r".into(), delete("a"));
    let flags = |subject: Subject| async {
        match registry.details(&pull("a"), subject).await.unwrap() {
            Details::Repository(details) => details.flags,
            Details::Tag(details) => details.attributes.flags,
            Details::Manifest(details) => details.attributes.flags,
        }
    };
    for on in [On::Repository, On::Tag, On::Manifest] {
        set(registry, "a", scene.subject_of(on), Flag::List, false).await;
    }
    // A tag that moves keeps its own.
    let other = scene.body.replace(r#""n":""#, r#""n":"other "#);
    put(registry, "a", "v1", OCI, &other).await.unwrap();
    assert!(!flags(scene.subject_of(On::Tag)).await.has(Flag::List));
    // One that is removed and comes again has none.
    let tag = Tag::parse("v1").unwrap();
    registry.delete_tag(&deletes, &tag, &id).await.unwrap();
    put(registry, "a", "v1", OCI, &scene.body).await.unwrap();
    assert_eq!(flags(scene.subject_of(On::Tag)).await, Flags::ALL);
    assert!(!flags(scene.subject_of(On::Manifest)).await.has(Flag::List));
    let gone = registry.delete_manifest(&deletes, &scene.digest, &id);
    gone.await.unwrap();
    put(registry, "a", "v1", OCI, &scene.body).await.unwrap();
    assert_eq!(flags(scene.subject_of(On::Manifest)).await, Flags::ALL);
    assert!(!flags(Subject::Repository).await.has(Flag::List));
    // The repository is gone with its last manifest.
    let gone = registry.delete_manifest(&deletes, &scene.subject, &id);
    gone.await.unwrap();
    let index = Digest::of(Algorithm::Sha256, other.as_bytes());
    let _ = registry.delete_manifest(&deletes, &index, &id).await;
    let unknown = registry.details(&pull("a"), Subject::Repository).await;
    assert!(matches!(unknown, Err(Error::NameUnknown)), "{unknown:?}");
    push_image(registry, "a", "v1", "y").await;
    assert_eq!(flags(Subject::Repository).await, Flags::ALL);
    let left =
        f.db.read(|tx| tx.query_one("SELECT COUNT(*) FROM attributes", &[], |row| row.get_i64(0)));
    assert_eq!(left.await.unwrap(), Some(0));
}

async fn what_is_not_there_has_no_attributes(f: Fixture) {
    let registry = &f.registry;
    let scene = Scene::new(registry, "a".to_owned()).await;
    let set = |name: &'static str, subject: Subject| {
        let change = AttributesChange::default().with(Flag::Write, false);
        let access = access::<MetadataWrite>(name);
        async move {
            let id = "r".into();
            let outcome = registry.set_attributes(&access, subject, change, &id).await;
            outcome.unwrap_err()
        }
    };
    let unknown = set("nope", Subject::Repository).await;
    assert!(matches!(unknown, Error::NameUnknown));
    let unknown = set("a", Subject::Tag(Tag::parse("nope").unwrap())).await;
    assert!(matches!(unknown, Error::TagUnknown));
    let unknown = set("a", Subject::Manifest(scene.blob)).await;
    assert!(matches!(unknown, Error::ManifestUnknown));
}

async fn what_a_scanner_says_stays_until_it_says_something_else(f: Fixture) {
    let registry = &f.registry;
    let scene = Scene::new(registry, "a".to_owned()).await;
    let subject = || scene.subject_of(On::Manifest);
    let change = |body: &'static str| {
        let change = AttributesChange::parse(body.as_bytes()).unwrap();
        let access = access::<MetadataWrite>("a");
        async move {
            let id = "r".into();
            let set = registry.set_attributes(&access, subject(), change, &id);
            match set.await.unwrap() {
                Details::Manifest(details) => details.attributes,
                other => panic!("{other:?}"),
            }
        }
    };
    change(r#"{"quarantineState":"Passed","quarantineDetails":"{\"a\":1}"}"#).await;
    let then = change(r#"{"deleteEnabled":false}"#).await;
    assert_eq!(then.quarantine_state.as_deref(), Some("Passed"));
    assert_eq!(then.quarantine_details.as_deref(), Some(r#"{"a":1}"#));
    let operations = |f: &Fixture| {
        let db = f.db.clone();
        async move {
            let count = db.read(|tx| {
                let count = "SELECT COUNT(*) FROM operations WHERE kind = 'set-attributes'";
                tx.query_one(count, &[], |row| row.get_i64(0))
            });
            count.await.unwrap()
        }
    };
    assert_eq!(operations(&f).await, Some(2));
    assert_eq!(change(r#"{"deleteEnabled":false}"#).await, then);
    assert_eq!(operations(&f).await, Some(2), "nothing changed");
}

on_both_engines! {
    a_flag_forbids_what_it_says_and_nothing_else,
    attributes_go_with_what_they_belong_to,
    what_is_not_there_has_no_attributes,
    what_a_scanner_says_stays_until_it_says_something_else,
}
