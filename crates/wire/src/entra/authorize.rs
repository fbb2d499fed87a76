//! The request that brings a person's browser to the sign-in page (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1).

use std::fmt;

use super::scope::Asked;
use super::token::optional;
use super::{Failure, Flavor};
use crate::query::Query;

/// The longest place to send an answer to, in bytes.
const MAX_REDIRECT: usize = 2048;

/// The longest `state` and `nonce`, in bytes.
const MAX_STATE: usize = 4096;

/// Where a browser brings the answer: an absolute URI without user information and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Reads a URI of scheme `http` or `https`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let is_authority = !authority.is_empty()
            && authority.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']')
            });
        let is_harmless = !text
            .bytes()
            .any(|byte| matches!(byte, b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`'));
        (text.len() <= MAX_REDIRECT && is_printable && is_authority && is_harmless)
            .then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        let start = self.0.find("://").map_or(0, |position| position + 3);
        let end = self.0[start..]
            .find(['/', '?'])
            .map_or(self.0.len(), |end| start + end);
        &self.0[..end]
    }

    /// Whether it leads to a program on the person's own computer (RFC 8252 §7.3).
    pub fn is_loopback(&self) -> bool {
        let Some(authority) = self.origin().strip_prefix("http://") else {
            return false;
        };
        let host = ["localhost", "127.0.0.1", "[::1]"]
            .into_iter()
            .find_map(|host| authority.strip_prefix(host));
        match host {
            Some("") => true,
            Some(port) => port.strip_prefix(':').is_some_and(|digits| {
                !digits.is_empty()
                    && digits.len() <= 5
                    && digits.bytes().all(|byte| byte.is_ascii_digit())
            }),
            None => false,
        }
    }

    /// Whether a registered URI allows this one: the same text, or on the person's own computer the same but for the port
    /// (RFC 8252 §7.3).
    pub fn is_allowed_by(&self, registered: &str) -> bool {
        if self.0 == registered {
            return true;
        }
        let Some(other) = Self::parse(registered) else {
            return false;
        };
        let path = |uri: &Self| {
            uri.0[uri.origin().len()..]
                .trim_start_matches('/')
                .to_owned()
        };
        self.is_loopback() && other.is_loopback() && path(self) == path(&other)
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the answer is brought there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseMode {
    /// In the query.
    Query,
    /// Behind a `#`.
    Fragment,
    /// As a form that the browser posts.
    FormPost,
}

impl ResponseMode {
    /// The word in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::FormPost => "form_post",
        }
    }

    fn parse(word: Option<&str>) -> Option<Self> {
        let Some(word) = word else {
            return Some(Self::Query);
        };
        [Self::Query, Self::Fragment, Self::FormPost]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// A request to let somebody sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizeRequest {
    /// The application.
    pub client_id: String,
    /// Where the answer goes.
    pub redirect_uri: RedirectUri,
    /// How it gets there.
    pub response_mode: ResponseMode,
    /// What it is for.
    pub asked: Asked,
    /// Comes back with the answer.
    pub state: Option<String>,
    /// Comes back in the ID token.
    pub nonce: Option<String>,
    /// The challenge of RFC 7636, made with SHA-256.
    pub challenge: Option<String>,
    /// The user's name, as the application believes.
    pub login_hint: Option<String>,
    /// Whether the application wants to know whose the code is.
    pub client_info: bool,
}

/// A request to let somebody sign in that is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizeError(pub Failure);

