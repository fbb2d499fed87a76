//! What az reads to find everything: `ARM_CLOUD_METADATA_URL` may name `/metadata/clouds/STYLE` (a documented variable of
//! az). Needs no credentials and tells nothing that the client did not know.

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::body::Body;
use crate::endpoints::{Endpoints, Naming};
use crate::errors::Refusal;
use crate::resolver::Scheme;

/// In front of the style.
pub(crate) const PREFIX: &str = "/metadata/clouds/";

/// How the authority is written, and by what name everything is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As Microsoft Entra ID. az asks Microsoft about an unknown authority, unless `core.instance_discovery` is off.
    Entra,
    /// As Active Directory Federation Services: az asks nobody, and signing in with a password works on any port.
    Adfs,
    /// As Entra, and every part by its own name.
    Names,
}

impl Style {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "entra" => Some(Self::Entra),
            "adfs" => Some(Self::Adfs),
            "names" => Some(Self::Names),
            _ => None,
        }
    }
}

/// Answers `GET /metadata/clouds/STYLE`: a list of one cloud.
pub(crate) fn answer(
    naming: &Naming,
    path: &str,
    scheme: Scheme,
    dialled: &str,
) -> Result<Response<Body>, Refusal> {
    let style = path.strip_prefix(PREFIX).and_then(Style::parse);
    let style = style.ok_or_else(Refusal::no_endpoint)?;
    let endpoints = match style {
        Style::Names => naming.endpoints(Scheme::Https, &naming.management_name()),
        Style::Entra | Style::Adfs => naming.endpoints(scheme, dialled),
    };
    let authority = match style {
        Style::Adfs => format!("{}/adfs", endpoints.authority),
        Style::Entra | Style::Names => endpoints.authority.clone(),
    };
    let body = Value::Array(vec![document(&endpoints, &authority)]);
    let mut response = Response::new(Body::full(body.to_string()));
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// The metadata of this cloud, as `GET /metadata/endpoints?api-version=2022-09-01` answers in Azure.
pub(crate) fn document(endpoints: &Endpoints, authority: &str) -> Value {
    let management = &endpoints.management;
    json!({
        "name": "Lazuli",
        "portal": management,
        "authentication": {
            "loginEndpoint": authority,
            "audiences": [format!("{management}/")],
            "tenant": "common",
            "identityProvider": if authority.ends_with("/adfs") { "ADFS" } else { "AAD" },
        },
        "resourceManager": management,
        "microsoftGraphResourceId": format!("{}/", endpoints.graph),
        "graphAudience": format!("{}/", endpoints.graph),
        "suffixes": {
            "acrLoginServer": endpoints.registries,
            "storage": endpoints.storage,
            "keyVaultDns": endpoints.storage.replacen("core.", "vault.", 1),
            "sqlServerHostname": endpoints.storage.replacen("core.", "database.", 1),
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_az_requires_is_there() {
        let naming = Naming {
            https_port: Some(5443),
            ..Naming::default()
        };
        for (style, authority) in [
            ("entra", "https://localhost:5443"),
            ("adfs", "https://localhost:5443/adfs"),
            ("names", "https://login.lazuli.test"),
        ] {
            let endpoints = match Style::parse(style).unwrap() {
                Style::Names => naming.endpoints(Scheme::Https, &naming.management_name()),
                _ => naming.endpoints(Scheme::Http, "127.0.0.1:5000"),
            };
            let authority_of = if style == "adfs" {
                format!("{}/adfs", endpoints.authority)
            } else {
                endpoints.authority.clone()
            };
            assert_eq!(authority_of, authority);
            let document = document(&endpoints, authority);
            for pointer in [
                "/name",
                "/authentication/loginEndpoint",
                "/authentication/audiences/0",
                "/suffixes/acrLoginServer",
                "/suffixes/storage",
                "/suffixes/keyVaultDns",
                "/microsoftGraphResourceId",
            ] {
                assert!(
                    document.pointer(pointer).is_some_and(Value::is_string),
                    "{pointer}"
                );
            }
        }
        assert!(answer(&naming, "/metadata/clouds/other", Scheme::Http, "a").is_err());
    }
}
