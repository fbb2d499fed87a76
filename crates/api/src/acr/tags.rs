//! `/acr/v1/<name>/_tags` and `/acr/v1/<name>/_tags/<tag>`

use http::StatusCode;
use http::header::LINK;
use lazuli_identity::{Delete, MetadataRead, MetadataWrite, RepositoryAccess};
use lazuli_registry::attributes::Subject;
use lazuli_registry::details::Details;
use lazuli_wire::acr::{Route, TagAnswer, Tags};
use lazuli_wire::oci::{Digest, ErrorCode, RepositoryName, Tag};

use super::error::refusal;
use super::{PAGE, accepted, answer_of, render};
use crate::errors::Refusal;
use crate::oci::{Answer, Task, respond, value};

pub(super) async fn list(task: &mut Task<'_>, access: &RepositoryAccess<MetadataRead>) -> Answer {
    let asked = task.page_of(PAGE)?;
    let of = digest_parameter(task)?;
    let listed = task.api.registry.list_tags(access, asked.request(), of);
    let listed = listed.await.map_err(|error| refusal(task, &error))?;
    let name = access.repository();
    let mut response = answer_of(&Tags {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        tags: listed.items.iter().map(render::tag).collect(),
    });
    if let Some(last) = listed.items.last().filter(|_| listed.more) {
        let place = Route::Tags { name: name.clone() };
        let mut link = asked.link(place, &last.name, Some(last.updated_at));
        if let Some(digest) = of {
            // The next page is of the same manifest.
            let parameter = format!("&digest={}>;", digest.to_string().replace(':', "%3A"));
            link = link.replacen(">;", &parameter, 1);
        }
        response.headers_mut().insert(LINK, value(link));
    }
    Ok(response)
}

/// The manifest whose tags are asked for.
fn digest_parameter(task: &Task<'_>) -> Result<Option<Digest>, Refusal> {
    let bad = |code, error: &dyn std::fmt::Display| {
        Refusal::with(StatusCode::BAD_REQUEST, code, error, None)
    };
    let query = task.query()?;
    let text = query
        .single("digest")
        .map_err(|error| bad(ErrorCode::Unsupported, &error))?;
    text.filter(|text| !text.is_empty())
        .map(|text| Digest::parse(text).map_err(|error| bad(ErrorCode::DigestInvalid, &error)))
        .transpose()
}

pub(super) async fn get(
    task: &mut Task<'_>,
    access: &RepositoryAccess<MetadataRead>,
    tag: &Tag,
) -> Answer {
    let subject = Subject::Tag(tag.clone());
    let found = task.api.registry.details(access, subject).await;
    let found = found.map_err(|error| refusal(task, &error))?;
    described(task, access.repository(), &found)
}

/// PATCH.
pub(super) async fn change(
    task: &mut Task<'_>,
    access: &RepositoryAccess<MetadataWrite>,
    tag: &Tag,
) -> Answer {
    let change = task.change().await?;
    let (registry, id) = (&task.api.registry, task.request_id());
    let changed = registry.set_attributes(access, Subject::Tag(tag.clone()), change, &id);
    let changed = changed.await.map_err(|error| refusal(task, &error))?;
    described(task, access.repository(), &changed)
}

fn described(task: &Task<'_>, name: &RepositoryName, details: &Details) -> Answer {
    let Details::Tag(details) = details else {
        return Err(Refusal::internal());
    };
    Ok(answer_of(&TagAnswer {
        registry: &task.site.login_server,
        image_name: name.as_str(),
        tag: render::tag(details),
    }))
}

/// DELETE: the tag only.
pub(super) async fn delete(
    task: &mut Task<'_>,
    access: &RepositoryAccess<Delete>,
    tag: &Tag,
) -> Answer {
    let (registry, id) = (&task.api.registry, task.request_id());
    let deleted = registry.delete_tag(access, tag, &id).await;
    deleted.map_err(|error| refusal(task, &error))?;
    Ok(accepted(respond(StatusCode::ACCEPTED)))
}
