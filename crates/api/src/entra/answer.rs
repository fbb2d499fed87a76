//! Answers of the authority.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER};
use http::{Response, StatusCode};
use lazuli_identity::Error;
use lazuli_wire::Guid;
use lazuli_wire::acr::Time;
use lazuli_wire::entra::Failure;
use serde::Serialize;

use crate::api::Api;
use crate::body::Body;
use crate::service::Received;

/// Why there is no answer but a refusal.
pub(super) enum Refused {
    /// To a program.
    Json(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Json(failure)
    }
}

/// What a client is told of an error that is not its fault.
pub(super) fn unavailable(error: &Error) -> Failure {
    tracing::error!(%error, "the directory cannot answer");
    Failure::Unavailable
}

/// 200. Tokens must not be kept by any cache (RFC 6749 §5.1).
pub(super) fn json(body: &impl Serialize) -> Response<Body> {
    // Texts and numbers: serialising into memory has no way to fail.
    of(StatusCode::OK, serde_json::to_vec(body).unwrap_or_default())
}

fn of(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(CONTENT_TYPE, json);
    let no_store = HeaderValue::from_static("no-store, no-cache");
    headers.insert(CACHE_CONTROL, no_store);
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn status(failure: &Failure) -> StatusCode {
    match failure {
        Failure::ClientSecret
        | Failure::Assertion(_)
        | Failure::Federation
        | Failure::ProofNeeded => StatusCode::UNAUTHORIZED,
        Failure::Locked(_) | Failure::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        Failure::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// A refusal.
pub(super) fn failure(api: &Api, request: &Received, failure: &Failure) -> Response<Body> {
    let now = Time(api.identity.now_us()).to_string();
    let (day, rest) = now.split_once('T').unwrap_or_default();
    let timestamp = format!("{day} {}Z", rest.get(..8).unwrap_or_default());
    let trace = request.exchange.id().header();
    let trace = trace.to_str().unwrap_or_default();
    // A GUID, as the libraries send it: nothing else is repeated.
    let given = request.parts.headers.get("client-request-id");
    let given = given.and_then(|value| value.to_str().ok());
    let correlation = given.filter(|text| Guid::parse(text).is_ok());
    let correlation = correlation.unwrap_or(trace);
    let mut response = of(
        status(failure),
        failure.body(&timestamp, trace, correlation),
    );
    let wait = match failure {
        Failure::Locked(seconds) | Failure::Busy(seconds) => Some(*seconds),
        Failure::Unavailable => Some(5),
        _ => None,
    };
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
