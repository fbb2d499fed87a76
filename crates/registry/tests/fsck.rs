//! fsck: every kind of damage is found, named, and repaired without destroying anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::*;
use lazuli_blobs::{BlobStore, Hasher, Location};
use lazuli_registry::fsck::{self, Damage, Finding, Outcome, Severity, Summary};
use lazuli_registry::operations::sequencer::{Options as SequencerOptions, Sequencer};
use lazuli_registry::{Error, Registry};
use lazuli_wire::oci::{Algorithm, Digest, Reference, Tag, UploadId};

async fn check(
    registry: &Registry,
    verify: bool,
    repair: bool,
) -> (Summary, Vec<(Finding, Outcome)>) {
    let mut findings = Vec::new();
    let options = fsck::Options { verify, repair };
    let mut keep = |finding: &Finding, outcome| {
        assert!(!finding.to_string().is_empty());
        findings.push((finding.clone(), outcome));
    };
    let summary = fsck::check(registry, options, &mut keep).await.unwrap();
    (summary, findings)
}

/// A registry with an image in two repositories, an index, a referrer, small and large blobs, and a numbered log.
async fn furnished(f: &Fixture) -> (Digest, Digest) {
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    push_image(&f.registry, "b", "v1", "x").await;
    let size = f
        .registry
        .manifest(&pull("a"), &tag("v1"))
        .await
        .unwrap()
        .body
        .len();
    let child = format!(r#"{{"mediaType":"{OCI}","digest":"{manifest}","size":{size}}}"#);
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{child}]}}"#);
    put(&f.registry, "a", "index", INDEX, &index).await.unwrap();
    let config = push_blob(&f.registry, "a", b"{}").await;
    put(
        &f.registry,
        "a",
        "signature",
        OCI,
        &image(&config, 2, &[], &format!(r#","subject":{child}"#)),
    )
    .await
    .unwrap();
    f.registry
        .delete_tag(&delete("a"), &Tag::parse("signature").unwrap(), &"r".into())
        .await
        .unwrap();
    Sequencer::new(f.registry.log(), "s", SequencerOptions::default())
        .drain()
        .await
        .unwrap();
    (manifest, layer)
}

async fn change(f: &Fixture, sql: &'static str) {
    let changed = f.db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    assert!(changed > 0, "{sql}");
}

/// The finding is the only one, of that severity; it is repaired, and then nothing is found.
async fn is_repaired(f: &Fixture, severity: Severity, expected: impl Fn(&Finding) -> bool) {
    let (summary, findings) = check(&f.registry, true, false).await;
    let texts: Vec<_> = findings
        .iter()
        .map(|(finding, _)| finding.to_string())
        .collect();
    assert!(
        findings
            .iter()
            .all(|(finding, outcome)| expected(finding) && *outcome == Outcome::Reported),
        "{texts:?}"
    );
    assert!(!findings.is_empty() && !summary.is_sound());
    assert!(
        findings
            .iter()
            .all(|(finding, _)| finding.severity() == severity && finding.repair().is_some())
    );
    let (summary, findings) = check(&f.registry, true, true).await;
    assert!(
        findings
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Repaired),
        "{findings:?}"
    );
    assert!(summary.is_sound());
    let (summary, findings) = check(&f.registry, true, false).await;
    assert!(findings.is_empty() && summary.is_sound(), "{findings:?}");
}

async fn a_sound_registry_has_no_findings(f: Fixture) {
    furnished(&f).await;
    let (summary, findings) = check(&f.registry, true, true).await;
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(
        (
            summary.blobs,
            summary.links,
            summary.manifests,
            summary.tags
        ),
        (3, 5, 4, 3)
    );
    assert_eq!((summary.files, summary.operations), (1, 5));
}

/// Puts a file into the store.
async fn file(f: &Fixture, seed: u8, digest: &Digest, bytes: &[u8]) -> Location {
    let upload = UploadId::from_bytes([seed; 16]);
    let mut writer = f
        .store
        .writer(upload, 0, Hasher::new(Algorithm::Sha256))
        .await
        .unwrap();
    writer.write(bytes.to_vec().into()).await.unwrap();
    writer.finish().await.unwrap();
    f.store
        .finish(upload, "1", digest, bytes.len() as u64)
        .await
        .unwrap()
}

