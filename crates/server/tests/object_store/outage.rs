//! While the object store is away: 503 with `Retry-After`, within a time, and nothing acknowledged is lost.

use std::time::{Duration, Instant};

use lazuli_testkit::http::{Connection, Response};
use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_testkit::proxy::{Fault, Proxy};
use lazuli_testkit::server::{PASSWORD, Server, basic};

use crate::stores;
use crate::support::*;

/// What an answer may take: the retries of two calls, and a margin.
const BOUND: Duration = Duration::from_mins(1);

fn is_told(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    let text = String::from_utf8_lossy(&response.body);
    assert!(text.contains("object store"), "{text}");
}

fn behind_a_network() -> Option<(Server, Proxy)> {
    let rgw = Rgw::shared()?;
    let proxy = Proxy::start(rgw.address());
    let bucket = stores::bucket_of(rgw, proxy.address());
    let server = bucket.with("LAZULI_STORAGE_REDIRECT", "false").serve();
    Some((server, proxy))
}

fn answer(status: &str) -> Fault {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Fault::Answer(head.into_bytes())
}

#[test]
fn a_store_that_is_away_is_503_and_everything_goes_on_afterwards() {
    let Some((server, proxy)) = behind_a_network() else {
        return;
    };
    let (kept, large) = (bytes(100_000, 1), bytes(LARGE, 2));
    let kept_at = push(&server, "a", &kept);
    for (number, fault) in [
        answer("500 Internal Server Error"),
        answer("503 Slow Down"),
        Fault::Refuse,
        Fault::CutRequest(0),
        Fault::LoseAnswer,
    ]
    .into_iter()
    .enumerate()
    {
        let half = LARGE / 2;
        let session = start(&server, "a");
        let begun = server
            .admin()
            .send("PATCH", &session, &[OCTETS], &large[..half]);
        assert_eq!(begun.status, 202, "{begun:?}");
        let session = location(&begun);
        proxy.set(fault.clone());
        let started = Instant::now();
        std::thread::scope(|scope| {
            let calls = [
                scope.spawn(|| try_push(&server, "a", &bytes(50_000, 10))),
                scope.spawn(|| try_push(&server, "a", &bytes(LARGE, 11))),
                scope.spawn(|| finish(&server, &session, &large, &large[half..])),
                scope.spawn(|| server.admin().get(&kept_at)),
            ];
            for call in calls {
                is_told(&call.join().unwrap());
            }
        });
        let took = started.elapsed();
        assert!(took < BOUND, "{fault:?} took {took:?}");
        // Small blobs and manifests do not need it, nor does HEAD of what is known.
        let inline = push(&server, "a", format!("inline {number}").as_bytes());
        assert_eq!(server.admin().get(&inline).status, 200);
        assert_eq!(server.admin().head(&kept_at).status, 200);
        proxy.set(Fault::None);
        let response = server.admin().get(&kept_at);
        assert_eq!(response.status, 200, "{fault:?}");
        assert!(response.body == kept);
        let finished = finish(&server, &session, &large, &large[half..]);
        // What a failed request left of its own bytes may have ended the session; then it says so.
        assert!(
            matches!(finished.status, 201 | 404),
            "{fault:?} {finished:?}"
        );
        let at = push(&server, "a", &large);
        assert!(server.admin().get(&at).body == large);
        assert_eq!(server.admin().delete(&at).status, 202);
    }
    assert!(proxy.struck() > 20, "{}", proxy.struck());
}

#[test]
fn a_pull_that_cannot_go_on_breaks_off_and_the_next_one_is_whole() {
    let Some((server, proxy)) = behind_a_network() else {
        return;
    };
    let content = bytes(LARGE, 3);
    let target = push(&server, "a", &content);
    proxy.cut();
    // Cut once or twice it goes on where it broke.
    proxy.set_times(2, Fault::CutAnswer(3 << 20));
    assert!(server.admin().get(&target).body == content);
    proxy.set(Fault::None);
    proxy.cut();
    // So many bytes of each connection: at first some, then none that help.
    proxy.set_times(1, Fault::CutAnswer(2 << 20));
    let mut connection = Connection::open(server.http()).unwrap();
    let authorization = basic("lazuli", PASSWORD);
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n");
    connection.write(head.as_bytes()).unwrap();
    while proxy.struck() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    proxy.set(Fault::Refuse);
    let broken = connection.receive(false);
    assert!(
        broken.is_err(),
        "{:?}",
        broken.map(|r| (r.status, r.body.len()))
    );
    proxy.set(Fault::None);
    assert!(server.admin().get(&target).body == content);
}

#[test]
fn a_store_that_is_killed_under_pushes_loses_nothing_acknowledged() {
    let Some(mut rgw) = Rgw::start() else { return };
    let server = stores::bucket_of(&rgw, rgw.address())
        .with("LAZULI_STORAGE_REDIRECT", "false")
        .serve();
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        std::thread::scope(|scope| {
            let pushing: Vec<_> = (0..4_u64)
                .map(|number| {
                    let server = &server;
                    scope.spawn(move || {
                        let length = [20_000, LARGE][number as usize % 2];
                        let content = bytes(length, 100 + round * 10 + number);
                        for _ in 0..20 {
                            let response = try_push(server, "a", &content);
                            match response.status {
                                201 => return content,
                                503 => std::thread::sleep(Duration::from_millis(300)),
                                status => panic!("{status} {response:?}"),
                            }
                        }
                        panic!("never acknowledged");
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(30 + 100 * round));
            rgw.restart();
            for push in pushing {
                acknowledged.push(push.join().unwrap());
            }
        });
    }
    for content in acknowledged {
        let target = format!("/v2/a/blobs/{}", digest(&content));
        assert!(server.admin().get(&target).body == content);
    }
}
