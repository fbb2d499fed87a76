//! Registries.

use lazuli_control::{NameCheck, RegistryResource};
use lazuli_identity::AdminCredentials;
use lazuli_wire::arm::{CheckName, RegistryBody, RegistryPath, Verb, Within};
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};
use super::render;

pub(super) const READ: &str = "Microsoft.ContainerRegistry/registries/read";

pub(super) async fn check_name(task: &Task<'_>) -> Result<Answer, Refused> {
    let body = CheckName::read(task.object()?)?;
    let outcome = task.control.check_name(task.actor()?, &body).await?;
    let answer = match outcome {
        NameCheck::Free => {
            let name = body.name.to_ascii_lowercase();
            let server = format!("{name}.{}", task.endpoints.registries);
            json!({"availableLoginServerName": server, "nameAvailable": true})
        }
        NameCheck::Invalid(message) => {
            json!({"nameAvailable": false, "reason": "Invalid", "message": message})
        }
        NameCheck::Taken(message) => {
            json!({"nameAvailable": false, "reason": "AlreadyExists", "message": message})
        }
    };
    Ok(Answer::ok(answer))
}

pub(super) async fn list(task: &Task<'_>, within: &Within) -> Result<Answer, Refused> {
    let page = task.page()?;
    let found = task
        .control
        .registries(within, &page.after, page.limit)
        .await?;
    let next = (found.len() as u32 == page.limit)
        .then(|| found.last().map(RegistryResource::login_name))
        .flatten();
    let shown = task
        .visible(found, |registry| registry.path.scope().ok(), READ)
        .await?;
    let items = shown
        .iter()
        .map(|registry| render::registry(registry, &task.login_server(registry)));
    Ok(task.paged(items.collect(), next.as_deref()))
}

fn tagged(task: &Task<'_>, registry: &RegistryResource, is_new: bool) -> Answer {
    let body = render::registry(registry, &task.login_server(registry));
    Answer::made(body, is_new).tagged(registry.tag())
}

pub(super) async fn one(
    task: &Task<'_>,
    path: &RegistryPath,
    verb: Verb,
) -> Result<Answer, Refused> {
    let (actor, condition) = (task.actor()?, task.condition()?);
    match verb {
        Verb::Get => {
            let registry = task.control.registry(actor, path).await?;
            Ok(tagged(task, &registry, false))
        }
        Verb::Head => {
            task.control.registry(actor, path).await?;
            Ok(Answer::nothing())
        }
        Verb::Put => {
            let body = RegistryBody::read(task.object()?)?;
            let (registry, is_new) = task
                .control
                .put_registry(actor, path, body, condition)
                .await?;
            Ok(tagged(task, &registry, is_new))
        }
        Verb::Patch => {
            let body = RegistryBody::read(task.object()?)?;
            let registry = task
                .control
                .patch_registry(actor, path, body, condition)
                .await?;
            Ok(tagged(task, &registry, false))
        }
        Verb::Delete => {
            let is_gone = task.control.delete_registry(actor, path, condition).await?;
            Ok(Answer::deleted(is_gone))
        }
    }
}

pub(super) async fn usages(task: &Task<'_>, path: &RegistryPath) -> Result<Answer, Refused> {
    let usage = task.control.usage(task.actor()?, path).await?;
    let limits = usage.limits;
    let entry = |name: &str, limit: i64, current: i64, unit: &str| json!({"name": name, "limit": limit, "currentValue": current, "unit": unit});
    Ok(Answer::list(vec![
        entry("Size", limits.size, usage.size, "Bytes"),
        entry("Webhooks", limits.webhooks, 0, "Count"),
        entry("Geo-replications", limits.replications, 0, "Count"),
        entry("IPRules", limits.ip_rules, usage.ip_rules, "Count"),
        entry("VNetRules", limits.network_rules, 0, "Count"),
        entry(
            "PrivateEndpointConnections",
            limits.private_endpoints,
            0,
            "Count",
        ),
        entry("ScopeMaps", limits.scope_maps, usage.scope_maps, "Count"),
        entry("Tokens", limits.scope_maps, usage.tokens, "Count"),
    ]))
}

fn credentials(credentials: &AdminCredentials) -> Answer {
    let passwords: Vec<Value> = credentials
        .passwords
        .iter()
        .map(|(which, value)| json!({"name": which.as_str(), "value": value.expose()}))
        .collect();
    Answer::ok(json!({"username": credentials.username, "passwords": passwords}))
}

pub(super) async fn list_credentials(
    task: &Task<'_>,
    path: &RegistryPath,
) -> Result<Answer, Refused> {
    let found = task.control.admin_credentials(task.actor()?, path).await?;
    Ok(credentials(&found))
}

pub(super) async fn regenerate(task: &Task<'_>, path: &RegistryPath) -> Result<Answer, Refused> {
    let mut body = task.object()?;
    let name = body.text("name")?;
    let name = name.ok_or(lazuli_wire::arm::BodyError::Missing("name"))?;
    let made = task
        .control
        .regenerate_credential(task.actor()?, path, &name)
        .await?;
    Ok(credentials(&made))
}
