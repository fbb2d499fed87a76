//! Outcomes as this plane tells them: the only place that gives them a status and a code.

use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use lazuli_registry::Error;
use lazuli_registry::attributes::Locked;
use lazuli_wire::oci::{ErrorCode, ManifestError, RouteError};
use serde_json::json;

use super::Task;
use crate::body::BodyError;
use crate::errors::Refusal;

/// The answer to a path that is no route.
pub(super) fn route_refusal(error: RouteError, request: &Parts) -> Refusal {
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    let error = match error {
        RouteError::HostilePath if has_hostile_reference(request.uri.path()) => {
            RouteError::TagInvalid
        }
        other => other,
    };
    let (status, code) = match error {
        RouteError::NotFound => return Refusal::no_endpoint(),
        RouteError::MethodNotAllowed { allow } => return Refusal::method_not_allowed(allow),
        RouteError::HostilePath | RouteError::NameInvalid => {
            (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid)
        }
        // What can have no such name is not there.
        RouteError::TagInvalid if is_read => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
        RouteError::TagInvalid => (StatusCode::BAD_REQUEST, ErrorCode::TagInvalid),
        RouteError::DigestInvalid { .. } => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
        RouteError::UploadUnknown => (StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
    };
    Refusal::with(status, code, error, None)
}

/// 405 for a delete where nothing may be deleted. `allow`: the other methods of the endpoint.
pub(crate) fn deletion_is_off(allow: &'static str) -> Refusal {
    let message = "deletion is switched off here; the operator can allow it with delete.enabled";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Refusal::with(status, ErrorCode::Unsupported, message, None)
        .header(ALLOW, HeaderValue::from_static(allow))
}

/// 405 for what a lock forbids, in Azure's words and then in ours. Azure's tools print the message, and do not try again.
fn locked_refusal(locked: &Locked) -> Refusal {
    let (status, code) = (
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::DisallowedOperation,
    );
    let message = format!(
        "{}: {locked}. See its attributes with az acr repository show; who may change them can unlock it with az acr repository update",
        code.message()
    );
    Refusal::with(status, code, message, None).header(ALLOW, HeaderValue::from_static("GET, HEAD"))
}

/// Whether it is the reference of a manifest that makes a path hostile, and not the name before it.
fn has_hostile_reference(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(before, last)| {
        before.ends_with("/manifests")
            && !before.contains(['%', '\\'])
            && last.contains(['%', '\\'])
    })
}

/// The answer to a body that cannot be read.
pub(crate) fn body_refusal(error: BodyError) -> Refusal {
    let (status, code) = match error {
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid),
        BodyError::Stalled => (StatusCode::REQUEST_TIMEOUT, ErrorCode::SizeInvalid),
        BodyError::Incomplete(_) => (StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
    };
    Refusal::with(status, code, error, None)
}

