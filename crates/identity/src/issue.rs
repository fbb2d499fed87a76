//! The token endpoints' decisions: who gets which token.

use std::sync::Arc;

use lazuli_wire::token::{
    AccessTokenResponse, GrantType, OAuthError, RefreshTokenResponse, Scope, Secret, TokenRequest,
};
use serde::Serialize;

use crate::error::Error;
use crate::fair::Origin;
use crate::identity::{AuthError, Identity};
use crate::issued;
use crate::jwt;
use crate::keys::{Purpose, SigningKey};
use crate::principal::{Principal, Proof, RegistryId};
use crate::random;
use crate::state::RegistryState;
use crate::tokens;

/// Why no token is issued.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The request names another login server than the one it was sent to. Answer: 400.
    #[error("service is not the login server this request was sent to")]
    WrongService,
    /// A user name without a password, a password without a user name, or both in two places. Answer: 400.
    #[error("a user name and a password belong together, once")]
    Credentials,
    /// The grant type belongs to the other endpoint. Answer: 400.
    #[error("unsupported grant_type")]
    GrantType,
    /// The token would be longer than one this registry reads. Answer: 400.
    #[error("the scopes, or the groups of the identity, are too many for one token")]
    TooLong,
    /// Nobody in particular gets no token here: anonymous pull is off. Answer: 401.
    #[error("authentication required")]
    AnonymousRefused,
    /// The credentials are no good. Answer: 401, or 429 for too many attempts, or 5xx.
    #[error(transparent)]
    Refused(#[from] AuthError),
}