async fn location(f: &Fixture) -> Location {
    let text = f.db.read(|tx| {
        tx.query_one(
            "SELECT location FROM blobs WHERE location IS NOT NULL",
            &[],
            |row| row.get_string(0),
        )
    });
    Location::parse(&text.await.unwrap().unwrap()).unwrap()
}

fn layer_bytes() -> Vec<u8> {
    "layer x ".repeat(20).into_bytes()
}

/// What a repair cannot bring back is asked for again: the blob is denied, a push is stored, and all is sound.
async fn a_push_heals(f: &Fixture, layer: &Digest) {
    let (summary, findings) = check(&f.registry, true, true).await;
    assert!(
        !findings.is_empty() && !summary.is_sound(),
        "manifests still miss it"
    );
    for name in ["a", "b"] {
        assert!(matches!(
            f.registry.affirm_blob(&pull(name), layer).await,
            Err(Error::BlobUnknown)
        ));
        push_blob(&f.registry, name, &layer_bytes()).await;
    }
    let (summary, findings) = check(&f.registry, true, false).await;
    assert!(summary.is_sound(), "{findings:?}");
    let blob = f.registry.blob(&pull("a"), layer).await.unwrap();
    f.registry.blob_bytes(&blob).await.unwrap();
}

async fn a_missing_file_is_found_and_a_push_heals_it(f: Fixture) {
    let (_, layer) = furnished(&f).await;
    f.store.remove(&location(&f).await).await.unwrap();
    let (_, findings) = check(&f.registry, false, false).await;
    let expected = Finding::BlobDamaged {
        registry: 1,
        digest: layer,
        damage: Damage::Missing,
        copy: None,
    };
    assert_eq!(findings, [(expected, Outcome::Reported)]);
    a_push_heals(&f, &layer).await;
}

async fn wrong_bytes_are_found_by_verifying_and_put_aside(f: Fixture) {
    let (_, layer) = furnished(&f).await;
    let mut bytes = layer_bytes();
    bytes[17] ^= 1;
    let wrong = file(&f, 7, &layer, &bytes).await;
    let right = location(&f).await;
    let text = wrong.to_string();
    f.db.write(move |tx| {
        tx.execute(
            "UPDATE blobs SET location = ?1 WHERE location IS NOT NULL",
            &[(&text).into()],
        )
    })
    .await
    .unwrap();
    f.store.remove(&right).await.unwrap();
    assert!(
        check(&f.registry, false, false).await.0.is_sound(),
        "lengths agree"
    );
    let (_, findings) = check(&f.registry, true, false).await;
    let found = Digest::of(Algorithm::Sha256, &bytes);
    let damage = Damage::Digest { found };
    assert_eq!(
        findings[0].0,
        Finding::BlobDamaged {
            registry: 1,
            digest: layer,
            damage,
            copy: None
        }
    );
    a_push_heals(&f, &layer).await;
    assert!(
        f.store.open(&wrong, bytes.len() as u64).await.is_ok(),
        "the damaged bytes are kept"
    );
    let aside = f.db.read(|tx| {
        tx.query_one("SELECT location FROM quarantine", &[], |row| {
            row.get_string(0)
        })
    });
    assert_eq!(aside.await.unwrap(), Some(wrong.to_string()));
}

async fn a_good_copy_takes_the_place_of_a_damaged_file(f: Fixture) {
    let (_, layer) = furnished(&f).await;
    f.store.remove(&location(&f).await).await.unwrap();
    let copy = file(&f, 7, &layer, &layer_bytes()).await;
    is_repaired(&f, Severity::Error, |finding| {
        matches!(finding, Finding::BlobDamaged { copy: Some(found), .. } if *found == copy)
    })
    .await;
    let blob = f.registry.blob(&pull("b"), &layer).await.unwrap();
    f.registry.blob_bytes(&blob).await.unwrap();
}

async fn a_file_that_was_cut_is_found_without_verifying(f: Fixture) {
    let (_, layer) = furnished(&f).await;
    let old = location(&f).await;
    let cut = file(&f, 7, &layer, &layer_bytes()[..50]).await.to_string();
    f.db.write(move |tx| {
        tx.execute(
            "UPDATE blobs SET location = ?1 WHERE location IS NOT NULL",
            &[(&cut).into()],
        )
    })
    .await
    .unwrap();
    f.store.remove(&old).await.unwrap();
    let (_, findings) = check(&f.registry, false, false).await;
    let damage = Damage::Length { found: 50 };
    assert_eq!(
        findings[0].0,
        Finding::BlobDamaged {
            registry: 1,
            digest: layer,
            damage,
            copy: None
        }
    );
    a_push_heals(&f, &layer).await;
}