impl From<Failure> for AuthorizeError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl AuthorizeRequest {
    /// Reads a query, or the form that posts it again.
    pub fn read(query: &Query<'_>, flavor: Flavor) -> Result<Self, AuthorizeError> {
        let text = |name, limit| Ok::<_, Failure>(optional(query, name, limit)?.map(str::to_owned));
        let client_id = text("client_id", 512)?.ok_or(Failure::Missing("client_id"))?;
        let redirect = text("redirect_uri", MAX_REDIRECT)?;
        let redirect = redirect.ok_or(Failure::Missing("redirect_uri"))?;
        let redirect_uri = RedirectUri::parse(&redirect).ok_or(Failure::RedirectUri)?;
        if optional(query, "response_type", 64)? != Some("code") {
            return Err(Failure::UnsupportedResponse.into());
        }
        let mode = ResponseMode::parse(optional(query, "response_mode", 64)?);
        let challenge = text("code_challenge", 128)?;
        let is_digest = |text: &str| {
            text.len() == 43
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if let Some(challenge) = &challenge {
            if optional(query, "code_challenge_method", 16)? != Some("S256") {
                return Err(Failure::Malformed("code_challenge_method").into());
            }
            if !is_digest(challenge) {
                return Err(Failure::Malformed("code_challenge").into());
            }
        }
        let scope = optional(query, "scope", MAX_STATE)?;
        let resource = optional(query, "resource", 512)?;
        let asked = match (flavor, scope, resource) {
            (Flavor::V1 | Flavor::Adfs, _, Some(resource)) => Asked::of_resource(resource),
            (_, scope, _) => Asked::parse(scope.unwrap_or("openid")),
        };
        Ok(Self {
            client_id,
            redirect_uri,
            response_mode: mode.ok_or(Failure::Malformed("response_mode"))?,
            asked: asked.ok_or(Failure::Scope)?,
            state: text("state", MAX_STATE)?,
            nonce: text("nonce", MAX_STATE)?,
            challenge,
            login_hint: text("login_hint", 512)?,
            client_info: optional(query, "client_info", 8)? == Some("1"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::query::QueryLimits;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn read(text: &str) -> Result<AuthorizeRequest, Failure> {
        let query = Query::parse(text, &QueryLimits::QUERY).unwrap();
        AuthorizeRequest::read(&query, Flavor::V2).map_err(|error| error.0)
    }

    #[test]
    fn a_request_as_the_command_line_sends_it() {
        let request = read(&format!(
            "client_id=a&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A8400&scope=openid+offline_access&state=s\
             &code_challenge={CHALLENGE}&code_challenge_method=S256&nonce=n&client_info=1&prompt=select_account\
             &response_mode=form_post"
        ))
        .unwrap();
        assert_eq!(request.response_mode, ResponseMode::FormPost);
        assert!(request.redirect_uri.is_loopback() && request.client_info);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let base = "client_id=a&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A8400";
        for (more, failure) in [
            (
                "&code_challenge=x&code_challenge_method=plain",
                "code_challenge_method",
            ),
            (
                "&code_challenge=x&code_challenge_method=S256",
                "code_challenge",
            ),
            ("&response_mode=web_message", "response_mode"),
        ] {
            let refused = read(&format!("{base}{more}")).unwrap_err();
            assert_eq!(refused, Failure::Malformed(failure));
        }
        let token = read("client_id=a&response_type=token&redirect_uri=http%3A%2F%2Flocalhost");
        assert_eq!(token.unwrap_err(), Failure::UnsupportedResponse);
    }

    #[test]
    fn only_ones_own_computer_is_loopback() {
        for (text, expected) in [
            ("http://localhost:8400", Some(true)),
            ("http://localhost", Some(true)),
            ("http://localhost/", Some(true)),
            ("http://127.0.0.1:1/x", Some(true)),
            ("http://[::1]:1", Some(true)),
            ("https://localhost:8400", Some(false)),
            ("http://localhost.evil.example", Some(false)),
            ("http://localhost:80.evil.example/", Some(false)),
            ("http://localhost:8400:1/", Some(false)),
            ("http://localhost@evil.example/", None),
            ("http://localhost:8400\\@evil.example/", None),
            ("http://localhost:8400/#x", None),
            ("javascript:alert(1)", None),
            ("http://", None),
            ("http://localhost/\"><script>", None),
        ] {
            let uri = RedirectUri::parse(text);
            assert_eq!(uri.map(|uri| uri.is_loopback()), expected, "{text}");
        }
    }

    #[test]
    fn registered_places_are_compared_whole_but_for_the_port_of_ones_own_computer() {
        let uri = |text: &str| RedirectUri::parse(text).unwrap();
        assert!(uri("https://a.example/x").is_allowed_by("https://a.example/x"));
        assert!(!uri("https://a.example/x/y").is_allowed_by("https://a.example/x"));
        assert!(uri("http://localhost:5/cb").is_allowed_by("http://localhost/cb"));
        assert!(uri("http://localhost:5/").is_allowed_by("http://localhost"));
        assert!(!uri("http://localhost:5/other").is_allowed_by("http://localhost/cb"));
    }

    proptest! {
        #[test]
        fn foreign_queries_never_panic(text in "[a-z_=&%0-9A-F:/. -]{0,200}") {
            if let Ok(query) = Query::parse(&text, &QueryLimits::QUERY) {
                let _ = AuthorizeRequest::read(&query, Flavor::V1);
            }
        }

        #[test]
        fn the_origin_is_the_beginning(text in "https?://[a-z0-9.:]{1,20}[a-z/?=]{0,20}") {
            if let Some(uri) = RedirectUri::parse(&text) {
                prop_assert!(uri.as_str().starts_with(uri.origin()));
            }
        }
    }
}
