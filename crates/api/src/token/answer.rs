//! Answers of the token plane.
//!
//! An error body serves both families of clients: `errors` as the registry's other planes write it (Docker, Azure),
//! `error` and `error_description` as RFC 6749 §5.2 has it.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use lazuli_identity::{AuthError, Error, TokenError};
use lazuli_wire::oci::ErrorCode;
use lazuli_wire::token::{OAuthError, TokenRequestError};
use serde::Serialize;

use crate::headers::{PLENTY, REMAINING_CALLS};

/// Azure's message, which its tools print.
const UNAUTHORIZED: &str =
    "authentication required, visit https://aka.ms/acr/authorization for more information.";

/// Why there is no token.
#[derive(Debug)]
pub(super) enum Refused {
    NoEndpoint,
    Method { allow: &'static str },
    NoForm,
    TwoAuthorizations,
    Request(TokenRequestError),
    Token(TokenError),
}

impl From<TokenRequestError> for Refused {
    fn from(error: TokenRequestError) -> Self {
        Self::Request(error)
    }
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

/// 200 with a token. It must not be kept by any cache (RFC 6749 §5.1).
pub(super) fn ok(body: &impl Serialize) -> Response<Bytes> {
    let mut response = json(StatusCode::OK, body);
    response.headers_mut().insert(REMAINING_CALLS, PLENTY);
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // Texts only: serialising into memory has no way to fail.
    let mut text = serde_json::to_vec(body).unwrap_or_default();
    text.push(b'\n');
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

#[derive(Serialize)]
struct Body<'a> {
    errors: [Entry<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'a str>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'static str,
    message: &'a str,
}

impl Refused {
    /// The answer of the login server `service`.
    pub(super) fn into_response(self, service: &str) -> Response<Bytes> {
        let (status, code) = self.status();
        let oauth = self.oauth_error();
        let description = self.description();
        let message = if code == ErrorCode::Unauthorized {
            UNAUTHORIZED
        } else {
            &description
        };
        let body = Body {
            errors: [Entry {
                code: code.as_str(),
                message,
            }],
            error: oauth.map(OAuthError::as_str),
            error_description: oauth.map(|_| description.as_str()),
        };
        let mut response = json(status, &body);
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                // RFC 9110 §15.5.2: a 401 says how to sign in.
                let challenge = HeaderValue::try_from(format!("Basic realm=\"{service}\""));
                headers.insert(
                    WWW_AUTHENTICATE,
                    challenge.unwrap_or(HeaderValue::from_static("Basic")),
                );
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Self::Method { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    fn status(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::NoEndpoint => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
            Self::NoForm => (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Unsupported),
            Self::TwoAuthorizations
            | Self::Request(_)
            | Self::Token(
                TokenError::WrongService
                | TokenError::Credentials
                | TokenError::GrantType
                | TokenError::TooLong,
            ) => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            Self::Token(TokenError::AnonymousRefused) => {
                (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
            }
            Self::Token(TokenError::Refused(error)) => refused_status(error),
        }
    }

    fn oauth_error(&self) -> Option<OAuthError> {
        match self {
            Self::NoEndpoint | Self::Method { .. } => None,
            Self::NoForm | Self::TwoAuthorizations => Some(OAuthError::InvalidRequest),
            Self::Request(error) => Some(error.oauth_error()),
            Self::Token(error) => error.oauth_error(),
        }
    }

    /// What the client may know. What happened inside goes to the log.
    fn description(&self) -> String {
        match self {
            Self::NoEndpoint => "no such endpoint".to_owned(),
            Self::Method { allow } => format!("the endpoint has these methods: {allow}"),
            Self::NoForm => "the body has to be application/x-www-form-urlencoded".to_owned(),
            Self::TwoAuthorizations => "more than one Authorization header".to_owned(),
            Self::Request(error) => error.to_string(),
            Self::Token(TokenError::Refused(AuthError::Internal(error))) => {
                tracing::error!(%error, "no token can be issued");
                "internal error; the registry's log has more under the request id".to_owned()
            }
            Self::Token(error) => error.to_string(),
        }
    }
}

fn refused_status(error: &AuthError) -> (StatusCode, ErrorCode) {
    match error {
        AuthError::Malformed(_) | AuthError::WrongPassword | AuthError::InvalidToken => {
            (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        }
        AuthError::TooManyAttempts => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests),
        AuthError::Internal(Error::Database(_) | Error::ShuttingDown) => {
            (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TooManyRequests)
        }
        AuthError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unsupported),
    }
}
