//! Why there is no token: RFC 6749 §5.2, with the numbers by which Entra's clients and people tell them apart.

use serde::Serialize;

/// A refusal of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A parameter is missing.
    Missing(&'static str),
    /// A parameter is given twice, too long, or not what it has to be.
    Malformed(&'static str),
    /// The grant type is unknown.
    UnsupportedGrant,
    /// The response type is unknown.
    UnsupportedResponse,
    /// The scopes are malformed, or of more than one resource.
    Scope,
    /// There is no such tenant here.
    Tenant(String),
    /// There is no such resource here.
    Resource(String),
    /// The application is unknown, and nothing secret was presented.
    Application(String),
    /// The application is unknown, or its secret wrong or expired: which is not told.
    ClientSecret,
    /// The application's assertion is not good; why.
    Assertion(&'static str),
    /// No federated credential of the application has this issuer, subject and audience.
    Federation,
    /// The application has to prove itself.
    ProofNeeded,
    /// The user is unknown, or the password wrong: which is not told.
    Password,
    /// The user must not sign in.
    Disabled,
    /// Too many wrong guesses; seconds to wait.
    Locked(u32),
    /// Too much to do; seconds to wait.
    Busy(u32),
    /// A code or refresh token is not good any more, or never was.
    Expired,
    /// What the refresh token stands for was ended: password changed, signed out.
    Revoked,
    /// The code was not made for this client, place or verifier.
    WrongCode,
    /// Nobody has signed in on the other device yet.
    Pending,
    /// The client asks too often.
    SlowDown,
    /// The person said no on the other device.
    Declined,
    /// The device code is over.
    DeviceExpired,
    /// The place to send the answer to is not the application's.
    RedirectUri,
    /// The managed identity has no endpoint, or the header that opens it is missing or wrong.
    ManagedIdentity,
    /// Not the client's fault.
    Unavailable,
}

/// The body of a refusal.
#[derive(Debug, Serialize)]
struct Body<'a> {
    error: &'static str,
    error_description: String,
    error_codes: [u32; 1],
    timestamp: &'a str,
    trace_id: &'a str,
    correlation_id: &'a str,
}

impl Failure {
    /// The code of RFC 6749 §5.2, RFC 8628 §3.5, or Entra's own.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_)
            | Self::Malformed(_)
            | Self::Tenant(_)
            | Self::RedirectUri
            | Self::ManagedIdentity => "invalid_request",
            Self::UnsupportedGrant => "unsupported_grant_type",
            Self::UnsupportedResponse => "unsupported_response_type",
            Self::Scope => "invalid_scope",
            Self::Resource(_) => "invalid_resource",
            Self::Application(_) => "unauthorized_client",
            Self::ClientSecret | Self::Assertion(_) | Self::Federation | Self::ProofNeeded => {
                "invalid_client"
            }
            Self::Password
            | Self::Disabled
            | Self::Locked(_)
            | Self::Expired
            | Self::Revoked
            | Self::WrongCode => "invalid_grant",
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::Declined => "authorization_declined",
            Self::DeviceExpired => "expired_token",
            Self::Busy(_) | Self::Unavailable => "temporarily_unavailable",
        }
    }

    /// Entra's number.
    pub const fn number(&self) -> u32 {
        match self {
            Self::Missing(_) => 900_144,
            Self::Malformed(_) => 90_013,
            Self::UnsupportedGrant => 70_003,
            Self::UnsupportedResponse => 70_005,
            Self::Scope => 70_011,
            Self::Tenant(_) => 90_002,
            Self::Resource(_) => 500_011,
            Self::Application(_) => 700_016,
            Self::ClientSecret => 7_000_215,
            Self::Assertion(_) => 700_027,
            Self::Federation => 70_021,
            Self::ProofNeeded => 7_000_218,
            Self::Password => 50_126,
            Self::Disabled => 50_057,
            Self::Locked(_) => 50_053,
            Self::Expired => 70_008,
            Self::Revoked => 50_173,
            Self::WrongCode => 501_481,
            Self::Pending | Self::SlowDown => 70_016,
            Self::Declined => 70_018,
            Self::DeviceExpired => 70_020,
            Self::RedirectUri => 50_011,
            Self::ManagedIdentity => 500_212,
            Self::Busy(_) => 90_055,
            Self::Unavailable => 90_033,
        }
    }

    /// What happened, and what to do.
    pub fn description(&self) -> String {
        let text = match self {
            Self::Missing(name) => format!("The request has no parameter '{name}'."),
            Self::Malformed(name) => {
                format!("The parameter '{name}' is malformed, too long, or given more than once.")
            }
            Self::UnsupportedGrant => "The grant type is not supported. There are client_credentials, password, \
                refresh_token, authorization_code and device_code."
                .to_owned(),
            Self::UnsupportedResponse => "The response type is not supported. There is 'code'.".to_owned(),
            Self::Scope => "The scope is malformed, or names more than one resource. Ask for one resource at a time, \
                such as '<resource>/.default'."
                .to_owned(),
            Self::Tenant(name) => format!(
                "Tenant '{name}' not found. The tenant of this server is shown by `lazuli identity show`; 'organizations' \
                 and 'common' lead to it too."
            ),
            Self::Resource(name) => format!(
                "The resource '{name}' is not known here. There are the management endpoint, its /graph, \
                 https://containerregistry.azure.net and the login servers."
            ),
            Self::Application(name) => format!(
                "Application '{name}' was not found in the directory. Register it with `az ad app create` or \
                 `lazuli identity app add`."
            ),
            Self::ClientSecret => "Invalid client secret provided: the application is unknown, or this secret is not one of \
                its own or has expired. Use the value of the secret, not its ID; `az ad app credential reset` makes a new one."
                .to_owned(),
            Self::Assertion(why) => format!("The client assertion is not valid: {why}."),
            Self::Federation => "No matching federated identity record found for the presented assertion: issuer, subject \
                and audience must be exactly those of a federated credential of the application."
                .to_owned(),
            Self::ProofNeeded => "The application has to prove itself: the request needs 'client_secret' or \
                'client_assertion'."
                .to_owned(),
            Self::Password => {
                "Error validating credentials due to invalid username or password.".to_owned()
            }
            Self::Disabled => "The user account is disabled.".to_owned(),
            Self::Locked(seconds) => format!(
                "The account is locked for sign-ins from this address, after too many wrong passwords. Try again in \
                 {seconds} seconds."
            ),
            Self::Busy(seconds) => {
                format!("Too many requests at the same time. Try again in {seconds} seconds.")
            }
            Self::Expired => "The code or refresh token has expired, was used before, or is not one of this server. Sign \
                in again."
                .to_owned(),
            Self::Revoked => "The sign-in was ended: the password was changed, the account disabled, or its sessions \
                revoked. Sign in again."
                .to_owned(),
            Self::WrongCode => "The code was made for another application, another redirect_uri or another code_verifier."
                .to_owned(),
            Self::Pending => "Authorization is pending. Continue polling.".to_owned(),
            Self::SlowDown => "Polled too often. Wait for the interval between two polls.".to_owned(),
            Self::Declined => "The sign-in was declined on the other device.".to_owned(),
            Self::DeviceExpired => "The device code has expired. Begin again.".to_owned(),
            Self::RedirectUri => "The redirect URI is not one of the application's. For a program on a computer it is \
                http://localhost or http://127.0.0.1 with any port."
                .to_owned(),
            Self::ManagedIdentity => "No managed identity answers here. Enable one with `lazuli identity managed-identity \
                enable`, and send its header."
                .to_owned(),
            Self::Unavailable => "The server cannot answer now. Try again shortly.".to_owned(),
        };
        format!("AADSTS{}: {text}", self.number())
    }

    /// The body. `trace` and `correlation` identify the request in logs; `timestamp` as `2026-01-31 12:00:00Z`.
    pub fn body(&self, timestamp: &str, trace: &str, correlation: &str) -> Vec<u8> {
        let body = Body {
            error: self.code(),
            error_description: format!(
                "{} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}",
                self.description()
            ),
            error_codes: [self.number()],
            timestamp,
            trace_id: trace,
            correlation_id: correlation,
        };
        // Texts and a number: serialising into memory has no way to fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_shape_that_clients_read() {
        let body = Failure::Password.body("2026-01-31 12:00:00Z", "t", "c");
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        assert_eq!(value["error"], "invalid_grant");
        assert_eq!(value["error_codes"][0], 50_126);
        let text = value["error_description"].as_str().unwrap_or_default();
        assert!(text.starts_with("AADSTS50126: "), "{text}");
    }
}
