//! Rows that do not agree.

use super::*;
use crate::on_both_engines;

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
        floor: 0,
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
    is_repaired(&f, Severity::Note, |finding| {
        matches!(finding, Finding::UploadWithoutBytes { .. })
    })
    .await;
}

async fn a_crash_in_the_last_step_of_a_push_leaves_an_orphan_and_no_fault(f: Fixture) {
    furnished(&f).await;
    let bytes = [1; 500];
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let whole = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&bytes))
        .await
        .unwrap();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let location = f.store.finish(whole.id, "1", &digest, 500).await.unwrap();
    let (summary, findings) = check(&f.registry, true, false).await;
    let orphan = Finding::OrphanFile {
        location,
        size: 500,
    };
    assert_eq!(findings, [(orphan, Outcome::Reported)]);
    assert!(summary.is_sound());
}

async fn many_pages_are_read_to_the_end(f: Fixture) {
    let config = push_blob(&f.registry, "a", b"{}").await;
    let body = image(&config, 2, &[], "");
    for number in 0..520 {
        put(&f.registry, "a", &format!("t{number:03}"), OCI, &body)
            .await
            .unwrap();
        if number < 110 {
            push_blob(&f.registry, "a", format!("blob {number:03}").as_bytes()).await;
        }
    }
    // Manifests of 510 repositories would be slow to push: these rows are enough to be read.
    f.db.write(|tx| {
        for number in 0..510_i64 {
            let name = format!("r{number:03}");
            tx.execute(
                "INSERT INTO repositories (id, registry_id, name, holder, listed, floor, created_at) VALUES (?1, 1, ?2, ?1, 0, 0, 0)",
                &[number.into(), (&name).into()],
            )?;
        }
        Ok::<_, lazuli_db::Error>(())
    })
    .await
    .unwrap();
    Sequencer::new(f.registry.log(), "s", SequencerOptions::default())
        .drain()
        .await
        .unwrap();
    let (summary, findings) = check(&f.registry, true, false).await;
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(
        (
            summary.blobs,
            summary.links,
            summary.tags,
            summary.operations
        ),
        (111, 111, 520, 520)
    );
    change(&f, "UPDATE repositories SET listed = 1 WHERE name = 'r509'").await;
    change(
        &f,
        "UPDATE tags SET digest = (SELECT digest FROM blobs LIMIT 1) WHERE name = 't519'",
    )
    .await;
    let (_, findings) = check(&f.registry, false, true).await;
    assert_eq!(findings.len(), 2, "{findings:?}");
}

on_both_engines!(
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
    a_crash_in_the_last_step_of_a_push_leaves_an_orphan_and_no_fault,
    many_pages_are_read_to_the_end,
);
