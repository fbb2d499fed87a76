//! The object stores start, keep what they are given, and survive what tests do to them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait in real time for real processes, and look at real files"
)]

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lazuli_testkit::http::{Client, Response};
use lazuli_testkit::object_stores::azurite::{Azurite, Storage};
use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_testkit::proxy::{Fault, Proxy};

/// Between an opening and a closing tag.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.split(&format!("<{name}>")).nth(1);
    let inner = start.and_then(|rest| rest.split("</").next());
    inner.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[test]
fn rgw_keeps_objects_and_checks_signatures() {
    let Some(rgw) = Rgw::shared() else { return };
    rgw.create_bucket("objects");
    let put = rgw.send(
        "PUT",
        "/objects/a%20b/c",
        &[("Content-Type", "a/b")],
        b"hello",
    );
    assert_eq!(put.status, 200, "{put:?}");
    let part = rgw.send("GET", "/objects/a%20b/c", &[("Range", "bytes=1-2")], &[]);
    assert_eq!((part.status, part.body.as_slice()), (206, &b"el"[..]));
    assert_eq!(part.header("content-type"), Some("a/b"));
    let once = [("If-None-Match", "*")];
    assert_eq!(
        rgw.send("PUT", "/objects/a%20b/c", &once, b"other").status,
        412
    );
    assert_eq!(rgw.send("PUT", "/objects/new", &once, b"other").status, 200);
    let list = rgw.send("GET", "/objects/?list-type=2&prefix=a%20b%2F", &[], &[]);
    assert_eq!(element(&text(&list), "Key"), "a b/c");
    let anonymous = Client::new(rgw.address()).get("/objects/new");
    assert_eq!(anonymous.status, 403);
}

#[test]
fn rgw_loses_nothing_when_it_is_killed() {
    let Some(mut rgw) = Rgw::start() else { return };
    rgw.create_bucket("killed");
    let begun = rgw.send("POST", "/killed/large?uploads", &[], &[]);
    let upload = element(&text(&begun), "UploadId").to_owned();
    let target = format!("/killed/large?partNumber=1&uploadId={upload}");
    let part = rgw.send("PUT", &target, &[], b"part");
    let tag = part.header("etag").unwrap();
    for round in 0..3 {
        let object = format!("/killed/{round}");
        assert_eq!(rgw.send("PUT", &object, &[], object.as_bytes()).status, 200);
        rgw.stop_kill();
        assert!(
            Client::new(rgw.address())
                .try_send("GET", "/", &[], &[])
                .is_err()
        );
        rgw.restart();
        assert_eq!(rgw.send("GET", &object, &[], &[]).body, object.as_bytes());
    }
    // What a killed gateway knew of its users and buckets must not hold up the next one.
    let start = Instant::now();
    rgw.create_bucket("after");
    assert!(start.elapsed() < Duration::from_secs(20));
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    let target = format!("/killed/large?uploadId={upload}");
    let completed = rgw.send("POST", &target, &[], list.as_bytes());
    assert_eq!(completed.status, 200, "{completed:?}");
    assert_eq!(rgw.send("GET", "/killed/large", &[], &[]).body, b"part");
}

#[test]
fn a_lost_acknowledgement_of_rgw_is_an_object_that_is_there() {
    let Some(rgw) = Rgw::shared() else { return };
    rgw.create_bucket("lost");
    let proxy = Proxy::start(rgw.address());
    proxy.set_times(1, Fault::LoseAnswer);
    let lost = rgw.try_send_at(proxy.address(), "PUT", "/lost/object", &[], b"here");
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(proxy.struck(), 1);
    assert_eq!(rgw.send("GET", "/lost/object", &[], &[]).body, b"here");
    let passes = rgw.try_send_at(proxy.address(), "GET", "/lost/object", &[], &[]);
    assert_eq!(passes.unwrap().body, b"here");
}

#[test]
fn azurite_keeps_blobs_and_checks_signatures() {
    let Some(azurite) = Azurite::shared() else {
        return;
    };
    azurite.create_container("blobs");
    let block = [("x-ms-blob-type", "BlockBlob"), ("If-None-Match", "*")];
    assert_eq!(
        azurite.send("PUT", "/blobs/a/b", &block, b"hello").status,
        201
    );
    assert_eq!(
        azurite.send("PUT", "/blobs/a/b", &block, b"other").status,
        409
    );
    let range = [("Range", "bytes=1-2")];
    let part = azurite.send("GET", "/blobs/a/b", &range, &[]);
    assert_eq!((part.status, part.body.as_slice()), (206, &b"el"[..]));
    let list = azurite.send("GET", "/blobs?restype=container&comp=list", &[], &[]);
    assert_eq!(element(&text(&list), "Name"), "a/b");
    let path = format!("{}/blobs/a/b", azurite.endpoint());
    let path = path.split(&azurite.address().to_string()).nth(1).unwrap();
    assert_eq!(Client::new(azurite.address()).get(path).status, 403);
}

#[test]
fn azurite_keeps_its_folder() {
    let Some(mut azurite) = Azurite::start(Storage::Folder) else {
        return;
    };
    azurite.create_container("kept");
    let block = [("x-ms-blob-type", "BlockBlob")];
    assert_eq!(
        azurite.send("PUT", "/kept/first", &block, b"one").status,
        201
    );
    azurite.stop();
    assert!(
        Client::new(azurite.address())
            .try_send("GET", "/", &[], &[])
            .is_err()
    );
    azurite.restart();
    assert_eq!(azurite.send("GET", "/kept/first", &[], &[]).body, b"one");
    assert_eq!(
        azurite.send("PUT", "/kept/second", &block, b"two").status,
        201
    );
    // Its index is written every five seconds.
    let index = azurite.data().join("__azurite_db_blob__.json");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !std::fs::read_to_string(&index).unwrap().contains("second") {
        assert!(Instant::now() < deadline, "the index is not written");
        thread::sleep(Duration::from_millis(50));
    }
    azurite.kill();
    azurite.restart();
    assert_eq!(azurite.send("GET", "/kept/second", &[], &[]).body, b"two");
}

#[test]
fn azurite_in_memory_starts_empty_again() {
    let Some(mut azurite) = Azurite::start(Storage::Memory) else {
        return;
    };
    azurite.create_container("gone");
    azurite.restart();
    azurite.create_container("gone");
}

#[test]
fn azurite_with_tls_takes_bearer_tokens() {
    let Some(azurite) = Azurite::start_with_tls(Storage::Memory) else {
        return;
    };
    // Node is there, or Azurite would not be: it speaks TLS for us.
    let script = "
        const now = Math.floor(Date.now() / 1000);
        const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
        const token = (issuer) => [part({ alg: 'RS256', typ: 'JWT' }), part({
            aud: 'https://storage.azure.com', iss: `${issuer}/t/`,
            iat: now - 60, nbf: now - 60, exp: now + 600, tid: 't', oid: 'o',
        }), 'unchecked'].join('.');
        const make = async (name, issuer) => (await fetch(`${process.argv[1]}/${name}?restype=container`, {
            method: 'PUT',
            headers: { authorization: `Bearer ${token(issuer)}`, 'x-ms-version': '2021-12-02' },
        })).status;
        (async () => console.log(await make('good', 'https://sts.windows.net'), await make('bad', 'https://other.test')))();
    ";
    let run = Command::new("node")
        .args(["-e", script, &azurite.endpoint()])
        .env("NODE_EXTRA_CA_CERTS", azurite.certificate())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "201 403\n", "{run:?}");
}
