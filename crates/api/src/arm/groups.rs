//! Resource groups.

use std::time::Duration;

use lazuli_control::{Deletion, Group, Progress};
use lazuli_wire::Guid;
use lazuli_wire::arm::{Filter, GroupBody, GroupPath, Verb};
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};

/// How long a deletion is waited for before the client is told where to ask.
const PATIENCE: Duration = Duration::from_secs(10);

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";

fn render(group: &Group) -> Value {
    json!({
        "id": group.path.to_string(),
        "name": group.path.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    })
}

pub(super) async fn list(task: &Task<'_>, subscription: Guid) -> Result<Answer, Refused> {
    let filter = Filter::parse(task.parameter("$filter")?.unwrap_or_default())?;
    let page = task.page()?;
    let found = task
        .control
        .groups(subscription, &page.after, page.limit)
        .await?;
    let next = (found.len() as u32 == page.limit)
        .then(|| found.last().map(|group| group.path.key()))
        .flatten();
    let shown = task
        .visible(found, |group| group.path.scope().ok(), READ)
        .await?;
    let shown = shown.iter().filter(|group| has_tag(&group.tags, &filter));
    Ok(task.paged(shown.map(render).collect(), next.as_deref()))
}

pub(super) fn has_tag(tags: &std::collections::BTreeMap<String, String>, filter: &Filter) -> bool {
    let Some((name, value)) = &filter.tag else {
        return true;
    };
    tags.iter().any(|(key, tag)| {
        key.eq_ignore_ascii_case(name) && value.as_ref().is_none_or(|value| value == tag)
    })
}

pub(super) async fn one(task: &Task<'_>, path: &GroupPath, verb: Verb) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get => Ok(Answer::ok(render(&task.control.group(actor, path).await?))),
        Verb::Head => task
            .control
            .group(actor, path)
            .await
            .map(|_| Answer::nothing())
            .map_err(Refused::from),
        Verb::Put => {
            let body = GroupBody::read(task.object()?)?;
            let (group, is_new) = task.control.put_group(actor, path, body).await?;
            Ok(Answer::made(render(&group), is_new))
        }
        Verb::Patch => {
            let body = GroupBody::read(task.object()?)?;
            let group = task.control.patch_group(actor, path, body).await?;
            Ok(Answer::ok(render(&group)))
        }
        Verb::Delete => {
            let begun = task.control.begin_group_deletion(actor, path, PATIENCE);
            match begun.await? {
                Deletion::Done(true) => return Ok(Answer::deleted(true)),
                Deletion::Running(id) => {
                    let subscription = path.subscription;
                    return Ok(Answer::accepted(format!(
                        "{}/subscriptions/{subscription}/operationresults/{id}?api-version=2024-11-01",
                        task.endpoints.management
                    )));
                }
                Deletion::Done(false) => {}
            }
            let message = format!("Resource group '{}' could not be found.", path.name);
            Err(Refused::not_found("ResourceGroupNotFound", message))
        }
    }
}

/// How far a deletion is: 202 while it goes on, 200 at its end.
pub(super) async fn progress(
    task: &Task<'_>,
    subscription: Guid,
    id: &str,
) -> Result<Answer, Refused> {
    let known = match Guid::parse(id) {
        Ok(id) => task.control.progress(subscription, id).await?,
        Err(_) => None,
    };
    match known {
        None => Err(Refused::no_operation(id)),
        Some(Progress::Done) => Ok(Answer::deleted(true)),
        Some(Progress::Running) => {
            let uri = task.request.parts.uri.path();
            let here = format!("{}{uri}?api-version=2024-11-01", task.endpoints.management);
            Ok(Answer::accepted(here))
        }
        Some(Progress::Failed(code, message)) => Err(Refused::failed(code, message)),
    }
}