async fn a_small_blob_with_wrong_bytes_is_found(f: Fixture) {
    furnished(&f).await;
    // Of the same length: only its hash tells.
    change(
        &f,
        "UPDATE blobs SET content = CAST('config y' AS {bytes}) WHERE size = 8",
    )
    .await;
    let (_, findings) = check(&f.registry, false, true).await;
    assert!(matches!(
        findings[0].0,
        Finding::BlobDamaged {
            damage: Damage::Digest { .. },
            ..
        }
    ));
    for name in ["a", "b"] {
        push_blob(&f.registry, name, b"config x").await;
    }
    assert!(check(&f.registry, true, false).await.0.is_sound());
}

async fn rows_without_a_place_are_found(f: Fixture) {
    furnished(&f).await;
    change(
        &f,
        "UPDATE blobs SET location = 'no place', content = NULL WHERE size = 8",
    )
    .await;
    let (_, findings) = check(&f.registry, false, false).await;
    assert!(
        matches!(
            findings[0].0,
            Finding::BlobDamaged {
                damage: Damage::NoPlace,
                ..
            }
        ),
        "{findings:?}"
    );
}

async fn a_blob_that_garbage_collection_lost_sight_of_is_handed_back(f: Fixture) {
    furnished(&f).await;
    push_blob(&f.registry, "a", b"left alone").await;
    change(&f, "DELETE FROM repository_blobs WHERE size = 10").await;
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::BlobForgotten { .. })
    })
    .await;
    push_blob(&f.registry, "a", b"left alone too").await;
    change(
        &f,
        "UPDATE repository_blobs SET check_after = NULL WHERE size = 14",
    )
    .await;
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::LinkForgotten { .. })
    })
    .await;
}

async fn a_live_file_on_the_list_of_removals_is_taken_off(f: Fixture) {
    let (_, layer) = furnished(&f).await;
    change(
        &f,
        "INSERT INTO blob_removals SELECT location, size, 0 FROM blobs WHERE location IS NOT NULL",
    )
    .await;
    is_repaired(&f, Severity::Error, |finding| {
        matches!(finding, Finding::BlobAboutToBeRemoved { .. })
    })
    .await;
    let blob = f.registry.blob(&pull("a"), &layer).await.unwrap();
    f.registry.blob_bytes(&blob).await.unwrap();
}

async fn a_link_without_a_blob_is_removed_and_one_that_differs_corrected(f: Fixture) {
    furnished(&f).await;
    push_blob(&f.registry, "a", b"left alone").await;
    change(&f, "DELETE FROM blobs WHERE size = 10").await;
    is_repaired(&f, Severity::Error, |finding| {
        matches!(finding, Finding::LinkWithoutBlob { .. })
    })
    .await;
    change(&f, "UPDATE repository_blobs SET size = 9 WHERE size = 8").await;
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::LinkDiffers { .. })
    })
    .await;
}

async fn a_manifest_with_wrong_bytes_is_put_aside_and_a_push_heals_it(f: Fixture) {
    let (manifest, _) = furnished(&f).await;
    let body = f
        .registry
        .manifest(&pull("b"), &tag("v1"))
        .await
        .unwrap()
        .body
        .clone();
    f.registry.cache().clear();
    change(
        &f,
        "UPDATE manifests SET body = CAST('{}' AS {bytes}) WHERE repository_id = (SELECT id FROM repositories WHERE name = 'b')",
    )
    .await;
    let (_, findings) = check(&f.registry, false, true).await;
    assert!(
        matches!(&findings[0].0, Finding::ManifestDamaged { place, digest, .. } if place.name == "b" && *digest == manifest)
    );
    let lost = f.registry.manifest(&pull("b"), &tag("v1")).await;
    assert!(matches!(lost, Err(Error::ManifestUnknown)));
    put(
        &f.registry,
        "b",
        "v1",
        OCI,
        std::str::from_utf8(&body).unwrap(),
    )
    .await
    .unwrap();
    let (summary, findings) = check(&f.registry, true, true).await;
    assert!(summary.is_sound(), "{findings:?}");
    assert!(check(&f.registry, true, false).await.1.is_empty());
    let aside = f.db.read(|tx| {
        tx.query_one("SELECT content FROM quarantine", &[], |row| {
            row.get_bytes(0)
        })
    });
    assert_eq!(aside.await.unwrap().unwrap(), b"{}");
    f.registry
        .manifest(&pull("a"), &Reference::Digest(manifest))
        .await
        .unwrap();
}

