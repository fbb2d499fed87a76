//! Refusals: error answers in the form of the OCI distribution specification.

use std::fmt::Display;

use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use lazuli_wire::oci::{ErrorCode, error_body};
use lazuli_wire::token::{Challenge, unauthorized_body};
use serde_json::Value;

use crate::body::Body;
use crate::limits::TryLater;

/// An error answer. Boxed, so that results stay small.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Response<Body>>);

impl Refusal {
    /// An answer with one error and its code's own message.
    pub(crate) fn new(status: StatusCode, code: ErrorCode) -> Self {
        Self::with(status, code, code.message(), None)
    }

    /// An answer with one error.
    pub(crate) fn with(
        status: StatusCode,
        code: ErrorCode,
        message: impl Display,
        detail: Option<Value>,
    ) -> Self {
        let message = message.to_string();
        Self::json(status, error_body(&[(code, &message, detail)]))
    }

    /// An answer with several errors.
    pub(crate) fn many(status: StatusCode, errors: &[(ErrorCode, &str, Option<Value>)]) -> Self {
        Self::json(status, error_body(errors))
    }

    /// 401 with a challenge, and what the request needs in the body.
    pub(crate) fn unauthorized(challenge: &Challenge) -> Self {
        let body = unauthorized_body(challenge.scope.as_ref());
        let value = HeaderValue::try_from(challenge.header_value());
        // A login server and a scope are printable, so there is always a challenge.
        Self::json(StatusCode::UNAUTHORIZED, body).header(
            WWW_AUTHENTICATE,
            value.unwrap_or(HeaderValue::from_static("Bearer")),
        )
    }

    /// 400 for a request that means different things to different readers, or nothing. The connection is closed.
    pub(crate) fn malformed(message: &'static str) -> Self {
        Self::with(
            StatusCode::BAD_REQUEST,
            ErrorCode::Unsupported,
            message,
            None,
        )
        .closing()
    }

    /// 405 with the methods there are.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("the endpoint has these methods: {allow}");
        Self::with(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::Unsupported,
            message,
            None,
        )
        .header(ALLOW, HeaderValue::from_static(allow))
    }

    /// 404 for a path that is no endpoint.
    pub(crate) fn no_endpoint() -> Self {
        Self::with(
            StatusCode::NOT_FOUND,
            ErrorCode::Unsupported,
            "no such endpoint",
            None,
        )
    }

    /// 500. What happened is in the log, under the request's identifier.
    pub(crate) fn internal() -> Self {
        Self::with(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unknown,
            "internal error; the registry's log has more under the request id",
            None,
        )
    }

    /// 429: the caller has to wait, in seconds.
    pub(crate) fn too_many(message: &str, after: u32) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::with(status, ErrorCode::TooManyRequests, message, None).retry_after(after)
    }

    /// 503: the server has too much to do.
    pub(crate) fn overloaded(later: TryLater) -> Self {
        Self::unavailable(later.after, "the registry is busy; try again shortly")
    }

    /// 503: trying again later helps, in seconds.
    pub(crate) fn unavailable(after: u32, message: &str) -> Self {
        Self::with(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::TooManyRequests,
            message,
            None,
        )
        .retry_after(after)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    /// Adds `Retry-After`, in seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, seconds.into())
    }

    /// Closes the connection after the answer.
    pub(crate) fn closing(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// The status.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        *self.0
    }

    fn json(status: StatusCode, body: Vec<u8>) -> Self {
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Self(Box::new(response))
    }
}

impl From<TryLater> for Refusal {
    /// 429 with the time to wait.
    fn from(later: TryLater) -> Self {
        Self::too_many(ErrorCode::TooManyRequests.message(), later.after)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn an_answer_has_status_type_and_headers() {
        let response = Refusal::from(TryLater { after: 7 }).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "application/json; charset=utf-8"
        );
        assert!(response.body().remaining() > 0);
        let response = Refusal::method_not_allowed("GET, HEAD").into_response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }

    #[test]
    fn a_challenge_is_written_to_the_letter() {
        let challenge = Challenge::new("http", "127.0.0.1:5000", None);
        let response = Refusal::unauthorized(&challenge).into_response();
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            "Bearer realm=\"http://127.0.0.1:5000/oauth2/token\",service=\"127.0.0.1:5000\""
        );
    }
}
