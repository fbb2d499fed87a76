//! What a caller needs for a route. Every route has a rule: one without does not compile.

use std::borrow::Cow;

use super::kinds::Verb;
use super::path::Within;
use super::route::{Route, RouteError};
use crate::arm_scope::{ArmScope, ArmScopeError};

/// What a caller needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: clients ask for it before they can sign in, and it tells nothing of what is stored.
    Public,
    /// To be signed in: the answer is the same for everybody, or about the caller.
    SignedIn,
    /// To be signed in; the answer shows what the caller may do this action with, and nothing else.
    Shows {
        /// The action.
        action: &'static str,
        /// Where.
        scope: ArmScope,
    },
    /// The right to this action at this scope.
    Needs {
        /// The action.
        action: Cow<'static, str>,
        /// Where.
        scope: ArmScope,
    },
}

const REGISTRIES: &str = "Microsoft.ContainerRegistry/registries";

impl Route {
    /// What a caller needs for this route. Fails for names that no resource can have.
    pub fn rule(&self) -> Result<Rule, RouteError> {
        self.find_rule().map_err(|_| RouteError::Scope)
    }

    fn find_rule(&self) -> Result<Rule, ArmScopeError> {
        let subscription = |id: &crate::Guid| ArmScope::subscription(&id.to_string());
        let shows = |action, within: &Within| {
            Ok(Rule::Shows {
                action,
                scope: within.scope()?,
            })
        };
        Ok(match self {
            Self::Metadata => Rule::Public,
            // The providers and their operations are the same for everybody. How far an operation is, is told to who has its
            // identifier, which nobody can guess.
            Self::Tenants
            | Self::Providers(None)
            | Self::Provider(None, _)
            | Self::Operations(_)
            | Self::OperationStatus(..) => Rule::SignedIn,
            Self::Subscriptions => Rule::Shows {
                action: "Microsoft.Resources/subscriptions/read",
                scope: ArmScope::root(),
            },
            Self::Subscription(id) => Rule::Shows {
                action: "Microsoft.Resources/subscriptions/read",
                scope: subscription(id)?,
            },
            Self::Locations(id) => needs(
                "Microsoft.Resources/subscriptions/locations/read",
                subscription(id)?,
            ),
            Self::Resources(within) => {
                return shows("Microsoft.Resources/subscriptions/resources/read", within);
            }
            Self::Groups(id) => Rule::Shows {
                action: "Microsoft.Resources/subscriptions/resourceGroups/read",
                scope: subscription(id)?,
            },
            Self::Group(group, verb) => needs(
                match verb {
                    Verb::Get | Verb::Head => {
                        "Microsoft.Resources/subscriptions/resourceGroups/read"
                    }
                    Verb::Put | Verb::Patch => {
                        "Microsoft.Resources/subscriptions/resourceGroups/write"
                    }
                    Verb::Delete => "Microsoft.Resources/subscriptions/resourceGroups/delete",
                },
                group.scope()?,
            ),
            Self::Providers(Some(id)) | Self::Provider(Some(id), _) => needs(
                "Microsoft.Resources/subscriptions/providers/read",
                subscription(id)?,
            ),
            Self::RegisterProvider(id, namespace, _) => Rule::Needs {
                action: format!("{namespace}/register/action").into(),
                scope: subscription(id)?,
            },
            Self::CheckName(id) => needs(
                "Microsoft.ContainerRegistry/checkNameAvailability/read",
                subscription(id)?,
            ),
            Self::Registries(within) => {
                return shows("Microsoft.ContainerRegistry/registries/read", within);
            }
            Self::Registry(registry, verb) => Rule::Needs {
                action: format!("{REGISTRIES}/{}", verb.action()).into(),
                scope: registry.scope()?,
            },
            Self::Usages(registry) => needs(
                "Microsoft.ContainerRegistry/registries/listUsages/read",
                registry.scope()?,
            ),
            Self::ListCredentials(registry) => needs(
                "Microsoft.ContainerRegistry/registries/listCredentials/action",
                registry.scope()?,
            ),
            Self::RegenerateCredential(registry) => needs(
                "Microsoft.ContainerRegistry/registries/regenerateCredential/action",
                registry.scope()?,
            ),
            Self::GenerateCredentials(registry) => needs(
                "Microsoft.ContainerRegistry/registries/generateCredentials/action",
                registry.scope()?,
            ),
            Self::ScopeMaps(registry) => needs(
                "Microsoft.ContainerRegistry/registries/scopeMaps/read",
                registry.scope()?,
            ),
            Self::ScopeMap(registry, name, verb) => Rule::Needs {
                action: format!("{REGISTRIES}/scopeMaps/{}", verb.action()).into(),
                scope: registry.child("scopeMaps", name)?,
            },
            Self::Tokens(registry) => needs(
                "Microsoft.ContainerRegistry/registries/tokens/read",
                registry.scope()?,
            ),
            Self::Token(registry, name, verb) => Rule::Needs {
                action: format!("{REGISTRIES}/tokens/{}", verb.action()).into(),
                scope: registry.child("tokens", name)?,
            },
            Self::LaterList(registry, kind) => Rule::Needs {
                action: format!("{REGISTRIES}/{}/read", kind.word()).into(),
                scope: registry.scope()?,
            },
            Self::LaterItem(registry, kind, name, verb) => Rule::Needs {
                action: format!("{REGISTRIES}/{}/{}", kind.word(), verb.action()).into(),
                scope: registry.child(kind.word(), name)?,
            },
            Self::LaterItemAction(registry, kind, name, action) => Rule::Needs {
                action: format!("{REGISTRIES}/{}/{action}/action", kind.word()).into(),
                scope: registry.child(kind.word(), name)?,
            },
            Self::LaterAction(registry, action) => Rule::Needs {
                action: format!("{REGISTRIES}/{}/action", action.word()).into(),
                scope: registry.scope()?,
            },
            Self::Identities(within) => {
                return shows(
                    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
                    within,
                );
            }
            Self::Identity(identity, verb) => Rule::Needs {
                action: format!("{}/{}", super::IDENTITY_TYPE, verb.action()).into(),
                scope: identity.scope()?,
            },
            Self::RoleDefinitions(scope) => needs(
                "Microsoft.Authorization/roleDefinitions/read",
                scope.clone(),
            ),
            Self::RoleDefinition(scope, _, verb) => authorization("roleDefinitions", *verb, scope),
            Self::RoleAssignments(scope) => needs(
                "Microsoft.Authorization/roleAssignments/read",
                scope.clone(),
            ),
            Self::RoleAssignment(scope, _, verb) => authorization("roleAssignments", *verb, scope),
            Self::DenyAssignments(scope) | Self::DenyAssignment(scope, _) => needs(
                "Microsoft.Authorization/denyAssignments/read",
                scope.clone(),
            ),
            Self::Locks(scope) => needs("Microsoft.Authorization/locks/read", scope.clone()),
            Self::Lock(scope, _, verb) => authorization("locks", *verb, scope),
        })
    }
}

fn needs(action: &'static str, scope: ArmScope) -> Rule {
    Rule::Needs {
        action: action.into(),
        scope,
    }
}

fn authorization(kind: &str, verb: Verb, scope: &ArmScope) -> Rule {
    Rule::Needs {
        action: format!("Microsoft.Authorization/{kind}/{}", verb.action()).into(),
        scope: scope.clone(),
    }
}
