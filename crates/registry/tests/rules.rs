//! The rules of repositories, manifests, tags, blobs and uploads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_identity::{RegistryId, testing};
use lazuli_registry::Error;
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::listing::PageRequest;
use lazuli_registry::uploads::SessionRequest;
use lazuli_wire::oci::{Algorithm, Digest, Reference, RepositoryName, Tag};

const ALL: PageRequest<'static> = PageRequest {
    last: None,
    limit: 1000,
};

async fn a_manifest_comes_back_byte_for_byte_by_tag_and_digest(f: Fixture) {
    let (digest, _) = push_image(&f.registry, "a", "v1", "x").await;
    for reference in [tag("v1"), Reference::Digest(digest)] {
        for _ in 0..2 {
            let found = f.registry.manifest(&pull("a"), &reference).await.unwrap();
            assert_eq!(found.digest, digest);
            assert_eq!(Digest::of(Algorithm::Sha256, &found.body), digest);
            assert_eq!(&found.media_type[..], OCI.as_bytes());
        }
        assert!(f.registry.cached_manifest(&pull("a"), &reference).is_some());
    }
    assert!(matches!(
        f.registry.manifest(&pull("a"), &tag("v2")).await,
        Err(Error::ManifestUnknown)
    ));
    assert!(matches!(
        f.registry.manifest(&pull("b"), &tag("v1")).await,
        Err(Error::NameUnknown)
    ));
}

async fn a_moved_or_deleted_tag_is_never_answered_from_memory(f: Fixture) {
    let (first, _) = push_image(&f.registry, "a", "v1", "x").await;
    assert_eq!(
        f.registry
            .manifest(&pull("a"), &tag("v1"))
            .await
            .unwrap()
            .digest,
        first
    );
    let (second, _) = push_image(&f.registry, "a", "v1", "y").await;
    assert_ne!(first, second);
    assert_eq!(
        f.registry
            .manifest(&pull("a"), &tag("v1"))
            .await
            .unwrap()
            .digest,
        second
    );
    f.registry
        .delete_tag(&delete("a"), &Tag::parse("v1").unwrap(), &"r".into())
        .await
        .unwrap();
    assert!(matches!(
        f.registry.manifest(&pull("a"), &tag("v1")).await,
        Err(Error::ManifestUnknown)
    ));
    assert!(
        f.registry
            .manifest(&pull("a"), &Reference::Digest(second))
            .await
            .is_ok()
    );
    let twice = f
        .registry
        .delete_tag(&delete("a"), &Tag::parse("v1").unwrap(), &"r".into())
        .await;
    assert!(matches!(twice, Err(Error::TagUnknown)));
}

