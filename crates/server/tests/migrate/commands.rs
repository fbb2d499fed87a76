//! What an operator does, step by step.

use lazuli_testkit::http::Response;
use lazuli_testkit::server::Server;

use crate::places::*;

fn is_refused(answer: &Response, words: &str) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    let message = answer.json()["errors"][0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains(words), "{message}");
}

fn a_move(place: &Place) {
    let mut old = Server::start(LAZULI, &[]);
    let admin = old.admin();
    for seed in 1..=4 {
        push(&admin, seed, 300_000);
    }
    push(&admin, 5, 20);
    // Copied before, and again with what is new.
    let told = succeed(&mut migrate(&old, place, &["--prepare"]));
    assert!(told.contains("pass 1: 4 of 4 blobs copied"), "{told}");
    refused(
        place
            .server(&[])
            .command(&["serve"])
            .arg("--config")
            .arg(place.file()),
        "is not whole yet",
    );
    assert_eq!(
        admin
            .send("DELETE", "/v2/a/b/manifests/v1", &[], &[])
            .status,
        202
    );
    let gone = lazuli_wire::oci::Digest::of(lazuli_wire::oci::Algorithm::Sha256, &vec![2; 300_000]);
    push(&admin, 6, 200_000);
    let told = succeed(&mut migrate(&old, place, &["--verify"]));
    assert!(told.contains("pass 1: 1 of 5 blobs copied"), "{told}");
    assert!(told.contains("takes no writes"), "{told}");

    // The old place: pulls go on, nothing is written, not after a restart either. That an upload is refused before it begins
    // is known a second later.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for _ in 0..2 {
        let admin = old.admin();
        // As of the last time that it was asked.
        let is_closed = || {
            let metrics = admin.get("/metrics");
            String::from_utf8_lossy(&metrics.body).contains("\nlazuli_writes_closed 1\n")
        };
        let is_told = (0..300).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            is_closed()
        });
        assert!(is_told, "metrics do not tell");
        let ready = admin.get("/readyz");
        let text = String::from_utf8_lossy(&ready.body).into_owned();
        assert_eq!(ready.status, 200, "pulls are served: {text}");
        assert!(
            text.contains("database writes: ok; pushes and deletes are refused"),
            "{text}"
        );
        assert_eq!(pull(&admin, 6, 200_000), 200);
        is_refused(&try_blob(&admin, b"new"), "has been moved");
        is_refused(&try_manifest(&admin, 6, 200_000), "has been moved");
        let start = admin.send("POST", "/v2/a/b/blobs/uploads/", &[], &[]);
        is_refused(&start, "has been moved");
        let mount = format!("/v2/c/blobs/uploads/?mount={gone}&from=a/b");
        is_refused(&admin.send("POST", &mount, &[], &[]), "has been moved");
        for target in ["manifests/v2", "manifests/v5", &format!("blobs/{gone}")] {
            let target = format!("/v2/a/b/{target}");
            is_refused(&admin.send("DELETE", &target, &[], &[]), "has been moved");
        }
        old.restart();
    }
    assert!(old.log().contains("this registry was moved"));
    refused(
        &mut old.command(&["admin", "reset-password"]),
        "is being moved",
    );
    refused(&mut migrate(&old, place, &[]), "completely");

    // The new place has everything, the password too.
    let mut new = place.server(&[]);
    new.restart();
    let client = new.admin();
    let found: Vec<_> = (1..=6)
        .map(|seed| {
            pull(
                &client,
                seed,
                match seed {
                    5 => 20,
                    6 => 200_000,
                    _ => 300_000,
                },
            )
        })
        .collect();
    assert_eq!(found, [404, 200, 200, 200, 200, 200]);
    push(&client, 7, 100_000);
    new.stop();
    assert!(place.run(&new, &["fsck", "--verify"]).status.success());
    refused(&mut migrate(&old, place, &[]), "completely");

    // Back, without what was pushed there.
    let told = succeed(&mut old.command(&["migrate", "--abort"]));
    assert!(told.contains("Writes go on here"), "{told}");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    push(&old.admin(), 8, 100_000);
    assert_eq!(pull(&old.admin(), 7, 100_000), 404);
    refused(&mut migrate(&old, place, &[]), "not empty");
}

#[test]
fn a_registry_moves_to_another_folder() {
    a_move(&Place::folder());
}

#[test]
fn a_registry_moves_to_postgresql_and_a_bucket() {
    if let Some(place) = Place::shared() {
        a_move(&place);
    }
}

#[test]
fn a_place_that_is_the_same_or_anothers_is_refused() {
    let old = Server::start(LAZULI, &[]);
    push(&old.admin(), 1, 300_000);
    let place = Place::folder();
    let file = place.file();
    let path = file.to_str().unwrap().to_owned();
    let write = |text: String| std::fs::write(&file, text).unwrap();
    write(format!("data_dir = \"{}\"\n", old.data().display()));
    refused(
        &mut old.command(&["migrate", "--to", &path]),
        "the same database",
    );
    write(format!(
        "data_dir = \"{}\"\n[database]\nurl = \"postgres://nobody@127.0.0.1:1/x\"\n",
        old.data().display()
    ));
    refused(
        &mut old.command(&["migrate", "--to", &path]),
        "the same blobs",
    );
    // Nothing was paused by all that.
    push(&old.admin(), 2, 300_000);

    // One that another registry moves to, and one with another key.
    let other = Server::start(LAZULI, &[]);
    succeed(&mut migrate(&old, &place, &["--prepare"]));
    refused(
        &mut migrate(&other, &place, &["--prepare"]),
        "another master key",
    );
    std::fs::copy(
        old.data().join("master.key"),
        other.data().join("master.key"),
    )
    .unwrap();
    refused(&mut migrate(&other, &place, &["--prepare"]), "another move");
    push(&old.admin(), 3, 300_000);
}

#[test]
fn damaged_blobs_are_named_and_left_only_when_that_is_asked_for() {
    let old = Server::start(LAZULI, &[]);
    push(&old.admin(), 1, 300_000);
    push(&old.admin(), 2, 200_000);
    let sizes = |path: &std::path::PathBuf| path.metadata().unwrap().len() == 300_000;
    let file = blob_files(&old.data()).into_iter().find(sizes).unwrap();
    std::fs::write(&file, vec![7; 300_000]).unwrap();
    let place = Place::folder();
    refused(
        &mut migrate(&old, &place, &[]),
        "the bytes of 1 blobs cannot be read",
    );
    push(&old.admin(), 3, 200_000);
    succeed(&mut migrate(&old, &place, &["--leave-damaged"]));
    let mut new = place.server(&[]);
    new.restart();
    let client = new.admin();
    assert_eq!(
        (pull(&client, 1, 300_000), pull(&client, 2, 200_000)),
        (404, 200)
    );
    // Pushed again it is there again.
    push(&client, 1, 300_000);
    assert_eq!(pull(&client, 1, 300_000), 200);
}
