//! `/v2/<name>/blobs/uploads/` and `/v2/<name>/blobs/uploads/<id>`

use bytes::Bytes;
use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, Response, StatusCode};
use lazuli_identity::{Pull, Push, RepositoryAccess};
use lazuli_registry::Error;
use lazuli_registry::metering::Meter;
use lazuli_registry::uploads::{Incoming, Session, SessionRequest};
use lazuli_wire::oci::{
    Algorithm, Digest, ErrorCode, RepositoryName, Route, UploadId, parse_content_range,
};
use lazuli_wire::query::Query;

use super::conditions;
use super::error::body_refusal;
use super::{Answer, Task, respond, value};
use crate::body::{Body, BodyError, RequestBody};
use crate::errors::Refusal;
use crate::headers::{CONTENT_DIGEST, UPLOAD_UUID};

/// The parameter of a session's `Location` that carries what the server needs to know of it.
const STATE: &str = "_state";

/// POST: begins an upload, takes a whole blob, or mounts one of another repository.
pub(super) async fn start(task: &mut Task<'_>, access: &RepositoryAccess<Push>) -> Answer {
    conditions::refuse(&task.request.parts.headers)?;
    let asked = Asked::read(&task.query()?)?;
    let open = task.api.registry.check_open().await;
    open.map_err(|error| task.refusal(&error))?;
    if let Some(digest) = &asked.mount
        && mount(task, access, digest, asked.from.as_deref()).await?
    {
        return Ok(created(access, digest));
    }
    if let Some(digest) = &asked.digest {
        return push_whole(task, access, digest).await;
    }
    let session = task.api.registry.start_upload(access, asked.algorithm);
    let session = session.map_err(|error| task.refusal(&error))?;
    Ok(describe(StatusCode::ACCEPTED, access, &session))
}

/// The parameters of a POST.
struct Asked {
    digest: Option<Digest>,
    mount: Option<Digest>,
    from: Option<String>,
    algorithm: Algorithm,
}

impl Asked {
    fn read(query: &Query<'_>) -> Result<Self, Refusal> {
        let digest = |name| {
            let text = single(query, name)?;
            text.map(parse_digest).transpose()
        };
        let algorithm = match single(query, "digest-algorithm")? {
            None => Algorithm::Sha256,
            Some(name) => Algorithm::parse(name).ok_or_else(|| {
                let message = "the digest algorithm is not supported; use sha256 or sha512";
                let status = StatusCode::BAD_REQUEST;
                Refusal::with(status, ErrorCode::DigestInvalid, message, None)
            })?,
        };
        Ok(Self {
            digest: digest("digest")?,
            mount: digest("mount")?,
            from: single(query, "from")?.map(str::to_owned),
            algorithm,
        })
    }
}

fn single<'q>(query: &'q Query<'_>, name: &str) -> Result<Option<&'q str>, Refusal> {
    query.single(name).map_err(|error| {
        Refusal::with(
            StatusCode::BAD_REQUEST,
            ErrorCode::BlobUploadInvalid,
            error,
            None,
        )
    })
}

fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).map_err(|error| {
        Refusal::with(
            StatusCode::BAD_REQUEST,
            ErrorCode::DigestInvalid,
            error,
            None,
        )
    })
}

