//! Paths of the authority.

use std::fmt;

use http::Method;

use crate::Guid;

/// The longest domain name, in bytes (RFC 1035 §2.3.4).
const MAX_DOMAIN: usize = 253;

/// How a client names the tenant it signs in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenant {
    /// By its GUID.
    Id(Guid),
    /// By a domain of it, in lower case.
    Domain(String),
    /// Any organization's.
    Organizations,
    /// Anybody's.
    Common,
    /// The only one there is, as Active Directory Federation Services have it.
    Adfs,
}

impl Tenant {
    /// Reads the first segment of a path.
    pub fn parse(segment: &str) -> Option<Self> {
        if let Ok(id) = Guid::parse(segment) {
            return Some(Self::Id(id));
        }
        match segment {
            "organizations" => Some(Self::Organizations),
            "common" => Some(Self::Common),
            "adfs" => Some(Self::Adfs),
            _ => {
                let label = |label: &str| {
                    !label.is_empty()
                        && label.len() <= 63
                        && label
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                };
                let is_domain = segment.len() <= MAX_DOMAIN
                    && segment.contains('.')
                    && segment.split('.').all(label);
                is_domain.then(|| Self::Domain(segment.to_ascii_lowercase()))
            }
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Domain(domain) => f.write_str(domain),
            Self::Organizations => f.write_str("organizations"),
            Self::Common => f.write_str("common"),
            Self::Adfs => f.write_str("adfs"),
        }
    }
}

/// Which of its interfaces the authority is spoken to by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// `/{tenant}/oauth2/…`, with `resource`.
    V1,
    /// `/{tenant}/oauth2/v2.0/…`, with `scope`.
    V2,
    /// `/adfs/oauth2/…`, with either.
    Adfs,
}

/// An endpoint of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// POST: tokens.
    Token(Tenant, Flavor),
    /// GET and POST: the page to sign in on.
    Authorize(Tenant, Flavor),
    /// POST: the beginning of signing in on another device.
    DeviceCode(Tenant, Flavor),
    /// GET: a page that says good-bye.
    Logout(Tenant),
    /// GET and POST `/devicelogin`: the page on the other device.
    DeviceLogin,
    /// GET: what the authority can do (OpenID Connect Discovery §4).
    Configuration(Tenant, Flavor),
    /// GET: the keys that verify its tokens (RFC 7517).
    Keys(Tenant),
    /// GET `/common/discovery/instance`: whether an authority is known.
    Instance,
    /// GET `/common/userrealm/{user}`: how a user signs in.
    UserRealm,
    /// GET `/metadata/identity/oauth2/token` and `/msi/token`: tokens of managed identities.
    ManagedIdentity,
}

/// Why a path is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No endpoint has this form.
    #[error("no such endpoint")]
    NotFound,
    /// The endpoint has no such method.
    #[error("method not allowed; allowed are {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
}

