//! Answers of the management plane, and its errors: `{"error":{"code","message"}}`.

use std::borrow::Cow;
use std::fmt::Display;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, PRAGMA,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use lazuli_control::Error;
use lazuli_wire::arm::{BodyError, FilterError, RouteError};
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoints::Endpoints;
use crate::errors::Refusal;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Option<Value>,
    tag: Option<String>,
    location: Option<String>,
}

impl Answer {
    /// 200.
    pub(super) fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            tag: None,
            location: None,
        }
    }

    /// 201 if something was made, 200 if it was there.
    pub(super) fn made(body: Value, is_new: bool) -> Self {
        let mut answer = Self::ok(body);
        if is_new {
            answer.status = StatusCode::CREATED;
        }
        answer
    }

    /// 200 or, if there was nothing to do, 204.
    pub(super) fn deleted(is_gone: bool) -> Self {
        Self {
            status: if is_gone {
                StatusCode::OK
            } else {
                StatusCode::NO_CONTENT
            },
            body: None,
            tag: None,
            location: None,
        }
    }

    /// 202: what was asked for goes on; at `location` it can be asked how far it is.
    pub(super) fn accepted(location: String) -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            body: None,
            tag: None,
            location: Some(location),
        }
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self::deleted(false)
    }

    /// A list, whole.
    pub(super) fn list(items: Vec<Value>) -> Self {
        Self::ok(json!({"value": Value::Array(items)}))
    }

    /// With the tag of a version.
    pub(super) fn tagged(mut self, tag: String) -> Self {
        self.tag = Some(tag);
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = match &self.body {
            Some(body) => json_response(self.status, body),
            None => empty(self.status),
        };
        if let Some(tag) = self.tag
            && let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\""))
        {
            response.headers_mut().insert(ETAG, tag);
        }
        if let Some(location) = self.location
            && let Ok(location) = HeaderValue::try_from(location)
        {
            let headers = response.headers_mut();
            headers.insert(LOCATION, location);
            // Without it clients wait for half a minute; they read integers only.
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    no_store(&mut response);
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    no_store(&mut response);
    response
}

