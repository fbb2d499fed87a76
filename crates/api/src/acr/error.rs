//! Outcomes as this plane tells them. What it has in common with `/v2/` is told as there.

use http::{Method, StatusCode};
use lazuli_registry::Error;
use lazuli_wire::oci::{ErrorCode, RouteError};

use crate::errors::Refusal;
use crate::oci::Task;

/// The answer to a path that is no route.
pub(super) fn route_refusal(error: RouteError, method: &Method) -> Refusal {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let (status, code) = match error {
        RouteError::NotFound | RouteError::UploadUnknown => return Refusal::no_endpoint(),
        RouteError::MethodNotAllowed { allow } => return Refusal::method_not_allowed(allow),
        RouteError::HostilePath | RouteError::NameInvalid => {
            (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid)
        }
        // What can have no such name is not there.
        RouteError::TagInvalid if is_read => (StatusCode::NOT_FOUND, ErrorCode::TagUnknown),
        RouteError::TagInvalid => (StatusCode::BAD_REQUEST, ErrorCode::TagInvalid),
        RouteError::DigestInvalid { .. } => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
    };
    Refusal::with(status, code, error, None)
}

/// The answer to an outcome of the registry. Tags are called tags here, which `/v2/` calls manifests.
pub(super) fn refusal(task: &Task<'_>, error: &Error) -> Refusal {
    match error {
        Error::TagUnknown => Refusal::new(StatusCode::NOT_FOUND, ErrorCode::TagUnknown),
        other => task.refusal(other),
    }
}
