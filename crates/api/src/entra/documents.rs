//! What clients read before they sign in. None of it is secret.

use http::Response;
use lazuli_identity::PublicKey;
use lazuli_wire::Guid;
use lazuli_wire::entra::{Flavor, Tenant};
use lazuli_wire::query::{Query, QueryLimits};
use serde_json::{Value, json};

use super::answer;
use crate::body::Body;
use crate::endpoints::Endpoints;
use crate::service::Received;

/// What the authority can do (OpenID Connect Discovery §3). The Azure CLI takes the tenant from the first segment of the
/// issuer's path.
pub(super) fn configuration(
    endpoints: &Endpoints,
    tenant: &Tenant,
    id: Guid,
    flavor: Flavor,
) -> Response<Body> {
    let base = &endpoints.authority;
    let named = match tenant {
        Tenant::Domain(_) => Tenant::Id(id),
        other => other.clone(),
    };
    let (issuer, path) = match flavor {
        Flavor::V2 => (format!("{base}/{id}/v2.0"), "oauth2/v2.0"),
        Flavor::V1 | Flavor::Adfs => (format!("{base}/{id}/"), "oauth2"),
    };
    let keys = match flavor {
        Flavor::V2 => "discovery/v2.0/keys",
        Flavor::V1 | Flavor::Adfs => "discovery/keys",
    };
    answer::json(&json!({
        "token_endpoint": format!("{base}/{named}/{path}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{named}/{keys}"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{base}/{named}/{path}/authorize"),
        "device_authorization_endpoint": format!("{base}/{named}/{path}/devicecode"),
        "end_session_endpoint": format!("{base}/{named}/{path}/logout"),
        "http_logout_supported": true,
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver", "oid", "upn",
        ],
        "tenant_region_scope": Value::Null,
    }))
}

/// The keys (RFC 7517 §5).
pub(super) fn keys(keys: &[PublicKey]) -> Response<Body> {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.kid, "n": key.modulus, "e": key.exponent,
            })
        })
        .collect();
    answer::json(&json!({ "keys": keys }))
}

/// Every authority that asks here is known: this one.
pub(super) fn instance(endpoints: &Endpoints) -> Response<Body> {
    let base = &endpoints.authority;
    let host = base
        .split_once("://")
        .map_or(base.as_str(), |(_, host)| host);
    answer::json(&json!({
        "tenant_discovery_endpoint": format!("{base}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    }))
}

/// Every user signs in here, whether or not there is one of that name.
pub(super) fn user_realm(request: &Received) -> Response<Body> {
    let path = request.parts.uri.path();
    let user = path.rsplit('/').next().unwrap_or_default();
    let user = format!("user={user}");
    let user = Query::parse(&user, &QueryLimits::QUERY).unwrap_or_default();
    let user = user.all("user").next().unwrap_or_default();
    let domain = user.rsplit_once('@').map_or("", |(_, domain)| domain);
    answer::json(&json!({
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": domain,
        "cloud_instance_name": "lazuli",
        "cloud_audience_urn": "urn:federation:Lazuli",
    }))
}
