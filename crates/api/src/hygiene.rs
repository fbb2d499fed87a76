//! Requests that mean different things to different readers are refused before anything acts on them.

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, EXPECT, HOST, HeaderName, RANGE,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Version};
use lazuli_wire::oci::ErrorCode;

use crate::errors::Refusal;
use crate::limits::Limits;

/// Fields that a request may have once. Two readers of a repeated one could believe different lines.
const SINGLE: [HeaderName; 5] = [HOST, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, RANGE];

/// Checks a request's head. `ambiguous_framing`: it told the length of its body more than once.
pub(crate) fn check(
    request: &Parts,
    ambiguous_framing: bool,
    limits: &Limits,
) -> Result<(), Refusal> {
    if ambiguous_framing {
        return Err(Refusal::malformed("the length of the body is ambiguous"));
    }
    check_target(request, limits)?;
    let headers = &request.headers;
    for name in SINGLE {
        if is_repeated(headers, &name) {
            return Err(Refusal::malformed(
                "a header that may appear once is repeated",
            ));
        }
    }
    if request.version == Version::HTTP_11 && !headers.contains_key(HOST) {
        return Err(Refusal::malformed("the Host header is missing"));
    }
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        let has_body = matches!(
            request.method,
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE
        );
        if !has_body || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::malformed("the transfer encoding is not supported"));
        }
    }
    match headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Refusal::with(
                StatusCode::EXPECTATION_FAILED,
                ErrorCode::Unsupported,
                "the only expectation supported is 100-continue",
                None,
            )
            .closing())
        }
        _ => Ok(()),
    }
}

fn check_target(request: &Parts, limits: &Limits) -> Result<(), Refusal> {
    let uri = &request.uri;
    let target = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > limits.max_target_bytes {
        return Err(Refusal::with(
            StatusCode::URI_TOO_LONG,
            ErrorCode::Unsupported,
            "the path and query are too long",
            None,
        )
        .closing());
    }
    if request.method == Method::CONNECT || !uri.path().starts_with('/') {
        return Err(Refusal::malformed("the request target is no path"));
    }
    if let Some(authority) = uri.authority()
        && !agrees(authority, &request.headers)
    {
        return Err(Refusal::malformed(
            "the request target and the Host header differ",
        ));
    }
    Ok(())
}

/// An absolute target has to name the host that the header names (RFC 9112, section 3.2.2, would let it win; a proxy
/// before us may have let the header win).
fn agrees(authority: &Authority, headers: &HeaderMap) -> bool {
    headers.get(HOST).is_some_and(|host| {
        host.as_bytes()
            .eq_ignore_ascii_case(authority.as_str().as_bytes())
    })
}

fn is_repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use http::Request;

    use super::*;

    fn status(method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        match check(&parts, false, &Limits::default()) {
            Ok(()) => 200,
            Err(refusal) => {
                let response = refusal.into_response();
                assert_eq!(response.headers()["connection"], "close");
                response.status().as_u16()
            }
        }
    }

    const HOST: (&str, &str) = ("host", "a:5000");

    #[test]
    fn ordinary_requests_pass() {
        assert_eq!(status("GET", "/v2/", &[HOST]), 200);
        assert_eq!(status("GET", "http://A:5000/v2/", &[HOST]), 200);
        assert_eq!(
            status("PUT", "/v2/", &[HOST, ("expect", "100-Continue")]),
            200
        );
        assert_eq!(
            status("PATCH", "/v2/", &[HOST, ("transfer-encoding", "chunked")]),
            200
        );
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for headers in [
            &[][..],
            &[HOST, HOST],
            &[HOST, ("authorization", "a"), ("authorization", "a")],
            &[HOST, ("content-length", "1"), ("content-length", "1")],
            &[HOST, ("range", "bytes=0-1"), ("range", "bytes=2-3")],
            &[HOST, ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(status("GET", "/v2/", headers), 400, "{headers:?}");
        }
        assert_eq!(
            status(
                "PUT",
                "/v2/",
                &[HOST, ("transfer-encoding", "gzip, chunked")]
            ),
            400
        );
        assert_eq!(status("GET", "http://b:5000/v2/", &[HOST]), 400);
        assert_eq!(status("OPTIONS", "*", &[HOST]), 400);
        assert_eq!(status("CONNECT", "a:5000", &[HOST]), 400);
        assert_eq!(status("PUT", "/v2/", &[HOST, ("expect", "more")]), 417);
    }

    #[test]
    fn long_targets_are_refused() {
        let target = format!("/v2/?{}", "x".repeat(8 << 10));
        assert_eq!(status("GET", &target, &[HOST]), 414);
    }

    #[test]
    fn framing_seen_on_the_wire_is_believed() {
        let (parts, ()) = Request::builder()
            .uri("/v2/")
            .header("host", "a")
            .body(())
            .unwrap()
            .into_parts();
        let refusal = check(&parts, true, &Limits::default()).unwrap_err();
        assert_eq!(refusal.status(), 400);
    }
}
