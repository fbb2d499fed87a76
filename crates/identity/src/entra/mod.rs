//! Signing in to the embedded directory: the rules behind the endpoints of `lazuli_wire::entra`.

mod assertion;
mod client;
mod grants;
mod managed;
mod passwords;
mod refresh;
mod sign_ins;
mod throttle;
mod tokens;
mod users;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use lazuli_wire::Guid;
use lazuli_wire::entra::{Failure, Flavor, Resource, Tenant};
use lazuli_wire::token::Secret;
use serde::Serialize;
use serde_json::Value;

use crate::directory::Audience;
use crate::error::Error;
use crate::fair::Origin;
use crate::header::{self, Authorization};
use crate::identity::Identity;

pub use managed::ManagedAnswer;
pub use sign_ins::{DeviceAnswer, Landing};
pub(crate) use throttle::Throttle;
pub(crate) use users::SLOW_COMPARISONS;

/// Where a request for a token came to, and from.
#[derive(Clone, Copy)]
pub struct Authority<'a> {
    /// `scheme://host[:port]`, as the client dialled it.
    pub base: &'a str,
    /// The tenant in the path.
    pub tenant: &'a Tenant,
    /// The interface it is spoken to by.
    pub flavor: Flavor,
    /// Where the request comes from.
    pub from: Origin,
    /// Which of the audiences a resource is.
    pub audience: &'a (dyn Fn(&Resource) -> Option<Audience> + Sync),
}

impl std::fmt::Debug for Authority<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("base", &self.base)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// Name and secret of a `Basic` header (RFC 7617), in which a client may prove itself (RFC 6749 §2.3.1).
pub fn basic_credentials(header: &[u8]) -> Option<(String, Secret)> {
    let mut buffer = vec![0; header::decoded_length(header.len().min(header::MAX_HEADER))];
    match header::parse(header, &mut buffer).ok()? {
        Authorization::Basic { user, password } => Some((user.to_owned(), Secret::new(password))),
        Authorization::Bearer(_) => None,
    }
}

/// The answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
#[derive(Clone, Serialize)]
pub struct TokenAnswer {
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    expires_in: Value,
    ext_expires_in: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<String>,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenAnswer([secret])")
    }
}

/// The tenant of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantInfo {
    /// Its number.
    pub id: Guid,
    /// The domain of its users.
    pub domain: String,
}

/// A key that verifies tokens of the directory (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name.
    pub kid: String,
    /// The modulus in base64url.
    pub modulus: String,
    /// The exponent in base64url.
    pub exponent: String,
}

impl Identity {
    /// The time everything here goes by, in microseconds since the Unix epoch.
    pub fn now_us(&self) -> i64 {
        self.inner().clock.now_us()
    }

    /// The keys that verify tokens of the directory, those that signed before included.
    pub async fn directory_keys(&self) -> Result<Vec<PublicKey>, Error> {
        let state = self.inner().directory.state().await?;
        let keys = state.keys.iter().map(|key| {
            let (modulus, exponent) = key.key.public_numbers();
            PublicKey {
                kid: key.key.kid().to_owned(),
                modulus: BASE64.encode(modulus),
                exponent: BASE64.encode(exponent),
            }
        });
        Ok(keys.collect())
    }

    /// The tenant of this installation.
    pub async fn tenant(&self) -> Result<TenantInfo, Error> {
        let state = self.inner().directory.state().await?;
        Ok(TenantInfo {
            id: state.tenant,
            domain: state.domain.to_string(),
        })
    }

    /// The tenant that a path names, if it is the one there is.
    pub async fn tenant_named(&self, tenant: &Tenant) -> Result<TenantInfo, Failure> {
        let known = self.tenant().await.map_err(|error| unavailable(&error))?;
        let is_it = match tenant {
            Tenant::Id(id) => *id == known.id,
            Tenant::Domain(domain) => *domain == known.domain,
            Tenant::Organizations | Tenant::Common | Tenant::Adfs => true,
        };
        if is_it {
            Ok(known)
        } else {
            Err(Failure::Tenant(tenant.to_string()))
        }
    }
}

/// What a client is told of an error that is not its fault.
pub(crate) fn unavailable(error: &Error) -> Failure {
    tracing::error!(%error, "signing in is not possible");
    Failure::Unavailable
}
