//! Forms of the token endpoint and of the beginning of a sign-in on another device.

use std::fmt;

use super::scope::Asked;
use super::{Failure, Flavor};
use crate::query::{Query, QueryError};
use crate::token::Secret;

/// The longest secret, password, code or token in a form, in bytes.
pub const MAX_SECRET: usize = 16 * 1024;

/// The longest name in a form, in bytes.
const MAX_NAME: usize = 512;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a client proves itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientProof {
    /// Nothing: a program on somebody's computer cannot keep a secret.
    None,
    /// A secret.
    Secret(Secret),
    /// A token that it signed itself, or that another issuer gave it (RFC 7523).
    Assertion(Secret),
}

/// What a token is given for.
#[derive(Clone, PartialEq, Eq)]
pub enum Grant {
    /// The client's own identity.
    ClientCredentials,
    /// A user's name and password.
    Password {
        /// The user principal name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token.
    RefreshToken(Secret),
    /// The code that a browser brought back (RFC 6749 §4.1.3, RFC 7636 §4.5).
    AuthorizationCode {
        /// The code.
        code: Secret,
        /// Where the browser brought it.
        redirect_uri: Option<String>,
        /// What the challenge of the request was made from.
        verifier: Option<Secret>,
    },
    /// The code of a device (RFC 8628 §3.4).
    DeviceCode(Secret),
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientCredentials => "ClientCredentials",
            Self::Password { .. } => "Password([secret])",
            Self::RefreshToken(_) => "RefreshToken([secret])",
            Self::AuthorizationCode { .. } => "AuthorizationCode([secret])",
            Self::DeviceCode(_) => "DeviceCode([secret])",
        })
    }
}

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenForm {
    /// Who asks: the GUID of an application.
    pub client_id: String,
    /// Its proof.
    pub proof: ClientProof,
    /// What for.
    pub grant: Grant,
    /// Which token; `None` where the grant remembers it.
    pub asked: Option<Asked>,
    /// Whether the client wants to know whose the token is (`client_info=1`).
    pub client_info: bool,
}

impl TokenForm {
    /// Reads the form. `basic`: client and secret of the `Authorization` header, which RFC 6749 §2.3.1 allows too.
    pub fn read(
        form: &Query<'_>,
        flavor: Flavor,
        basic: Option<(&str, &str)>,
    ) -> Result<Self, Failure> {
        let grant = read_grant(form)?;
        let client = optional(form, "client_id", MAX_NAME)?;
        let (client_id, header_secret) = match (client, basic) {
            (Some(named), Some((client, _))) if named != client => {
                return Err(Failure::Malformed("client_id"));
            }
            (_, Some((client, secret))) if client.len() <= MAX_NAME => {
                (client.to_owned(), Some(Secret::new(secret)))
            }
            (Some(named), None) => (named.to_owned(), None),
            _ => return Err(Failure::Missing("client_id")),
        };
        let secret = secret_of(form, "client_secret")?.or(header_secret);
        let assertion = secret_of(form, "client_assertion")?;
        let proof = match (secret, assertion) {
            (Some(_), Some(_)) => return Err(Failure::Malformed("client_assertion")),
            (Some(secret), None) => ClientProof::Secret(secret),
            (None, Some(assertion)) => {
                if optional(form, "client_assertion_type", MAX_NAME)? != Some(ASSERTION_TYPE) {
                    return Err(Failure::Malformed("client_assertion_type"));
                }
                ClientProof::Assertion(assertion)
            }
            (None, None) => ClientProof::None,
        };
        Ok(Self {
            client_id,
            proof,
            asked: read_asked(form, flavor)?,
            grant,
            client_info: optional(form, "client_info", MAX_NAME)? == Some("1"),
        })
    }
}

/// Reads the form that begins a sign-in on another device: client and what is asked for.
pub fn device_form(form: &Query<'_>, flavor: Flavor) -> Result<(String, Asked), Failure> {
    let client = optional(form, "client_id", MAX_NAME)?.ok_or(Failure::Missing("client_id"))?;
    let asked = read_asked(form, flavor)?.ok_or(Failure::Missing("scope"))?;
    Ok((client.to_owned(), asked))
}

