//! Two processes on one database and one bucket of Ceph's.

use std::time::Duration;

use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::Server;

use crate::stores::{self, Bucket};
use crate::support::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The bucket with the settings of nodes on that database.
pub(crate) fn shared(bucket: Bucket, database: &Database) -> Bucket {
    let parts = database.url();
    let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
    let url = format!(
        "postgres://postgres@{}/{}",
        part("host=").replace('/', "%2F"),
        part("dbname=")
    );
    bucket
        .with("LAZULI_DATABASE_URL", url)
        .with("LAZULI_DATABASE_CONNECTIONS", "6")
        .with("LAZULI_MASTER_KEY", KEY)
        .with("LAZULI_STORAGE_REDIRECT", "false")
}

#[test]
fn an_upload_in_parts_goes_from_one_to_the_other_and_is_pulled_from_both() {
    let (Some(database), Some(bucket)) = (Database::create(), stores::s3()) else {
        return;
    };
    let bucket = shared(bucket, &database);
    let (mut one, other) = (bucket.serve(), bucket.serve());
    // The steps of an upload, each at another node; the first of them is killed in between.
    let content = bytes(3 * LARGE, 60);
    let patch = |server: &Server, target: &str, start: usize, end: usize| {
        let range = format!("{start}-{}", end - 1);
        let headers = [OCTETS, ("Content-Range", &*range)];
        let response = server
            .admin()
            .send("PATCH", target, &headers, &content[start..end]);
        assert_eq!(response.status, 202, "{response:?}");
        location(&response)
    };
    let target = start(&one, "a");
    let target = patch(&one, &target, 0, LARGE);
    let target = patch(&other, &target, LARGE, LARGE + 10);
    let target = patch(&one, &target, LARGE + 10, 2 * LARGE);
    one.kill();
    let finished = finish(&other, &target, &content, &content[2 * LARGE..]);
    assert_eq!(finished.status, 201, "{finished:?}");
    one.restart();
    let blob = format!("/v2/a/blobs/{}", digest(&content));
    for server in [&one, &other] {
        assert!(server.admin().get(&blob).body == content);
    }
    assert_eq!(one.admin().delete(&blob).status, 202);
    assert_eq!(other.admin().get(&blob).status, 404);
}

/// Both clients are served the same session; what it becomes are the bytes of one of them, under their digest.
#[test]
fn two_clients_of_one_session_at_two_nodes_never_mix_their_bytes() {
    let (Some(database), Some(bucket)) = (Database::create(), stores::s3()) else {
        return;
    };
    let bucket = shared(bucket, &database);
    let nodes = [bucket.serve(), bucket.serve()];
    let mut stored = 0;
    for round in 0..12 {
        let size = [40_000, LARGE][round % 2];
        let target = start(&nodes[0], "a");
        let contents = [0, 1].map(|number| bytes(size, 70 + 2 * round as u64 + number));
        std::thread::scope(|scope| {
            for (late, (node, content)) in nodes.iter().zip(&contents).enumerate() {
                let target = &target;
                // From both at once to one after the other, which has to store the first one's.
                let wait = Duration::from_millis((late * round * round * 10) as u64);
                scope.spawn(move || {
                    std::thread::sleep(wait);
                    let chunk = &content[..size - 10];
                    let sent = node.admin().send("PATCH", target, &[OCTETS], chunk);
                    if sent.status == 202 {
                        finish(node, &location(&sent), content, &content[size - 10..]);
                    }
                });
            }
        });
        for content in &contents {
            for node in &nodes {
                let found = node
                    .admin()
                    .get(&format!("/v2/a/blobs/{}", digest(content)));
                match found.status {
                    200 => assert!(found.body == *content, "other bytes"),
                    status => assert_eq!(status, 404),
                }
                stored += u32::from(found.status == 200);
            }
        }
    }
    assert!(stored > 0);
}
