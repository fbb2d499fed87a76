//! What the data plane of Azure has and this one does not have yet: lists that are empty because nothing is kept, and errors that
//! say what is missing. 404 and 405, because Azure's tools try anything else again.

use http::{Method, Response, StatusCode};
use lazuli_wire::acr::{Catalog, Manifests, Route, Streaming, Tags};
use lazuli_wire::oci::{Digest, ErrorCode, RepositoryName};

use super::answer_of;
use crate::body::Body;
use crate::errors::Refusal;
use crate::oci::{Answer, Task};

/// Nothing that was deleted is kept.
pub(super) fn deleted_catalog() -> Response<Body> {
    answer_of(&Catalog { repositories: &[] })
}

pub(super) fn deleted_tags(task: &Task<'_>, name: &RepositoryName) -> Response<Body> {
    answer_of(&Tags {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        tags: Vec::new(),
    })
}

pub(super) fn deleted_manifests(task: &Task<'_>, name: &RepositoryName) -> Response<Body> {
    answer_of(&Manifests {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        manifests: Vec::new(),
    })
}

pub(super) fn restore(digest: &Digest) -> Refusal {
    let message = format!(
        "{digest} is not kept: soft delete is not available in this version, what is deleted is gone"
    );
    let status = StatusCode::NOT_FOUND;
    Refusal::with(status, ErrorCode::ManifestUnknown, message, None)
}

pub(super) fn feature(task: &Task<'_>, route: &Route) -> Answer {
    let is_read = matches!(task.request.parts.method, Method::GET | Method::HEAD);
    let what = match route {
        // Nothing is converted when it is pushed: true, and what is asked.
        Route::Streaming { digest: None, .. } if is_read => {
            return Ok(answer_of(&Streaming {
                convert_pushed_images: false,
            }));
        }
        Route::Operation { id, .. } | Route::Cancel { id, .. } => {
            let message = format!(
                "there is no operation {}: artifact streaming is not available in this version",
                id.as_str()
            );
            let status = StatusCode::NOT_FOUND;
            return Err(Refusal::with(status, ErrorCode::Unsupported, message, None));
        }
        Route::Metadata { .. } => "metadata entries are",
        _ => "artifact streaming is",
    };
    let message = format!("{what} not available in this version");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let allow = http::HeaderValue::from_static("");
    let refusal = Refusal::with(status, ErrorCode::Unsupported, message, None);
    Err(refusal.header(http::header::ALLOW, allow))
}
