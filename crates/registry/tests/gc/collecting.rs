//! What stays and what goes.

use super::*;
use crate::on_both_engines;

async fn an_abandoned_blob_is_unlinked_condemned_and_deleted_each_after_its_wait(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    run(&gc).await;
    assert!(has_blob(&f.registry, "a", &digest).await, "leased");
    f.clock.advance(HOUR);
    let unlinked = run(&gc).await;
    assert_eq!(
        (unlinked.unlinked, unlinked.condemned, unlinked.deleted),
        (1, 1, 0)
    );
    assert!(!has_blob(&f.registry, "a", &digest).await);
    assert_eq!(files(&f.store).await, 1, "condemned, not deleted");
    let status = Gc::status(&f.registry).await.unwrap();
    assert_eq!(
        (status.condemned.blobs, status.condemned.bytes),
        (1, large("x").len() as u64)
    );
    f.clock.advance(59 * MINUTE);
    assert_eq!(run(&gc).await.deleted, 0);
    f.clock.advance(MINUTE);
    let deleted = run(&gc).await;
    assert_eq!(
        (deleted.deleted, deleted.freed_bytes),
        (1, large("x").len() as u64)
    );
    assert_eq!(files(&f.store).await, 0);
    let status = Gc::status(&f.registry).await.unwrap();
    assert!(!status.is_running && status.quiet_until.is_none());
    assert_eq!(status.last_run, Some(deleted));
    assert_eq!(
        (
            status.condemned.blobs,
            status.to_be_checked.blobs,
            status.to_be_removed.blobs
        ),
        (0, 0, 0)
    );
}

async fn a_small_blob_in_the_database_goes_the_same_way(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", b"small").await;
    assert!(has_blob(&f.registry, "a", &digest).await);
    f.clock.advance(HOUR);
    run(&gc).await;
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.freed_bytes, 5);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM blobs").await, 0);
}

async fn what_a_manifest_names_stays_until_the_manifest_is_deleted(f: Fixture) {
    let gc = gc(&f).await;
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    for _ in 0..3 {
        f.clock.advance(10 * HOUR);
        assert_eq!(run(&gc).await.unlinked, 0);
    }
    assert!(has_blob(&f.registry, "a", &layer).await);
    f.registry
        .delete_manifest(&delete("a"), &manifest, &"r".into())
        .await
        .unwrap();
    assert_eq!(run(&gc).await.unlinked, 2);
    assert!(!has_blob(&f.registry, "a", &layer).await);
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.deleted, 2);
    assert_eq!(
        (
            files(&f.store).await,
            count(&f, "SELECT COUNT(*) FROM blobs").await
        ),
        (0, 0)
    );
}

async fn a_layer_that_another_manifest_names_stays(f: Fixture) {
    let gc = gc(&f).await;
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let config = push_blob(&f.registry, "a", b"another config").await;
    put(
        &f.registry,
        "a",
        "v2",
        OCI,
        &image(&config, 14, &[(layer, 160)], ""),
    )
    .await
    .unwrap();
    f.registry
        .delete_manifest(&delete("a"), &manifest, &"r".into())
        .await
        .unwrap();
    f.clock.advance(10 * HOUR);
    assert_eq!(
        run(&gc).await.unlinked,
        1,
        "the first image's configuration"
    );
    assert!(has_blob(&f.registry, "a", &layer).await);
}

async fn deleting_a_repository_frees_what_no_other_has(f: Fixture) {
    let gc = gc(&f).await;
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    push_image(&f.registry, "b", "v1", "x").await;
    let (_, own) = push_image(&f.registry, "a", "v2", "y").await;
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    f.registry
        .delete_repository(&delete("a"), &"r".into())
        .await
        .unwrap();
    assert_eq!(run(&gc).await.unlinked, 4);
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.deleted, 2);
    assert!(has_blob(&f.registry, "b", &layer).await);
    assert!(!has_blob(&f.registry, "a", &layer).await && !has_blob(&f.registry, "b", &own).await);
}

async fn an_index_keeps_its_children_and_a_subject_its_referrers(f: Fixture) {
    let gc = gc(&f).await;
    let (child, layer) = push_image(&f.registry, "a", "child", "x").await;
    let child_size = f
        .registry
        .manifest(&pull("a"), &Reference::Digest(child))
        .await
        .unwrap()
        .body
        .len();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{OCI}","digest":"{child}","size":{child_size}}}]}}"#
    );
    put(&f.registry, "a", "index", INDEX, &index).await.unwrap();
    let config = push_blob(&f.registry, "a", b"{}").await;
    let subject =
        format!(r#","subject":{{"mediaType":"{OCI}","digest":"{child}","size":{child_size}}}"#);
    let body = image(&config, 2, &[], &subject);
    let referrer = Digest::of(Algorithm::Sha256, body.as_bytes());
    put(&f.registry, "a", &referrer.to_string(), OCI, &body)
        .await
        .unwrap();
    let untagged = lazuli_wire::oci::Tag::parse("child").unwrap();
    f.registry
        .delete_tag(&delete("a"), &untagged, &"r".into())
        .await
        .unwrap();
    for _ in 0..3 {
        f.clock.advance(10 * HOUR);
        run(&gc).await;
    }
    for digest in [child, referrer] {
        f.registry
            .manifest(&pull("a"), &Reference::Digest(digest))
            .await
            .unwrap();
    }
    assert!(has_blob(&f.registry, "a", &layer).await && has_blob(&f.registry, "a", &config).await);
}