async fn readers_never_see_a_tag_move_back_while_it_is_pushed(f: Fixture) {
    let mut order = Vec::new();
    for i in 0..20 {
        order.push(push_image(&f.registry, "a", "seed", &i.to_string()).await.0);
    }
    push_image(&f.registry, "a", "t", "0").await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (registry, order) = (f.registry.clone(), order.clone());
            tokio::spawn(async move {
                let mut newest = 0;
                while newest < order.len() - 1 {
                    let digest = registry
                        .manifest(&pull("a"), &tag("t"))
                        .await
                        .unwrap()
                        .digest;
                    let at = order.iter().position(|d| *d == digest).unwrap();
                    assert!(at >= newest, "went back from {newest} to {at}");
                    newest = at;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for i in 0..20 {
        let (digest, _) = push_image(&f.registry, "a", "t", &i.to_string()).await;
        assert_eq!(
            f.registry
                .manifest(&pull("a"), &tag("t"))
                .await
                .unwrap()
                .digest,
            digest,
            "own write must be read"
        );
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn a_deleted_manifest_takes_its_tags_and_its_referrers_with_it(f: Fixture) {
    let (subject, _) = push_image(&f.registry, "a", "v1", "x").await;
    let body = f
        .registry
        .manifest(&pull("a"), &tag("v1"))
        .await
        .unwrap()
        .body
        .clone();
    put(
        &f.registry,
        "a",
        "v2",
        OCI,
        std::str::from_utf8(&body).unwrap(),
    )
    .await
    .unwrap();
    let config = push_blob(&f.registry, "a", b"{}").await;
    let extra = format!(
        r#","subject":{{"mediaType":"{OCI}","digest":"{subject}","size":{}}},"annotations":{{"k":"v"}}"#,
        body.len()
    );
    let signature = put(
        &f.registry,
        "a",
        "sig",
        OCI,
        &image(&config, 2, &[], &extra),
    )
    .await
    .unwrap();
    assert_eq!(signature.subject, Some(subject));
    let found = f
        .registry
        .referrers(&pull("a"), &subject, None, None, 10)
        .await
        .unwrap();
    assert_eq!(
        found.items.iter().map(|r| r.digest).collect::<Vec<_>>(),
        [signature.digest]
    );
    assert_eq!(
        found.items[0].artifact_type.as_deref(),
        Some("application/vnd.oci.image.config.v1+json")
    );
    assert_eq!(found.items[0].annotations.as_deref(), Some(r#"{"k":"v"}"#));

    let removed = f
        .registry
        .delete_manifest(&delete("a"), &subject, &"r".into())
        .await
        .unwrap();
    assert_eq!(removed.manifests, [subject, signature.digest]);
    assert_eq!(
        removed.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        ["v1", "v2", "sig"]
    );
    assert!(
        f.registry
            .referrers(&pull("a"), &subject, None, None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        f.registry
            .tags(&pull("a"), ALL)
            .await
            .unwrap()
            .names
            .is_empty()
    );
    let catalog = f
        .registry
        .catalog(&testing::catalog_access(RegistryId::DEFAULT), ALL)
        .await
        .unwrap();
    assert!(
        catalog.names.is_empty(),
        "a repository without manifests is not listed"
    );
}

async fn a_manifest_that_names_absent_blobs_is_refused_and_nothing_is_stored(f: Fixture) {
    push_image(&f.registry, "other", "v1", "x").await;
    let config = push_blob(&f.registry, "a", b"{}").await;
    let elsewhere = Digest::of(Algorithm::Sha256, "layer x ".repeat(20).as_bytes());
    let refused = put(
        &f.registry,
        "a",
        "v1",
        OCI,
        &image(&config, 2, &[(elsewhere, 160)], ""),
    )
    .await;
    assert!(
        matches!(refused, Err(Error::ManifestBlobUnknown(missing)) if missing == [elsewhere]),
        "a blob of another repository does not count"
    );
    assert!(
        f.registry
            .tags(&pull("a"), ALL)
            .await
            .unwrap()
            .names
            .is_empty()
    );
}

async fn pages_of_tags_and_repositories_follow_each_other_and_see_every_write(f: Fixture) {
    for name in ["c", "a", "b", "b/x", "B".to_lowercase().as_str()] {
        push_image(&f.registry, name, "v1", name).await;
    }
    let catalog = testing::catalog_access(RegistryId::DEFAULT);
    let page = f
        .registry
        .catalog(
            &catalog,
            PageRequest {
                last: None,
                limit: 2,
            },
        )
        .await
        .unwrap();
    assert_eq!((page.names.join(","), page.more), ("a,b".into(), true));
    let page = f
        .registry
        .catalog(
            &catalog,
            PageRequest {
                last: Some("b"),
                limit: 2,
            },
        )
        .await
        .unwrap();
    assert_eq!((page.names.join(","), page.more), ("b/x,c".into(), false));
    push_image(&f.registry, "d", "v1", "d").await;
    let page = f
        .registry
        .catalog(
            &catalog,
            PageRequest {
                last: Some("b"),
                limit: 2,
            },
        )
        .await
        .unwrap();
    assert_eq!((page.names.join(","), page.more), ("b/x,c".into(), true));

    for name in ["z", "Z", "_a", "1.0", "1.0-rc"] {
        push_image(&f.registry, "a", name, "a").await;
    }
    let tags = f.registry.tags(&pull("a"), ALL).await.unwrap();
    assert_eq!(tags.names.join(","), "1.0,1.0-rc,Z,_a,v1,z");
    f.registry
        .delete_tag(&delete("a"), &Tag::parse("Z").unwrap(), &"r".into())
        .await
        .unwrap();
    assert_eq!(
        f.registry
            .tags(&pull("a"), ALL)
            .await
            .unwrap()
            .names
            .join(","),
        "1.0,1.0-rc,_a,v1,z"
    );
    assert!(matches!(
        f.registry.tags(&pull("nope"), ALL).await,
        Err(Error::NameUnknown)
    ));
}

async fn an_upload_in_chunks_survives_a_restart_with_its_hash(f: Fixture) {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i * 7) as u8).collect();
        let digest = Digest::of(algorithm, &bytes);
        let mut session = f.registry.start_upload(&push("a"), algorithm).unwrap();
        let mut registry = f.registry.clone();
        for (i, chunk) in bytes.chunks(41_000).enumerate() {
            let start = (i * 41_000) as u64;
            let range = Some((start, start + chunk.len() as u64 - 1));
            session = registry
                .append_upload(
                    &push("a"),
                    SessionRequest {
                        range,
                        ..request(&session)
                    },
                    &mut Body::streamed(chunk, 999),
                )
                .await
                .unwrap();
            assert_eq!(session.size, start + chunk.len() as u64);
            registry = f.restarted().await;
            assert_eq!(
                registry
                    .upload(&push("a"), request(&session))
                    .await
                    .unwrap()
                    .size,
                session.size
            );
        }
        registry
            .finish_upload(&push("a"), request(&session), &digest, &mut Body::empty())
            .await
            .unwrap();
        let blob = registry.blob(&pull("a"), &digest).await.unwrap();
        assert_eq!(blob.size, bytes.len() as u64);
        assert!(
            matches!(
                registry.upload(&push("a"), request(&session)).await,
                Err(Error::UploadUnknown)
            ),
            "over"
        );
    }
}

async fn the_other_algorithm_may_be_named_at_the_end(f: Fixture) {
    for len in [0, 10, 100_000] {
        let bytes = vec![5; len];
        let digest = Digest::of(Algorithm::Sha512, &bytes);
        let session = f
            .registry
            .start_upload(&push("a"), Algorithm::Sha256)
            .unwrap();
        let session = f
            .registry
            .append_upload(&push("a"), request(&session), &mut Body::of(&bytes))
            .await
            .unwrap();
        f.registry
            .finish_upload(&push("a"), request(&session), &digest, &mut Body::empty())
            .await
            .unwrap();
        let blob = f.registry.blob(&pull("a"), &digest).await.unwrap();
        assert_eq!(blob.size, len as u64);
        if let BlobBytes::Memory(stored) = f.registry.blob_bytes(&blob).await.unwrap() {
            assert_eq!(stored, bytes);
        }
    }
}

async fn a_chunk_out_of_order_is_refused_and_the_session_unharmed(f: Fixture) {
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let late = SessionRequest {
        range: Some((5, 9)),
        ..request(&session)
    };
    assert!(matches!(
        f.registry
            .append_upload(&push("a"), late, &mut Body::of(b"56789"))
            .await,
        Err(Error::RangeInvalid { expected: 0 })
    ));
    let session = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(b"01234"))
        .await
        .unwrap();
    let wrong = SessionRequest {
        range: Some((6, 9)),
        ..request(&session)
    };
    let digest = Digest::of(Algorithm::Sha256, b"0123456789");
    let refused = f
        .registry
        .finish_upload(&push("a"), wrong, &digest, &mut Body::of(b"6789"))
        .await;
    assert!(matches!(refused, Err(Error::RangeInvalid { expected: 5 })));
    let lying = SessionRequest {
        range: Some((5, 9)),
        ..request(&session)
    };
    assert!(matches!(
        f.registry
            .append_upload(&push("a"), lying, &mut Body::of(b"567"))
            .await,
        Err(Error::SizeInvalid(_))
    ));
    f.registry
        .finish_upload(&push("a"), lying, &digest, &mut Body::of(b"56789"))
        .await
        .unwrap();
    assert!(f.registry.blob(&pull("a"), &digest).await.is_ok());
}

async fn a_wrong_digest_stores_nothing_and_ends_the_session(f: Fixture) {
    for len in [10, 100_000] {
        let (bytes, wrong) = (
            vec![1; len],
            Digest::of(Algorithm::Sha256, b"something else"),
        );
        let session = f
            .registry
            .start_upload(&push("a"), Algorithm::Sha256)
            .unwrap();
        let refused = f
            .registry
            .finish_upload(&push("a"), request(&session), &wrong, &mut Body::of(&bytes))
            .await;
        assert!(
            matches!(refused, Err(Error::DigestMismatch { expected, .. }) if expected == wrong)
        );
        assert!(matches!(
            f.registry.upload(&push("a"), request(&session)).await,
            Err(Error::UploadUnknown)
        ));
        assert!(
            f.registry
                .blob(&pull("a"), &Digest::of(Algorithm::Sha256, &bytes))
                .await
                .is_err()
        );
        assert!(matches!(
            f.registry
                .push_blob(&push("a"), &wrong, &mut Body::of(&bytes))
                .await,
            Err(Error::DigestMismatch { .. })
        ));
    }
}

async fn what_arrived_before_the_client_went_away_need_not_be_sent_again(f: Fixture) {
    let bytes = vec![9; 50_000];
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let broken = f
        .registry
        .append_upload(
            &push("a"),
            request(&session),
            &mut Body::broken(&bytes[..20_000]),
        )
        .await;
    assert!(matches!(broken, Err(Error::BodyIncomplete)));
    let session = f
        .registry
        .upload(&push("a"), request(&session))
        .await
        .unwrap();
    assert_eq!(session.size, 20_000);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    f.registry
        .finish_upload(
            &push("a"),
            request(&session),
            &digest,
            &mut Body::of(&bytes[20_000..]),
        )
        .await
        .unwrap();
    assert!(f.registry.blob(&pull("a"), &digest).await.is_ok());
}

async fn a_session_belongs_to_its_repository_and_principal(f: Fixture) {
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let stored = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(b"abc"))
        .await
        .unwrap();
    let stranger = testing::repository_access_of(
        &testing::anonymous(RegistryId::DEFAULT),
        &RepositoryName::parse("a").unwrap(),
    );
    for asked in [&session, &stored] {
        assert!(matches!(
            f.registry.upload(&push("b"), request(asked)).await,
            Err(Error::UploadUnknown)
        ));
        assert!(matches!(
            f.registry.upload(&stranger, request(asked)).await,
            Err(Error::UploadUnknown)
        ));
    }
    f.registry
        .cancel_upload(&push("a"), request(&stored))
        .await
        .unwrap();
    for asked in [&session, &stored] {
        assert!(
            matches!(
                f.registry.upload(&push("a"), request(asked)).await,
                Err(Error::UploadUnknown)
            ),
            "cancelled"
        );
    }
}

async fn a_cancelled_fresh_session_stays_cancelled(f: Fixture) {
    let session = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    f.registry
        .cancel_upload(&push("a"), request(&session))
        .await
        .unwrap();
    let again = f
        .registry
        .append_upload(&push("a"), request(&session), &mut Body::of(b"abc"))
        .await;
    assert!(matches!(again, Err(Error::UploadUnknown)));
}

async fn sessions_expire(f: Fixture) {
    let unused = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let used = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let used = f
        .registry
        .append_upload(&push("a"), request(&used), &mut Body::of(b"abc"))
        .await
        .unwrap();
    f.clock.advance(2 * HOUR);
    assert!(matches!(
        f.registry.upload(&push("a"), request(&unused)).await,
        Err(Error::UploadUnknown)
    ));
    assert!(f.registry.upload(&push("a"), request(&used)).await.is_ok());
    f.clock.advance(23 * HOUR);
    assert!(matches!(
        f.registry.upload(&push("a"), request(&used)).await,
        Err(Error::UploadUnknown)
    ));
}

async fn a_mount_needs_a_source_that_holds_the_blob(f: Fixture) {
    let digest = push_blob(&f.registry, "a", &[7; 1000]).await;
    assert!(
        !f.registry
            .mount_blob(&push("b"), &pull("c"), &digest)
            .await
            .unwrap()
    );
    assert!(matches!(
        f.registry.blob(&pull("b"), &digest).await,
        Err(Error::NameUnknown)
    ));
    assert_eq!(
        f.registry
            .mount_candidates(&push("b"), &digest)
            .await
            .unwrap(),
        [RepositoryName::parse("a").unwrap()]
    );
    assert!(
        f.registry
            .mount_blob(&push("b"), &pull("a"), &digest)
            .await
            .unwrap()
    );
    assert!(f.registry.blob(&pull("b"), &digest).await.is_ok());
    f.registry.delete_blob(&delete("a"), &digest).await.unwrap();
    assert!(matches!(
        f.registry.blob(&pull("a"), &digest).await,
        Err(Error::BlobUnknown)
    ));
    assert!(
        f.registry.blob(&pull("b"), &digest).await.is_ok(),
        "the other repository keeps its blob"
    );
    assert!(matches!(
        f.registry.delete_blob(&delete("a"), &digest).await,
        Err(Error::BlobUnknown)
    ));
}

async fn a_head_renews_the_lease_once_per_half_lease(f: Fixture) {
    let digest = push_blob(&f.registry, "a", &[7; 1000]).await;
    let before = f.db.stats().transactions;
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    assert_eq!(
        f.db.stats().transactions,
        before,
        "a fresh lease is not written again"
    );
    f.clock.advance(HOUR - HOUR / 4);
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    assert_eq!(f.db.stats().transactions, before + 1);
}

async fn a_blob_cannot_outgrow_its_limit_in_many_chunks(f: Fixture) {
    let options = lazuli_registry::Options {
        blob_max: 5000,
        ..options()
    };
    let registry =
        lazuli_registry::Registry::open(f.db.clone(), f.store.clone(), f.clock.clone(), options)
            .await
            .unwrap();
    let mut session = registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    for _ in 0..2 {
        session = registry
            .append_upload(
                &push("a"),
                request(&session),
                &mut Body::streamed(&[1; 2000], 300),
            )
            .await
            .unwrap();
    }
    for body in [Body::of(&[1; 2000]), Body::streamed(&[1; 2000], 300)] {
        let mut body = body;
        let refused = registry
            .append_upload(&push("a"), request(&session), &mut body)
            .await;
        assert!(matches!(refused, Err(Error::BodyTooLarge(5000))));
        session = registry
            .upload(&push("a"), request(&session))
            .await
            .unwrap();
        assert!(session.size <= 5000);
    }
}

async fn a_blob_whose_bytes_are_gone_is_unknown_until_a_push_heals_it(f: Fixture) {
    use lazuli_blobs::BlobStore as _;
    let bytes = vec![3; 9000];
    let digest = push_blob(&f.registry, "a", &bytes).await;
    let mut lister = f.store.list();
    while let Some(batch) = lister.next().await.unwrap() {
        for entry in batch {
            if let lazuli_blobs::Listed::Blob(entry) = entry {
                f.store.remove(&entry.location).await.unwrap();
            }
        }
    }
    let registry = f.restarted().await;
    assert!(matches!(
        registry.affirm_blob(&pull("a"), &digest).await,
        Err(Error::BlobUnknown)
    ));
    let blob = registry.blob(&pull("a"), &digest).await.unwrap();
    assert!(matches!(
        registry.blob_bytes(&blob).await,
        Err(Error::Damaged)
    ));
    push_blob(&registry, "a", &bytes).await;
    let blob = registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    assert!(registry.blob_bytes(&blob).await.is_ok());
}

async fn a_push_may_demand_what_the_tag_names_now(f: Fixture) {
    let (first, _) = push_image(&f.registry, "a", "v1", "x").await;
    let (second, _) = push_image(&f.registry, "a", "v2", "y").await;
    let body = f
        .registry
        .manifest(&pull("a"), &tag("v2"))
        .await
        .unwrap()
        .body
        .clone();
    for (expected, works) in [(second, false), (first, true), (first, false)] {
        let new = lazuli_registry::manifests::NewManifest {
            reference: tag("v1"),
            content_type: Some(OCI.into()),
            body: body.clone(),
            tags: Vec::new(),
            expected: Some(expected),
        };
        let result = f.registry.put_manifest(&push("a"), new, &"r".into()).await;
        assert_eq!(result.is_ok(), works, "{result:?}");
    }
}

on_both_engines! {
    a_manifest_comes_back_byte_for_byte_by_tag_and_digest,
    a_moved_or_deleted_tag_is_never_answered_from_memory,
    readers_never_see_a_tag_move_back_while_it_is_pushed,
    a_deleted_manifest_takes_its_tags_and_its_referrers_with_it,
    a_manifest_that_names_absent_blobs_is_refused_and_nothing_is_stored,
    pages_of_tags_and_repositories_follow_each_other_and_see_every_write,
    an_upload_in_chunks_survives_a_restart_with_its_hash,
    the_other_algorithm_may_be_named_at_the_end,
    a_chunk_out_of_order_is_refused_and_the_session_unharmed,
    a_wrong_digest_stores_nothing_and_ends_the_session,
    what_arrived_before_the_client_went_away_need_not_be_sent_again,
    a_session_belongs_to_its_repository_and_principal,
    a_cancelled_fresh_session_stays_cancelled,
    sessions_expire,
    a_mount_needs_a_source_that_holds_the_blob,
    a_head_renews_the_lease_once_per_half_lease,
    a_push_may_demand_what_the_tag_names_now,
    a_blob_cannot_outgrow_its_limit_in_many_chunks,
    a_blob_whose_bytes_are_gone_is_unknown_until_a_push_heals_it,
}
