//! Claims of the registry's tokens (RFC 7519; names and values as Azure Container Registry's tokens have them).
//!
//! Times are seconds since the Unix epoch, as JSON numbers: clients read `exp` without verifying the token.

use serde::{Deserialize, Serialize};

use super::{Actions, Scope};
use crate::Guid;

/// The issuer of every token.
pub const ISSUER: &str = "Azure Container Registry";
/// The subject of anonymous access tokens.
pub const ANONYMOUS_SUBJECT: &str = "acr_anon_pull";
/// The user name that says: the password is a token of this registry.
pub const TOKEN_USERNAME: &str = "00000000-0000-0000-0000-000000000000";
/// `grant_type` of refresh tokens.
pub const REFRESH_TOKEN: &str = "refresh_token";
/// `grant_type` of access tokens.
pub const ACCESS_TOKEN: &str = "access_token";

/// What both kinds of token say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommonClaims {
    /// The token's own identifier.
    pub jti: String,
    /// Whose it is.
    pub sub: String,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid from here on.
    pub exp: i64,
    /// Issued at.
    pub iat: i64,
    /// [`ISSUER`].
    pub iss: String,
    /// The login server it is for.
    pub aud: String,
    /// The version of the token's form.
    pub version: String,
    /// The registry's identifier, in hexadecimal.
    pub rid: String,
    /// What the token is: [`REFRESH_TOKEN`] or [`ACCESS_TOKEN`]. A token of one kind is never taken for the other.
    pub grant_type: String,
    /// The application it was issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// The directory of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// More about an identity that is not the registry's own.
    #[serde(flatten)]
    pub holder: Holder,
}

/// What a token says of an identity of a directory, or of a token with a scope map, so that it can be looked up again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holder {
    /// The object; of a token with a scope map its own identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<Guid>,
    /// The name, for logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The groups that the token of another directory named.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "packed")]
    pub groups: Vec<Guid>,
    /// Whether the identity is of another directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// When the directory vouched for the identity, in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<i64>,
    /// How the registry made rights of roles then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_mode: Option<String>,
}

/// GUIDs in a row, as one text: there may be hundreds, and a token fits into a header.
mod packed {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Guid;

    #[expect(clippy::ptr_arg, reason = "serde hands over the field")]
    pub(super) fn serialize<S: Serializer>(
        guids: &Vec<Guid>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = guids.iter().flat_map(|guid| *guid.as_bytes()).collect();
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Guid>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        let (guids, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(D::Error::custom("GUIDs have 16 bytes"));
        }
        Ok(guids.iter().map(|bytes| Guid::from_bytes(*bytes)).collect())
    }
}

/// The claims of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    /// What both kinds say.
    #[serde(flatten)]
    pub common: CommonClaims,
    /// What the identity may do with the registry.
    #[serde(default)]
    pub permissions: Permissions,
    /// The identity's roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Permissions of a refresh token, in the words of role definitions: `read`, `write`, `delete`, `deleted/read`,
/// `deleted/restore/action`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Permissions {
    /// What is allowed.
    #[serde(default, alias = "actions")]
    pub actions: Vec<String>,
    /// What is taken away again.
    #[serde(default, alias = "notActions")]
    pub not_actions: Vec<String>,
}

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// What both kinds say.
    #[serde(flatten)]
    pub common: CommonClaims,
    /// What the token is good for.
    #[serde(default, alias = "Access")]
    pub access: Vec<AccessEntry>,
    /// The identity's roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// A resource and the actions granted on it. Tokens of old have the names capitalised; both are read, lower case is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// `repository` or `registry`.
    #[serde(rename = "type", alias = "Type")]
    pub resource_type: String,
    /// The repository, the listing, or `*`.
    #[serde(alias = "Name")]
    pub name: String,
    /// The actions; unknown ones are left out.
    #[serde(alias = "Actions")]
    pub actions: Actions,
}

impl AccessEntry {
    /// The entry for a scope with what was granted of it; `None` for scopes that are not understood.
    pub fn new(scope: &Scope, granted: Actions) -> Option<Self> {
        let (resource_type, name) = match scope {
            Scope::Repository { name, .. } => ("repository", name.as_str()),
            Scope::Registry { name, .. } => ("registry", name.as_str()),
            Scope::Other => return None,
        };
        Some(Self {
            resource_type: resource_type.to_owned(),
            name: name.to_owned(),
            actions: granted,
        })
    }

    /// The scope this entry grants; [`Scope::Other`] for `*` and for what is not understood.
    pub fn scope(&self) -> Scope {
        Scope::from_parts(&self.resource_type, &self.name, self.actions).unwrap_or(Scope::Other)
    }
}

/// The claims are not those of a token of this kind.
#[derive(Debug, thiserror::Error)]
#[error("the token's claims are malformed")]
pub struct ClaimsError(#[source] serde_json::Error);

impl RefreshClaims {
    /// Reads the claims of a token whose signature was verified.
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimsError> {
        serde_json::from_slice(payload).map_err(ClaimsError)
    }
}

impl AccessClaims {
    /// Reads the claims of a token whose signature was verified.
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimsError> {
        serde_json::from_slice(payload).map_err(ClaimsError)
    }
}
