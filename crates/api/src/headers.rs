//! Headers that every answer carries, prepared once (Azure's answers as recorded; RFC 9110).

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderName, HeaderValue, ORIGIN,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};

use crate::body::Body;
use crate::request_id::RequestId;

/// `Docker-Distribution-Api-Version`: Docker tells a registry from another server by it.
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// `Docker-Content-Digest`
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Upload-UUID`
pub(crate) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// `X-Ms-Ratelimit-Remaining-Calls-Per-Second`, on deletes and tokens.
pub(crate) const REMAINING_CALLS: HeaderName =
    HeaderName::from_static("x-ms-ratelimit-remaining-calls-per-second");
/// What Azure answers a caller that is far from its limit.
pub(crate) const PLENTY: HeaderValue = HeaderValue::from_static("166.65");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Docker-Content-Digest, WWW-Authenticate, Link, X-Ms-Correlation-Request-Id",
);

/// Adds what every answer carries.
pub(crate) fn decorate(headers: &mut HeaderMap, id: RequestId, strict_transport: bool) {
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(CORRELATION_ID, id.header());
    if strict_transport {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
}

/// Which web pages may read answers.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins such as `https://portal.example`; `*` for any. None by default: a page anywhere could otherwise read
    /// what a registry inside a company serves without credentials, through the browser of somebody there.
    pub origins: Vec<String>,
}

impl Cors {
    /// The origin a request comes from, if answers may depend on it.
    pub(crate) fn origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return None;
        }
        request.get(ORIGIN).cloned()
    }

    /// Lets an allowed origin read the answer.
    pub(crate) fn decorate(&self, origin: Option<HeaderValue>, response: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        response.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else {
            return;
        };
        let allowed = |allowed: &String| allowed == "*" || allowed.as_bytes() == origin.as_bytes();
        if self.origins.iter().any(allowed) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }

    /// Answers `OPTIONS`: the methods an endpoint has, and for a browser that asks first, what it may send.
    pub(crate) fn options(allow: &'static str) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allow));
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(allow),
        );
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Accept, Authorization, Content-Range, Content-Type, If-None-Match, Range",
            ),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listed_origin_may_read() {
        let cors = Cors {
            origins: vec!["https://portal.example".into()],
        };
        let answer = |cors: &Cors, origin: &'static str| {
            let mut request = HeaderMap::new();
            request.insert(ORIGIN, HeaderValue::from_static(origin));
            let mut response = HeaderMap::new();
            cors.decorate(cors.origin(&request), &mut response);
            response.remove(ACCESS_CONTROL_ALLOW_ORIGIN)
        };
        assert!(answer(&cors, "https://portal.example").is_some());
        assert!(answer(&cors, "https://portal.example.evil").is_none());
        assert!(answer(&Cors::default(), "https://portal.example").is_none());
    }
}
