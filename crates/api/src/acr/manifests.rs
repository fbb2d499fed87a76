//! `/acr/v1/<name>/_manifests` and `/acr/v1/<name>/_manifests/<digest>`

use http::StatusCode;
use http::header::LINK;
use lazuli_identity::{MetadataRead, MetadataWrite, RepositoryAccess};
use lazuli_registry::attributes::Subject;
use lazuli_registry::details::Details;
use lazuli_wire::acr::{ManifestAnswer, Manifests, Route};
use lazuli_wire::oci::{Digest, ErrorCode, RepositoryName};

use super::error::refusal;
use super::{PAGE, answer_of, render};
use crate::errors::Refusal;
use crate::oci::{Answer, Task, value};

pub(super) async fn list(task: &mut Task<'_>, access: &RepositoryAccess<MetadataRead>) -> Answer {
    let asked = task.page_of(PAGE)?;
    let after = asked.query.last.as_deref().map(Digest::parse).transpose();
    let after = after.map_err(|error| {
        let status = StatusCode::BAD_REQUEST;
        Refusal::with(status, ErrorCode::DigestInvalid, error, None)
    })?;
    let listed = task
        .api
        .registry
        .list_manifests(access, asked.request(), after);
    let listed = listed.await.map_err(|error| refusal(task, &error))?;
    let name = access.repository();
    let mut response = answer_of(&Manifests {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        manifests: listed.items.iter().map(render::manifest).collect(),
    });
    if let Some(last) = listed.items.last().filter(|_| listed.more) {
        let place = Route::Manifests { name: name.clone() };
        let digest = last.digest.to_string();
        let link = asked.link(place, &digest, Some(last.updated_at));
        response.headers_mut().insert(LINK, value(link));
    }
    Ok(response)
}

pub(super) async fn get(
    task: &mut Task<'_>,
    access: &RepositoryAccess<MetadataRead>,
    digest: &Digest,
) -> Answer {
    let subject = Subject::Manifest(*digest);
    let found = task.api.registry.details(access, subject).await;
    let found = found.map_err(|error| refusal(task, &error))?;
    described(task, access.repository(), &found)
}

/// PATCH.
pub(super) async fn change(
    task: &mut Task<'_>,
    access: &RepositoryAccess<MetadataWrite>,
    digest: &Digest,
) -> Answer {
    let change = task.change().await?;
    let (registry, id) = (&task.api.registry, task.request_id());
    let changed = registry.set_attributes(access, Subject::Manifest(*digest), change, &id);
    let changed = changed.await.map_err(|error| refusal(task, &error))?;
    described(task, access.repository(), &changed)
}

fn described(task: &Task<'_>, name: &RepositoryName, details: &Details) -> Answer {
    let Details::Manifest(details) = details else {
        return Err(Refusal::internal());
    };
    Ok(answer_of(&ManifestAnswer {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        manifest: render::manifest(details),
    }))
}
