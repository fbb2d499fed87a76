//! How long upload sessions last.

use crate::common::*;
use crate::on_both_engines;
use lazuli_registry::Error;
use lazuli_wire::oci::Algorithm;

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

async fn an_unused_session_ends_with_the_period_for_all_sessions(f: Fixture) {
    let options = lazuli_registry::Options {
        upload_expiry: HOUR / 60,
        ..options()
    };
    let registry =
        lazuli_registry::Registry::open(f.db.clone(), f.store.clone(), f.clock.clone(), options)
            .await
            .unwrap();
    let unused = registry
        .start_upload(&push("a"), Algorithm::Sha256)
        .unwrap();
    f.clock.advance(HOUR / 120);
    assert!(registry.upload(&push("a"), request(&unused)).await.is_ok());
    f.clock.advance(HOUR / 60);
    let outcome = registry.upload(&push("a"), request(&unused)).await;
    assert!(matches!(outcome, Err(Error::UploadUnknown)), "{outcome:?}");
}

on_both_engines! {
    sessions_expire,
    an_unused_session_ends_with_the_period_for_all_sessions,
}
