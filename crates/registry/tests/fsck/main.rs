//! fsck: every kind of damage is found, named, and repaired without destroying anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod content;
mod records;

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
    assert!(!findings.is_empty());
    // Leftovers are no fault.
    assert_eq!(summary.is_sound(), severity == Severity::Note);
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