impl TokenError {
    /// The code of RFC 6749 §5.2; `None` when the request is not to blame.
    pub const fn oauth_error(&self) -> Option<OAuthError> {
        match self {
            Self::WrongService | Self::Credentials => Some(OAuthError::InvalidRequest),
            Self::GrantType => Some(OAuthError::UnsupportedGrantType),
            Self::TooLong => Some(OAuthError::InvalidScope),
            Self::AnonymousRefused
            | Self::Refused(AuthError::WrongPassword | AuthError::Malformed(_)) => {
                Some(OAuthError::InvalidClient)
            }
            Self::Refused(AuthError::InvalidToken) => Some(OAuthError::InvalidGrant),
            Self::Refused(AuthError::TooManyAttempts | AuthError::Internal(_)) => None,
        }
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Identity {
    /// `/oauth2/token`: an access token for what was asked, as far as it may be granted. Less than was asked, even
    /// nothing, is no error.
    ///
    /// A refresh token comes with it when the request asks for one (`offline`), and either was made with a refresh
    /// token or has the password in its form. Not for a password in a Basic header: `docker login` asks for it on every
    /// log-in, would keep it in place of the password, and be logged out after three hours.
    ///
    /// `from`: see [`Self::authenticate`].
    pub async fn issue_token(
        &self,
        registry: RegistryId,
        service: &str,
        from: Origin,
        authorization: Option<&[u8]>,
        request: &TokenRequest,
    ) -> Result<AccessTokenResponse, TokenError> {
        check_service(service, request)?;
        let state = self.inner().states.get(registry).await?;
        let principal = match request.grant_type {
            GrantType::Password => {
                self.password_grant(&state, service, from, authorization, request)
                    .await?
            }
            GrantType::RefreshToken => {
                let token = request.refresh_token.as_ref().map_or("", Secret::expose);
                self.verify(&state, service, Purpose::Refresh, token)
                    .await?
            }
            GrantType::AccessToken | GrantType::AccessTokenRefreshToken => {
                return Err(TokenError::GrantType);
            }
        };
        if principal.is_anonymous() && !state.anonymous_may_pull() {
            return Err(TokenError::AnonymousRefused);
        }
        let access_token = self
            .access_token(&state, service, &principal, &request.scopes)
            .await?;
        if access_token.len() > jwt::MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let renewable = match principal.proof() {
            Proof::RefreshToken { .. } => true,
            Proof::Password | Proof::EndingPassword { .. } => request.username.is_some(),
            Proof::AccessToken { .. } | Proof::None => false,
        };
        let refresh_token = if request.offline && renewable {
            Some(self.refresh_token(&state, service, &principal).await?)
        } else {
            None
        };
        Ok(AccessTokenResponse {
            access_token,
            refresh_token,
        })
    }

    /// `/oauth2/exchange`: a refresh token for a token of a directory, or for another refresh token.
    ///
    /// This registry's own refresh tokens are taken in either parameter; the new token ends when the old one would have.
    /// Its access tokens are not: a refresh token stands for everything its identity may do, which is more than an
    /// access token grants.
    pub async fn exchange(
        &self,
        registry: RegistryId,
        service: &str,
        request: &TokenRequest,
    ) -> Result<RefreshTokenResponse, TokenError> {
        check_service(service, request)?;
        if request.grant_type == GrantType::Password {
            return Err(TokenError::GrantType);
        }
        let state = self.inner().states.get(registry).await?;
        let mut outcome = Err(AuthError::InvalidToken);
        for token in [&request.refresh_token, &request.access_token]
            .into_iter()
            .flatten()
        {
            outcome = self
                .verify(&state, service, Purpose::Refresh, token.expose())
                .await;
            if !matches!(outcome, Err(AuthError::InvalidToken)) {
                break;
            }
        }
        if let (Err(AuthError::InvalidToken), Some(token)) = (&outcome, &request.access_token) {
            outcome = self
                .sign_in_with_directory_token(&state, token, request.tenant.as_deref())
                .await;
        }
        let principal = outcome?;
        let refresh_token = self.refresh_token(&state, service, &principal).await?;
        if refresh_token.len() > jwt::MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        Ok(RefreshTokenResponse { refresh_token })
    }

    /// Who asks: by form, by Basic header, or nobody in particular.
    async fn password_grant(
        &self,
        state: &Arc<RegistryState>,
        service: &str,
        from: Origin,
        authorization: Option<&[u8]>,
        request: &TokenRequest,
    ) -> Result<Principal, TokenError> {
        match (&request.username, &request.password, authorization) {
            (Some(user), Some(password), None) => Ok(self
                .sign_in(state, service, from, user, password.expose())
                .await?),
            (None, None, None) => Ok(state.anonymous.clone()),
            (None, None, Some(header)) if crate::header::bearer_bytes(header).is_none() => Ok(self
                .authenticate(state.registry, service, from, Some(header))
                .await?),
            // A token is no credential here: its holder has the token already.
            (None, None, Some(_)) => Err(AuthError::InvalidToken.into()),
            _ => Err(TokenError::Credentials),
        }
    }

    async fn access_token(
        &self,
        state: &RegistryState,
        service: &str,
        principal: &Principal,
        scopes: &[Scope],
    ) -> Result<String, Error> {
        let now = self.inner().clock.now_us();
        let now = now - now.rem_euclid(issued::WINDOW);
        let key = state.signing_key(Purpose::Access)?;
        let mut claims =
            tokens::access_claims(state, service, principal, scopes, String::new(), now);
        // What is asked for again is what would be said again. Claims always have a JSON form.
        let mut said = serde_json::to_vec(&claims).unwrap_or_default();
        said.extend_from_slice(key.kid().as_bytes());
        if let Some(token) = self.inner().issued.get(&said) {
            return Ok(token);
        }
        claims.common.jti = random::uuid()?;
        let token = self.sign(key, claims).await?;
        self.inner().issued.insert(said, &token);
        Ok(token)
    }

    async fn refresh_token(
        &self,
        state: &RegistryState,
        service: &str,
        principal: &Principal,
    ) -> Result<String, Error> {
        let now = self.inner().clock.now_us();
        let claims = tokens::refresh_claims(state, service, principal, random::uuid()?, now);
        self.sign(state.signing_key(Purpose::Refresh)?, claims)
            .await
    }

    /// Signs: here where that is quick, else in the blocking pool, as many at a time as there are cores.
    pub(crate) async fn sign<C: Serialize + Send + 'static>(
        &self,
        key: Arc<SigningKey>,
        claims: C,
    ) -> Result<String, Error> {
        if !key.algorithm().is_slow() {
            return Ok(jwt::sign(&key, &claims)?);
        }
        let _permit = self
            .inner()
            .signing
            .acquire()
            .await
            .map_err(|_| Error::ShuttingDown)?;
        let signing = tokio::task::spawn_blocking(move || jwt::sign(&key, &claims));
        Ok(signing.await.map_err(|_| Error::ShuttingDown)??)
    }
}

/// A token is for the login server that was dialled, whatever the request says; it must not say another one.
fn check_service(service: &str, request: &TokenRequest) -> Result<(), TokenError> {
    match &request.service {
        Some(named) if !named.eq_ignore_ascii_case(service) => Err(TokenError::WrongService),
        _ => Ok(()),
    }
}
