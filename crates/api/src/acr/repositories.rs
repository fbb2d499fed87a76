//! `/acr/v1/_catalog` and `/acr/v1/<name>`

use http::StatusCode;
use http::header::LINK;
use lazuli_identity::{CatalogAccess, Delete, MetadataRead, MetadataWrite, RepositoryAccess};
use lazuli_registry::attributes::Subject;
use lazuli_registry::details::Details;
use lazuli_wire::acr::{Catalog, Deleted, Route};
use lazuli_wire::oci::{ErrorCode, RepositoryName, Tag};

use super::error::refusal;
use super::{PAGE, accepted, answer_of, render};
use crate::errors::Refusal;
use crate::oci::{Answer, Task, value};

pub(super) async fn list(task: &mut Task<'_>, access: &CatalogAccess) -> Answer {
    let asked = task.page_of(PAGE)?;
    let page = task.api.registry.catalog(access, asked.request()).await;
    let page = page.map_err(|error| refusal(task, &error))?;
    let mut response = answer_of(&Catalog {
        repositories: &page.names,
    });
    if let Some(link) = asked.link_after(&page, || Route::Catalog) {
        response.headers_mut().insert(LINK, value(link));
    }
    Ok(response)
}

pub(super) async fn get(task: &mut Task<'_>, access: &RepositoryAccess<MetadataRead>) -> Answer {
    let found = task.api.registry.details(access, Subject::Repository).await;
    let found = found.map_err(|error| refusal(task, &error))?;
    described(task, access.repository(), &found)
}

/// PATCH.
pub(super) async fn change(
    task: &mut Task<'_>,
    access: &RepositoryAccess<MetadataWrite>,
) -> Answer {
    let change = task.change().await?;
    if change.is_about_quarantine() {
        let message = "a repository has no quarantine state; its manifests do";
        let status = StatusCode::BAD_REQUEST;
        return Err(Refusal::with(status, ErrorCode::Unsupported, message, None));
    }
    let (registry, id) = (&task.api.registry, task.request_id());
    let changed = registry.set_attributes(access, Subject::Repository, change, &id);
    let changed = changed.await.map_err(|error| refusal(task, &error))?;
    described(task, access.repository(), &changed)
}

fn described(task: &Task<'_>, name: &RepositoryName, details: &Details) -> Answer {
    let Details::Repository(details) = details else {
        return Err(Refusal::internal());
    };
    Ok(answer_of(&render::repository(task, name, details)))
}

/// DELETE: everything in it.
pub(super) async fn delete(task: &mut Task<'_>, access: &RepositoryAccess<Delete>) -> Answer {
    let (registry, id) = (&task.api.registry, task.request_id());
    let removed = registry.delete_repository(access, &id).await;
    let removed = removed.map_err(|error| refusal(task, &error))?;
    let deleted = Deleted {
        manifests_deleted: removed.manifests.iter().map(ToString::to_string).collect(),
        tags_deleted: removed.tags.iter().map(Tag::as_str).collect(),
    };
    Ok(accepted(answer_of(&deleted)))
}
