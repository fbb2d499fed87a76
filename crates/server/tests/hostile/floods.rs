//! Numbers, parameters, header fields, ranges and requests in amounts nobody needs.

use lazuli_testkit::http::Connection;

use crate::support::{FORM, Image, Target, bytes, push_blob, put_manifest, send, sha256};

#[test]
fn any_number_of_names_asked_for_gives_one_bounded_page() {
    let target = Target::start();
    let admin = target.admin();
    let image = Image::push(&admin, "floods/n", 3);
    for tag in 0..1010 {
        let response = put_manifest(
            &admin,
            "floods/n",
            &format!("t{tag:04}"),
            crate::support::OCI,
            &image.manifest,
        );
        assert_eq!(response.status, 201);
    }
    let before = target.peak_memory();
    for n in [
        "999999999999",
        "18446744073709551615",
        "340282366920938463463374607431768211456",
        &"9".repeat(500),
    ] {
        for path in [
            "/v2/_catalog",
            "/v2/floods/n/tags/list",
            &format!("/v2/floods/n/referrers/{}", image.digest()),
        ] {
            let response = send(&admin, "GET", &format!("{path}?n={n}"), &[], &[]);
            assert_eq!(response.status, 200, "{path} {n}");
            let names = &response.json()["tags"];
            assert!(
                names.is_null() || names.as_array().unwrap().len() == 1000,
                "{path}"
            );
        }
    }
    for n in [
        "-1",
        "-999999999999",
        "1.5",
        "1e3",
        "0x10",
        " 1",
        "+1",
        "٣",
        "NaN",
        "1,2",
        "1%00",
        "%2d1",
    ] {
        let n: String = n
            .replace(' ', "%20")
            .replace('+', "%2b")
            .replace('٣', "%d9%a3");
        for path in ["/v2/_catalog", "/v2/floods/n/tags/list"] {
            assert_eq!(
                send(&admin, "GET", &format!("{path}?n={n}"), &[], &[]).status,
                400,
                "{path} {n}"
            );
        }
        let path = format!("/v2/floods/n/referrers/{}?n={n}", image.digest());
        let status = send(&admin, "GET", &path, &[], &[]).status;
        assert!(matches!(status, 200 | 400), "{path}: {status}");
    }
    for query in [
        "n=1&n=2",
        "last=a&last=b",
        &format!("last={}", "a".repeat(3000)),
        "last=%ff",
        "last=%00",
        "orderby=x",
    ] {
        assert_eq!(
            send(
                &admin,
                "GET",
                &format!("/v2/floods/n/tags/list?{query}"),
                &[],
                &[]
            )
            .status,
            400,
            "{query}"
        );
    }
    assert!(
        target.peak_memory() - before < 8 << 10,
        "memory depends on n"
    );
}

#[test]
fn ten_thousand_parameters_are_refused() {
    let target = Target::start();
    let admin = target.admin();
    let flood = vec!["n=1"; 10_000].join("&");
    for path in [
        "/v2/_catalog",
        "/v2/",
        "/v2/floods/q/blobs/uploads/",
        "/oauth2/token",
        "/healthz",
    ] {
        for flood in [
            flood.as_str(),
            &vec!["&"; 10_000].join(""),
            &"%41".repeat(10_000),
        ] {
            let response = send(&admin, "GET", &format!("{path}?{flood}"), &[], &[]);
            assert!(matches!(response.status, 414 | 431), "{path}: {response:?}");
        }
    }
    // Fewer, in a target that is short enough.
    let many = vec!["n=1"; 500].join("&");
    assert_eq!(
        send(&admin, "GET", &format!("/v2/_catalog?{many}"), &[], &[]).status,
        414
    );
    for form in [
        flood.as_str(),
        &"&".repeat(60_000),
        &"=".repeat(60_000),
        &vec!["scope=a"; 8000].join("&"),
    ] {
        for path in ["/oauth2/token", "/oauth2/exchange"] {
            let form = format!("grant_type=password&{form}");
            let response = send(&target.anonymous(), "POST", path, &[FORM], form.as_bytes());
            assert!(
                (400..500).contains(&response.status),
                "{path}: {response:?}"
            );
        }
    }
}

