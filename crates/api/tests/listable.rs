//! Listings tell nobody of what they may not read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_api::ApiOptions;
use lazuli_testkit::http::Client;
use lazuli_wire::rbac::RepositoryPattern;

/// All names that pages of that size show, and everything that the answers said.
fn walk(client: &Client, plane: &str, order: &str, size: usize) -> (Vec<String>, String) {
    let mut target = Some(format!("{plane}?n={size}&orderby={order}"));
    let (mut names, mut said) = (Vec::new(), String::new());
    while let Some(page) = target.map(|target| client.get(&target)) {
        assert_eq!(page.status, 200, "{page:?}");
        let listed = page.json()["repositories"].clone();
        let listed: Vec<String> = serde_json::from_value(listed).unwrap();
        assert!(listed.len() <= size);
        names.extend(listed);
        let link = page.header("link").unwrap_or_default().to_owned();
        said = said + &String::from_utf8_lossy(&page.body) + &link;
        target = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .map(str::to_owned);
    }
    (names, said)
}

#[test]
fn pages_are_full_of_what_may_be_read_and_tell_nothing_else() {
    let server = Server::start(ApiOptions::default());
    let order = [
        "secret/z", "open/c", "secret/a", "open/a", "secret/m", "open/b", "secret/c",
    ];
    for name in order {
        server.push_image(name, "v1", "");
    }
    let pattern = RepositoryPattern::parse("open/*").unwrap();
    server.open_to_everybody(vec![pattern]);
    let anyone = server.anonymous();
    for plane in ["/v2/_catalog", "/acr/v1/_catalog"] {
        for size in [1, 2, 3, 100] {
            for (order_by, expected) in [
                ("", ["open/a", "open/b", "open/c"]),
                ("timeasc", ["open/c", "open/a", "open/b"]),
                ("timedesc", ["open/b", "open/a", "open/c"]),
            ] {
                let (names, said) = walk(&anyone, plane, order_by, size);
                assert_eq!(names, expected, "{plane} {order_by} {size}");
                assert!(!said.contains("secret"), "{said}");
            }
        }
        let (names, _) = walk(&server.admin(), plane, "", 2);
        assert_eq!(names.len(), order.len());
    }
    // What is asked for by name is not told of either.
    for target in [
        "/acr/v1/secret%2Fa",
        "/acr/v1/nothing",
        "/acr/v1/secret%2Fa/_tags",
    ] {
        assert_eq!(anyone.get(target).status, 401, "{target}");
    }
    assert_eq!(anyone.get("/acr/v1/open%2Fa/_tags").status, 200);
}