/// What is told here is for one caller, and some of it is secret.
fn no_store(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

/// An error of this plane.
#[derive(Debug)]
pub(super) enum Refused {
    /// In its own form.
    Arm(Box<Failure>),
    /// What happens before this plane is reached, in the common form.
    Oci(Refusal),
}

/// What an error says.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    target: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Display) -> Self {
        Self::Arm(Box::new(Failure {
            status,
            code: code.into(),
            message: message.to_string(),
            target: None,
            header: None,
        }))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Self::Arm(failure) = &mut self {
            failure.header = Some((name, value));
        }
        self
    }

    fn with_target(mut self, target: Option<String>) -> Self {
        if let Self::Arm(failure) = &mut self {
            failure.target = target;
        }
        self
    }

    pub(super) fn not_found(code: &'static str, message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 500. What happened is in the log.
    pub(super) fn internal() -> Self {
        let message = "internal error; the server's log has more under the request id";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            message,
        )
    }

    /// This server was started without a management plane.
    pub(super) fn not_here() -> Self {
        Self::not_found("NotFound", "This server has no management plane.")
    }

    pub(super) fn busy() -> Self {
        let message = "too many attempts to sign in at the same time";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
            .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn bad_query() -> Self {
        let message = "The query or a condition of the request cannot be read.";
        Self::new(StatusCode::BAD_REQUEST, "InvalidQuery", message)
    }

    pub(super) fn no_operation(id: &str) -> Self {
        let message =
            format!("There is no operation '{id}': operations are over when they are answered.");
        Self::not_found("OperationNotFound", message)
    }

    /// 409: what was begun failed.
    pub(super) fn failed(code: String, message: String) -> Self {
        let mut refused = Self::new(StatusCode::CONFLICT, "OperationFailed", message);
        if let Self::Arm(failure) = &mut refused {
            failure.code = code.into();
        }
        refused
    }

    /// 403.
    pub(super) fn forbidden(reason: &impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AuthorizationFailed", reason)
    }

    /// 401 for a request without a token.
    pub(super) fn no_token(endpoints: &Endpoints) -> Self {
        let message = "Authentication failed. The 'Authorization' header is missing.";
        Self::unauthorized("AuthenticationFailed", message, endpoints, "")
    }

    /// 401 for a token that does not count.
    pub(super) fn bad_token(endpoints: &Endpoints) -> Self {
        let message = "The access token is invalid, expired, or not meant for the management plane. Sign in again.";
        let error = ", error=\"invalid_token\", error_description=\"The access token is invalid.\"";
        Self::unauthorized("InvalidAuthenticationToken", message, endpoints, error)
    }

    fn unauthorized(code: &'static str, message: &str, endpoints: &Endpoints, error: &str) -> Self {
        let value = format!(
            "Bearer authorization_uri=\"{}/common\"{error}",
            endpoints.authority
        );
        let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("Bearer"));
        Self::new(StatusCode::UNAUTHORIZED, code, message).with_header(WWW_AUTHENTICATE, value)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let failure = match self {
            Self::Oci(refusal) => return refusal.into_response(),
            Self::Arm(failure) => failure,
        };
        let mut error = json!({"code": failure.code, "message": failure.message});
        if let Some(target) = &failure.target {
            error["target"] = json!(target);
        }
        let mut response = json_response(failure.status, &json!({"error": error}));
        if let Some((name, value)) = failure.header {
            response.headers_mut().insert(name, value);
        }
        // az prints the code of this header when a body is cut.
        if let Ok(code) = HeaderValue::from_str(&failure.code) {
            let name = HeaderName::from_static("x-ms-error-code");
            response.headers_mut().insert(name, code);
        }
        response
    }
}

impl From<RouteError> for Refused {
    fn from(error: RouteError) -> Self {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match &error {
            RouteError::NotFound => Self::not_found("NotFound", error),
            RouteError::Provider(_) => Self::not_found("InvalidResourceNamespace", error),
            RouteError::Type(_) => Self::not_found("InvalidResourceType", error),
            RouteError::NotGuid(_) => Self::new(BAD, "InvalidGuid", error),
            RouteError::Scope => Self::new(BAD, "InvalidResourceId", error),
            RouteError::Malformed => Self::new(BAD, "InvalidRequestUri", error),
            RouteError::MethodNotAllowed { allow } => {
                let allow = HeaderValue::from_static(allow);
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &error)
                    .with_header(ALLOW, allow)
            }
        }
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Error::from(error).into()
    }
}

impl From<FilterError> for Refused {
    fn from(error: FilterError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidFilterInQueryString", error)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { code, message } => Self::not_found(code, message),
            Error::Invalid {
                code,
                message,
                target,
            } => Self::new(StatusCode::BAD_REQUEST, code, message).with_target(target),
            Error::Conflict { code, message } => Self::new(StatusCode::CONFLICT, code, message),
            Error::Precondition => {
                Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", error)
            }
            Error::NotAvailable { target, .. } => {
                let target = target.map(str::to_owned);
                Self::new(StatusCode::BAD_REQUEST, "FeatureNotAvailable", error).with_target(target)
            }
            Error::Registry(lazuli_registry::Error::Moving { .. }) => {
                let message = "This installation is being moved to another place; nothing can be changed meanwhile.";
                Self::unavailable("InstallationIsMoving", message)
            }
            Error::Registry(_) | Error::Identity(_) | Error::Database(_) => {
                tracing::error!(%error, "the management plane failed");
                match &error {
                    Error::Database(error) if error.is_retryable() => {
                        let message = "The database is busy; try again shortly.";
                        Self::unavailable("ServerTimeout", message)
                    }
                    _ => Self::internal(),
                }
            }
        }
    }
}

impl Refused {
    fn unavailable(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
            .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }
}