async fn a_digest_affirmed_by_head_stays_for_the_lease(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(59 * MINUTE);
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    f.clock.advance(59 * MINUTE);
    run(&gc).await;
    // The client comes with its manifest just before the lease ends.
    let config = push_blob(&f.registry, "a", b"{}").await;
    put(
        &f.registry,
        "a",
        "v1",
        OCI,
        &image(&config, 2, &[(digest, large("x").len())], ""),
    )
    .await
    .unwrap();
    f.clock.advance(10 * HOUR);
    run(&gc).await;
    assert!(has_blob(&f.registry, "a", &digest).await);
}

async fn a_condemned_blob_that_is_pushed_again_is_condemned_no_more(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR);
    assert_eq!(run(&gc).await.condemned, 1);
    f.clock.advance(HOUR);
    // Due for deletion; the push comes first.
    assert_eq!(push_blob(&f.registry, "b", &large("x")).await, digest);
    assert_eq!(run(&gc).await.deleted, 0);
    assert!(has_blob(&f.registry, "b", &digest).await);
    assert_eq!(files(&f.store).await, 1, "the second copy was not kept");
}

async fn a_mounted_blob_outlives_its_source(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(59 * MINUTE);
    assert!(
        f.registry
            .mount_blob(&push("b"), &pull("a"), &digest)
            .await
            .unwrap()
    );
    f.clock.advance(MINUTE);
    let run = run(&gc).await;
    assert_eq!((run.unlinked, run.condemned), (1, 0));
    assert!(
        has_blob(&f.registry, "b", &digest).await && !has_blob(&f.registry, "a", &digest).await
    );
}

async fn a_blob_deleted_by_hand_is_freed_after_its_lease(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    f.registry
        .delete_blob(&delete("a"), &digest, &"r".into())
        .await
        .unwrap();
    assert_eq!(run(&gc).await.deleted, 0);
    for _ in 0..2 {
        f.clock.advance(HOUR);
        run(&gc).await;
    }
    assert_eq!(files(&f.store).await, 0);
}

async fn expired_uploads_are_ended_and_their_bytes_freed(f: Fixture) {
    let gc = gc(&f).await;
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let half = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&large("x")))
        .await
        .unwrap();
    assert!(f.store.upload_len(half.id).await.unwrap().is_some());
    f.clock.advance(24 * HOUR);
    run(&gc).await;
    assert!(
        f.registry.upload(&push("a"), request(&half)).await.is_ok(),
        "not yet"
    );
    f.clock.advance(MINUTE);
    run(&gc).await;
    assert_eq!(f.store.upload_len(half.id).await.unwrap(), None);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM uploads").await, 0);
    assert!(matches!(
        f.registry.upload(&push("a"), request(&half)).await,
        Err(Error::UploadUnknown)
    ));
}

async fn finished_and_cancelled_sessions_are_forgotten_in_the_end(f: Fixture) {
    let gc = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let half = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(&large("y")))
        .await
        .unwrap();
    f.registry
        .cancel_upload(&push("a"), request(&half))
        .await
        .unwrap();
    f.clock.advance(2 * HOUR);
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    run(&gc).await;
    assert_eq!(count(&f, "SELECT COUNT(*) FROM uploads").await, 0);
    assert!(has_blob(&f.registry, "a", &digest).await);
}

on_both_engines!(
    an_abandoned_blob_is_unlinked_condemned_and_deleted_each_after_its_wait,
    a_small_blob_in_the_database_goes_the_same_way,
    what_a_manifest_names_stays_until_the_manifest_is_deleted,
    a_layer_that_another_manifest_names_stays,
    deleting_a_repository_frees_what_no_other_has,
    an_index_keeps_its_children_and_a_subject_its_referrers,
    a_digest_affirmed_by_head_stays_for_the_lease,
    a_condemned_blob_that_is_pushed_again_is_condemned_no_more,
    a_mounted_blob_outlives_its_source,
    a_blob_deleted_by_hand_is_freed_after_its_lease,
    expired_uploads_are_ended_and_their_bytes_freed,
    finished_and_cancelled_sessions_are_forgotten_in_the_end,
);
