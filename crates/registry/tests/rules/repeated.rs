//! The closing request of an upload, sent again because its answer was lost.

use crate::common::*;
use crate::on_both_engines;
use lazuli_blobs::BlobStore as _;
use lazuli_identity::{RegistryId, testing};
use lazuli_registry::Error;
use lazuli_registry::uploads::Session;
use lazuli_wire::oci::{Algorithm, Digest, RepositoryName};

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 % 251) as u8).collect()
}

/// A session with all its bytes, and their digest.
async fn sent(f: &Fixture, bytes: &[u8]) -> (Session, Digest) {
    let fresh = f
        .registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    let mut body = Body::of(bytes);
    let session = f
        .registry
        .append_upload(&push("a"), request(&fresh), &mut body)
        .await;
    (session.unwrap(), Digest::of(Algorithm::Sha256, bytes))
}

async fn finish(f: &Fixture, session: &Session, digest: &Digest, body: &[u8]) -> Result<(), Error> {
    f.registry
        .finish_upload(&push("a"), request(session), digest, &mut Body::of(body))
        .await
}

async fn it_is_no_error_as_long_as_the_blob_is_there(f: Fixture) {
    for size in [10, 100_000] {
        let bytes = content(size);
        let (session, digest) = sent(&f, &bytes).await;
        for _ in 0..3 {
            finish(&f, &session, &digest, b"").await.unwrap();
        }
        // Another process, too, and with the bytes, which nobody needs.
        let other = f.restarted().await;
        let mut body = Body::of(&bytes);
        let again = other
            .finish_upload(&push("a"), request(&session), &digest, &mut body)
            .await;
        again.unwrap();
        assert_eq!(
            other.blob(&pull("a"), &digest).await.unwrap().size,
            size as u64
        );
        let id = "request".into();
        f.registry
            .delete_blob(&delete("a"), &digest, &id)
            .await
            .unwrap();
        let gone = finish(&f, &session, &digest, b"").await;
        assert!(matches!(gone, Err(Error::UploadUnknown)), "{gone:?}");
    }
}

async fn a_whole_blob_in_the_closing_request_may_be_sent_again(f: Fixture) {
    for size in [10, 100_000] {
        let bytes = content(size);
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let fresh = f
            .registry
            .start_upload(&push("a"), Algorithm::Sha256)
            .unwrap();
        finish(&f, &fresh, &digest, &bytes).await.unwrap();
        finish(&f, &fresh, &digest, &bytes).await.unwrap();
    }
}

async fn it_counts_for_the_same_digest_and_client_only(f: Fixture) {
    let (session, digest) = sent(&f, &content(100_000)).await;
    let other = push_blob(&f.registry, "a", b"another blob").await;
    finish(&f, &session, &digest, b"").await.unwrap();
    let wrong = finish(&f, &session, &other, b"").await;
    assert!(matches!(wrong, Err(Error::UploadUnknown)), "{wrong:?}");
    let stranger = testing::repository_access_of(
        &testing::anonymous(RegistryId::DEFAULT),
        &RepositoryName::parse("a").unwrap(),
    );
    for access in [stranger, push("b")] {
        let mut body = Body::empty();
        let asked = f
            .registry
            .finish_upload(&access, request(&session), &digest, &mut body)
            .await;
        assert!(matches!(asked, Err(Error::UploadUnknown)), "{asked:?}");
    }
    // Nor of a session that was ended otherwise, although the blob is there.
    let (cancelled, digest) = sent(&f, &content(100_000)).await;
    f.registry
        .cancel_upload(&push("a"), request(&cancelled))
        .await
        .unwrap();
    let after = finish(&f, &cancelled, &digest, b"").await;
    assert!(matches!(after, Err(Error::UploadUnknown)), "{after:?}");
}

async fn a_wrong_digest_is_refused_in_the_same_way(f: Fixture) {
    for size in [10, 100_000] {
        let (session, digest) = sent(&f, &content(size)).await;
        let wrong = Digest::of(Algorithm::Sha512, b"something else");
        for _ in 0..2 {
            let refused = finish(&f, &session, &wrong, b"").await;
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(&wrong.to_string()), "{said}");
        }
        // The session is over all the same.
        let right = finish(&f, &session, &digest, b"").await;
        assert!(matches!(right, Err(Error::UploadUnknown)), "{right:?}");
    }
}

/// Its node died between the last step of the store and the commit.
async fn what_the_store_made_a_blob_already_is_taken_as_it_is(f: Fixture) {
    let bytes = content(100_000);
    let (session, digest) = sent(&f, &bytes).await;
    let prefix = RegistryId::DEFAULT.get().to_string();
    f.store
        .finish(session.id, &prefix, &digest, bytes.len() as u64)
        .await
        .unwrap();
    // Not with another digest, nor with more bytes.
    let other = Digest::of(Algorithm::Sha256, b"x");
    for (digest, body) in [(&other, &b""[..]), (&digest, b"more")] {
        let refused = finish(&f, &session, digest, body).await;
        assert!(matches!(refused, Err(Error::UploadUnknown)), "{refused:?}");
    }
    finish(&f, &session, &digest, b"").await.unwrap();
    let (blob, _) = f.registry.open_blob(&pull("a"), &digest).await.unwrap();
    assert_eq!(blob.size, bytes.len() as u64);
}

on_both_engines! {
    it_is_no_error_as_long_as_the_blob_is_there,
    a_whole_blob_in_the_closing_request_may_be_sent_again,
    it_counts_for_the_same_digest_and_client_only,
    a_wrong_digest_is_refused_in_the_same_way,
    what_the_store_made_a_blob_already_is_taken_as_it_is,
}
