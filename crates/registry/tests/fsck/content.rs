//! Blobs and manifests whose bytes are missing or wrong, and leftovers.

use super::*;
use crate::on_both_engines;

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

on_both_engines!(
    a_sound_registry_has_no_findings,
    a_missing_file_is_found_and_a_push_heals_it,
    wrong_bytes_are_found_by_verifying_and_put_aside,
    a_good_copy_takes_the_place_of_a_damaged_file,
    a_file_that_was_cut_is_found_without_verifying,
    a_small_blob_with_wrong_bytes_is_found,
    rows_without_a_place_are_found,
);
