//! Requests for tokens and their answers: POST and GET `/oauth2/token`, POST `/oauth2/exchange`.
//!
//! The answers of Azure Container Registry are to the letter, so an access token comes without `expires_in`: clients read it
//! from the token.

use serde::{Deserialize, Serialize};

use super::scope::TooManyScopes;
use super::{Route, Scope, Secret};
use crate::query::{Query, QueryError};

/// What a token is asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantType {
    /// A user name and password; with neither, an anonymous token.
    Password,
    /// A refresh token of this registry.
    RefreshToken,
    /// An access token of the identity provider.
    AccessToken,
    /// An access token and a refresh token of the identity provider; an old form of [`AccessToken`](Self::AccessToken).
    AccessTokenRefreshToken,
}

impl GrantType {
    /// Every grant type.
    pub const ALL: [Self; 4] = [
        Self::Password,
        Self::RefreshToken,
        Self::AccessToken,
        Self::AccessTokenRefreshToken,
    ];

    /// The value of `grant_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::AccessToken => "access_token",
            Self::AccessTokenRefreshToken => "access_token_refresh_token",
        }
    }

    /// Whether an endpoint takes it.
    pub const fn belongs_to(self, route: Route) -> bool {
        match route {
            Route::Token => matches!(self, Self::Password | Self::RefreshToken),
            Route::Exchange => !matches!(self, Self::Password),
        }
    }
}

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// What it is asked for with. A GET is a [`Password`](GrantType::Password) grant whose password is in its Basic header.
    pub grant_type: GrantType,
    /// The login server the token is for.
    pub service: Option<String>,
    /// What the token is for.
    pub scopes: Vec<Scope>,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A refresh token.
    pub refresh_token: Option<Secret>,
    /// An access token of the identity provider.
    pub access_token: Option<Secret>,
    /// The directory the identity is of.
    pub tenant: Option<String>,
    /// The user name once more, as Docker sends it. Never believed.
    pub account: Option<String>,
    /// The name of the client program.
    pub client_id: Option<String>,
    /// Whether a refresh token is wanted too: `access_type=offline`, or `offline_token=true` of a GET.
    pub offline: bool,
}

/// Why a request for a token is refused before anything is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRequestError {
    /// `grant_type` is missing.
    #[error("grant_type is required")]
    GrantTypeMissing,
    /// `grant_type` is unknown, or of the other endpoint.
    #[error("unsupported grant_type")]
    GrantTypeUnsupported,
    /// The token the grant type is about is missing.
    #[error("the grant's token is missing")]
    TokenMissing,
    /// Too many scopes.
    #[error(transparent)]
    Scopes(#[from] TooManyScopes),
    /// The form or query is malformed, or says one thing twice.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl TokenRequestError {
    /// The code of RFC 6749 §5.2.
    pub const fn oauth_error(self) -> OAuthError {
        match self {
            Self::GrantTypeUnsupported => OAuthError::UnsupportedGrantType,
            Self::Scopes(_) => OAuthError::InvalidScope,
            Self::GrantTypeMissing | Self::TokenMissing | Self::Query(_) => {
                OAuthError::InvalidRequest
            }
        }
    }
}

impl TokenRequest {
    /// Reads the form of a POST.
    pub fn from_form(route: Route, form: &Query<'_>) -> Result<Self, TokenRequestError> {
        let word = form
            .single("grant_type")?
            .ok_or(TokenRequestError::GrantTypeMissing)?;
        let grant_type = GrantType::ALL
            .into_iter()
            .find(|grant_type| grant_type.as_str() == word && grant_type.belongs_to(route))
            .ok_or(TokenRequestError::GrantTypeUnsupported)?;
        let request = Self::read(grant_type, form)?;
        let token = match grant_type {
            GrantType::Password => return Ok(request),
            GrantType::RefreshToken => &request.refresh_token,
            GrantType::AccessToken | GrantType::AccessTokenRefreshToken => &request.access_token,
        };
        if token.is_some() {
            Ok(request)
        } else {
            Err(TokenRequestError::TokenMissing)
        }
    }

    /// Reads the query of a GET. Credentials in a URL end up in logs, so they are not looked for.
    pub fn from_query(query: &Query<'_>) -> Result<Self, TokenRequestError> {
        let request = Self::read(GrantType::Password, query)?;
        Ok(Self {
            username: None,
            password: None,
            refresh_token: None,
            access_token: None,
            ..request
        })
    }

    fn read(grant_type: GrantType, query: &Query<'_>) -> Result<Self, TokenRequestError> {
        // An empty parameter is treated as an absent one (RFC 6749 §3.1).
        let single =
            |name| Ok::<_, QueryError>(query.single(name)?.filter(|value| !value.is_empty()));
        let text = |name| Ok::<_, QueryError>(single(name)?.map(str::to_owned));
        let secret = |name| Ok::<_, QueryError>(single(name)?.map(Secret::new));
        Ok(Self {
            grant_type,
            service: text("service")?,
            scopes: Scope::parse_list(query.all("scope"))?,
            username: text("username")?,
            password: secret("password")?,
            refresh_token: secret("refresh_token")?,
            access_token: secret("access_token")?,
            tenant: text("tenant")?,
            account: text("account")?,
            client_id: text("client_id")?,
            offline: single("access_type")? == Some("offline")
                || matches!(single("offline_token")?, Some("true" | "1")),
        })
    }
}

/// The answer of `/oauth2/token`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenResponse {
    /// The access token.
    pub access_token: String,
    /// A refresh token, when one was asked for and granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// The answer of `/oauth2/exchange`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokenResponse {
    /// The refresh token.
    pub refresh_token: String,
}

impl std::fmt::Debug for AccessTokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessTokenResponse([secret])")
    }
}

impl std::fmt::Debug for RefreshTokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshTokenResponse([secret])")
    }
}

/// An error of RFC 6749 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OAuthError {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The user name and password are wrong.
    InvalidClient,
    /// The token given is invalid or expired.
    InvalidGrant,
    /// The grant type is unknown here.
    UnsupportedGrantType,
    /// The scope is malformed or too long.
    InvalidScope,
}

impl OAuthError {
    /// The value of `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
        }
    }

    /// The body: `{"error","error_description"}` and a line feed.
    pub fn body(self, description: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'static str,
            error_description: &'a str,
        }
        // Two strings: serialising into memory has no way to fail.
        let mut body = serde_json::to_vec(&Body {
            error: self.as_str(),
            error_description: description,
        })
        .unwrap_or_default();
        body.push(b'\n');
        body
    }
}
