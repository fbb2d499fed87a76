//! All resources of a subscription or a group, whatever their type. Clients find a registry's group by this list.

use lazuli_wire::arm::{Filter, IDENTITY_TYPE, REGISTRY_TYPE, Within};
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};
use super::groups::has_tag;
use super::{identities, registries};

pub(super) async fn list(task: &Task<'_>, within: &Within) -> Result<Answer, Refused> {
    let filter = Filter::parse(task.parameter("$filter")?.unwrap_or_default())?;
    let page = task.page()?;
    let wants = |kind: &str| {
        let wanted = filter.resource_type.as_ref();
        wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
    };
    // Registries first, page by page; managed identities, which are few, after the last of them.
    let (mut items, mut next) = (Vec::new(), None);
    if wants(REGISTRY_TYPE) {
        let found = task
            .control
            .registries(within, &page.after, page.limit)
            .await?;
        if found.len() as u32 == page.limit {
            next = found
                .last()
                .map(lazuli_control::RegistryResource::login_name);
        }
        let shown = task
            .visible(found, |one| one.path.scope().ok(), registries::READ)
            .await?;
        items.extend(shown.iter().map(|one| {
            json!({
                "id": one.path.to_string(),
                "name": one.path.name,
                "type": REGISTRY_TYPE,
                "location": one.location,
                "sku": {"name": one.sku.as_str(), "tier": one.sku.as_str()},
                "tags": one.tags,
            })
        }));
    }
    if next.is_none() && wants(IDENTITY_TYPE) {
        items.extend(identities::visible(task, within).await?);
    }
    items.retain(|item| matches(item, &filter));
    Ok(task.paged(items, next.as_deref()))
}

fn matches(item: &Value, filter: &Filter) -> bool {
    let text = |pointer: &str| {
        item.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let is = |wanted: &Option<String>, value: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let group = text("/id").split('/').nth(4).unwrap_or_default();
    let tags = item.pointer("/tags").cloned().unwrap_or_default();
    let tags = serde_json::from_value(tags).unwrap_or_default();
    is(&filter.name, text("/name"))
        && is(&filter.location, text("/location"))
        && is(&filter.resource_group, group)
        && has_tag(&tags, filter)
}