impl Route {
    /// Reads the path of a request, without its query; `None` when it belongs to another plane.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "/devicelogin" => return Some(Self::DeviceLogin),
            "/metadata/identity/oauth2/token" | "/msi/token" => return Some(Self::ManagedIdentity),
            "/common/discovery/instance" => return Some(Self::Instance),
            _ => {}
        }
        let (first, rest) = path.strip_prefix('/')?.split_once('/')?;
        if first == "common"
            && let Some(user) = rest
                .strip_prefix("userrealm/")
                .or_else(|| rest.strip_prefix("UserRealm/"))
        {
            return (!user.is_empty() && !user.contains('/')).then_some(Self::UserRealm);
        }
        let tenant = Tenant::parse(first)?;
        let is_adfs = tenant == Tenant::Adfs;
        let flavor = |v2| match (is_adfs, v2) {
            (true, _) => Flavor::Adfs,
            (false, true) => Flavor::V2,
            (false, false) => Flavor::V1,
        };
        // Active Directory Federation Services have no versions in their paths; some clients write them all the same.
        Some(match rest.trim_end_matches('/') {
            "oauth2/token" => Self::Token(tenant, flavor(false)),
            "oauth2/v2.0/token" => Self::Token(tenant, flavor(true)),
            "oauth2/authorize" => Self::Authorize(tenant, flavor(false)),
            "oauth2/v2.0/authorize" => Self::Authorize(tenant, flavor(true)),
            "oauth2/devicecode" => Self::DeviceCode(tenant, flavor(false)),
            "oauth2/v2.0/devicecode" => Self::DeviceCode(tenant, flavor(true)),
            "oauth2/logout" | "oauth2/v2.0/logout" => Self::Logout(tenant),
            ".well-known/openid-configuration" => Self::Configuration(tenant, flavor(false)),
            "v2.0/.well-known/openid-configuration" => Self::Configuration(tenant, flavor(true)),
            "discovery/keys" | "discovery/v2.0/keys" => Self::Keys(tenant),
            _ => return None,
        })
    }

    /// The methods the endpoint has, as an `Allow` header lists them.
    pub const fn allowed_methods(&self) -> &'static str {
        match self {
            Self::Token(..) | Self::DeviceCode(..) => "POST",
            Self::Authorize(..) | Self::DeviceLogin => "GET, POST",
            Self::Logout(_)
            | Self::Configuration(..)
            | Self::Keys(_)
            | Self::Instance
            | Self::UserRealm
            | Self::ManagedIdentity => "GET",
        }
    }

    /// Whether the endpoint has this method.
    pub fn check_method(&self, method: &Method) -> Result<(), RouteError> {
        let allow = self.allowed_methods();
        if allow.split(", ").any(|name| name == method.as_str()) {
            Ok(())
        } else {
            Err(RouteError::MethodNotAllowed { allow })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_the_authority_are_told_from_others() {
        let id = "11111111-2222-3333-4444-555555555555";
        let tenant = Tenant::Id(Guid::parse(id).unwrap());
        for (path, route) in [
            (
                format!("/{id}/oauth2/v2.0/token"),
                Route::Token(tenant.clone(), Flavor::V2),
            ),
            (
                format!("/{id}/oauth2/token"),
                Route::Token(tenant.clone(), Flavor::V1),
            ),
            (
                "/Lazuli.Test/oauth2/v2.0/authorize".to_owned(),
                Route::Authorize(Tenant::Domain("lazuli.test".to_owned()), Flavor::V2),
            ),
            (
                "/adfs/oauth2/token".to_owned(),
                Route::Token(Tenant::Adfs, Flavor::Adfs),
            ),
            (
                "/adfs/oauth2/v2.0/token".to_owned(),
                Route::Token(Tenant::Adfs, Flavor::Adfs),
            ),
            (
                "/adfs/.well-known/openid-configuration".to_owned(),
                Route::Configuration(Tenant::Adfs, Flavor::Adfs),
            ),
            (
                "/organizations/v2.0/.well-known/openid-configuration".to_owned(),
                Route::Configuration(Tenant::Organizations, Flavor::V2),
            ),
            ("/common/userrealm/a%40b.c".to_owned(), Route::UserRealm),
            ("/common/discovery/instance".to_owned(), Route::Instance),
            (
                "/common/discovery/v2.0/keys".to_owned(),
                Route::Keys(Tenant::Common),
            ),
            ("/devicelogin".to_owned(), Route::DeviceLogin),
        ] {
            assert_eq!(Route::parse(&path), Some(route), "{path}");
        }
        for path in [
            "/",
            "/v2/",
            "/oauth2/token",
            "/oauth2/exchange",
            "/acr/v1/_catalog",
            "/subscriptions/x/providers",
            "/common/userrealm/",
            "/common/userrealm/a/b",
            "/nodots/oauth2/v2.0/token",
            "/a..b/oauth2/token",
            "/a b.c/oauth2/token",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

    #[test]
    fn methods_are_those_listed() {
        let token = Route::Token(Tenant::Common, Flavor::V2);
        assert!(token.check_method(&Method::POST).is_ok());
        let refused = token.check_method(&Method::GET);
        assert_eq!(refused, Err(RouteError::MethodNotAllowed { allow: "POST" }));
    }

    proptest! {
        #[test]
        fn foreign_paths_never_panic(path in "/?[a-z.0-9%/-]{0,80}") {
            let _ = Route::parse(&path);
        }

        #[test]
        fn a_tenant_is_shown_as_it_is_read(text in "[a-z0-9.-]{1,40}") {
            if let Some(tenant) = Tenant::parse(&text) {
                prop_assert_eq!(Tenant::parse(&tenant.to_string()), Some(tenant));
            }
        }
    }
}