fn read_grant(form: &Query<'_>) -> Result<Grant, Failure> {
    let need = |name| secret_of(form, name)?.ok_or(Failure::Missing(name));
    let word = optional(form, "grant_type", MAX_NAME)?.ok_or(Failure::Missing("grant_type"))?;
    Ok(match word {
        "client_credentials" => Grant::ClientCredentials,
        "password" => Grant::Password {
            username: optional(form, "username", MAX_NAME)?
                .ok_or(Failure::Missing("username"))?
                .to_owned(),
            password: need("password")?,
        },
        "refresh_token" => Grant::RefreshToken(need("refresh_token")?),
        "authorization_code" => Grant::AuthorizationCode {
            code: need("code")?,
            redirect_uri: optional(form, "redirect_uri", 2048)?.map(str::to_owned),
            verifier: secret_of(form, "code_verifier")?,
        },
        DEVICE_GRANT | "device_code" => {
            // Version 1 calls it `code`.
            let code = secret_of(form, "device_code")?;
            Grant::DeviceCode(match code {
                Some(code) => code,
                None => need("code").map_err(|_| Failure::Missing("device_code"))?,
            })
        }
        _ => return Err(Failure::UnsupportedGrant),
    })
}

fn read_asked(form: &Query<'_>, flavor: Flavor) -> Result<Option<Asked>, Failure> {
    let scope = optional(form, "scope", MAX_SECRET)?;
    let resource = optional(form, "resource", MAX_NAME)?;
    let asked = match (flavor, scope, resource) {
        (Flavor::V1 | Flavor::Adfs, _, Some(resource)) => Asked::of_resource(resource),
        (_, Some(scope), _) => Asked::parse(scope),
        _ => return Ok(None),
    };
    asked.map(Some).ok_or(Failure::Scope)
}

/// A parameter; empty is absent (RFC 6749 §3.1).
pub(super) fn optional<'q>(
    form: &'q Query<'_>,
    name: &'static str,
    limit: usize,
) -> Result<Option<&'q str>, Failure> {
    let value = form.single(name).map_err(|error| match error {
        QueryError::Repeated => Failure::Malformed(name),
        _ => Failure::Malformed("the form"),
    })?;
    match value.filter(|value| !value.is_empty()) {
        Some(value) if value.len() > limit => Err(Failure::Malformed(name)),
        value => Ok(value),
    }
}

fn secret_of(form: &Query<'_>, name: &'static str) -> Result<Option<Secret>, Failure> {
    Ok(optional(form, name, MAX_SECRET)?.map(Secret::new))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::query::QueryLimits;

    fn read(text: &str) -> Result<TokenForm, Failure> {
        let form = Query::parse(text, &QueryLimits::FORM).unwrap();
        TokenForm::read(&form, Flavor::V2, None)
    }

    #[test]
    fn the_forms_that_clients_send() {
        let form = read(
            "client_id=a&client_secret=s&grant_type=client_credentials&client_info=1&scope=https%3A%2F%2Flocalhost%3A8443%2F%2F.default",
        )
        .unwrap();
        assert_eq!(form.proof, ClientProof::Secret(Secret::new("s")));
        assert!(form.client_info);
        let resource = form.asked.unwrap().resource.unwrap();
        assert_eq!(resource.as_str(), "https://localhost:8443");
        let device = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
        let form = read(&format!(
            "client_id=a&grant_type={device}&device_code=c&code=c"
        ))
        .unwrap();
        assert_eq!(form.grant, Grant::DeviceCode(Secret::new("c")));
        assert_eq!(form.asked, None);
        let form = read("client_id=a&grant_type=password&username=u&password=p&scope=openid");
        assert!(matches!(form.unwrap().grant, Grant::Password { .. }));
    }

    #[test]
    fn what_is_missing_or_doubled_is_named() {
        for (text, failure) in [
            ("", Failure::Missing("grant_type")),
            (
                "grant_type=client_credentials",
                Failure::Missing("client_id"),
            ),
            ("grant_type=magic&client_id=a", Failure::UnsupportedGrant),
            (
                "grant_type=password&client_id=a&username=u",
                Failure::Missing("password"),
            ),
            (
                "grant_type=refresh_token&client_id=a",
                Failure::Missing("refresh_token"),
            ),
            (
                "grant_type=password&grant_type=refresh_token",
                Failure::Malformed("grant_type"),
            ),
            (
                "grant_type=client_credentials&client_id=a&client_assertion=x",
                Failure::Malformed("client_assertion_type"),
            ),
            (
                "grant_type=client_credentials&client_id=a&scope=a%2Fb%20c%2Fd",
                Failure::Scope,
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), failure, "{text}");
        }
    }

    proptest! {
        #[test]
        fn foreign_forms_never_panic(text in "[a-z_=&%0-9A-F:/. -]{0,200}") {
            if let Ok(form) = Query::parse(&text, &QueryLimits::FORM) {
                for flavor in [Flavor::V1, Flavor::V2, Flavor::Adfs] {
                    let _ = TokenForm::read(&form, flavor, Some(("a", "b")));
                    let _ = device_form(&form, flavor);
                }
            }
        }
    }
}
