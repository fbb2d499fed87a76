//! The machine's clock is set while a server runs, and is wrong when it starts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use lazuli_testkit::crash::clock::{SetClock, library};
use lazuli_testkit::http::Response;
use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::Server;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const TEN_YEARS: &str = "+315360000";

/// A clock that is right as yet. `None`: this machine lacks libfaketime, which is said.
fn clock(folder: &std::path::Path, test: &str) -> Option<SetClock> {
    if library().is_none() {
        lazuli_testkit::not_run(test, "no libfaketime");
        return None;
    }
    Some(SetClock::new(&folder.join("clock")).unwrap())
}

fn start(clock: &SetClock) -> Server {
    let environment = clock.environment();
    let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Server::start(env!("CARGO_BIN_EXE_lazuli"), &environment)
}

fn push(server: &Server) -> Response {
    let body = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
    let headers = [("Content-Type", INDEX)];
    server
        .admin()
        .send("PUT", "/v2/app/manifests/v1", &headers, body.as_bytes())
}

fn token(server: &Server) -> String {
    let service = server.http();
    let target = format!("/oauth2/token?service={service}&scope=repository:app:pull");
    let answer = server.admin().get(&target);
    assert_eq!(answer.status, 200, "{}", answer.error_code());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn pull(server: &Server, token: &str) -> u16 {
    let client = server
        .anonymous()
        .with_authorization(format!("Bearer {token}"));
    client.get("/v2/app/manifests/v1").status
}

#[test]
fn a_clock_that_is_set_under_a_running_server_changes_nothing_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a_clock_that_is_set_under_a_running_server_changes_nothing_for_it";
    let Some(clock) = clock(folder.path(), name) else {
        return;
    };
    let server = start(&clock);
    assert_eq!(push(&server).status, 201);
    let before = token(&server);
    for time in [TEN_YEARS, "-86400", "@1970-01-02 00:00:00", "+0"] {
        clock.set_to(time).unwrap();
        assert_eq!(pull(&server, &before), 200, "{time}: an older token");
        assert_eq!(pull(&server, &token(&server)), 200, "{time}: a new token");
        assert_eq!(push(&server).status, 201, "{time}");
    }
}

#[test]
fn a_node_whose_clock_is_wrong_goes_by_the_time_of_the_database_server() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a_node_whose_clock_is_wrong_goes_by_the_time_of_the_database_server";
    let Some(clock) = clock(folder.path(), name) else {
        return;
    };
    let Some(database) = Database::create() else {
        return;
    };
    let parts = database.url();
    let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
    let host = part("host=").replace('/', "%2F");
    let url = format!("postgres://postgres@{host}/{}", part("dbname="));
    let mut environment = clock.environment();
    environment.push(("LAZULI_DATABASE_URL", url));
    let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut server = Server::new(env!("CARGO_BIN_EXE_lazuli"), folder.path(), &environment);
    for time in [TEN_YEARS, "@1970-01-02 00:00:00", "+3600"] {
        clock.set_to(time).unwrap();
        server.restart();
        assert_eq!(push(&server).status, 201);
        let sql = "SELECT max(abs(created_at / 1000000 - extract(epoch FROM now()))) < 300 FROM operations";
        assert_eq!(database.psql(sql).unwrap().trim(), "t", "{time}");
        assert!(
            server.log().contains("which this process goes by"),
            "it is told"
        );
    }
}
