//! Managed identities.

use lazuli_control::ManagedIdentity;
use lazuli_wire::arm::{GroupBody, IDENTITY_TYPE, IdentityPath, Verb, Within};
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};

const READ: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";

fn render(identity: &ManagedIdentity) -> Value {
    json!({
        "id": identity.path.to_string(),
        "name": identity.path.name,
        "type": IDENTITY_TYPE,
        "location": identity.location,
        "tags": identity.tags,
        "properties": {
            "tenantId": identity.tenant.to_string(),
            "principalId": identity.principal.to_string(),
            "clientId": identity.client.to_string(),
        },
    })
}

/// Those the caller may read.
pub(super) async fn visible(task: &Task<'_>, within: &Within) -> Result<Vec<Value>, Refused> {
    let found = task.control.managed_identities(within).await?;
    let shown = task
        .visible(found, |one| one.path.scope().ok(), READ)
        .await?;
    Ok(shown.iter().map(render).collect())
}

pub(super) async fn list(task: &Task<'_>, within: &Within) -> Result<Answer, Refused> {
    Ok(Answer::list(visible(task, within).await?))
}

pub(super) async fn one(
    task: &Task<'_>,
    path: &IdentityPath,
    verb: Verb,
) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get | Verb::Head => {
            let found = task.control.managed_identity(actor, path).await?;
            Ok(Answer::ok(render(&found)))
        }
        Verb::Put | Verb::Patch => {
            let body = GroupBody::read(task.object()?)?;
            let patch = verb == Verb::Patch;
            let put = task.control.put_managed_identity(actor, path, body, patch);
            let (made, is_new) = put.await?;
            Ok(Answer::made(render(&made), is_new))
        }
        Verb::Delete => {
            let is_gone = task.control.delete_managed_identity(actor, path).await?;
            Ok(Answer::deleted(is_gone))
        }
    }
}
