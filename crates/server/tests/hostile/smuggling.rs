//! Requests whose end two readers could see in different places. Whatever a proxy in front made of them, the bytes after
//! are answered as a request of their own only where every reader agrees that they are one.

use lazuli_testkit::server::{PASSWORD, basic};

use crate::support::{Raw, Target};

/// The path of the request hidden in another one.
const HIDDEN: &str = "/v2/smuggled/tags/list";

/// Sends a head and what follows it, which holds a whole request.
fn attack(target: &Target, head: &str, hidden_in: &str) -> Raw {
    let head = head
        .replace("HOST", &target.host())
        .replace("AUTH", &basic("lazuli", PASSWORD));
    let hidden = format!("GET {HIDDEN} HTTP/1.1\r\nHost: {}\r\n\r\n", target.host());
    target.raw(format!("{head}{}", hidden_in.replace("HIDDEN", &hidden)).as_bytes())
}

fn was_answered(target: &Target) -> bool {
    target
        .paths_answered()
        .iter()
        .any(|(path, _)| path == HIDDEN)
}

#[test]
fn an_ambiguous_length_is_refused_with_400_and_the_rest_is_not_answered() {
    let target = Target::start();
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n";
    let put = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n";
    let get = "GET /healthz HTTP/1.1\r\nHost: HOST\r\n";
    for start in [post, put] {
        for fields in [
            // Both ways to tell the length.
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "content-length: 5\r\ntransfer-encoding: CHUNKED\r\n",
            // More than one length.
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 5,6\r\n",
            // Lengths that readers take for different numbers.
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 5 \t5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5;\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            // Encodings that readers take for others.
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            // Names that some readers tidy up.
            "Content-Length : 5\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Content-Length\t: 5\r\n",
            " Content-Length: 5\r\n",
            "X: y\r\n Content-Length: 5\r\n",
            "X: y\r\n\tTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nX: y\rTransfer-Encoding: chunked\r\n",
            "\0Content-Length: 5\r\n",
            "Content-Length\0: 5\r\n",
            ": 5\r\n",
            "no colon\r\n",
            // Two of what there is one of.
            "Host: other.example\r\n",
            "Authorization: Basic AAAA\r\n",
        ] {
            for rest in ["0\r\n\r\nHIDDEN", "HIDDEN"] {
                let raw = attack(&target, &format!("{start}{fields}\r\n"), rest);
                assert_eq!(raw.statuses(), [400], "{fields:?}: {raw:?}");
                assert!(raw.is_closed, "{fields:?}: the connection stays open");
            }
        }
    }
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: x\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
    ] {
        let raw = attack(&target, &format!("{get}{fields}\r\n"), "0\r\n\r\nHIDDEN");
        // Where a body means nothing, one length said twice may be taken for one; but it is the end of the connection.
        let is_one_length = fields.matches(": 5").count() == 2;
        assert!(
            raw.statuses() == [400] || (is_one_length && raw.statuses() == [200]),
            "{fields:?}: {raw:?}"
        );
        assert!(raw.is_closed);
    }
    assert!(!was_answered(&target), "a hidden request was answered");
}

#[test]
fn a_body_that_is_not_read_is_not_taken_for_a_request() {
    let target = Target::start();
    let length = format!("GET {HIDDEN} HTTP/1.1\r\nHost: {}\r\n\r\n", target.host()).len();
    for start in [
        // Refused before its body is looked at: no credentials, no such route, no such method, no such session.
        "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: HOST\r\n",
        "POST /no/such/route HTTP/1.1\r\nHost: HOST\r\n",
        "POST /v2/ HTTP/1.1\r\nHost: HOST\r\n",
        "POST /healthz HTTP/1.1\r\nHost: HOST\r\n",
        "PATCH /v2/a/blobs/uploads/0a8a2c9e-5b1f-4c1e-9a3d-0123456789ab HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n",
        // Methods that rarely have one.
        "GET /healthz HTTP/1.1\r\nHost: HOST\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n",
        "HEAD /v2/a/manifests/v1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n",
        "DELETE /v2/a/manifests/v1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n",
        "OPTIONS /v2/ HTTP/1.1\r\nHost: HOST\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n",
        "GET /v2/ HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\n",
        "BREW /v2/ HTTP/1.1\r\nHost: HOST\r\n",
    ] {
        let raw = attack(
            &target,
            &format!("{start}Content-Length: {length}\r\n\r\n"),
            "HIDDEN",
        );
        assert_eq!(raw.statuses().len(), 1, "{start:?}: {raw:?}");
        let raw = attack(
            &target,
            &format!("{start}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"),
            "HIDDEN",
        );
        let finals = raw
            .statuses()
            .into_iter()
            .filter(|status| *status != 100)
            .count();
        assert_eq!(finals, 1, "{start:?}: {raw:?}");
    }
    assert!(!was_answered(&target), "a body was answered as a request");
}

