#![allow(clippy::unwrap_used)]
use lazuli_wire::oci::Algorithm;

use super::*;

const LATER: Tick = 1000;

fn digest(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, name.as_bytes())
}

/// A ledger with two manifests, the second of which refers to the first.
fn ledger() -> Ledger {
    let ledger = Ledger::new(Duration::from_secs(1000));
    ledger.with("r", |repository| {
        for (name, subject) in [("image", None), ("signature", Some(digest("image")))] {
            let manifest = Manifest {
                body: Arc::from(name.as_bytes()),
                media_type: "",
                blobs: vec![digest(&format!("{name} layer"))],
                subject,
                history: History::new(false),
                absent_rounds: 0,
            };
            repository.manifests.insert(digest(name), manifest);
            repository.know_blob(digest(&format!("{name} layer")), 1, false);
        }
    });
    ledger
}

fn sent(ledger: &Ledger, effects: &[Effect], outcome: Outcome) {
    let operation = ledger.begin("r", effects.to_vec());
    ledger.end(&operation, outcome);
}

fn push(ledger: &Ledger, name: &str, outcome: Outcome) {
    let effects = [
        Effect::Manifest(digest(name), true),
        Effect::Tag(name.to_owned(), Some(digest(name))),
    ];
    sent(ledger, &effects, outcome);
}

/// Whether the manifest, and the tag of its name, may be there and may not be there.
fn allowed(ledger: &Ledger, name: &str) -> [(bool, bool); 2] {
    let digest = digest(name);
    ledger.with("r", |repository| {
        [
            (
                repository.manifest_allows(&digest, true, LATER),
                repository.manifest_allows(&digest, false, LATER),
            ),
            (
                repository.tag_allows(name, Some(digest), LATER),
                repository.tag_allows(name, None, LATER),
            ),
        ]
    })
}

#[test]
fn an_acknowledged_push_is_there_and_an_unanswered_one_may_be() {
    let ledger = ledger();
    assert_eq!(allowed(&ledger, "image"), [(false, true); 2]);
    push(&ledger, "image", Outcome::Unknown);
    assert_eq!(allowed(&ledger, "image"), [(true, true); 2]);
    push(&ledger, "image", Outcome::Acknowledged);
    assert_eq!(allowed(&ledger, "image"), [(true, false); 2]);
}

#[test]
fn an_acknowledged_delete_takes_the_tags_and_the_referrers_along() {
    let ledger = ledger();
    push(&ledger, "image", Outcome::Acknowledged);
    push(&ledger, "signature", Outcome::Acknowledged);
    sent(
        &ledger,
        &[Effect::Manifest(digest("image"), false)],
        Outcome::Acknowledged,
    );
    assert_eq!(allowed(&ledger, "image"), [(false, true); 2]);
    assert_eq!(allowed(&ledger, "signature"), [(false, true); 2]);
    push(&ledger, "signature", Outcome::Acknowledged);
    assert_eq!(allowed(&ledger, "signature"), [(true, false); 2]);
}

#[test]
fn an_unanswered_delete_may_have_taken_them_along() {
    let ledger = ledger();
    push(&ledger, "image", Outcome::Acknowledged);
    push(&ledger, "signature", Outcome::Acknowledged);
    sent(
        &ledger,
        &[Effect::Manifest(digest("image"), false)],
        Outcome::Unknown,
    );
    assert_eq!(allowed(&ledger, "signature"), [(true, true); 2]);
}

#[test]
fn a_blob_stays_while_a_manifest_names_it_or_its_lease_holds() {
    let ledger = ledger();
    let (layer, now) = (digest("image layer"), Instant::now());
    let allowed = |at| {
        ledger.with("r", |repository| {
            [true, false].map(|present| repository.blob_allows(&layer, present, LATER, at))
        })
    };
    assert_eq!(allowed(now), [false, true]);
    sent(&ledger, &[Effect::Blob(layer, true)], Outcome::Acknowledged);
    assert_eq!(allowed(now), [true, false]);
    let after_lease = now + Duration::from_secs(2000);
    assert_eq!(allowed(after_lease), [true, true]);
    push(&ledger, "image", Outcome::Acknowledged);
    assert_eq!(allowed(after_lease), [true, false]);
}

#[test]
fn a_collected_blob_may_be_remembered_for_a_while_and_a_deleted_one_may_not() {
    let ledger = ledger();
    let (layer, now) = (digest("image layer"), Instant::now());
    let allowed = |at| {
        ledger.with("r", |repository| {
            [true, false].map(|present| repository.blob_allows(&layer, present, LATER, at))
        })
    };
    ledger.with("r", |repository| {
        repository.blobs.get_mut(&layer).unwrap().collected = Some(now);
    });
    assert_eq!(allowed(now), [true, true]);
    assert_eq!(allowed(now + Duration::from_secs(100)), [false, true]);
    sent(&ledger, &[Effect::Blob(layer, true)], Outcome::Acknowledged);
    sent(
        &ledger,
        &[Effect::Blob(layer, false)],
        Outcome::Acknowledged,
    );
    assert_eq!(allowed(now), [false, true]);
}
