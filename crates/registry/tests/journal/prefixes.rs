//! Whatever happened, and however it was cut into segments: after any number of them there is a registry that is sound, and
//! the one that was there when the last of them was written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use lazuli_identity::MetadataWrite;
use lazuli_registry::Error;
use lazuli_registry::attributes::Subject;
use lazuli_registry::details::Details;
use lazuli_registry::journal::Options;
use lazuli_wire::acr::{AttributesChange, Flag};
use lazuli_wire::oci::{Digest, Reference, Tag};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::common::*;
use crate::support::*;

const NAMES: [&str; 2] = ["a/b", "c"];
const TAGS: [&str; 3] = ["v1", "v2", "v3"];

#[derive(Debug, Clone)]
enum Act {
    Push {
        name: usize,
        tag: usize,
        seed: u8,
    },
    /// An index over an image, or a referrer of it.
    Refer {
        name: usize,
        seed: u8,
        is_index: bool,
    },
    Untag {
        name: usize,
        tag: usize,
    },
    DeleteManifest {
        name: usize,
        tag: usize,
    },
    DeleteBlob {
        name: usize,
        seed: u8,
    },
    DeleteRepository {
        name: usize,
    },
    /// Of the repository, a tag or its manifest. Not `writeEnabled`: pushes go on.
    Lock {
        name: usize,
        tag: usize,
        what: u8,
        flag: usize,
        is_on: bool,
    },
    ChangeSmall,
    Number,
    Step {
        is_numbered: bool,
    },
    /// A node dies after it wrote a segment, before it said so.
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    let (name, tag, seed) = (|| 0..NAMES.len(), || 0..TAGS.len(), || 0..4_u8);
    prop_oneof![
        6 => (name(), tag(), seed()).prop_map(|(name, tag, seed)| Act::Push { name, tag, seed }),
        2 => (name(), seed(), any::<bool>())
            .prop_map(|(name, seed, is_index)| Act::Refer { name, seed, is_index }),
        1 => (name(), tag()).prop_map(|(name, tag)| Act::Untag { name, tag }),
        2 => (name(), tag()).prop_map(|(name, tag)| Act::DeleteManifest { name, tag }),
        1 => (name(), seed()).prop_map(|(name, seed)| Act::DeleteBlob { name, seed }),
        1 => name().prop_map(|name| Act::DeleteRepository { name }),
        4 => (name(), tag(), 0..3_u8, 0..3_usize, any::<bool>())
            .prop_map(|(name, tag, what, flag, is_on)| Act::Lock { name, tag, what, flag, is_on }),
        1 => Just(Act::ChangeSmall),
        1 => Just(Act::Number),
        3 => any::<bool>().prop_map(|is_numbered| Act::Step { is_numbered }),
        1 => Just(Act::Forget),
    ]
}

