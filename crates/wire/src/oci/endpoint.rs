//! What each endpoint of the `/v2/` plane is called, which methods it has, and what a caller needs for each.

use http::Method;

use crate::token::{Action, Actions};

/// An endpoint without its parameters: the key of metrics, limits and authorization tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/_oci/ext/discover`
    ExtensionDiscovery,
    /// `/v2/<name>/_oci/ext/discover`
    RepositoryExtensionDiscovery,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/manifests/<reference>`
    Manifest,
    /// `/v2/<name>/blobs/<digest>`
    Blob,
    /// `/v2/<name>/blobs/uploads/`
    Uploads,
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload,
    /// `/v2/<name>/referrers/<digest>`
    Referrers,
}

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Nothing beyond being known to the registry.
    Authenticated,
    /// List repositories: scope `registry:catalog:*`.
    Catalog,
    /// Read listings of the repository. Docker-era clients ask for `pull` before they list tags, so either action will do.
    MetadataRead,
    /// Read content of the repository.
    Pull,
    /// Write content to the repository.
    Push,
    /// Delete content from the repository.
    Delete,
    /// Change attributes of the repository and of what it holds.
    MetadataWrite,
    /// List what was deleted from the repository and is still kept.
    DeletedRead,
    /// Restore what was deleted from the repository and is still kept.
    DeletedRestore,
    /// List repositories of which something deleted is still kept: scope `registry:deleted_catalog:*`.
    DeletedCatalog,
}

impl Permission {
    /// Whether actions granted on the repository are enough. Permissions that concern no repository are never met by such actions.
    pub const fn is_met_by(self, granted: Actions) -> bool {
        match self {
            Self::Authenticated | Self::Catalog | Self::DeletedCatalog => false,
            Self::MetadataRead => {
                granted.allows(Action::MetadataRead) || granted.allows(Action::Pull)
            }
            Self::Pull => granted.allows(Action::Pull),
            Self::Push => granted.allows(Action::Push),
            Self::Delete => granted.allows(Action::Delete),
            Self::MetadataWrite => granted.allows(Action::MetadataWrite),
            Self::DeletedRead => granted.allows(Action::DeletedRead),
            Self::DeletedRestore => granted.allows(Action::DeletedRestore),
        }
    }

    /// The actions a challenge asks for. A client that pushes also reads what is there, so it is told to ask for both.
    pub const fn challenge(self) -> Actions {
        match self {
            Self::Authenticated => Actions::NONE,
            Self::Catalog | Self::DeletedCatalog => Actions::ALL,
            Self::MetadataRead => Actions::of(&[Action::MetadataRead]),
            Self::Pull => Actions::of(&[Action::Pull]),
            Self::Push => Actions::of(&[Action::Pull, Action::Push]),
            Self::Delete => Actions::of(&[Action::Delete]),
            Self::MetadataWrite => Actions::of(&[Action::MetadataWrite]),
            Self::DeletedRead => Actions::of(&[Action::DeletedRead]),
            Self::DeletedRestore => Actions::of(&[Action::DeletedRestore]),
        }
    }
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 10] = [
        Self::Base,
        Self::Catalog,
        Self::ExtensionDiscovery,
        Self::RepositoryExtensionDiscovery,
        Self::Tags,
        Self::Manifest,
        Self::Blob,
        Self::Uploads,
        Self::Upload,
        Self::Referrers,
    ];

    /// The methods it has, as an `Allow` header lists them.
    pub const fn allowed_methods(self) -> &'static str {
        match self {
            Self::Base
            | Self::Catalog
            | Self::ExtensionDiscovery
            | Self::RepositoryExtensionDiscovery
            | Self::Tags
            | Self::Referrers => "GET, HEAD",
            Self::Manifest => "GET, HEAD, PUT, DELETE",
            Self::Blob => "GET, HEAD, DELETE",
            Self::Uploads => "POST",
            Self::Upload => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }

    /// What a caller needs for a method; `None` when the endpoint has no such method.
    ///
    /// An upload session is part of a push, its status and its end too.
    pub fn permission(self, method: &Method) -> Option<Permission> {
        let read = |permission| matches!(*method, Method::GET | Method::HEAD).then_some(permission);
        match self {
            Self::Base | Self::ExtensionDiscovery => read(Permission::Authenticated),
            Self::Catalog => read(Permission::Catalog),
            Self::Tags => read(Permission::MetadataRead),
            Self::RepositoryExtensionDiscovery | Self::Referrers => read(Permission::Pull),
            Self::Manifest | Self::Blob => match *method {
                Method::GET | Method::HEAD => Some(Permission::Pull),
                Method::DELETE => Some(Permission::Delete),
                Method::PUT if matches!(self, Self::Manifest) => Some(Permission::Push),
                _ => None,
            },
            Self::Uploads => (*method == Method::POST).then_some(Permission::Push),
            Self::Upload => matches!(
                *method,
                Method::GET | Method::HEAD | Method::PATCH | Method::PUT | Method::DELETE
            )
            .then_some(Permission::Push),
        }
    }

    /// Its label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::ExtensionDiscovery => "extensions",
            Self::RepositoryExtensionDiscovery => "repository_extensions",
            Self::Tags => "tags",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Uploads => "uploads",
            Self::Upload => "upload",
            Self::Referrers => "referrers",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_permission_for_exactly_the_methods_it_allows() {
        let methods = [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW",
            "get",
        ];
        for endpoint in Endpoint::ALL {
            let allowed: Vec<_> = endpoint.allowed_methods().split(", ").collect();
            for name in methods {
                let permission = endpoint.permission(&Method::try_from(name).unwrap());
                assert_eq!(
                    permission.is_some(),
                    allowed.contains(&name),
                    "{name} on {endpoint:?}"
                );
            }
        }
    }

    #[test]
    fn labels_are_distinct() {
        let labels: std::collections::HashSet<_> = Endpoint::ALL
            .iter()
            .map(|endpoint| endpoint.label())
            .collect();
        assert_eq!(labels.len(), Endpoint::ALL.len());
    }

    #[test]
    fn reading_methods_never_ask_for_a_right_to_write() {
        for endpoint in Endpoint::ALL
            .into_iter()
            .filter(|endpoint| *endpoint != Endpoint::Upload)
        {
            for method in [Method::GET, Method::HEAD] {
                let permission = endpoint.permission(&method);
                assert!(
                    !matches!(permission, Some(Permission::Push | Permission::Delete)),
                    "{endpoint:?}"
                );
            }
        }
    }

    #[test]
    fn a_permission_is_met_by_what_its_challenge_asks_for_and_not_by_less() {
        for permission in [
            Permission::MetadataRead,
            Permission::Pull,
            Permission::Push,
            Permission::Delete,
            Permission::MetadataWrite,
            Permission::DeletedRead,
            Permission::DeletedRestore,
        ] {
            assert!(permission.is_met_by(permission.challenge()));
            assert!(permission.is_met_by(Actions::ALL));
            assert!(!permission.is_met_by(Actions::NONE));
        }
        assert!(Permission::MetadataRead.is_met_by(Action::Pull.into()));
        assert!(!Permission::Pull.is_met_by(Action::MetadataRead.into()));
        assert!(!Permission::Push.is_met_by(Action::Pull.into()));
        assert!(!Permission::Delete.is_met_by(Actions::of(&[Action::Pull, Action::Push])));
        assert!(!Permission::Catalog.is_met_by(Actions::ALL));
    }
}