async fn records_that_differ_from_the_bytes_are_taken_from_them(f: Fixture) {
    furnished(&f).await;
    change(
        &f,
        "UPDATE manifests SET size = size + 1, subject = NULL WHERE subject IS NOT NULL",
    )
    .await;
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::ManifestRecordDiffers { .. })
    })
    .await;
    change(&f, "DELETE FROM manifest_references WHERE kind = 1").await;
    is_repaired(&f, Severity::Error, |finding| {
        matches!(finding, Finding::ReferencesDiffer { .. })
    })
    .await;
}

async fn content_that_the_registry_still_has_comes_back_to_the_repository(f: Fixture) {
    let (_, layer) = furnished(&f).await;
    change(
        &f,
        "DELETE FROM repository_blobs WHERE size > 100 AND repository_id = (SELECT id FROM repositories WHERE name = 'b')",
    )
    .await;
    is_repaired(&f, Severity::Error, |finding| {
        matches!(finding, Finding::ContentMissing { place, blob, .. } if place.name == "b" && *blob == layer)
    })
    .await;
    f.registry.blob(&pull("b"), &layer).await.unwrap();
}

async fn tags_and_listings_that_are_wrong_are_found(f: Fixture) {
    furnished(&f).await;
    change(&f, "UPDATE repositories SET listed = 0 WHERE name = 'b'").await;
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::ListingDiffers { place, has_manifests: true } if place.name == "b")
    })
    .await;
    // A tag moved without its history: nothing tells which is right.
    change(
        &f,
        "UPDATE tags SET digest = (SELECT digest FROM tags t WHERE t.name = 'index') WHERE name = 'v1' \
         AND repository_id = (SELECT id FROM repositories WHERE name = 'a')",
    )
    .await;
    let (summary, findings) = check(&f.registry, false, true).await;
    assert!(
        matches!(&findings[..], [(Finding::TagHistoryDiffers { tag, .. }, Outcome::Unrepairable)] if tag == "v1")
    );
    assert!(!summary.is_sound());
}

async fn a_tag_of_a_manifest_that_is_gone_is_removed(f: Fixture) {
    furnished(&f).await;
    for table in ["manifests", "manifest_dots", "manifest_references"] {
        let sql = match table {
            "manifests" => {
                "DELETE FROM manifests WHERE repository_id = (SELECT id FROM repositories WHERE name = 'b')"
            }
            "manifest_dots" => {
                "DELETE FROM manifest_dots WHERE repository_id = (SELECT id FROM repositories WHERE name = 'b')"
            }
            _ => {
                "DELETE FROM manifest_references WHERE repository_id = (SELECT id FROM repositories WHERE name = 'b')"
            }
        };
        change(&f, sql).await;
    }
    change(&f, "UPDATE repositories SET listed = 0 WHERE name = 'b'").await;
    is_repaired(
        &f,
        Severity::Error,
        |finding| matches!(finding, Finding::TagDangling { tag, .. } if tag == "v1"),
    )
    .await;
}

async fn rows_of_a_repository_that_is_gone_are_removed_but_not_manifests(f: Fixture) {
    furnished(&f).await;
    change(&f, "DELETE FROM repositories WHERE name = 'b'").await;
    let (_, findings) = check(&f.registry, false, true).await;
    let tables: BTreeSet<_> = findings
        .iter()
        .filter_map(|(finding, outcome)| match finding {
            Finding::DanglingRows { table, .. } if *outcome == Outcome::Repaired => Some(*table),
            _ => None,
        })
        .collect();
    assert_eq!(tables, ["repository_blobs", "tag_versions", "tags"].into());
    let (_, findings) = check(&f.registry, false, true).await;
    assert_eq!(
        findings,
        [(
            Finding::ManifestsWithoutRepository { count: 1 },
            Outcome::Unrepairable
        )]
    );
}

async fn references_and_dots_of_a_manifest_that_is_gone_are_removed(f: Fixture) {
    furnished(&f).await;
    change(&f, "DELETE FROM manifests WHERE subject IS NOT NULL").await;
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::DanglingRows { .. })
    })
    .await;
}

