//! `/v2/<name>/manifests/<reference>`

use std::fmt::Write as _;

use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, WARNING,
};
use http::{HeaderMap, Method, Response, StatusCode};
use lazuli_identity::{Delete, Pull, Push, RepositoryAccess};
use lazuli_registry::manifests::{NewManifest, StoredManifest};
use lazuli_registry::metering::Meter;
use lazuli_wire::oci::{ErrorCode, ManifestKind, Reference, RepositoryName, Route, Tag};

use super::conditions::{self, is_known};
use super::error::body_refusal;
use super::{Answer, Task, identify, respond, value};
use crate::body::Body;
use crate::errors::Refusal;
use crate::headers::{CONTENT_DIGEST, PLENTY, REMAINING_CALLS};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Longest text of all warnings of an answer together, in bytes (distribution-spec, "Warnings").
const LONGEST_WARNINGS: usize = 4096;

/// A manifest that memory has.
pub(super) fn get_now(
    task: &mut Task<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Option<Response<Body>>, Refusal> {
    let access = task.access::<Pull>(name)?;
    let Some(found) = task.api.registry.cached_manifest(&access, reference) else {
        return Ok(None);
    };
    render(task, &access, &found).map(Some)
}

/// GET and HEAD.
pub(super) async fn get(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Pull>,
    reference: &Reference,
) -> Answer {
    let found = task.api.registry.manifest(access, reference).await;
    let found = found.map_err(|error| task.refusal(&error))?;
    render(task, access, &found)
}

fn render(task: &mut Task<'_>, access: &RepositoryAccess<Pull>, found: &StoredManifest) -> Answer {
    let request = &task.request.parts.headers;
    if !accepts(request, found) {
        return Err(Refusal::with(
            StatusCode::NOT_FOUND,
            ErrorCode::ManifestUnknown,
            "the manifest is of a withdrawn type that the Accept header does not name",
            None,
        ));
    }
    let is_known = is_known(request, &found.entity_tag, ErrorCode::ManifestUnknown)?;
    let is_head = task.request.parts.method == Method::HEAD;
    let mut headers = task.answer_headers();
    identify(&mut headers, &found.digest_text, &found.entity_tag);
    if is_known {
        let mut response = respond(StatusCode::NOT_MODIFIED);
        *response.headers_mut() = headers;
        return Ok(response);
    }
    headers.insert(CONTENT_TYPE, value(found.media_type.clone()));
    let length = found.body.len() as u64;
    let body = if is_head {
        headers.insert(CONTENT_LENGTH, length.into());
        Body::empty()
    } else {
        task.api.registry.transfers().record(
            access.registry().get(),
            access.repository(),
            Meter::ManifestPull,
            length,
        );
        Body::full(found.body.clone())
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// A manifest is given whether or not `Accept` names its type, as clients expect; but one of a withdrawn type only to
/// those that name it, because others would take it for an image.
fn accepts(headers: &HeaderMap, found: &StoredManifest) -> bool {
    if !found.kind.is_some_and(ManifestKind::is_withdrawn_artifact) {
        return true;
    }
    let mut fields = headers.get_all(ACCEPT).iter().peekable();
    fields.peek().is_none()
        || fields.any(|field| {
            field.as_bytes().split(|byte| *byte == b',').any(|item| {
                let item = item.split(|byte| *byte == b';').next().unwrap_or(item);
                let item = item.trim_ascii();
                item == b"*/*" || item.eq_ignore_ascii_case(&found.media_type)
            })
        })
}

/// PUT.
pub(super) async fn put(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Push>,
    reference: &Reference,
) -> Answer {
    let limit = task.api.limits.max_manifest_bytes;
    task.request.body.set_limit(limit).map_err(body_refusal)?;
    let tags = further_tags(task, reference)?;
    let condition = conditions::of_push(&task.request.parts.headers, reference)?;
    let content_type = task.header(&CONTENT_TYPE).map(str::to_owned);
    // A chunked body is one the client makes up on the way: small ones, in practice. It pays for what it may become.
    let length = task.request.body.announced().unwrap_or(limit);
    let memory = task.api.body_memory.take(task.origin(), length).await;
    let _memory = memory.map_err(Refusal::overloaded)?;
    let body = task
        .request
        .body
        .collect(limit)
        .await
        .map_err(body_refusal)?;
    let size = body.len() as u64;
    let new = NewManifest {
        reference: reference.clone(),
        content_type,
        body,
        tags: tags.clone(),
        condition,
    };
    let stored = task
        .api
        .registry
        .put_manifest(access, new, &task.request_id())
        .await
        .map_err(|error| task.refusal(&error))?;
    task.api.registry.transfers().record(
        access.registry().get(),
        access.repository(),
        Meter::ManifestPush,
        size,
    );
    let mut response = respond(StatusCode::CREATED);
    let headers = response.headers_mut();
    let place = Route::Manifest {
        name: access.repository().clone(),
        reference: stored.digest.into(),
    };
    headers.insert(LOCATION, value(place.to_string()));
    headers.insert(CONTENT_DIGEST, value(stored.digest.to_string()));
    if let Some(subject) = stored.subject {
        headers.insert(OCI_SUBJECT, value(subject.to_string()));
    }
    for tag in tags {
        headers.append(OCI_TAG, value(tag.as_str().to_owned()));
    }
    warn(headers, stored.warnings.iter().map(ToString::to_string));
    Ok(response)
}

/// The `tag=` parameters of a push by digest (distribution-spec, "Pushing Manifests"). All are set, or none.
fn further_tags(task: &Task<'_>, reference: &Reference) -> Result<Vec<Tag>, Refusal> {
    if reference.tag().is_some() {
        return Ok(Vec::new());
    }
    let query = task.query()?;
    let mut tags = Vec::new();
    for text in query.all("tag") {
        let tag = Tag::parse(text)
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// Adds `Warning: 299 - "text"` headers, as far as they may go.
fn warn(headers: &mut HeaderMap, warnings: impl Iterator<Item = String>) {
    let mut left = LONGEST_WARNINGS;
    for warning in warnings {
        let mut text = "299 - \"".to_owned();
        for character in warning.chars() {
            match character {
                '"' | '\\' => {
                    let _ = write!(text, "\\{character}");
                }
                ' '..='~' => text.push(character),
                _ => text.push('?'),
            }
        }
        text.push('"');
        if text.len() > left {
            return;
        }
        left -= text.len();
        if let Ok(field) = HeaderValue::try_from(text) {
            headers.append(WARNING, field);
        }
    }
}

/// DELETE: of a tag, only the tag; of a digest, the manifest and its tags.
pub(super) async fn delete(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Delete>,
    reference: &Reference,
) -> Answer {
    conditions::refuse(&task.request.parts.headers)?;
    let (registry, id) = (&task.api.registry, task.request_id());
    let mut response = respond(StatusCode::ACCEPTED);
    response.headers_mut().insert(REMAINING_CALLS, PLENTY);
    let deleted = match reference {
        Reference::Tag(tag) => registry.delete_tag(access, tag, &id).await,
        Reference::Digest(digest) => {
            let digest_text = value(digest.to_string());
            response.headers_mut().insert(CONTENT_DIGEST, digest_text);
            registry
                .delete_manifest(access, digest, &id)
                .await
                .map(drop)
        }
    };
    deleted.map_err(|error| task.refusal(&error))?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_bounded() {
        let mut headers = HeaderMap::new();
        let long = "x".repeat(3000);
        let warnings = ["say \"a\\b\"\n", &long, &long].map(str::to_owned);
        warn(&mut headers, warnings.into_iter());
        let all: Vec<_> = headers.get_all(WARNING).iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], "299 - \"say \\\"a\\\\b\\\"?\"");
        assert!(all.iter().map(|value| value.len()).sum::<usize>() <= LONGEST_WARNINGS);
    }
}
