//! The 401 answer: the `WWW-Authenticate` challenge and its body (RFC 6750 §3; Docker token specification).

use std::fmt;

use serde::Serialize;

use super::{Action, Scope};
use crate::oci::ErrorCode;
use crate::oci::error::{Entry, render};

/// A challenge: where to get a token, and for what.
///
/// Azure's command line splits the header at single spaces, then at commas, then at `=`, so there is no space after a comma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The URL of the token endpoint.
    pub realm: String,
    /// The login server the client dialled.
    pub service: String,
    /// What the refused request needs; `None` on `/v2/`.
    pub scope: Option<Scope>,
    /// An error code of RFC 6750 §3.1, when a token came and was not enough.
    pub error: Option<&'static str>,
}

impl Challenge {
    /// A token came and is invalid or expired.
    pub const INVALID_TOKEN: &'static str = "invalid_token";
    /// A token came and does not carry the scope.
    pub const INSUFFICIENT_SCOPE: &'static str = "insufficient_scope";

    /// The challenge of a login server, such as `example.azurecr.io` or `127.0.0.1:5000`, reached by `scheme`.
    pub fn new(scheme: &str, login_server: &str, scope: Option<Scope>) -> Self {
        Self {
            realm: format!("{scheme}://{login_server}/oauth2/token"),
            service: login_server.to_owned(),
            scope,
            error: None,
        }
    }

    /// The value of the `WWW-Authenticate` header.
    pub fn header_value(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Bearer realm={},service={}",
            Quoted(&self.realm),
            Quoted(&self.service)
        )?;
        if let Some(scope) = &self.scope {
            write!(f, ",scope=\"{scope}\"")?;
        }
        if let Some(error) = self.error {
            write!(f, ",error=\"{error}\"")?;
        }
        Ok(())
    }
}

/// A quoted string (RFC 9110 §5.6.4). What no header may hold is left out.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self
            .0
            .chars()
            .filter(|character| matches!(character, ' '..='~'))
        {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

const MESSAGE: &str =
    "authentication required, visit https://aka.ms/acr/authorization for more information.";

/// The body of a 401: one entry of detail for each action the request needs on the scope's resource.
pub fn unauthorized_body(scope: Option<&Scope>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Needed<'a> {
        r#type: &'static str,
        name: &'a str,
        action: &'static str,
    }
    let resource = match scope {
        Some(Scope::Repository { name, .. }) => Some(("repository", name.as_str())),
        Some(Scope::Registry { name, .. }) => Some(("registry", name.as_str())),
        Some(Scope::Other) | None => None,
    };
    let detail = resource.map(|(r#type, name)| {
        let actions = scope.map(Scope::actions).unwrap_or_default();
        let needed = |action: Action| Needed {
            r#type,
            name,
            action: action.as_str(),
        };
        actions.iter().map(needed).collect::<Vec<_>>()
    });
    // Without a resource `detail` is written as null.
    render(&[Entry {
        code: ErrorCode::Unauthorized.as_str(),
        message: MESSAGE,
        detail: Some(detail),
    }])
}
