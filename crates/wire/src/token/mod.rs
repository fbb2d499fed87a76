//! The token plane, `/oauth2/*`, and what tokens carry: the Docker token protocol as Azure Container Registry speaks it.

mod action;
mod challenge;
mod claims;
mod exchange;
mod route;
mod scope;
mod secret;

pub use action::{Action, Actions};
pub use challenge::{Challenge, unauthorized_body};
pub use claims::{
    ACCESS_TOKEN, ANONYMOUS_SUBJECT, AccessClaims, AccessEntry, ClaimsError, CommonClaims, Holder,
    ISSUER, Permissions, REFRESH_TOKEN, RefreshClaims, TOKEN_USERNAME,
};
pub use exchange::{
    AccessTokenResponse, GrantType, OAuthError, RefreshTokenResponse, TokenRequest,
    TokenRequestError,
};
pub use route::{Route, RouteError};
pub use scope::{Listing, MAX_SCOPES, Scope, TooManyScopes};
pub use secret::Secret;
