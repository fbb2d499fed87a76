//! Three nodes, of which the kernel cuts one off from the database, the bucket or both, for longer than its leases: no
//! packet passes, and no connection is ever closed. The others go on; the one that was cut off answers nothing old, and
//! knows everything when it comes back.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(
    clippy::disallowed_methods,
    reason = "the test waits for real processes"
)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use lazuli_testkit::cable::{self, Cable};
use lazuli_testkit::http::{Connection, Response};
use lazuli_testkit::object_stores::rgw::{REGION, Rgw};
use lazuli_testkit::postgres::Node;
use lazuli_testkit::server::{PASSWORD, Server, basic};
use lazuli_wire::oci::{Algorithm, Digest};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Longer than the lease of the sequencer, ten seconds.
const CUT: Duration = Duration::from_secs(14);
/// How long a request may wait for packets that do not come.
const PATIENCE: Duration = Duration::from_secs(45);

struct Group {
    database: Node,
    bucket: Rgw,
    cables: Vec<Cable>,
    nodes: Vec<Server>,
    folder: tempfile::TempDir,
}

/// Where metadata and blobs are.
#[derive(Clone, Copy)]
enum Engines {
    Database,
    Bucket,
    Both,
}

impl Group {
    /// `None`: this machine lacks PostgreSQL or Ceph, which was said.
    fn start() -> Option<Self> {
        let (database, bucket) = (Node::start()?, Rgw::start()?);
        database.create_database("lazuli");
        let_in(&database);
        bucket.create_bucket("cut");
        let folder = tempfile::tempdir().unwrap();
        let mut group = Self {
            database,
            bucket,
            cables: (0..3).map(Cable::lay).collect(),
            nodes: Vec::new(),
            folder,
        };
        for number in 0..3 {
            let node = group.node(number);
            group.nodes.push(node);
            // The last one is alone at first, so that it has the lease of the sequencer.
            group.nodes[number].restart();
        }
        group.nodes.reverse();
        group.cables.reverse();
        Some(group)
    }

    fn node(&self, number: usize) -> Server {
        let cable = &self.cables[number];
        let folder = self.folder.path().join(number.to_string());
        let database = cable.address_of(self.database.address());
        let database = format!("postgres://postgres@{database}/lazuli");
        let endpoint = format!("http://{}", cable.address_of(self.bucket.address()));
        let settings = [
            ("LAZULI_DATABASE_URL", database.as_str()),
            ("LAZULI_DATABASE_CONNECTIONS", "6"),
            ("LAZULI_MASTER_KEY", KEY),
            ("LAZULI_STORAGE_URL", "s3://cut/blobs"),
            ("LAZULI_STORAGE_ENDPOINT", &endpoint),
            ("LAZULI_STORAGE_REGION", REGION),
            ("LAZULI_STORAGE_ACCESS_KEY", self.bucket.access_key()),
            ("LAZULI_STORAGE_SECRET_KEY", self.bucket.secret_key()),
            ("LAZULI_STORAGE_REDIRECT", "false"),
            ("LAZULI_STORAGE_INLINE_BLOB_MAX", "4096"),
            ("LAZULI_GC_INTERVAL", "1s"),
            ("LAZULI_LEASES_DURATION", "30s"),
        ];
        cable.server(Path::new(env!("CARGO_BIN_EXE_lazuli")), &folder, &settings)
    }

    fn engines(&self, which: Engines) -> Vec<SocketAddr> {
        let (database, bucket) = (self.database.address(), self.bucket.address());
        match which {
            Engines::Database => vec![database],
            Engines::Bucket => vec![bucket],
            Engines::Both => vec![database, bucket],
        }
    }

    fn holder_of_the_sequencer(&self) -> String {
        let lease = self.lease_of_the_sequencer();
        lease.split('|').next().unwrap().to_owned()
    }

    /// Who has it, and until when.
    fn lease_of_the_sequencer(&self) -> String {
        let sql = "SELECT holder, expires_at FROM leases WHERE name LIKE 'sequencer/%'";
        self.database.psql("lazuli", sql).unwrap().trim().to_owned()
    }
}

/// PostgreSQL takes connections from the nodes' networks, too.
fn let_in(database: &Node) {
    let file = database.psql("lazuli", "SHOW hba_file").unwrap();
    let mut file = std::fs::File::options()
        .append(true)
        .open(file.trim())
        .unwrap();
    writeln!(file, "host all all 10.77.0.0/16 trust").unwrap();
    database.psql("lazuli", "SELECT pg_reload_conf()").unwrap();
}

/// A request that gives up when nothing comes.
fn ask(node: &Server, method: &str, target: &str, body: &[u8]) -> std::io::Result<Response> {
    let mut connection = Connection::open(node.http())?;
    connection.set_patience(PATIENCE)?;
    let authorization = basic("lazuli", PASSWORD);
    let headers = [
        ("Authorization", authorization.as_str()),
        (
            "Content-Type",
            if target.contains("/blobs/") {
                "application/octet-stream"
            } else {
                INDEX
            },
        ),
    ];
    connection.send(method, target, &headers, body)
}

fn manifest(number: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"n":"{number}"}}}}"#
    )
}

fn layer(number: usize) -> Vec<u8> {
    format!("layer {number} ").repeat(1000).into_bytes()
}

