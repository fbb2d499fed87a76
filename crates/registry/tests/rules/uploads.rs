//! Upload sessions, and what becomes of them.

use std::sync::Arc;

use crate::common::*;
use crate::on_both_engines;
use lazuli_blobs::BlobStore as _;
use lazuli_identity::{RegistryId, testing};
use lazuli_registry::Error;
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::uploads::SessionRequest;
use lazuli_wire::oci::{Algorithm, Digest, RepositoryName};

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
        assert!(matches!(refused, Err(Error::DigestMismatch(found)) if found.expected == wrong));
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
            Err(Error::DigestMismatch(_))
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

/// Chunked transfer: how long a chunk is, is only seen when it is over.
/// Clients that stream do not say how much will come, so that the disk may end in the middle.
async fn a_stream_that_does_not_fit_leaves_nothing_behind(f: Fixture) {
    let store = Arc::new(lazuli_blobs::MemoryStore::with_capacity(10_000));
    let registry =
        lazuli_registry::Registry::open(f.db.clone(), store.clone(), f.clock.clone(), options())
            .await
            .unwrap();
    let may_push = push("a");
    for before in [0, 20, 2000] {
        let mut session = registry.start_upload(&may_push, Algorithm::Sha256).unwrap();
        if before > 0 {
            let mut body = Body::of(&vec![1; before]);
            let appended = registry.append_upload(&may_push, request(&session), &mut body);
            session = appended.await.unwrap();
        }
        let free = store.free_space().unwrap();
        let mut endless = Body::streamed(&vec![7; 30_000], 500);
        let refused = registry
            .append_upload(&may_push, request(&session), &mut endless)
            .await;
        assert!(matches!(refused, Err(Error::OutOfSpace)), "{refused:?}");
        assert_eq!(store.free_space().unwrap(), free, "after {before} bytes");
        let now = registry.upload(&may_push, request(&session)).await.unwrap();
        assert_eq!(now.size, before as u64);
        // There is room for others at once.
        let small = vec![before as u8; 1000];
        let digest = Digest::of(Algorithm::Sha256, &small);
        let mut body = Body::of(&small);
        let pushed = registry.push_blob(&may_push, &digest, &mut body);
        pushed.await.unwrap();
    }
}

async fn a_chunk_longer_than_it_says_is_not_kept(f: Fixture) {
    let bytes: Vec<u8> = (0..3000_u32).map(|i| i as u8).collect();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let may_push = push("a");
    // In memory (and its row) at first, in the store later.
    for kept in [0, 20, 1000] {
        let mut session = f
            .registry
            .start_upload(&may_push, Algorithm::Sha256)
            .unwrap();
        if kept > 0 {
            let mut body = Body::of(&bytes[..kept]);
            let appended = f
                .registry
                .append_upload(&may_push, request(&session), &mut body);
            session = appended.await.unwrap();
        }
        let lying = SessionRequest {
            range: Some((kept as u64, kept as u64 + 9)),
            ..request(&session)
        };
        for _ in 0..2 {
            let mut body = Body::streamed(&bytes[kept..kept + 500], 100);
            let refused = f.registry.append_upload(&may_push, lying, &mut body).await;
            assert!(matches!(refused, Err(Error::SizeInvalid(_))), "{refused:?}");
            let mut body = Body::streamed(&bytes[kept..kept + 500], 100);
            let refused = f
                .registry
                .finish_upload(&may_push, lying, &digest, &mut body)
                .await;
            assert!(matches!(refused, Err(Error::SizeInvalid(_))), "{refused:?}");
            // Not even for a while: others may need the space.
            let stored = f.store.upload_len(session.id).await.unwrap();
            assert_eq!(stored, (kept >= 1000).then_some(1000), "{kept}");
        }
        let now = f
            .restarted()
            .await
            .upload(&may_push, request(&session))
            .await
            .unwrap();
        assert_eq!(now.size, kept as u64);
        let mut rest = Body::of(&bytes[kept..]);
        let finished = f
            .registry
            .finish_upload(&may_push, request(&session), &digest, &mut rest);
        finished.await.unwrap();
    }
}

on_both_engines! {
    a_stream_that_does_not_fit_leaves_nothing_behind,
    a_chunk_longer_than_it_says_is_not_kept,
    an_upload_in_chunks_survives_a_restart_with_its_hash,
    the_other_algorithm_may_be_named_at_the_end,
    a_chunk_out_of_order_is_refused_and_the_session_unharmed,
    a_wrong_digest_stores_nothing_and_ends_the_session,
    what_arrived_before_the_client_went_away_need_not_be_sent_again,
    a_session_belongs_to_its_repository_and_principal,
    a_cancelled_fresh_session_stays_cancelled,
    a_blob_cannot_outgrow_its_limit_in_many_chunks,
}
