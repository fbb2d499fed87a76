//! `lazuli scrub` beside a running server, and without one.

use lazuli_testkit::server::PASSWORD;

use crate::commands::{find_files, run};
use crate::support::{push, start, text};

#[test]
fn damage_is_found_beside_a_running_server_and_a_push_heals_it() {
    let mut server = start();
    let content = vec![3; 2 << 20];
    let digest = push(&server, "scrub/app", &content);
    let target = format!("/v2/scrub/app/blobs/{digest}");
    let status = || server.admin().send("HEAD", &target, &[], b"").status;
    let watched = run(&server, &["scrub", "run", "--watch"]);
    let said = text(&watched.stdout);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    assert!(
        said.contains("complete") && said.contains("0 damaged"),
        "{said}"
    );
    assert!(said.contains("2.0 MiB"), "{said}");

    let mut blobs = Vec::new();
    find_files(&server.data(), content.len() as u64, &mut blobs);
    let mut changed = content.clone();
    changed[1 << 20] ^= 1;
    std::fs::write(&blobs[0], &changed).unwrap();
    assert_eq!(status(), 200, "nobody has looked yet");
    let asked = run(&server, &["scrub", "run"]);
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    let watched = run(&server, &["scrub", "run", "--watch"]);
    assert_eq!(watched.status.code(), Some(4), "{}", text(&watched.stdout));
    assert_eq!(status(), 404);
    let state = text(&run(&server, &["scrub", "status"]).stdout);
    assert!(
        state.contains(&digest) || state.contains("1 waiting"),
        "{state}"
    );
    let metrics = text(&server.anonymous().get("/metrics").body);
    assert!(
        metrics.contains("lazuli_scrub_damaged_total 1\n"),
        "{metrics}"
    );

    push(&server, "scrub/app", &content);
    assert_eq!(status(), 200);
    assert!(server.stop());
    let alone = run(&server, &["scrub", "run"]);
    let said = text(&alone.stdout);
    assert!(alone.status.success(), "{said}{}", text(&alone.stderr));
    assert!(said.contains("0 damaged, 0 waiting"), "{said}");
    assert!(blobs[0].exists(), "what was damaged is kept");
    let state = text(&run(&server, &["scrub", "status"]).stdout);
    assert!(
        state.contains("last pass") && state.contains("complete"),
        "{state}"
    );
}

#[test]
fn what_is_damaged_is_fetched_from_another_registry() {
    let other = start();
    let mut server = start();
    let content = vec![5; 2 << 20];
    let digest = push(&server, "scrub/app", &content);
    let target = format!("/v2/scrub/app/blobs/{digest}");
    let mut blobs = Vec::new();
    find_files(&server.data(), content.len() as u64, &mut blobs);
    std::fs::write(&blobs[0], vec![6; content.len()]).unwrap();

    // Nobody has it: it stays damaged, and the log says why.
    let address = format!("http://{}", other.http());
    server.set_environment(&[
        ("LAZULI_SCRUB_PEER", &address),
        ("LAZULI_SCRUB_PEER_USER", "lazuli"),
        ("LAZULI_SCRUB_PEER_PASSWORD", PASSWORD),
    ]);
    server.restart();
    let watched = run(&server, &["scrub", "run", "--watch"]);
    assert_eq!(watched.status.code(), Some(4), "{}", text(&watched.stdout));
    assert!(server.log().contains("not fetched from the peer"));
    assert_eq!(server.admin().get(&target).status, 404);

    push(&other, "scrub/app", &content);
    let watched = run(&server, &["scrub", "run", "--watch"]);
    let said = text(&watched.stdout);
    assert!(watched.status.success(), "{said}{}", text(&watched.stderr));
    let healed = server.admin().get(&target);
    assert!(healed.status == 200 && healed.body == content);
}