/// Moves the tag, and pushes a blob of the bucket.
fn push(node: &Server, number: usize) -> (u16, u16) {
    let moved = ask(
        node,
        "PUT",
        "/v2/cut/manifests/latest",
        manifest(number).as_bytes(),
    );
    let digest = Digest::of(Algorithm::Sha256, &layer(number));
    let target = format!("/v2/cut/blobs/uploads/?digest={digest}");
    let pushed = ask(node, "POST", &target, &layer(number));
    let status = |answer: std::io::Result<Response>| answer.map_or(0, |answer| answer.status);
    (status(moved), status(pushed))
}

/// Whether the node has what was pushed as `number`, and nothing older.
fn has(node: &Server, number: usize) -> bool {
    let tag = ask(node, "GET", "/v2/cut/manifests/latest", &[]);
    let digest = Digest::of(Algorithm::Sha256, &layer(number));
    let blob = ask(node, "GET", &format!("/v2/cut/blobs/{digest}"), &[]);
    let is_new = tag.is_ok_and(|tag| tag.status == 200 && tag.body == manifest(number).as_bytes());
    is_new && blob.is_ok_and(|blob| blob.status == 200 && blob.body == layer(number))
}

fn cut_off(group: &Group, which: Engines, first: usize) -> usize {
    let (cut, others) = (&group.nodes[2], &group.nodes[..2]);
    let mut number = first;
    assert_eq!(push(cut, number), (201, 201), "before");
    for engine in group.engines(which) {
        group.cables[2].cut(engine);
    }
    let before = group.holder_of_the_sequencer();
    let begun = Instant::now();
    while begun.elapsed() < CUT {
        for node in others {
            number += 1;
            assert_eq!(push(node, number), (201, 201), "the others go on");
            assert!(has(node, number), "the others go on");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    // It may fail, and it may answer from the engine that it still reaches; but nothing old.
    let asked = Instant::now();
    if let Ok(answer) = ask(cut, "GET", "/v2/cut/manifests/latest", &[]) {
        let is_new = answer.body == manifest(number).as_bytes();
        assert!(
            answer.status >= 500 || answer.status == 200 && is_new,
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        if !matches!(which, Engines::Bucket) {
            assert!(answer.status >= 500, "it cannot know: {}", answer.status);
        }
    }
    let waited = asked.elapsed();
    assert!(waited < PATIENCE, "nothing is answered for {waited:?}");
    println!("cut off, it answered after {waited:?}");
    if !matches!(which, Engines::Bucket) {
        assert_ne!(group.holder_of_the_sequencer(), before, "taken over");
    }
    for engine in group.engines(which) {
        group.cables[2].mend(engine);
    }
    let mended = Instant::now();
    while !has(cut, number) {
        assert!(
            mended.elapsed() < Duration::from_mins(1),
            "it does not come back\n{}",
            cut.log_tail()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("it was back after {:?}", mended.elapsed());
    number += 1;
    assert_eq!(push(cut, number), (201, 201), "after");
    for node in &group.nodes {
        for older in first..=number {
            let digest = Digest::of(Algorithm::Sha256, &layer(older));
            let head = ask(node, "HEAD", &format!("/v2/cut/blobs/{digest}"), &[]);
            let by_digest = Digest::of(Algorithm::Sha256, manifest(older).as_bytes());
            let get = ask(node, "GET", &format!("/v2/cut/manifests/{by_digest}"), &[]);
            // Leases of blobs may have ended; manifests stay.
            assert!(matches!(head.unwrap().status, 200 | 404));
            assert_eq!(get.unwrap().status, 200, "{older} was acknowledged");
        }
        assert!(has(node, number));
    }
    number + 1
}

fn test() {
    let Some(mut group) = Group::start() else {
        return;
    };
    // The sequencer's lease goes to the node that is cut off first.
    let mut number = 0;
    for which in [Engines::Database, Engines::Bucket, Engines::Both] {
        if !matches!(which, Engines::Bucket) {
            // The others are started again, so that it takes the lease, or renews it.
            for other in 0..2 {
                assert!(group.nodes[other].stop());
            }
            let before = group.lease_of_the_sequencer();
            let begun = Instant::now();
            while number > 0 && group.lease_of_the_sequencer() == before {
                number += 1;
                push(&group.nodes[2], number);
                assert!(begun.elapsed() < Duration::from_secs(40));
                std::thread::sleep(Duration::from_millis(500));
            }
            push(&group.nodes[2], number + 1);
            for other in 0..2 {
                group.nodes[other].restart();
            }
        }
        number = cut_off(&group, which, number + 2);
    }
    for node in &mut group.nodes {
        assert!(node.stop());
    }
    let gaps = "SELECT count(*) - max(sequence) FROM operations WHERE sequence IS NOT NULL";
    let gaps = group.database.psql("lazuli", gaps).unwrap();
    assert_eq!(gaps.trim(), "0", "numbers were given twice or left out");
}

#[test]
fn a_node_that_the_kernel_cuts_off_says_nothing_old_and_comes_back() {
    let name = "a_node_that_the_kernel_cuts_off_says_nothing_old_and_comes_back";
    if cable::is_inside() {
        return test();
    }
    match cable::inside(&["--exact", name, "--nocapture"]) {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(why) => {
            // Past the test harness's capture: this must be seen.
            let _ = writeln!(std::io::stderr().lock(), "NOT RUN: {name}: {why}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        }
    }
}
