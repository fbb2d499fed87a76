//! What is below a registry: scope maps, tokens, and kinds that there are none of yet.

use http::StatusCode;
use lazuli_control::{RegistryResource, TokenResource};
use lazuli_identity::scope_maps::store::{ScopeMap, TokenPassword};
use lazuli_wire::arm::{
    GenerateCredentials, Later, LaterAction, RegistryPath, ScopeMapBody, TokenBody, Verb,
};
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};
use super::render::time;

/// When a password ends that does not end.
const NEVER: &str = "9999-12-31T23:59:59.9999999Z";

fn map_value(registry: &RegistryResource, map: &ScopeMap) -> Value {
    let actions: Vec<String> = map.actions.iter().map(ToString::to_string).collect();
    json!({
        "id": format!("{}/scopeMaps/{}", registry.path, map.name),
        "name": map.name,
        "type": "Microsoft.ContainerRegistry/registries/scopeMaps",
        "systemData": {"createdAt": time(map.created_at)},
        "properties": {
            "description": map.description,
            "type": if map.is_system { "SystemDefined" } else { "UserDefined" },
            "creationDate": time(map.created_at),
            "provisioningState": "Succeeded",
            "actions": actions,
        },
    })
}

pub(super) async fn scope_maps(task: &Task<'_>, path: &RegistryPath) -> Result<Answer, Refused> {
    let (registry, maps) = task.control.scope_maps(task.actor()?, path).await?;
    let items = maps.iter().map(|map| map_value(&registry, map));
    Ok(Answer::list(items.collect()))
}

fn map_answer(registry: &RegistryResource, map: &ScopeMap, is_new: bool) -> Answer {
    Answer::made(map_value(registry, map), is_new).tagged(format!("{:x}", map.version))
}

pub(super) async fn scope_map(
    task: &Task<'_>,
    path: &RegistryPath,
    name: &str,
    verb: Verb,
) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get | Verb::Head => {
            let (registry, map) = task.control.scope_map(actor, path, name).await?;
            Ok(map_answer(&registry, &map, false))
        }
        Verb::Put | Verb::Patch => {
            let body = ScopeMapBody::read(task.object()?)?;
            let patch = verb == Verb::Patch;
            let put = task
                .control
                .put_scope_map(actor, path, name, body, task.condition()?, patch);
            let (registry, map, is_new) = put.await?;
            Ok(map_answer(&registry, &map, is_new))
        }
        Verb::Delete => {
            let is_gone = task.control.delete_scope_map(actor, path, name).await?;
            Ok(Answer::deleted(is_gone))
        }
    }
}

fn password_value(password: &TokenPassword) -> Value {
    json!({
        "name": password.name.as_str(),
        "creationTime": time(password.created_at),
        "expiry": password.expires_at.map_or_else(|| NEVER.to_owned(), time),
    })
}

fn token_value(token: &TokenResource) -> Value {
    let passwords: Vec<Value> = token.passwords.iter().map(password_value).collect();
    json!({
        "id": format!("{}/tokens/{}", token.registry.path, token.token.name),
        "name": token.token.name,
        "type": "Microsoft.ContainerRegistry/registries/tokens",
        "systemData": {"createdAt": time(token.token.created_at)},
        "properties": {
            "creationDate": time(token.token.created_at),
            "provisioningState": "Succeeded",
            "scopeMapId": format!("{}/scopeMaps/{}", token.registry.path, token.scope_map),
            "status": if token.token.enabled { "enabled" } else { "disabled" },
            "credentials": {"certificates": [], "passwords": passwords},
        },
    })
}

fn token_answer(token: &TokenResource, is_new: bool) -> Answer {
    Answer::made(token_value(token), is_new).tagged(format!("{:x}", token.token.version))
}

pub(super) async fn tokens(task: &Task<'_>, path: &RegistryPath) -> Result<Answer, Refused> {
    let tokens = task.control.tokens(task.actor()?, path).await?;
    Ok(Answer::list(tokens.iter().map(token_value).collect()))
}

pub(super) async fn token(
    task: &Task<'_>,
    path: &RegistryPath,
    name: &str,
    verb: Verb,
) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get | Verb::Head => {
            let token = task.control.token(actor, path, name).await?;
            Ok(token_answer(&token, false))
        }
        Verb::Put | Verb::Patch => {
            let body = TokenBody::read(task.object()?)?;
            let patch = verb == Verb::Patch;
            let put = task
                .control
                .put_token(actor, path, name, body, task.condition()?, patch);
            let (token, is_new) = put.await?;
            Ok(token_answer(&token, is_new))
        }
        Verb::Delete => {
            let is_gone = task.control.delete_token(actor, path, name).await?;
            Ok(Answer::deleted(is_gone))
        }
    }
}

pub(super) async fn generate_credentials(
    task: &Task<'_>,
    path: &RegistryPath,
) -> Result<Answer, Refused> {
    let body = GenerateCredentials::read(task.object()?)?;
    let made = task
        .control
        .generate_credentials(task.actor()?, path, body)
        .await?;
    let passwords = made.passwords.iter().map(|(password, value)| {
        let mut shown = password_value(password);
        if let Some(value) = value {
            shown["value"] = json!(value.expose());
        }
        shown
    });
    let passwords: Vec<Value> = passwords.collect();
    Ok(Answer::ok(
        json!({"username": made.username, "passwords": passwords}),
    ))
}

/// There are none of a kind that this server does not have.
pub(super) async fn later_list(task: &Task<'_>, path: &RegistryPath) -> Result<Answer, Refused> {
    task.control.registry(task.actor()?, path).await?;
    Ok(Answer::list(Vec::new()))
}

fn not_available(feature: &str) -> Refused {
    let message = format!("This server does not have {feature} yet.");
    Refused::new(StatusCode::BAD_REQUEST, "FeatureNotAvailable", message)
}

pub(super) async fn later_item(
    task: &Task<'_>,
    path: &RegistryPath,
    kind: Later,
    name: &str,
    verb: Verb,
) -> Result<Answer, Refused> {
    task.control.within(task.actor()?, path).await?;
    match verb {
        Verb::Put => Err(not_available(kind.feature())),
        Verb::Delete => Ok(Answer::nothing()),
        Verb::Get | Verb::Head | Verb::Patch => {
            let message = format!(
                "The Resource 'Microsoft.ContainerRegistry/registries/{}/{}/{name}' under resource group '{}' was not found.",
                path.name,
                kind.word(),
                path.group.name
            );
            Err(Refused::not_found("ResourceNotFound", message))
        }
    }
}

pub(super) async fn later_action(
    task: &Task<'_>,
    path: &RegistryPath,
    action: LaterAction,
) -> Result<Answer, Refused> {
    task.control.registry(task.actor()?, path).await?;
    Err(not_available(action.feature()))
}
