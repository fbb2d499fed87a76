//! `/v2/<name>/blobs/<digest>`

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, IF_RANGE,
    RANGE,
};
use http::{Method, Response, StatusCode};
use lazuli_identity::{Delete, Pull, RepositoryAccess};
use lazuli_registry::blobs::{BlobBytes, StoredBlob};
use lazuli_registry::metering::Meter;
use lazuli_wire::oci::{Digest, ErrorCode, RangeOutcome, RepositoryName, parse_range};

use super::conditions::{self, is_known};
use super::{Answer, Task, identify, respond, value};
use crate::body::Body;
use crate::errors::Refusal;
use crate::file_body::FileBody;
use crate::headers::{CONTENT_DIGEST, PLENTY, REMAINING_CALLS};

/// A blob whose bytes are at hand.
pub(super) fn get_now(
    task: &mut Task<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Option<Response<Body>>, Refusal> {
    let access = task.access::<Pull>(name)?;
    if task.request.parts.method == Method::HEAD {
        // The answer is a promise, which may have to be written down first.
        return Ok(None);
    }
    let registry = &task.api.registry;
    let Some(blob) = registry.cached_blob(&access, digest) else {
        return Ok(None);
    };
    let Some(bytes) = registry.ready_bytes(&blob) else {
        return Ok(None);
    };
    render(task, &access, &blob, bytes).map(Some)
}

/// GET and HEAD. What HEAD affirms a client may rely on for a while: it decides by it what not to push.
pub(super) async fn get(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    digest: &Digest,
) -> Answer {
    let registry = &task.api.registry;
    if task.request.parts.method == Method::HEAD {
        let blob = registry.affirm_blob(access, digest).await;
        let blob = blob.map_err(|error| task.refusal(&error))?;
        return head(task, &blob);
    }
    let opened = registry.open_blob(access, digest).await;
    let (blob, bytes) = opened.map_err(|error| task.refusal(&error))?;
    render(task, access, &blob, bytes)
}

fn describe(headers: &mut HeaderMap, blob: &StoredBlob) {
    identify(headers, &blob.digest_text, &blob.entity_tag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, octets);
}

fn head(task: &mut Task<'_>, blob: &StoredBlob) -> Answer {
    if is_known(
        &task.request.parts.headers,
        &blob.entity_tag,
        ErrorCode::BlobUnknown,
    )? {
        return Ok(not_modified(task, blob));
    }
    let mut response = respond(StatusCode::OK);
    let headers = response.headers_mut();
    describe(headers, blob);
    headers.insert(CONTENT_LENGTH, blob.size.into());
    Ok(response)
}

fn not_modified(task: &mut Task<'_>, blob: &StoredBlob) -> Response<Body> {
    let mut headers = task.answer_headers();
    identify(&mut headers, &blob.digest_text, &blob.entity_tag);
    let mut response = respond(StatusCode::NOT_MODIFIED);
    *response.headers_mut() = headers;
    response
}

fn render(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    blob: &StoredBlob,
    bytes: BlobBytes,
) -> Answer {
    if is_known(
        &task.request.parts.headers,
        &blob.entity_tag,
        ErrorCode::BlobUnknown,
    )? {
        return Ok(not_modified(task, blob));
    }
    let range = wanted(&task.request.parts.headers, blob);
    let mut headers = task.answer_headers();
    describe(&mut headers, blob);
    let (status, start, end) = match range {
        RangeOutcome::Whole => (StatusCode::OK, 0, blob.size),
        RangeOutcome::Single {
            start,
            end_inclusive,
        } => {
            let range = format!("bytes {start}-{end_inclusive}/{}", blob.size);
            headers.insert(CONTENT_RANGE, value(range));
            (StatusCode::PARTIAL_CONTENT, start, end_inclusive + 1)
        }
        RangeOutcome::Unsatisfiable => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(Refusal::new(status, ErrorCode::RangeInvalid)
                .header(CONTENT_RANGE, value(format!("bytes */{}", blob.size))));
        }
    };
    let body = match bytes {
        // A body in memory is as long as its record says, or the record would not have been read.
        BlobBytes::Memory(bytes) => Body::full(slice(&bytes, start, end)),
        BlobBytes::File(file) => {
            Body::file(FileBody::new(file.file, start, end, &task.api.buffers))
        }
    };
    task.api.registry.transfers().record(
        access.registry().get(),
        access.repository(),
        Meter::BlobPull,
        end - start,
    );
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn slice(bytes: &bytes::Bytes, start: u64, end: u64) -> bytes::Bytes {
    let end = (end as usize).min(bytes.len());
    bytes.slice((start as usize).min(end)..end)
}

/// The bytes asked for. With `If-Range`, a part only if the client has parts of this very content.
fn wanted(headers: &HeaderMap, blob: &StoredBlob) -> RangeOutcome {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else {
        return RangeOutcome::Whole;
    };
    match headers.get(IF_RANGE) {
        Some(tag) if tag.as_bytes() != &*blob.entity_tag => RangeOutcome::Whole,
        _ => parse_range(range, blob.size),
    }
}

/// DELETE.
pub(super) async fn delete(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Delete>,
    digest: &Digest,
) -> Answer {
    conditions::refuse_for_delete(&task.request.parts.headers)?;
    let (registry, id) = (&task.api.registry, task.request_id());
    let deleted = registry.delete_blob(access, digest, &id).await;
    deleted.map_err(|error| task.refusal(&error))?;
    let mut response = respond(StatusCode::ACCEPTED);
    response.headers_mut().insert(REMAINING_CALLS, PLENTY);
    let digest = value(digest.to_string());
    response.headers_mut().insert(CONTENT_DIGEST, digest);
    Ok(response)
}
