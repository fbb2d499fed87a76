//! Paths of the management plane.

use std::borrow::Cow;

use http::Method;

use super::kinds::{Later, LaterAction, Verb};
use super::path::{GroupPath, IdentityPath, RegistryPath, Within};
use super::segments::split;
use crate::Guid;
use crate::arm_scope::ArmScope;

/// A request to the management plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/metadata/endpoints`: what clients are told to find everything else.
    Metadata,
    /// `/tenants`
    Tenants,
    /// `/subscriptions`
    Subscriptions,
    /// One subscription.
    Subscription(Guid),
    /// Its locations.
    Locations(Guid),
    /// All resources of a subscription or group.
    Resources(Within),
    /// The resource groups of a subscription.
    Groups(Guid),
    /// A resource group.
    Group(GroupPath, Verb),
    /// The providers, of a subscription or of all.
    Providers(Option<Guid>),
    /// One provider.
    Provider(Option<Guid>, Box<str>),
    /// Registering a provider, or ending that: everything is always registered.
    RegisterProvider(Guid, Box<str>, bool),
    /// The operations of a provider.
    Operations(Box<str>),
    /// Whether a registry's name is free.
    CheckName(Guid),
    /// Registries.
    Registries(Within),
    /// A registry.
    Registry(RegistryPath, Verb),
    /// What a registry uses of what it may.
    Usages(RegistryPath),
    /// The admin user's passwords.
    ListCredentials(RegistryPath),
    /// A new password for the admin user.
    RegenerateCredential(RegistryPath),
    /// New passwords for a token.
    GenerateCredentials(RegistryPath),
    /// Scope maps.
    ScopeMaps(RegistryPath),
    /// A scope map.
    ScopeMap(RegistryPath, Box<str>, Verb),
    /// Tokens.
    Tokens(RegistryPath),
    /// A token.
    Token(RegistryPath, Box<str>, Verb),
    /// The list of a kind that there is none of yet.
    LaterList(RegistryPath, Later),
    /// One of a kind that there is none of yet.
    LaterItem(RegistryPath, Later, Box<str>, Verb),
    /// Something done with one of a kind that there is none of yet: `webhooks/NAME/ping`.
    LaterItemAction(RegistryPath, Later, Box<str>, Box<str>),
    /// Something done with a registry that cannot be done yet.
    LaterAction(RegistryPath, LaterAction),
    /// How far a long operation is.
    OperationStatus(Guid, Box<str>),
    /// Managed identities.
    Identities(Within),
    /// A managed identity.
    Identity(IdentityPath, Verb),
    /// Role definitions that can be assigned at a scope.
    RoleDefinitions(ArmScope),
    /// A role definition.
    RoleDefinition(ArmScope, Guid, Verb),
    /// Role assignments.
    RoleAssignments(ArmScope),
    /// A role assignment.
    RoleAssignment(ArmScope, Guid, Verb),
    /// Deny assignments.
    DenyAssignments(ArmScope),
    /// A deny assignment.
    DenyAssignment(ArmScope, Guid),
    /// Locks.
    Locks(ArmScope),
    /// A lock.
    Lock(ArmScope, Box<str>, Verb),
}

/// Why a path is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No endpoint has this form, or the type of resource is not one of this server.
    #[error("no such endpoint")]
    NotFound,
    /// The namespace of a provider that is not here.
    #[error("the resource provider '{0}' is not part of this server")]
    Provider(Box<str>),
    /// The type of a resource that is not here.
    #[error("the resource type '{0}' is not part of this server")]
    Type(Box<str>),
    /// What stands where a subscription, role or assignment has its GUID.
    #[error("'{0}' is not a GUID such as 00000000-0000-0000-0000-000000000000")]
    NotGuid(Box<str>),
    /// The scope of an authorization resource is none.
    #[error("the scope of this request is not valid")]
    Scope,
    /// The endpoint has no such method.
    #[error("the endpoint has these methods: {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// Too long, control characters, escapes of slashes or of nothing, or dots.
    #[error("the path is not valid")]
    Malformed,
}

const GET: &str = "GET";
const POST: &str = "POST";
const ALL: [Verb; 4] = [Verb::Get, Verb::Put, Verb::Patch, Verb::Delete];
const WHOLE: [Verb; 3] = [Verb::Get, Verb::Put, Verb::Delete];

/// A method that has to be one of an endpoint's.
#[derive(Clone, Copy)]
struct Asked<'a>(&'a Method);

impl Asked<'_> {
    fn only(self, allow: &'static str) -> Result<(), RouteError> {
        if self.0.as_str() == allow {
            Ok(())
        } else {
            Err(RouteError::MethodNotAllowed { allow })
        }
    }

    fn one_of(self, verbs: &[Verb]) -> Result<Verb, RouteError> {
        let allow = match verbs.len() {
            3 => "GET, PUT, DELETE",
            4 => "GET, PUT, PATCH, DELETE",
            _ => "HEAD, GET, PUT, PATCH, DELETE",
        };
        Verb::of(self.0)
            .filter(|verb| verbs.contains(verb))
            .ok_or(RouteError::MethodNotAllowed { allow })
    }
}

