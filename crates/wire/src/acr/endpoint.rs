//! What each endpoint of the data plane is called, which methods it has, and what a caller needs for each.

use http::Method;

use crate::oci::Permission;

/// An endpoint without its parameters: the key of metrics, limits and authorization tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/acr/v1/_catalog`
    Catalog,
    /// `/acr/v1/<name>`
    Repository,
    /// `/acr/v1/<name>/_tags`
    Tags,
    /// `/acr/v1/<name>/_tags/<tag>`
    Tag,
    /// `/acr/v1/<name>/_manifests`
    Manifests,
    /// `/acr/v1/<name>/_manifests/<digest>`
    Manifest,
    /// `/acr/v1/_deleted/_catalog`
    DeletedCatalog,
    /// `/acr/v1/_deleted/<name>/_tags`
    DeletedTags,
    /// `/acr/v1/_deleted/<name>/_manifests`
    DeletedManifests,
    /// `/acr/v1/_deleted/<name>/_manifests/<digest>`
    DeletedManifest,
    /// `/acr/v1/<name>/_streaming`, and of one manifest
    Streaming,
    /// `/acr/v1/<name>/_operations/<id>`
    Operation,
    /// `/acr/v1/<name>/_operations/<id>:cancel`
    Cancel,
    /// `…/_metadata`, and `…/_metadata/<key>`
    Metadata,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 14] = [
        Self::Catalog,
        Self::Repository,
        Self::Tags,
        Self::Tag,
        Self::Manifests,
        Self::Manifest,
        Self::DeletedCatalog,
        Self::DeletedTags,
        Self::DeletedManifests,
        Self::DeletedManifest,
        Self::Streaming,
        Self::Operation,
        Self::Cancel,
        Self::Metadata,
    ];

    /// The methods it has, as an `Allow` header lists them.
    pub const fn allowed_methods(self) -> &'static str {
        match self {
            Self::Catalog
            | Self::Tags
            | Self::Manifests
            | Self::DeletedCatalog
            | Self::DeletedTags
            | Self::DeletedManifests
            | Self::Operation => "GET, HEAD",
            Self::Repository | Self::Tag => "GET, HEAD, PATCH, DELETE",
            Self::Manifest => "GET, HEAD, PATCH",
            Self::DeletedManifest | Self::Cancel => "POST",
            Self::Streaming => "GET, HEAD, POST",
            Self::Metadata => "GET, HEAD, PUT, DELETE",
        }
    }

    /// What a caller needs for a method; `None` when the endpoint has no such method.
    pub fn permission(self, method: &Method) -> Option<Permission> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let read = |permission| is_read.then_some(permission);
        match self {
            Self::Catalog => read(Permission::Catalog),
            Self::Tags | Self::Manifests | Self::Operation => read(Permission::MetadataRead),
            Self::Repository | Self::Tag | Self::Manifest => match *method {
                Method::PATCH => Some(Permission::MetadataWrite),
                Method::DELETE if !matches!(self, Self::Manifest) => Some(Permission::Delete),
                _ => read(Permission::MetadataRead),
            },
            Self::DeletedCatalog => read(Permission::DeletedCatalog),
            Self::DeletedTags | Self::DeletedManifests => read(Permission::DeletedRead),
            Self::DeletedManifest => {
                (*method == Method::POST).then_some(Permission::DeletedRestore)
            }
            Self::Cancel => (*method == Method::POST).then_some(Permission::MetadataWrite),
            // What Azure's command line asks a token for.
            Self::Streaming => match *method {
                Method::POST => Some(Permission::Push),
                _ => read(Permission::MetadataRead),
            },
            Self::Metadata => match *method {
                Method::PUT | Method::DELETE => Some(Permission::MetadataWrite),
                _ => read(Permission::MetadataRead),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_endpoint_has_a_permission_for_exactly_the_methods_it_allows() {
        let methods = [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "get",
        ];
        for endpoint in Endpoint::ALL {
            let allowed: Vec<_> = endpoint.allowed_methods().split(", ").collect();
            for name in methods {
                let permission = endpoint.permission(&Method::try_from(name).unwrap());
                let is_allowed = allowed.contains(&name);
                assert_eq!(permission.is_some(), is_allowed, "{name} on {endpoint:?}");
            }
        }
    }

    #[test]
    fn reading_methods_never_ask_for_a_right_to_write() {
        for endpoint in Endpoint::ALL {
            for method in [Method::GET, Method::HEAD] {
                let permission = endpoint.permission(&method);
                let writes = matches!(
                    permission,
                    Some(
                        Permission::Push
                            | Permission::Delete
                            | Permission::MetadataWrite
                            | Permission::DeletedRestore
                    )
                );
                assert!(!writes, "{endpoint:?}");
            }
        }
    }
}
