//! Resources by their paths.

use std::fmt;

use crate::Guid;
use crate::arm_scope::{ArmScope, ArmScopeError};

/// Where a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Within {
    /// In a whole subscription.
    Subscription(Guid),
    /// In one resource group.
    Group(GroupPath),
}

impl Within {
    /// The subscription.
    pub fn subscription(&self) -> Guid {
        match self {
            Self::Subscription(subscription) => *subscription,
            Self::Group(group) => group.subscription,
        }
    }

    /// The group, if one is meant.
    pub fn group(&self) -> Option<&GroupPath> {
        match self {
            Self::Subscription(_) => None,
            Self::Group(group) => Some(group),
        }
    }

    /// As a scope.
    pub fn scope(&self) -> Result<ArmScope, ArmScopeError> {
        match self {
            Self::Subscription(subscription) => ArmScope::subscription(&subscription.to_string()),
            Self::Group(group) => group.scope(),
        }
    }
}

/// A resource group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupPath {
    /// The subscription it is in.
    pub subscription: Guid,
    /// Its name, as the caller wrote it.
    pub name: Box<str>,
}

impl GroupPath {
    /// The name for comparing and for rows.
    pub fn key(&self) -> String {
        self.name.to_lowercase()
    }

    /// As a scope.
    pub fn scope(&self) -> Result<ArmScope, ArmScopeError> {
        ArmScope::parse(&self.to_string())
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, name } = self;
        write!(f, "/subscriptions/{subscription}/resourceGroups/{name}")
    }
}

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryPath {
    /// The group it is in.
    pub group: GroupPath,
    /// Its name, as the caller wrote it.
    pub name: Box<str>,
}

impl RegistryPath {
    /// The name for comparing and for rows.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// As a scope.
    pub fn scope(&self) -> Result<ArmScope, ArmScopeError> {
        ArmScope::parse(&self.to_string())
    }

    /// Something below it, as a scope.
    pub fn child(&self, kind: &str, name: &str) -> Result<ArmScope, ArmScopeError> {
        ArmScope::parse(&format!("{self}/{kind}/{name}"))
    }
}

impl fmt::Display for RegistryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, name } = self;
        write!(
            f,
            "{group}/providers/Microsoft.ContainerRegistry/registries/{name}"
        )
    }
}

/// A managed identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdentityPath {
    /// The group it is in.
    pub group: GroupPath,
    /// Its name, as the caller wrote it.
    pub name: Box<str>,
}

impl IdentityPath {
    /// As a scope.
    pub fn scope(&self) -> Result<ArmScope, ArmScopeError> {
        ArmScope::parse(&self.to_string())
    }
}

impl fmt::Display for IdentityPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, name } = self;
        write!(
            f,
            "{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
    }
}