impl Route {
    /// Reads the path of a request, without its query. More than one slash counts as one.
    pub fn parse(method: &Method, path: &str) -> Result<Self, RouteError> {
        let names = split(path)?;
        let keys: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let asked = Asked(method);
        if let Some(at) = authorization(&keys) {
            return authorization_route(asked, &names, &keys, at);
        }
        let name = |index: usize| Box::<str>::from(&*names[index]);
        match keys.as_slice() {
            ["metadata", "endpoints"] => asked.only(GET).map(|()| Self::Metadata),
            ["tenants"] => asked.only(GET).map(|()| Self::Tenants),
            ["subscriptions"] => asked.only(GET).map(|()| Self::Subscriptions),
            ["providers"] => asked.only(GET).map(|()| Self::Providers(None)),
            ["providers", _] => asked.only(GET).map(|()| Self::Provider(None, name(1))),
            ["providers", _, "operations"] => asked.only(GET).map(|()| Self::Operations(name(1))),
            ["subscriptions", id, rest @ ..] => {
                let subscription = guid(id)?;
                subscription_route(asked, subscription, &names, rest)
            }
            _ => Err(RouteError::NotFound),
        }
    }
}

fn subscription_route(
    asked: Asked<'_>,
    subscription: Guid,
    names: &[Cow<'_, str>],
    rest: &[&str],
) -> Result<Route, RouteError> {
    let get = |route| asked.only(GET).map(|()| route);
    let name = |index: usize| Box::<str>::from(&*names[index]);
    match rest {
        [] => get(Route::Subscription(subscription)),
        ["locations"] => get(Route::Locations(subscription)),
        ["resources"] => get(Route::Resources(Within::Subscription(subscription))),
        ["resourcegroups"] => get(Route::Groups(subscription)),
        ["operationresults", _] => get(Route::OperationStatus(subscription, name(3))),
        ["providers"] => get(Route::Providers(Some(subscription))),
        ["providers", _] => get(Route::Provider(Some(subscription), name(3))),
        ["providers", _, word @ ("register" | "unregister")] => {
            asked.only(POST)?;
            let route = Route::RegisterProvider(subscription, name(3), *word == "register");
            Ok(route)
        }
        ["providers", namespace, below @ ..] => {
            let within = Within::Subscription(subscription);
            provider_route(asked, within, namespace, &names[3..], below)
        }
        ["resourcegroups", _, below @ ..] => {
            let group = GroupPath {
                subscription,
                name: name(3),
            };
            match below {
                [] => {
                    let verbs = [Verb::Head, Verb::Get, Verb::Put, Verb::Patch, Verb::Delete];
                    Ok(Route::Group(group, asked.one_of(&verbs)?))
                }
                ["resources"] => get(Route::Resources(Within::Group(group))),
                ["providers", namespace, below @ ..] => {
                    provider_route(asked, Within::Group(group), namespace, &names[5..], below)
                }
                _ => Err(RouteError::NotFound),
            }
        }
        _ => Err(RouteError::NotFound),
    }
}

/// `names`: the namespace and what follows it; `below`: what follows it, in lower case.
fn provider_route(
    asked: Asked<'_>,
    within: Within,
    namespace: &str,
    names: &[Cow<'_, str>],
    below: &[&str],
) -> Result<Route, RouteError> {
    let get = |route| asked.only(GET).map(|()| route);
    let name = |index: usize| Box::<str>::from(&*names[index]);
    match (namespace, below) {
        ("microsoft.containerregistry", ["registries"]) => get(Route::Registries(within)),
        ("microsoft.containerregistry", ["checknameavailability"]) => {
            let subscription = no_group(&within)?;
            asked.only(POST).map(|()| Route::CheckName(subscription))
        }
        (_, ["locations", _, "operationstatuses" | "operationresults", _]) => {
            let subscription = no_group(&within)?;
            get(Route::OperationStatus(subscription, name(4)))
        }
        ("microsoft.containerregistry", ["registries", _, rest @ ..]) => {
            let Within::Group(group) = within else {
                return Err(RouteError::NotFound);
            };
            let registry = RegistryPath {
                group,
                name: name(2),
            };
            registry_route(asked, registry, &names[3..], rest)
        }
        ("microsoft.managedidentity", ["userassignedidentities"]) => get(Route::Identities(within)),
        ("microsoft.managedidentity", ["userassignedidentities", _]) => {
            let Within::Group(group) = within else {
                return Err(RouteError::NotFound);
            };
            let identity = IdentityPath {
                group,
                name: name(2),
            };
            Ok(Route::Identity(identity, asked.one_of(&ALL)?))
        }
        ("microsoft.containerregistry" | "microsoft.managedidentity", [_, ..]) => {
            let kind = format!("{}/{}", names[0], names[1]);
            Err(RouteError::Type(kind.into()))
        }
        _ => Err(RouteError::Provider(name(0))),
    }
}

/// `names`: what follows the registry's name.
fn registry_route(
    asked: Asked<'_>,
    registry: RegistryPath,
    names: &[Cow<'_, str>],
    rest: &[&str],
) -> Result<Route, RouteError> {
    let name = |index: usize| Box::<str>::from(&*names[index]);
    let post = |route| asked.only(POST).map(|()| route);
    match rest {
        [] => {
            let verbs = [Verb::Head, Verb::Get, Verb::Put, Verb::Patch, Verb::Delete];
            Ok(Route::Registry(registry, asked.one_of(&verbs)?))
        }
        ["listusages"] => asked.only(GET).map(|()| Route::Usages(registry)),
        ["listcredentials"] => post(Route::ListCredentials(registry)),
        ["regeneratecredential"] => post(Route::RegenerateCredential(registry)),
        ["generatecredentials"] => post(Route::GenerateCredentials(registry)),
        ["scopemaps"] => asked.only(GET).map(|()| Route::ScopeMaps(registry)),
        ["scopemaps", _] => Ok(Route::ScopeMap(registry, name(1), asked.one_of(&ALL)?)),
        ["tokens"] => asked.only(GET).map(|()| Route::Tokens(registry)),
        ["tokens", _] => Ok(Route::Token(registry, name(1), asked.one_of(&ALL)?)),
        [kind, below @ ..] => {
            if let Some(action) = LaterAction::parse(kind)
                && below.is_empty()
            {
                return post(Route::LaterAction(registry, action));
            }
            let Some(kind) = Later::parse(kind) else {
                let kind = format!("Microsoft.ContainerRegistry/registries/{}", names[0]);
                return Err(RouteError::Type(kind.into()));
            };
            match below {
                [] => asked.only(GET).map(|()| Route::LaterList(registry, kind)),
                [_, _] if *asked.0 == Method::POST => {
                    Ok(Route::LaterItemAction(registry, kind, name(1), name(2)))
                }
                // Archives have versions below them: of neither there is one.
                _ => {
                    let verb = asked.one_of(&ALL)?;
                    Ok(Route::LaterItem(registry, kind, name(1), verb))
                }
            }
        }
    }
}

/// Where `providers/Microsoft.Authorization/TYPE` begins, which stands behind any scope.
fn authorization(keys: &[&str]) -> Option<usize> {
    keys.windows(3).rposition(|words| {
        matches!(
            words,
            [
                "providers",
                "microsoft.authorization",
                "roledefinitions" | "roleassignments" | "denyassignments" | "permissions" | "locks"
            ]
        )
    })
}

fn authorization_route(
    asked: Asked<'_>,
    names: &[Cow<'_, str>],
    keys: &[&str],
    at: usize,
) -> Result<Route, RouteError> {
    let mut text = String::new();
    for name in &names[..at] {
        text.push('/');
        text.push_str(name);
    }
    if text.is_empty() {
        text.push('/');
    }
    let scope = ArmScope::parse(&text).map_err(|_| RouteError::Scope)?;
    let name = |index: usize| Box::<str>::from(&*names[at + index]);
    let get = |route| asked.only(GET).map(|()| route);
    match &keys[at + 2..] {
        ["roledefinitions"] => get(Route::RoleDefinitions(scope)),
        ["roledefinitions", id] => {
            let verb = asked.one_of(&WHOLE)?;
            Ok(Route::RoleDefinition(scope, guid(id)?, verb))
        }
        ["roleassignments"] => get(Route::RoleAssignments(scope)),
        ["roleassignments", id] => {
            let verb = asked.one_of(&WHOLE)?;
            Ok(Route::RoleAssignment(scope, guid(id)?, verb))
        }
        ["denyassignments"] => get(Route::DenyAssignments(scope)),
        ["denyassignments", id] => get(Route::DenyAssignment(scope, guid(id)?)),
        ["locks"] => get(Route::Locks(scope)),
        ["locks", _] => Ok(Route::Lock(scope, name(3), asked.one_of(&WHOLE)?)),
        _ => Err(RouteError::NotFound),
    }
}

fn no_group(within: &Within) -> Result<Guid, RouteError> {
    match within {
        Within::Subscription(subscription) => Ok(*subscription),
        Within::Group(_) => Err(RouteError::NotFound),
    }
}

fn guid(text: &str) -> Result<Guid, RouteError> {
    Guid::parse(text).map_err(|_| RouteError::NotGuid(text.into()))
}
