//! What a token is asked for: `scope` of version 2, `resource` of version 1.

use crate::Guid;

/// The longest list of scopes, in bytes.
const MAX_SCOPE: usize = 4096;

/// Most scopes in one request.
const MAX_SCOPES: usize = 64;

/// The longest identifier of a resource, in bytes.
const MAX_RESOURCE: usize = 512;

/// The identifier of a resource, as asked for: a URI or a GUID, without slashes at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource(String);

/// Resources every client knows by Microsoft's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WellKnown {
    /// Azure Resource Manager.
    Management,
    /// The data plane of Azure Container Registry.
    Registry,
    /// Microsoft Graph.
    Graph,
}

impl Resource {
    /// Reads an identifier.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && text.len() <= MAX_RESOURCE && is_printable)
            .then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `host[:port]` and path, in lower case, of an `https` identifier.
    pub fn https(&self) -> Option<(String, String)> {
        let rest = self.0.get(8..).filter(|_| {
            self.0
                .get(..8)
                .is_some_and(|s| s.eq_ignore_ascii_case("https://"))
        })?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let path = path.trim_matches('/').to_ascii_lowercase();
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(":443").unwrap_or(&host).to_owned();
        (!host.is_empty() && !host.contains('@')).then_some((host, path))
    }

    /// The resource, if it is one of those with names of Microsoft's.
    pub fn well_known(&self) -> Option<WellKnown> {
        const MANAGEMENT: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";
        const REGISTRY: &str = "6a0ec4d3-30cb-4a83-91c0-ae56bc0e3d26";
        const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
        Some(match self.0.to_ascii_lowercase().as_str() {
            MANAGEMENT | "https://management.azure.com" | "https://management.core.windows.net" => {
                WellKnown::Management
            }
            REGISTRY | "https://containerregistry.azure.net" => WellKnown::Registry,
            GRAPH | "https://graph.microsoft.com" => WellKnown::Graph,
            _ => return None,
        })
    }

    /// The application the resource is, when it is named by its GUID.
    pub fn application(&self) -> Option<Guid> {
        let text = self.0.strip_prefix("api://").unwrap_or(&self.0);
        Guid::parse(text).ok()
    }
}

/// What a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The one resource; `None`: only an identity is wanted.
    pub resource: Option<Resource>,
    /// As given, for the answer.
    pub scope: String,
    /// Whether an ID token is wanted.
    pub openid: bool,
    /// Whether a refresh token is wanted.
    pub offline: bool,
}

impl Asked {
    /// Reads a list of scopes, separated by spaces. `None`: too many, malformed, or of more than one resource.
    pub fn parse(scope: &str) -> Option<Self> {
        if scope.len() > MAX_SCOPE {
            return None;
        }
        let mut asked = Self {
            scope: scope.to_owned(),
            ..Self::default()
        };
        for (number, word) in scope.split_ascii_whitespace().enumerate() {
            if number == MAX_SCOPES {
                return None;
            }
            match word {
                "openid" => asked.openid = true,
                "offline_access" => asked.offline = true,
                "profile" | "email" => {}
                _ => {
                    let resource = resource_of(word)?;
                    if asked.resource.as_ref().is_some_and(|had| *had != resource) {
                        return None;
                    }
                    asked.resource = Some(resource);
                }
            }
        }
        Some(asked)
    }

    /// Version 1: the resource by itself. An ID token comes with it always, a refresh token too.
    pub fn of_resource(resource: &str) -> Option<Self> {
        let resource = Resource::parse(resource)?;
        Some(Self {
            scope: "user_impersonation".to_owned(),
            resource: Some(resource),
            openid: true,
            offline: true,
        })
    }
}

/// A scope is the identifier of its resource, a slash, and a name without slashes. A name by itself is one of Graph's.
fn resource_of(word: &str) -> Option<Resource> {
    match word.rsplit_once('/') {
        Some((resource, name)) if !name.is_empty() => Resource::parse(resource),
        Some(_) => None,
        None => Resource::parse("https://graph.microsoft.com"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scopes_name_one_resource() {
        let asked =
            Asked::parse("https://localhost:8443//.default offline_access openid profile").unwrap();
        assert!(asked.openid && asked.offline);
        let resource = asked.resource.unwrap();
        assert_eq!(resource.as_str(), "https://localhost:8443");
        assert_eq!(
            resource.https(),
            Some(("localhost:8443".to_owned(), String::new()))
        );
        let graph = Asked::parse("https://localhost:8443/graph/.default").unwrap();
        let graph = graph.resource.unwrap();
        assert_eq!(
            graph.https(),
            Some(("localhost:8443".to_owned(), "graph".to_owned()))
        );
        assert!(Asked::parse("https://a/.default https://b/.default").is_none());
        assert!(Asked::parse(&"x ".repeat(100)).is_none());
        assert_eq!(Asked::parse("openid").unwrap().resource, None);
        let graph = Asked::parse("User.Read").unwrap().resource.unwrap();
        assert_eq!(graph.well_known(), Some(WellKnown::Graph));
    }

    #[test]
    fn resources_known_by_name_and_number() {
        for (text, expected) in [
            ("https://management.azure.com/", Some(WellKnown::Management)),
            (
                "https://management.core.windows.net//",
                Some(WellKnown::Management),
            ),
            (
                "https://containerregistry.azure.net",
                Some(WellKnown::Registry),
            ),
            (
                "00000003-0000-0000-c000-000000000000",
                Some(WellKnown::Graph),
            ),
            ("https://management.azure.com.evil.example", None),
        ] {
            assert_eq!(Resource::parse(text).unwrap().well_known(), expected);
        }
    }

    proptest! {
        #[test]
        fn foreign_scopes_never_panic(text in "[ -~é]{0,120}") {
            let _ = Asked::parse(&text);
            if let Some(resource) = Resource::parse(&text) {
                let _ = (resource.https(), resource.well_known(), resource.application());
            }
        }
    }
}
