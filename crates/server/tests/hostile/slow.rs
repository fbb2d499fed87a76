//! Clients that take their time are cut; the others do not notice them.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lazuli_testkit::server::{PASSWORD, basic};

use crate::support::{FORM, INDEX, Raw, Target, bytes, push_blob, send, sha256};

const SHORT: [(&str, &str); 5] = [
    ("LAZULI_LIMITS_HEADER_TIMEOUT", "1s"),
    ("LAZULI_LIMITS_BODY_STALL_TIMEOUT", "1s"),
    ("LAZULI_LIMITS_IDLE_TIMEOUT", "2s"),
    ("LAZULI_LIMITS_RESPONSE_STALL_TIMEOUT", "1s"),
    ("LAZULI_LIMITS_HANDSHAKE_TIMEOUT", "1s"),
];

/// Sends a byte at a time until the server closes; how long that took.
fn drip(mut stream: TcpStream, bytes: &[u8]) -> Duration {
    let started = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).is_err() || started.elapsed() > Duration::from_secs(20) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    started.elapsed()
}

fn assert_served(target: &Target) {
    let started = Instant::now();
    assert_eq!(send(&target.admin(), "GET", "/v2/", &[], &[]).status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "others wait {:?}",
        started.elapsed()
    );
}

#[test]
fn heads_and_bodies_that_drip_are_cut_while_others_are_served() {
    let target = Target::with(&SHORT);
    let authorization = basic("lazuli", PASSWORD);
    let host = target.host();
    let head = |method: &str, path: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\nContent-Length: 3000000\r\n\r\n"
        )
    };
    let digest = sha256(b"never");
    let bodies = [
        head("PUT", "/v2/slow/app/manifests/v1"),
        head(
            "POST",
            &format!("/v2/slow/app/blobs/uploads/?digest={digest}"),
        ),
        head("POST", "/oauth2/token"),
    ];
    std::thread::scope(|scope| {
        let mut slow = Vec::new();
        for _ in 0..20 {
            let stream = target.connect();
            let request = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Slow: ".as_slice();
            slow.push(scope.spawn(move || drip(stream, request)));
            for body in &bodies {
                let mut stream = target.connect();
                // The form's limit refuses it at once, and lingers.
                stream.write_all(body.as_bytes()).unwrap();
                slow.push(scope.spawn(move || drip(stream, b"x")));
            }
        }
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(200));
            assert_served(&target);
        }
        for thread in slow {
            let took = thread.join().unwrap();
            assert!(
                took < Duration::from_secs(15),
                "a slow client was served for {took:?}"
            );
        }
    });
    assert!(target.peak_memory() < 100 << 10);
}

/// Manifests are held in memory while they come. Those who announce large ones and send little have their part of it.
#[test]
fn manifests_and_forms_that_never_come_keep_nobody_else_out() {
    let target = Target::with(&[("LAZULI_TRUSTED_PROXIES", "127.0.0.1")]);
    let held: Vec<_> = (0..40)
        .map(|number| {
            let (path, length) = match number % 4 {
                0 => ("POST /oauth2/token", 60_000),
                _ => ("PUT /v2/slow/app/manifests/v1", 4_000_000),
            };
            let mut stream = target.connect();
            let request = format!(
                "{path} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: 10.6.6.6\r\nAuthorization: {}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{{",
                target.host(),
                basic("lazuli", PASSWORD)
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let started = Instant::now();
    let admin = target.admin();
    for number in 0..20 {
        let path = format!("/v2/quick/app/manifests/v{number}");
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
        let put = send(
            &admin,
            "PUT",
            &path,
            &[("Content-Type", INDEX)],
            index.as_bytes(),
        );
        assert_eq!(put.status, 201, "{put:?}");
        let form = format!(
            "grant_type=password&service={}&username=lazuli&password={PASSWORD}",
            target.host()
        );
        let token = target
            .anonymous()
            .send("POST", "/oauth2/token", &[FORM], form.as_bytes());
        assert_eq!(token.status, 200, "{token:?}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "others wait {:?}",
        started.elapsed()
    );
    drop(held);
}

#[test]
fn a_stalled_body_is_told_408_and_stores_nothing() {
    let target = Target::with(&SHORT);
    let digest = sha256(b"some");
    let request = format!(
        "POST /v2/slow/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\
         Content-Length: 1000\r\n\r\nsome",
        target.host(),
        basic("lazuli", PASSWORD)
    );
    let mut stream = target.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let raw = Raw::read(&mut stream, Duration::from_secs(10));
    assert!(raw.is_closed);
    assert_eq!(raw.statuses(), [408], "{raw:?}");
    let path = format!("/v2/slow/app/blobs/{digest}");
    assert_eq!(send(&target.admin(), "GET", &path, &[], &[]).status, 404);
}

#[test]
fn two_hundred_idle_connections_and_silent_handshakes_are_closed_in_time() {
    let target = Target::with(&SHORT);
    let mut idle: Vec<_> = (0..200).map(|_| target.connect()).collect();
    let mut handshakes: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(target.https()).unwrap())
        .collect();
    let mut kept: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = target.connect();
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    assert_served(&target);
    let deadline = Instant::now() + Duration::from_secs(15);
    for stream in idle.iter_mut().chain(&mut handshakes).chain(&mut kept) {
        let patience = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(10));
        assert!(
            Raw::read(stream, patience).is_closed,
            "a connection stays open for nothing"
        );
    }
    assert_served(&target);
}

#[test]
fn a_client_that_takes_no_byte_of_an_answer_is_cut() {
    let target = Target::with(&SHORT);
    let admin = target.admin();
    let digest = push_blob(&admin, "slow/app", &bytes(4, 24 << 20));
    let request = format!(
        "GET /v2/slow/app/blobs/{digest} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n",
        target.host(),
        basic("lazuli", PASSWORD)
    );
    let mut streams: Vec<_> = (0..30).map(|_| target.connect()).collect();
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).unwrap();
    }
    std::thread::sleep(Duration::from_secs(4));
    assert_served(&target);
    for mut stream in streams {
        let raw = Raw::read(&mut stream, Duration::from_secs(5));
        assert!(
            raw.is_closed && raw.text.len() < 24 << 20,
            "{} bytes",
            raw.text.len()
        );
    }
    assert!(
        target.peak_memory() < 120 << 10,
        "{} KiB",
        target.peak_memory()
    );
}

#[test]
fn more_connections_than_allowed_are_told_so_and_the_server_recovers() {
    let target = Target::with(&[("LAZULI_LIMITS_MAX_CONNECTIONS", "20")]);
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut stream = target.connect();
        // A request under way: such a connection makes no room.
        let _ = stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n");
        held.push(stream);
    }
    let told = held
        .iter_mut()
        .map(|stream| Raw::read(stream, Duration::from_millis(20)));
    let refused: Vec<_> = told.filter(|raw| !raw.text.is_empty()).collect();
    assert!(!refused.is_empty());
    for raw in refused {
        assert_eq!(raw.statuses(), [503], "{raw:?}");
        assert!(raw.text.to_lowercase().contains("retry-after: "), "{raw:?}");
    }
    drop(held);
    std::thread::sleep(Duration::from_millis(300));
    assert_served(&target);
}