#[test]
fn header_fields_and_targets_without_measure_are_refused() {
    let target = Target::start();
    let host = target.host();
    let get = |path: &str, fields: &str| {
        target.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes())
    };
    let line = format!("X-Long: {}\r\n", "x".repeat(64 << 10));
    for (what, answer, statuses) in [
        (
            "10,000 fields",
            get("/v2/", &"A: b\r\n".repeat(10_000)),
            &[431][..],
        ),
        (
            "10,000 distinct fields",
            get(
                "/v2/",
                &(0..10_000)
                    .map(|i| format!("X{i}: b\r\n"))
                    .collect::<String>(),
            ),
            &[431],
        ),
        ("a line of 64 KiB", get("/v2/", &line), &[431]),
        (
            "a name of 64 KiB",
            get("/v2/", &format!("{}: x\r\n", "x".repeat(64 << 10))),
            &[431],
        ),
        (
            "an Authorization of 64 KiB",
            get(
                "/v2/",
                &format!("Authorization: Basic {}\r\n", "A".repeat(64 << 10)),
            ),
            &[431],
        ),
        (
            "a target of 1 MiB",
            get(&format!("/{}", "x".repeat(1 << 20)), ""),
            &[414, 431],
        ),
        (
            "a query of 1 MiB",
            get(&format!("/v2/?{}", "x".repeat(1 << 20)), ""),
            &[414, 431],
        ),
        (
            "a target of 9 KiB",
            get(&format!("/{}", "x".repeat(9 << 10)), ""),
            &[414],
        ),
        (
            "a method of 64 KiB",
            target.raw(
                format!(
                    "{} / HTTP/1.1\r\nHost: {host}\r\n\r\n",
                    "G".repeat(64 << 10)
                )
                .as_bytes(),
            ),
            &[400, 431],
        ),
        (
            "no line end in 1 MiB",
            target.raw(&vec![b'x'; 1 << 20]),
            &[400, 414, 431],
        ),
        (
            "only line ends",
            target.raw("\r\n".repeat(1 << 19).as_bytes()),
            &[400, 431],
        ),
    ] {
        if what == "only line ends" && answer.text.is_empty() {
            // Empty lines before a request are skipped (RFC 9112, section 2.2); they cost nothing.
            continue;
        }
        let got = answer.statuses();
        assert!(
            got.len() == 1 && statuses.contains(&got[0]),
            "{what}: {got:?}"
        );
        assert!(answer.is_closed, "{what}: the connection stays open");
    }
    assert!(target.peak_memory() < 100 << 10);
}

#[test]
fn ranges_in_any_number_never_give_more_than_the_blob() {
    let target = Target::start();
    let admin = target.admin();
    let content = bytes(8, 100_000);
    let path = format!(
        "/v2/floods/r/blobs/{}",
        push_blob(&admin, "floods/r", &content)
    );
    let many = |range: &str, count: usize| format!("bytes={}", vec![range; count].join(","));
    for range in [
        many("0-", 1000),
        many("0-99999", 1000),
        many("0-0", 5000),
        many("-1", 5000),
        (0..2500)
            .map(|i| format!("{i}-{}", i + 1))
            .fold("bytes=".to_owned(), |all, one| all + "," + &one),
        "bytes=0-18446744073709551615".to_owned(),
        "bytes=18446744073709551615-".to_owned(),
        "bytes=99999999999999999999999-".to_owned(),
        "bytes=-99999999999999999999999".to_owned(),
        "bytes=5-4".to_owned(),
        "bytes=--5".to_owned(),
        "bytes=-".to_owned(),
        "bytes=-0".to_owned(),
        "bytes=1-2-3".to_owned(),
        "bytes".to_owned(),
        "pages=0-1".to_owned(),
        "bytes=0x0-0x9".to_owned(),
        "bytes=100000-".to_owned(),
    ] {
        let response = send(&admin, "GET", &path, &[("Range", &range)], &[]);
        match response.status {
            200 => assert_eq!(response.body, content, "{range:.60}"),
            206 => {
                let shown = response.header("content-range").unwrap();
                let (first, last) = shown["bytes ".len()..]
                    .split('/')
                    .next()
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                assert_eq!(response.body, content[first..=last], "{range:.60}");
            }
            416 => assert_eq!(
                response.header("content-range"),
                Some("bytes */100000"),
                "{range:.60}"
            ),
            other => panic!("{other} for {range:.60}"),
        }
        assert!(response.body.len() <= content.len());
    }
    let twice = [("Range", "bytes=0-0"), ("Range", "bytes=1-1")];
    assert_eq!(send(&admin, "GET", &path, &twice, &[]).status, 400);
}

#[test]
fn a_flood_of_unknown_names_leaves_no_trace_in_memory() {
    let target = Target::with(&[("LAZULI_LOG_ACCESS", "false")]);
    let authorization = lazuli_testkit::server::basic("lazuli", lazuli_testkit::server::PASSWORD);
    let flood = |from: usize, count: usize| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (authorization, address) = (&authorization, target.http());
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    for i in 0..count {
                        let name = format!("flood/t{thread}/n{}", from + i);
                        let digest = sha256(name.as_bytes());
                        let (method, path) = match i % 5 {
                            0 => ("HEAD", format!("/v2/{name}/manifests/v{i}")),
                            1 => ("GET", format!("/v2/{name}/blobs/{digest}")),
                            2 => ("GET", format!("/v2/{name}/tags/list")),
                            3 => ("HEAD", format!("/v2/{name}/manifests/{digest}")),
                            _ => ("GET", format!("/v2/{name}/referrers/{digest}")),
                        };
                        let response = connection.send(
                            method,
                            &path,
                            &[("Authorization", authorization)],
                            &[],
                        );
                        let status = response.unwrap().status;
                        assert!(
                            status == 404 || (i % 5 == 4 && status == 200),
                            "{method} {path}: {status}"
                        );
                    }
                });
            }
        });
    };
    // Caches and pools reach their bounds first.
    flood(0, 1000);
    let before = target.peak_memory();
    flood(1_000_000, 2500);
    let grown = target.peak_memory() - before;
    assert!(
        grown < 12 << 10,
        "{grown} KiB more after 10,000 unknown names"
    );
}