/// Does it, if there is anything to do it to.
async fn perform(f: &Fixture, act: &Act) {
    let (registry, request) = (&f.registry, "request".into());
    match *act {
        Act::Push { name, tag, seed } => {
            push_image(registry, NAMES[name], TAGS[tag], &seed.to_string()).await;
        }
        Act::Refer {
            name,
            seed,
            is_index,
        } => {
            let name = NAMES[name];
            let (one, layer) = push_image(registry, name, "base", &seed.to_string()).await;
            let child = format!(r#"{{"mediaType":"{OCI}","digest":"{one}","size":9}}"#);
            if is_index {
                let index =
                    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{child}]}}"#);
                put(registry, name, "index", INDEX, &index).await.unwrap();
            } else {
                let config = push_blob(registry, name, b"{}").await;
                let subject = format!(r#","subject":{child}"#);
                let referrer = image(&config, 2, &[(layer, 160)], &subject);
                put(registry, name, "referrer", OCI, &referrer)
                    .await
                    .unwrap();
            }
        }
        Act::Untag { name, tag } => {
            let tag = Tag::parse(TAGS[tag]).unwrap();
            let _ = registry
                .delete_tag(&delete(NAMES[name]), &tag, &request)
                .await;
        }
        Act::DeleteManifest { name, tag } => {
            let reference = Reference::Tag(Tag::parse(TAGS[tag]).unwrap());
            if let Ok(found) = registry.manifest(&pull(NAMES[name]), &reference).await {
                let digest: Digest = found.digest;
                let access = delete(NAMES[name]);
                let deleted = registry.delete_manifest(&access, &digest, &request);
                match deleted.await {
                    Ok(_) | Err(Error::Locked(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Act::DeleteBlob { name, seed } => {
            let config = format!("config {seed}");
            let digest = Digest::of(lazuli_wire::oci::Algorithm::Sha256, config.as_bytes());
            let _ = registry
                .delete_blob(&delete(NAMES[name]), &digest, &request)
                .await;
        }
        Act::DeleteRepository { name } => {
            let _ = registry
                .delete_repository(&delete(NAMES[name]), &request)
                .await;
        }
        Act::Lock {
            name,
            tag,
            what,
            flag,
            is_on,
        } => {
            let name = NAMES[name];
            let tag = Tag::parse(TAGS[tag]).unwrap();
            let found = registry
                .details(&pull(name), Subject::Tag(tag.clone()))
                .await;
            let Ok(Details::Tag(found)) = found else {
                return;
            };
            let subject = match what {
                0 => Subject::Repository,
                1 => Subject::Tag(tag),
                _ => Subject::Manifest(found.digest),
            };
            let flag = [Flag::Delete, Flag::Read, Flag::List][flag];
            let change = AttributesChange::default().with(flag, is_on);
            let access = access::<MetadataWrite>(name);
            let set = registry.set_attributes(&access, subject, change, &request);
            set.await.unwrap();
        }
        Act::ChangeSmall => {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
            let changed = f.db.write(move |tx| {
                tx.execute(
                    "INSERT INTO settings (name, value) VALUES ('test', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    lazuli_db::params![&number],
                )
                .map(drop)
            });
            changed.await.unwrap();
        }
        Act::Number => number(registry).await,
        Act::Step { .. } | Act::Forget => {}
    }
}

/// What was there when so many segments of a generation had been written.
type Known = BTreeMap<(String, usize), Facts>;

async fn remember(f: &Fixture, known: &mut Known) {
    let newest = names(f).await.last().unwrap()[..8].to_owned();
    known.insert((newest, segments(f).await.len()), facts(&f.db).await);
}

async fn run(acts: Vec<Act>, renew_segments: u64) {
    let f = Fixture::new().await;
    install(&f).await;
    let options = || Options {
        renew_segments,
        ..journal_options()
    };
    let mut journal = journal(&f.registry, options()).await;
    let mut known = Known::new();
    let mut is_numbered = true;
    for act in &acts {
        perform(&f, act).await;
        match act {
            Act::Number => is_numbered = true,
            Act::Step { is_numbered: first } => {
                if *first {
                    number(&f.registry).await;
                    is_numbered = true;
                }
                journal.step().await.unwrap();
                if is_numbered {
                    remember(&f, &mut known).await;
                }
            }
            Act::Forget => {
                let before = "UPDATE settings SET value = (SELECT value FROM settings WHERE name = 'kept') \
                     WHERE name = 'journal' AND EXISTS (SELECT 1 FROM settings WHERE name = 'kept')";
                change(&f.db, "DELETE FROM settings WHERE name = 'kept'").await;
                change(
                    &f.db,
                    "INSERT INTO settings (name, value) SELECT 'kept', value FROM settings WHERE name = 'journal'",
                )
                .await;
                journal.step().await.unwrap();
                change(&f.db, before).await;
                change(&f.db, "DELETE FROM settings WHERE name = 'kept'").await;
                journal = crate::support::journal(&f.registry, options()).await;
            }
            Act::ChangeSmall => {}
            _ => is_numbered = false,
        }
    }
    number(&f.registry).await;
    journal.step().await.unwrap();
    remember(&f, &mut known).await;

    // From the whole journal down to the snapshot alone.
    let newest = names(&f).await.last().unwrap()[..8].to_owned();
    loop {
        let left = segments(&f).await;
        let rebuilt = rebuild(&f).await.unwrap();
        // A client may take a blob out of a repository whose manifests name it.
        let was_deleted = acts.iter().any(|act| matches!(act, Act::DeleteBlob { .. }));
        let allowed = if was_deleted {
            "ContentMissing"
        } else {
            "nothing"
        };
        assert_sound_but_for(&rebuilt.registry, allowed).await;
        if let Some(expected) = known.get(&(newest.clone(), left.len())) {
            assert_eq!(
                &facts(&rebuilt.db).await,
                expected,
                "after {} segments",
                left.len()
            );
            assert_eq!(rebuilt.report.lost, []);
        }
        let Some(last) = left.last() else { break };
        records(&f).remove(last.clone()).await.unwrap();
    }
}

proptest! {
    #![proptest_config(Config { cases: 10, max_shrink_iters: 30, ..Config::default() })]
    #[test]
    fn any_number_of_segments_makes_a_sound_registry(
        acts in proptest::collection::vec(act(), 1..30),
        renew_segments in 2..12_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(acts, renew_segments));
    }
}
