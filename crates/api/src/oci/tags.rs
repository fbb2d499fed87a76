//! `/v2/<name>/tags/list`

use http::header::LINK;
use lazuli_identity::{MetadataRead, RepositoryAccess};
use lazuli_wire::oci::Route;
use serde::Serialize;

use super::{Answer, Task, json, value};
use crate::body::Body;

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: &'a [Box<str>],
}

pub(super) async fn list(task: &mut Task<'_>, access: &RepositoryAccess<MetadataRead>) -> Answer {
    let asked = task.page()?;
    let page = task.api.registry.tags(access, asked.request()).await;
    let page = page.map_err(|error| task.refusal(&error))?;
    let body = page.rendered(|page| {
        let list = TagList {
            name: access.repository().as_str(),
            tags: &page.names,
        };
        // Text only: serialising into memory has no way to fail.
        serde_json::to_vec(&list).unwrap_or_default().into()
    });
    let mut response = json(Body::full(body.clone()));
    let place = || Route::Tags {
        name: access.repository().clone(),
    };
    if let Some(link) = asked.link_after(&page, place) {
        response.headers_mut().insert(LINK, value(link));
    }
    Ok(response)
}