#[test]
fn lines_that_end_oddly_hide_no_field() {
    let target = Target::start();
    let host = target.host();
    for head in [
        // A reader that splits at line feeds only, or at carriage returns too, would see the second field.
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nX: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\rContent-Length: 6\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\rHost: HOST\rContent-Length: 5\r\r",
        "GET /healthz HTTP/1.1\r\nHost: HOST\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /healthz\0 HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET /healthz HTTP/1.1 \r\nHost: HOST\r\n\r\n",
        "GET  /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n Host: HOST\r\n\r\n",
        "GET /healthz HTTP/2.0\r\nHost: HOST\r\n\r\n",
        "GET /healthz HTTP/1.2\r\nHost: HOST\r\n\r\n",
        "GET /healthz HTTP/0.9\r\nHost: HOST\r\n\r\n",
        "GET /healthz HTTP/1.1x\r\nHost: HOST\r\n\r\n",
        "GET /healthz http/1.1\r\nHost: HOST\r\n\r\n",
        "GET\t/healthz HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: HOST\r\nX\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
    ] {
        let raw = attack(&target, head, "HIDDEN");
        assert!(
            raw.statuses()
                .iter()
                .all(|status| *status == 400 || *status == 505),
            "{head:?}: {raw:?}"
        );
        assert!(raw.is_closed || raw.text.is_empty(), "{head:?}: {raw:?}");
    }
    assert!(!was_answered(&target));
    // Bare line feeds alone end lines for everybody (RFC 9112, section 2.2): one request, one answer.
    let raw = target.raw(format!("GET /healthz HTTP/1.1\nHost: {host}\n\n").as_bytes());
    assert!(matches!(raw.statuses()[..], [200 | 400]), "{raw:?}");
}

#[test]
fn chunks_that_lie_end_the_connection_and_hide_no_request() {
    let target = Target::start();
    let start = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "2\r\n{}HIDDEN",
        "2\r\n{}\r\n-1\r\nHIDDEN",
        "2\r\n{}\r\n\r\nHIDDEN",
        "2\r\n{}\r\nx\r\nHIDDEN",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\nHIDDEN",
        "2 \r\n{}0\r\n\r\nHIDDEN",
        "2\n{}\r\n0x0\r\n\r\nHIDDEN",
        "2\r\n{}\r\n0;a=\r\rb\r\n\rHIDDEN",
    ] {
        let raw = attack(&target, start, body);
        assert_eq!(raw.statuses(), [400], "{body:?}: {raw:?}");
        assert!(raw.is_closed, "{body:?}");
    }
    assert!(!was_answered(&target));
    // The proof that a hidden request would have been seen: one that everybody agrees on.
    let raw = attack(&target, start, "2\r\n{}\r\n0\r\n\r\nHIDDEN");
    assert_eq!(raw.statuses(), [400, 401], "{raw:?}");
    assert!(was_answered(&target));
}

#[test]
fn a_pipelined_ambiguous_request_hides_nothing_either() {
    let target = Target::start();
    let first = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\nContent-Length: 0\r\n\r\n";
    let second = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\nAuthorization: AUTH\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        for rest in ["0\r\n\r\nHIDDEN", "HIDDEN"] {
            let raw = attack(&target, &format!("{first}{second}{fields}\r\n"), rest);
            assert!(
                raw.statuses().len() <= 2 && raw.is_closed,
                "{fields:?}: {raw:?}"
            );
        }
    }
    assert!(!was_answered(&target));
}
