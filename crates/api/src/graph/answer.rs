//! Answers of the directory's interface.

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use lazuli_identity::{DirectoryError, Error};
use serde_json::{Value, json};

use crate::body::Body;
use crate::service::Received;

/// Why a request is refused.
pub(super) enum Refused {
    /// There is no token, or it is not good.
    Unauthenticated,
    /// The caller may not.
    Forbidden,
    /// There is no such endpoint.
    NoEndpoint,
    /// The endpoint has other methods.
    Method(&'static str),
    /// There is no such object.
    NotFound(String),
    /// The request is wrong; what about it.
    Bad(String),
    /// The name is taken.
    Conflict(String),
    /// Something Graph has and this directory has not.
    NotHere(&'static str),
    /// Not the caller's fault.
    Internal,
}

impl Refused {
    pub(super) fn internal(error: &Error) -> Self {
        tracing::error!(%error, "the directory cannot answer");
        Self::Internal
    }

    fn parts(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "InvalidAuthenticationToken",
                "Access token is missing, invalid or expired.".to_owned(),
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation: it needs the role Owner at the scope '/'.".to_owned(),
            ),
            Self::NoEndpoint => (
                StatusCode::NOT_FOUND,
                "BadRequest",
                "Resource not found for the segment: this directory has users, groups, applications, servicePrincipals, me, \
                 organization and directoryObjects."
                    .to_owned(),
            ),
            Self::Method(allow) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Request_BadRequest",
                format!("The method is not allowed here; there are {allow}."),
            ),
            Self::NotFound(name) => (
                StatusCode::NOT_FOUND,
                "Request_ResourceNotFound",
                format!(
                    "Resource '{name}' does not exist or one of its queried reference-property objects are not present."
                ),
            ),
            Self::Bad(text) => (StatusCode::BAD_REQUEST, "Request_BadRequest", text.clone()),
            Self::Conflict(text) => (
                StatusCode::CONFLICT,
                "Request_MultipleObjectsWithSameKeyValue",
                text.clone(),
            ),
            Self::NotHere(text) => (
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                (*text).to_owned(),
            ),
            Self::Internal => (
                StatusCode::SERVICE_UNAVAILABLE,
                "serviceNotAvailable",
                "The directory cannot answer now. Try again shortly.".to_owned(),
            ),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::internal(&error)
    }
}

impl From<DirectoryError> for Refused {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NotFound(what) => Self::NotFound(what.to_owned()),
            // As Graph: a name that is taken is a bad request.
            DirectoryError::Exists(text) | DirectoryError::Invalid(text) => Self::Bad(text),
            DirectoryError::Internal(error) => Self::internal(&error),
        }
    }
}

/// An answer with a body.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json;odata.metadata=minimal;charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// 204
pub(super) fn done() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A refusal, as Graph writes it.
pub(super) fn refusal(request: &Received, refused: &Refused) -> Response<Body> {
    let (status, code, message) = refused.parts();
    let id = request.exchange.id().header();
    let body = json!({
        "error": { "code": code, "message": message, "innerError": { "request-id": id.to_str().unwrap_or_default() } },
    });
    let mut response = json(status, &body);
    let headers = response.headers_mut();
    match refused {
        Refused::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refused::Method(allow) => {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        _ => {}
    }
    response
}
