//! Resource providers: what types there are. All are registered, always.

use lazuli_wire::Guid;
use lazuli_wire::arm::{Later, REGISTRY_NAMESPACE};
use serde_json::{Value, json};

use super::answer::{Answer, Refused};
use super::tenants::location_names;

/// Versions of the interface, newest first. Any other is taken as well.
const VERSIONS: [&str; 6] = [
    "2026-09-01-preview",
    "2025-11-01",
    "2025-04-01",
    "2023-07-01",
    "2022-12-01",
    "2019-05-01",
];

/// A provider: its namespace, and its types with the version that clients should ask for.
type Provider = (&'static str, &'static [&'static str]);

const PROVIDERS: [Provider; 4] = [
    (
        "Microsoft.Authorization",
        &[
            "roleAssignments",
            "roleDefinitions",
            "denyAssignments",
            "locks",
        ],
    ),
    (
        REGISTRY_NAMESPACE,
        &[
            "registries",
            "registries/scopeMaps",
            "registries/tokens",
            "checkNameAvailability",
            "operations",
            "locations",
            "locations/operationResults",
        ],
    ),
    (
        "Microsoft.ManagedIdentity",
        &["userAssignedIdentities", "operations"],
    ),
    (
        "Microsoft.Resources",
        &[
            "subscriptions",
            "subscriptions/resourceGroups",
            "resourceGroups",
            "resources",
            "providers",
            "tenants",
        ],
    ),
];

fn find(namespace: &str) -> Result<&'static Provider, Refused> {
    let known = PROVIDERS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(namespace));
    known.ok_or_else(|| {
        let message = format!("The resource namespace '{namespace}' is not part of this server.");
        Refused::not_found("InvalidResourceNamespace", message)
    })
}

fn render(subscription: Option<Guid>, (namespace, types): &Provider) -> Value {
    let versions: &[&str] = match *namespace {
        "Microsoft.Authorization" => &["2022-04-01", "2020-05-01", "2016-09-01"],
        "Microsoft.ManagedIdentity" => &["2024-11-30", "2023-01-31"],
        "Microsoft.Resources" => &["2024-11-01", "2022-12-01"],
        _ => &VERSIONS,
    };
    let types: Vec<Value> = types
        .iter()
        .map(|kind| {
            json!({
                "resourceType": kind,
                "locations": location_names(),
                "apiVersions": versions,
                "defaultApiVersion": versions.first(),
                "capabilities": "None",
            })
        })
        .collect();
    let within = subscription.map_or(String::new(), |id| format!("/subscriptions/{id}"));
    json!({
        "id": format!("{within}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationFree",
        "registrationState": "Registered",
        "resourceTypes": types,
    })
}

pub(super) fn list(subscription: Option<Guid>) -> Answer {
    let items = PROVIDERS.iter().map(|one| render(subscription, one));
    Answer::list(items.collect())
}

pub(super) fn show(subscription: Option<Guid>, namespace: &str) -> Result<Answer, Refused> {
    Ok(Answer::ok(render(subscription, find(namespace)?)))
}

/// Registering does nothing; ending a registration would leave clients without what they use.
pub(super) fn register(
    subscription: Guid,
    namespace: &str,
    register: bool,
) -> Result<Answer, Refused> {
    let provider = find(namespace)?;
    if register {
        return Ok(Answer::ok(render(Some(subscription), provider)));
    }
    let message = format!("The provider '{}' is always registered here.", provider.0);
    Err(Refused::new(
        http::StatusCode::CONFLICT,
        "CannotUnregisterNamespace",
        message,
    ))
}

/// What can be done with registries, in the words of roles: the resource, the end of the action, whether it is about data.
const OPERATIONS: [(&str, &str, bool); 30] = [
    ("registries", "read", false),
    ("registries", "write", false),
    ("registries", "delete", false),
    ("registries", "listCredentials/action", false),
    ("registries", "regenerateCredential/action", false),
    ("registries", "generateCredentials/action", false),
    ("registries", "listUsages/read", false),
    ("registries", "importImage/action", false),
    ("registries/pull", "read", false),
    ("registries/push", "write", false),
    ("registries/artifacts", "delete", false),
    ("registries/metadata", "read", false),
    ("registries/metadata", "write", false),
    ("registries/deleted", "read", false),
    ("registries/deleted", "restore/action", false),
    ("registries/quarantine", "read", false),
    ("registries/quarantine", "write", false),
    ("registries/sign", "write", false),
    ("registries/scopeMaps", "read", false),
    ("registries/scopeMaps", "write", false),
    ("registries/scopeMaps", "delete", false),
    ("registries/tokens", "read", false),
    ("registries/tokens", "write", false),
    ("registries/tokens", "delete", false),
    ("registries/repositories/content", "read", true),
    ("registries/repositories/content", "write", true),
    ("registries/repositories/content", "delete", true),
    ("registries/repositories/metadata", "read", true),
    ("registries/repositories/metadata", "write", true),
    ("registries/catalog", "read", true),
];

pub(super) fn operations(namespace: &str) -> Result<Answer, Refused> {
    let (namespace, types) = find(namespace)?;
    let entry = |resource: &str, operation: &str, is_data: bool| {
        json!({
            "name": format!("{namespace}/{resource}/{operation}"),
            "isDataAction": is_data,
            "display": {
                "provider": namespace,
                "resource": resource,
                "operation": operation,
                "description": format!("{operation} of {namespace}/{resource}"),
            },
        })
    };
    let mut items = Vec::new();
    if *namespace == REGISTRY_NAMESPACE {
        for (resource, operation, is_data) in OPERATIONS {
            items.push(entry(resource, operation, is_data));
        }
        for kind in Later::ALL {
            let resource = format!("registries/{}", kind.word());
            items.push(entry(&resource, "read", false));
        }
    } else {
        for kind in *types {
            for operation in ["read", "write", "delete"] {
                items.push(entry(kind, operation, false));
            }
        }
    }
    Ok(Answer::list(items))
}