/// Whether the blob could be mounted. A source that the caller may not read is treated as one that has no such blob.
async fn mount(
    task: &Task<'_>,
    target: &RepositoryAccess<Push>,
    digest: &Digest,
    from: Option<&str>,
) -> Result<bool, Refusal> {
    let registry = &task.api.registry;
    let sources = if let Some(from) = from {
        RepositoryName::parse(from).ok().into_iter().collect()
    } else {
        let candidates = registry.mount_candidates(target, digest).await;
        candidates.map_err(|error| task.refusal(&error))?
    };
    for source in sources {
        let readable =
            task.api
                .identity
                .authorize::<Pull>(task.principal, task.site.registry, &source);
        let Ok(source) = readable else {
            continue;
        };
        let mounted = registry.mount_blob(target, &source, digest).await;
        if mounted.map_err(|error| task.refusal(&error))? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn push_whole(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Push>,
    digest: &Digest,
) -> Answer {
    let _slot = task.api.uploads.take(task.origin()).await?;
    let mut body = Chunk::new(&mut task.request.body, task.api.limits.max_blob_bytes)?;
    let pushed = task.api.registry.push_blob(access, digest, &mut body).await;
    let received = body.received;
    pushed.map_err(|error| task.refusal(&error))?;
    count(task, access, received);
    Ok(created(access, digest))
}

/// PATCH: takes a chunk.
pub(super) async fn append(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Push>,
    id: UploadId,
) -> Answer {
    let _slot = task.api.uploads.take(task.origin()).await?;
    let (state, range) = (state(task)?, range(task)?);
    let request = SessionRequest {
        id,
        state: state.as_deref(),
        range,
    };
    let mut body = Chunk::new(&mut task.request.body, task.api.limits.max_blob_bytes)?;
    let taken = task
        .api
        .registry
        .append_upload(access, request, &mut body)
        .await;
    let received = body.received;
    count(task, access, received);
    let session = taken.map_err(|error| session_refusal(task, access, request, &error))?;
    Ok(describe(StatusCode::ACCEPTED, access, &session))
}

/// PUT: takes the last chunk, if any, and makes the upload a blob.
pub(super) async fn finish(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Push>,
    id: UploadId,
) -> Answer {
    let _slot = task.api.uploads.take(task.origin()).await?;
    let (state, range) = (state(task)?, range(task)?);
    let query = task.query()?;
    let Some(digest) = single(&query, "digest")? else {
        let (status, message) = (StatusCode::BAD_REQUEST, "the digest parameter is missing");
        let code = ErrorCode::DigestInvalid;
        return Err(Refusal::with(status, code, message, None));
    };
    let digest = parse_digest(digest)?;
    let request = SessionRequest {
        id,
        state: state.as_deref(),
        range,
    };
    let mut body = Chunk::new(&mut task.request.body, task.api.limits.max_blob_bytes)?;
    let finished = task
        .api
        .registry
        .finish_upload(access, request, &digest, &mut body)
        .await;
    let received = body.received;
    count(task, access, received);
    finished.map_err(|error| session_refusal(task, access, request, &error))?;
    Ok(created(access, &digest))
}

/// GET and HEAD: how far the upload is.
pub(super) async fn status(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Push>,
    id: UploadId,
) -> Answer {
    let state = state(task)?;
    let request = SessionRequest {
        id,
        state: state.as_deref(),
        range: None,
    };
    let session = task.api.registry.upload(access, request).await;
    let session = session.map_err(|error| task.refusal(&error))?;
    Ok(describe(StatusCode::NO_CONTENT, access, &session))
}

/// DELETE: gives the upload up.
pub(super) async fn cancel(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Push>,
    id: UploadId,
) -> Answer {
    let state = state(task)?;
    let request = SessionRequest {
        id,
        state: state.as_deref(),
        range: None,
    };
    let cancelled = task.api.registry.cancel_upload(access, request).await;
    cancelled.map_err(|error| task.refusal(&error))?;
    Ok(respond(StatusCode::NO_CONTENT))
}

fn state(task: &Task<'_>) -> Result<Option<String>, Refusal> {
    Ok(single(&task.query()?, STATE)?.map(str::to_owned))
}

/// First and last byte of the chunk.
fn range(task: &Task<'_>) -> Result<Option<(u64, u64)>, Refusal> {
    let Some(field) = task.request.parts.headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let parsed = parse_content_range(field.to_str().unwrap_or_default());
    parsed.map(Some).map_err(|error| {
        Refusal::with(
            StatusCode::BAD_REQUEST,
            ErrorCode::BlobUploadInvalid,
            error,
            None,
        )
    })
}

/// As every refusal, and for a chunk in the wrong place, where the right one is.
fn session_refusal(
    task: &Task<'_>,
    access: &RepositoryAccess<Push>,
    request: SessionRequest<'_>,
    error: &Error,
) -> Refusal {
    let refusal = task.refusal(error);
    let Error::RangeInvalid { expected } = error else {
        return refusal;
    };
    let place = location(access, request.id, request.state);
    refusal
        .header(RANGE, value(held(*expected)))
        .header(LOCATION, value(place))
        .header(UPLOAD_UUID, value(request.id.to_string()))
}

fn describe(
    status: StatusCode,
    access: &RepositoryAccess<Push>,
    session: &Session,
) -> Response<Body> {
    let mut response = respond(status);
    let headers: &mut HeaderMap = response.headers_mut();
    let place = location(access, session.id, session.state.as_deref());
    headers.insert(LOCATION, value(place));
    headers.insert(RANGE, value(held(session.size)));
    headers.insert(UPLOAD_UUID, value(session.id.to_string()));
    response
}

/// Relative, so that it is right behind any proxy.
fn location(access: &RepositoryAccess<Push>, id: UploadId, state: Option<&str>) -> String {
    let mut place = Route::Upload {
        name: access.repository().clone(),
        id,
    }
    .to_string();
    // States this server gives out need no escape. What a client sent back otherwise is none.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if let Some(state) = state.filter(|state| state.bytes().all(is_plain)) {
        place.extend(["?", STATE, "=", state]);
    }
    place
}

/// The bytes an upload has. Of none, clients expect `0-0`.
fn held(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn created(access: &RepositoryAccess<Push>, digest: &Digest) -> Response<Body> {
    let mut response = respond(StatusCode::CREATED);
    let headers = response.headers_mut();
    let place = Route::Blob {
        name: access.repository().clone(),
        digest: *digest,
    };
    headers.insert(LOCATION, value(place.to_string()));
    headers.insert(CONTENT_DIGEST, value(digest.to_string()));
    response
}

fn count(task: &Task<'_>, access: &RepositoryAccess<Push>, bytes: u64) {
    if bytes > 0 {
        task.api.registry.transfers().record(
            access.registry().get(),
            access.repository(),
            Meter::BlobPush,
            bytes,
        );
    }
}

/// The body of an upload, as the registry takes it.
struct Chunk<'a> {
    body: &'a mut RequestBody,
    received: u64,
}

impl<'a> Chunk<'a> {
    fn new(body: &'a mut RequestBody, limit: u64) -> Result<Self, Refusal> {
        body.set_limit(limit).map_err(body_refusal)?;
        Ok(Self { body, received: 0 })
    }
}

impl Incoming for Chunk<'_> {
    fn length(&self) -> Option<u64> {
        self.body.announced()
    }

    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let bytes = self.body.next().await?;
        Some(match bytes {
            Ok(bytes) => {
                self.received += bytes.len() as u64;
                Ok(bytes)
            }
            Err(BodyError::TooLarge { limit }) => Err(Error::BodyTooLarge(limit)),
            Err(BodyError::Stalled | BodyError::Incomplete(_)) => Err(Error::BodyIncomplete),
        })
    }
}
