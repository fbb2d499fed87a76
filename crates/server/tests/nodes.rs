//! Three real servers on one PostgreSQL database and one bucket: equal, and killed one after the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use lazuli_testkit::http::Response;
use lazuli_testkit::object_stores::azurite::{ACCOUNT, Azurite};
use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::Server;
use lazuli_wire::oci::{Algorithm, Digest};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What all nodes are started with.
struct Shared(Vec<(&'static str, String)>);

impl Shared {
    /// `None`: this machine lacks PostgreSQL or Azurite, which was said.
    fn new(bucket: &str) -> Option<(Self, Database)> {
        let (database, azurite) = (Database::create()?, Azurite::shared()?);
        azurite.create_container(bucket);
        let parts = database.url();
        let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
        let url = format!(
            "postgres://postgres@{}/{}",
            part("host=").replace('/', "%2F"),
            part("dbname=")
        );
        let settings = vec![
            ("LAZULI_DATABASE_URL", url),
            ("LAZULI_DATABASE_CONNECTIONS", "6".to_owned()),
            ("LAZULI_MASTER_KEY", KEY.to_owned()),
            ("LAZULI_STORAGE_URL", format!("az://{bucket}/blobs")),
            ("LAZULI_STORAGE_ENDPOINT", azurite.endpoint()),
            ("LAZULI_STORAGE_ACCESS_KEY", ACCOUNT.to_owned()),
            ("LAZULI_STORAGE_SECRET_KEY", azurite.key()),
        ];
        Some((Self(settings), database))
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let others = self.0.iter().filter(|(known, _)| *known != name).cloned();
        let name: &'static str = name.to_owned().leak();
        Self(others.chain([(name, value.to_owned())]).collect())
    }

    fn server(&self, folder: &std::path::Path) -> Server {
        let environment: Vec<_> = self.0.iter().map(|(k, v)| (*k, v.as_str())).collect();
        std::fs::create_dir_all(folder).unwrap();
        Server::new(env!("CARGO_BIN_EXE_lazuli"), folder, &environment)
    }

    /// Nodes that are started at the same time.
    fn start(&self, folder: &std::path::Path, count: usize) -> Vec<Server> {
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count)
                .map(|number| {
                    scope.spawn(move || {
                        let mut server = self.server(&folder.join(number.to_string()));
                        server.restart();
                        server
                    })
                })
                .collect();
            starting
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    }
}

fn manifest(number: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"n":"{number}"}}}}"#
    )
}

fn move_tag(server: &Server, number: usize) {
    let body = manifest(number);
    let headers = [("content-type", INDEX)];
    let pushed = server
        .admin()
        .send("PUT", "/v2/app/manifests/latest", &headers, body.as_bytes());
    assert_eq!(pushed.status, 201, "{pushed:?}");
}

fn has_moved(server: &Server, number: usize) {
    let found = server.admin().get("/v2/app/manifests/latest");
    assert_eq!(found.status, 200);
    assert_eq!(String::from_utf8_lossy(&found.body), manifest(number));
}

#[test]
fn a_tag_is_what_the_last_acknowledged_push_made_it_on_every_node() {
    let Some((shared, _database)) = Shared::new("tags") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = shared.start(folder.path(), 3);
    for number in 0..30 {
        move_tag(&nodes[number % 3], number);
        for node in &nodes {
            has_moved(node, number);
        }
    }
    // Whichever node dies, the others know everything it acknowledged; it comes back with nothing of its own.
    for dead in 0..3 {
        move_tag(&nodes[dead], 100 + dead);
        nodes[dead].kill();
        for (number, node) in nodes
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != dead)
        {
            has_moved(node, 100 + dead);
            assert!(node.pid().is_some(), "{number}");
        }
        move_tag(&nodes[(dead + 1) % 3], 200 + dead);
        std::fs::remove_dir_all(nodes[dead].data()).unwrap();
        nodes[dead].restart();
        has_moved(&nodes[dead], 200 + dead);
    }
}

fn location(response: &Response) -> String {
    let location = response.header("location").unwrap();
    match location.split_once("://") {
        Some((_, rest)) => format!("/{}", rest.split_once('/').unwrap().1),
        None => location.to_owned(),
    }
}

#[test]
fn an_upload_goes_on_wherever_it_is_sent_to() {
    let Some((shared, _database)) = Shared::new("uploads") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = shared.start(folder.path(), 3);
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let begun = nodes[0]
        .admin()
        .send("POST", "/v2/app/blobs/uploads/", &[], &[]);
    assert_eq!(begun.status, 202, "{begun:?}");
    let first = nodes[1]
        .admin()
        .send("PATCH", &location(&begun), &[], &bytes[..100_000]);
    assert_eq!(first.status, 202, "{first:?}");
    nodes[1].kill();
    let second = nodes[2]
        .admin()
        .send("PATCH", &location(&first), &[], &bytes[100_000..]);
    assert_eq!(second.status, 202, "{second:?}");
    let target = location(&second);
    let separator = if target.contains('?') { '&' } else { '?' };
    let ended = nodes[0].admin().send(
        "PUT",
        &format!("{target}{separator}digest={digest}"),
        &[],
        &[],
    );
    assert_eq!(ended.status, 201, "{ended:?}");
    for node in [&nodes[0], &nodes[2]] {
        let found = node.admin().get(&format!("/v2/app/blobs/{digest}"));
        match found.status {
            200 => assert!(found.body == bytes),
            307 => assert!(found.header("location").is_some()),
            _ => panic!("{found:?}"),
        }
    }
}

#[test]
fn nodes_that_do_not_belong_together_say_why() {
    let Some((shared, _database)) = Shared::new("strangers") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let nodes = shared.start(folder.path(), 1);
    let refused = |shared: &Shared, name: &str| {
        let mut other = shared.server(&folder.path().join(name));
        other.try_restart("/readyz").unwrap_err()
    };
    let other_key = refused(
        &shared.with("LAZULI_MASTER_KEY", &KEY.replace('0', "1")),
        "key",
    );
    assert!(
        other_key.contains("sealed with another master key"),
        "{other_key}"
    );
    let no_key = refused(&shared.with("LAZULI_MASTER_KEY", "abc"), "no-key");
    assert!(
        no_key.contains("LAZULI_MASTER_KEY is not a key"),
        "{no_key}"
    );
    Azurite::shared().unwrap().create_container("elsewhere");
    let other_bucket = refused(
        &shared.with("LAZULI_STORAGE_URL", "az://elsewhere/blobs"),
        "bucket",
    );
    assert!(
        other_bucket.contains("give all nodes the same storage.url"),
        "{other_bucket}"
    );
    let disk = refused(&shared.with("LAZULI_STORAGE_URL", "disk"), "disk");
    assert!(disk.contains("or in a bucket"), "{disk}");
    move_tag(&nodes[0], 1);
}