impl Task<'_> {
    /// The answer to an outcome of the registry.
    pub(crate) fn refusal(&self, error: &Error) -> Refusal {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const GONE: StatusCode = StatusCode::NOT_FOUND;
        let (status, code) = match error {
            Error::NameUnknown => (GONE, ErrorCode::NameUnknown),
            Error::ManifestUnknown | Error::TagUnknown => (GONE, ErrorCode::ManifestUnknown),
            Error::BlobUnknown => (GONE, ErrorCode::BlobUnknown),
            Error::UploadUnknown => (GONE, ErrorCode::BlobUploadUnknown),
            Error::UploadBusy => {
                let (status, code) = (StatusCode::CONFLICT, ErrorCode::BlobUploadInvalid);
                return Refusal::with(status, code, error, None).retry_after(1);
            }
            Error::RangeInvalid { .. } => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                ErrorCode::BlobUploadInvalid,
            ),
            Error::SizeInvalid(_) => (BAD, ErrorCode::SizeInvalid),
            Error::DigestMismatch(_) => (BAD, ErrorCode::DigestInvalid),
            Error::ManifestInvalid(ManifestError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid)
            }
            Error::ManifestInvalid(_) => (BAD, ErrorCode::ManifestInvalid),
            Error::ManifestBlobUnknown(digests) => return missing_blobs(digests),
            Error::TooManyTags(_) => (StatusCode::URI_TOO_LONG, ErrorCode::TagInvalid),
            Error::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, ErrorCode::ManifestInvalid)
            }
            Error::Locked(locked) => return locked_refusal(locked),
            Error::BodyIncomplete if self.request.body.has_stalled() => {
                (StatusCode::REQUEST_TIMEOUT, ErrorCode::BlobUploadInvalid)
            }
            Error::BodyIncomplete => (BAD, ErrorCode::BlobUploadInvalid),
            Error::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid),
            Error::Busy => return Refusal::unavailable(1, "the registry is busy; try again"),
            Error::OutOfSpace => {
                let (status, code) = (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Denied);
                return Refusal::with(status, code, error, None).retry_after(60);
            }
            Error::ReadOnly => {
                let text = "the registry takes no writes after a storage fault";
                return Refusal::unavailable(60, text);
            }
            Error::Moving { is_over } => {
                let (after, text) = if *is_over {
                    (
                        60,
                        "the registry has been moved to another place; this one takes no writes",
                    )
                } else {
                    (
                        5,
                        "the registry is being moved to another place; writes go on in a moment",
                    )
                };
                return Refusal::unavailable(after, text);
            }
            Error::Database(database) if database.is_retryable() => {
                self.log(error);
                return Refusal::unavailable(2, "the database is not available; try again");
            }
            Error::Store(lazuli_blobs::Error::ObjectStore { .. }) => {
                self.log(error);
                return Refusal::unavailable(5, "the object store is not available; try again");
            }
            Error::Damaged | Error::Database(_) | Error::Store(_) | Error::Internal(_) => {
                self.log(error);
                return Refusal::internal();
            }
        };
        Refusal::with(status, code, error, None)
    }

    /// The same for a pull: a blob whose bytes are gone is unknown, as HEAD says too, so that it is pushed again, which
    /// heals it.
    pub(super) fn pull_refusal(&self, error: &Error) -> Refusal {
        if matches!(error, Error::Damaged) {
            self.log(error);
            return self.refusal(&Error::BlobUnknown);
        }
        self.refusal(error)
    }

    fn log(&self, error: &Error) {
        let parts = &self.request.parts;
        tracing::error!(
            request_id = %self.request.exchange.id(),
            method = %parts.method,
            path = parts.uri.path(),
            %error,
            "a request failed"
        );
    }
}

/// One entry for each missing blob, as far as an answer should go.
fn missing_blobs(digests: &[lazuli_wire::oci::Digest]) -> Refusal {
    const MOST: usize = 100;
    let code = ErrorCode::ManifestBlobUnknown;
    let errors: Vec<_> = digests
        .iter()
        .take(MOST)
        .map(|digest| {
            (
                code,
                code.message(),
                Some(json!({ "digest": digest.to_string() })),
            )
        })
        .collect();
    Refusal::many(StatusCode::NOT_FOUND, &errors)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_hostile_part_of_a_path_is_found() {
        assert!(has_hostile_reference("/v2/a/manifests/%ff"));
        assert!(has_hostile_reference("/v2/a/manifests/a\\b"));
        assert!(!has_hostile_reference("/v2/%ff/manifests/v1"));
        assert!(!has_hostile_reference("/v2/%ff/manifests/%ff"));
        assert!(!has_hostile_reference("/v2/a/blobs/%ff"));
    }

    #[test]
    fn names_that_cannot_exist_are_unknown_to_readers_and_invalid_to_writers() {
        let status = |error, method| {
            let (parts, ()) = http::Request::builder()
                .method(method)
                .uri("/v2/a/manifests/%ff")
                .body(())
                .unwrap()
                .into_parts();
            route_refusal(error, &parts).status().as_u16()
        };
        assert_eq!(status(RouteError::TagInvalid, Method::GET), 404);
        assert_eq!(status(RouteError::TagInvalid, Method::PUT), 400);
        assert_eq!(status(RouteError::TagInvalid, Method::DELETE), 400);
        let malformed = RouteError::DigestInvalid { unsupported: false };
        assert_eq!(status(malformed, Method::GET), 400);
        assert_eq!(status(RouteError::UploadUnknown, Method::PATCH), 404);
        assert_eq!(status(RouteError::HostilePath, Method::PUT), 400);
        assert_eq!(status(RouteError::HostilePath, Method::GET), 404);
        let allow = RouteError::MethodNotAllowed { allow: "GET" };
        assert_eq!(status(allow, Method::PUT), 405);
    }
}