async fn a_manifest_without_a_dot_is_reported(f: Fixture) {
    furnished(&f).await;
    change(&f, "DELETE FROM manifest_dots WHERE repository_id = (SELECT id FROM repositories WHERE name = 'b')").await;
    let (_, findings) = check(&f.registry, false, true).await;
    assert!(matches!(
        &findings[..],
        [(Finding::ManifestWithoutDot { .. }, Outcome::Unrepairable)]
    ));
}

async fn gaps_and_unreadable_operations_of_the_log_are_reported(f: Fixture) {
    furnished(&f).await;
    change(
        &f,
        "UPDATE operations SET payload = '[]' WHERE sequence = 2",
    )
    .await;
    change(
        &f,
        "UPDATE operations SET kind = 'unheard of' WHERE sequence = 3",
    )
    .await;
    let (summary, findings) = check(&f.registry, false, true).await;
    let sequences: Vec<_> = findings
        .iter()
        .map(|(finding, outcome)| match finding {
            Finding::OperationUnreadable { sequence, .. } if *outcome == Outcome::Unrepairable => {
                *sequence
            }
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(sequences, [2, 3]);
    assert!(!summary.is_sound());
    change(&f, "DELETE FROM operations WHERE sequence IN (2, 3)").await;
    let (_, findings) = check(&f.registry, false, true).await;
    let expected = Finding::LogHasGap {
        origin: 1,
        numbered: 3,
        range: (1, 5),
        recorded: 5,
    };
    assert_eq!(findings, [(expected, Outcome::Unrepairable)]);
}

async fn leftovers_are_noted_and_left_to_the_janitor(f: Fixture) {
    furnished(&f).await;
    let digest = Digest::of(Algorithm::Sha256, b"orphan");
    let orphan = file(&f, 7, &digest, b"orphan").await;
    let upload = UploadId::from_bytes([8; 16]);
    let mut writer = f
        .store
        .writer(upload, 0, Hasher::new(Algorithm::Sha256))
        .await
        .unwrap();
    writer.write(b"lost"[..].into()).await.unwrap();
    writer.finish().await.unwrap();
    let (summary, findings) = check(&f.registry, true, true).await;
    assert!(summary.is_sound() && summary.notes == 2 && summary.repaired == 0);
    let found: Vec<_> = findings.into_iter().map(|(finding, _)| finding).collect();
    assert_eq!(
        found,
        [
            Finding::OrphanFile {
                location: orphan,
                size: 6
            },
            Finding::OrphanUpload { upload, size: 4 }
        ]
    );
}

async fn a_session_that_lost_its_bytes_is_ended(f: Fixture) {
    furnished(&f).await;
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let half = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&[1; 500]))
        .await
        .unwrap();
    assert!(check(&f.registry, true, false).await.1.is_empty());
    f.store.abort(half.id).await.unwrap();
    is_repaired(&f, Severity::Warning, |finding| {
        matches!(finding, Finding::UploadWithoutBytes { .. })
    })
    .await;
}

on_both_engines!(
    a_sound_registry_has_no_findings,
    a_missing_file_is_found_and_a_push_heals_it,
    wrong_bytes_are_found_by_verifying_and_put_aside,
    a_good_copy_takes_the_place_of_a_damaged_file,
    a_file_that_was_cut_is_found_without_verifying,
    a_small_blob_with_wrong_bytes_is_found,
    rows_without_a_place_are_found,
    a_blob_that_garbage_collection_lost_sight_of_is_handed_back,
    a_live_file_on_the_list_of_removals_is_taken_off,
    a_link_without_a_blob_is_removed_and_one_that_differs_corrected,
    a_manifest_with_wrong_bytes_is_put_aside_and_a_push_heals_it,
    records_that_differ_from_the_bytes_are_taken_from_them,
    content_that_the_registry_still_has_comes_back_to_the_repository,
    tags_and_listings_that_are_wrong_are_found,
    a_tag_of_a_manifest_that_is_gone_is_removed,
    rows_of_a_repository_that_is_gone_are_removed_but_not_manifests,
    references_and_dots_of_a_manifest_that_is_gone_are_removed,
    a_manifest_without_a_dot_is_reported,
    gaps_and_unreadable_operations_of_the_log_are_reported,
    leftovers_are_noted_and_left_to_the_janitor,
    a_session_that_lost_its_bytes_is_ended,
);
