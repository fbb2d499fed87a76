//! `/v2/<name>/blobs/<digest>`

use std::time::Duration;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderValue, IF_MATCH, IF_RANGE, LOCATION, RANGE,
};
use http::{Method, Response, StatusCode};
use lazuli_blobs::BlobObject;
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
use crate::stream_body::StreamBody;

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
    render(task, &access, &blob, bytes)
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
    let (blob, bytes) = opened.map_err(|error| task.pull_refusal(&error))?;
    match bytes {
        BlobBytes::Object(object) => render_object(task, access, &blob, object).await,
        bytes => render(task, access, &blob, bytes)?.ok_or_else(Refusal::no_endpoint),
    }
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

/// What of a blob is asked for.
struct Asked {
    status: StatusCode,
    headers: HeaderMap,
    start: u64,
    end: u64,
}

impl Asked {
    /// `Err`: all that is to be answered, because the client has it or cannot have it.
    fn of(task: &mut Task<'_>, blob: &StoredBlob) -> Result<Self, Box<Answer>> {
        let request = &task.request.parts.headers;
        match is_known(request, &blob.entity_tag, ErrorCode::BlobUnknown) {
            Ok(false) => {}
            Ok(true) => return Err(Box::new(Ok(not_modified(task, blob)))),
            Err(refusal) => return Err(Box::new(Err(refusal))),
        }
        let range = wanted(request, blob);
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
                let refusal = Refusal::new(status, ErrorCode::RangeInvalid)
                    .header(CONTENT_RANGE, value(format!("bytes */{}", blob.size)));
                return Err(Box::new(Err(refusal)));
            }
        };
        Ok(Self {
            status,
            headers,
            start,
            end,
        })
    }

    fn answer(
        self,
        task: &Task<'_>,
        access: &RepositoryAccess<Pull>,
        body: Body,
    ) -> Response<Body> {
        count(task, access, self.end - self.start);
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

fn count(task: &Task<'_>, access: &RepositoryAccess<Pull>, bytes: u64) {
    task.api.registry.transfers().record(
        access.registry().get(),
        access.repository(),
        Meter::BlobPull,
        bytes,
    );
}

/// A blob whose bytes are on this machine.
fn render(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    blob: &StoredBlob,
    bytes: BlobBytes,
) -> Result<Option<Response<Body>>, Refusal> {
    // Of an object only the address may be at hand.
    if let BlobBytes::Object(object) = bytes {
        let url = redirects(task, blob).and_then(|_| task.api.registry.ready_url(&object));
        return match url {
            Some(url) => redirect(task, access, blob, url).map(Some),
            None => Ok(None),
        };
    }
    let asked = match Asked::of(task, blob) {
        Ok(asked) => asked,
        Err(answer) => return (*answer).map(Some),
    };
    let (start, end) = (asked.start, asked.end);
    let body = match bytes {
        // A body in memory is as long as its record says, or the record would not have been read.
        BlobBytes::Memory(bytes) => Body::full(slice(&bytes, start, end)),
        BlobBytes::File(file) => {
            Body::file(FileBody::new(file.file, start, end, &task.api.buffers))
        }
        BlobBytes::Object(_) => return Ok(None),
    };
    Ok(Some(asked.answer(task, access, body)))
}

/// A blob in an object store: the client is sent there, or gets it from here.
async fn render_object(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    blob: &StoredBlob,
    object: BlobObject,
) -> Answer {
    let registry = task.api.registry.clone();
    if let Some(lifetime) = redirects(task, blob) {
        match registry.signed_url(&object, lifetime).await {
            Ok(Some(url)) => return redirect(task, access, blob, url),
            Ok(None) => {}
            // Some credentials cannot sign. Then the bytes go through here.
            Err(error) => tracing::warn!(%error, "an address in the object store was not signed"),
        }
    }
    let asked = match Asked::of(task, blob) {
        Ok(asked) => asked,
        Err(answer) => return *answer,
    };
    let pieces = registry.read_object(access, blob, &object, asked.start..asked.end);
    let pieces = pieces.await.map_err(|error| task.pull_refusal(&error))?;
    let body = Body::stream(StreamBody::new(pieces, asked.end - asked.start));
    Ok(asked.answer(task, access, body))
}

/// How long an address is to be good to which a client is sent for this blob; `None`: it is not sent anywhere. A store has
/// entity tags of its own and may not know `If-Range`, and ranges that are passed over here, such as several at once, it may
/// read in its own way: then the bytes come from here.
fn redirects(task: &Task<'_>, blob: &StoredBlob) -> Option<Duration> {
    let redirects = task.api.redirects.as_ref()?;
    let headers = &task.request.parts.headers;
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_RANGE) {
        return None;
    }
    if let Some(range) = headers.get(RANGE) {
        let range = range.to_str().ok()?;
        if matches!(parse_range(range, blob.size), RangeOutcome::Whole) {
            return None;
        }
    }
    let is_anonymous = task.principal.is_anonymous();
    let address = || {
        task.api
            .resolver
            .client_address(&task.request.parts, task.remote)
    };
    redirects
        .hold_for(blob.size, is_anonymous, address)
        .then_some(redirects.lifetime)
}

/// 307: the client asks there for the range it asked for here, without its credentials.
fn redirect(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    blob: &StoredBlob,
    url: bytes::Bytes,
) -> Answer {
    let asked = match Asked::of(task, blob) {
        Ok(asked) => asked,
        Err(answer) => return *answer,
    };
    count(task, access, asked.end - asked.start);
    let mut headers = task.answer_headers();
    headers.insert(CONTENT_DIGEST, value(blob.digest_text.clone()));
    headers.insert(LOCATION, value(url));
    // The address is a permission, and ends.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut response = respond(StatusCode::TEMPORARY_REDIRECT);
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
    conditions::refuse(&task.request.parts.headers)?;
    let (registry, id) = (&task.api.registry, task.request_id());
    let deleted = registry.delete_blob(access, digest, &id).await;
    deleted.map_err(|error| task.refusal(&error))?;
    let mut response = respond(StatusCode::ACCEPTED);
    response.headers_mut().insert(REMAINING_CALLS, PLENTY);
    let digest = value(digest.to_string());
    response.headers_mut().insert(CONTENT_DIGEST, digest);
    Ok(response)
}
