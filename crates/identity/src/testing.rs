//! Access values out of thin air, and the readers of credentials by themselves, for the tests of crates that ask for
//! them and for fuzzing. Never part of a product build.

use std::sync::Arc;

use lazuli_wire::oci::RepositoryName;

use crate::access::{CatalogAccess, RepositoryAccess};
use crate::external::{self, Foreign, PublicKey};
use crate::header::{self, Authorization, Malformed};
use crate::jwt;
use crate::keys::{KeyError, Purpose, SigningKey};
use crate::permission::Permission;
use crate::principal::{Principal, Proof, RegistryId, Who};
use crate::state::RegistryState;
use crate::tokens;

/// The admin of a registry.
pub fn admin(registry: RegistryId) -> Principal {
    Principal::new(registry, Who::Admin, "admin", Proof::Password)
}

/// Nobody in particular, in a registry.
pub fn anonymous(registry: RegistryId) -> Principal {
    Principal::new(registry, Who::Anonymous, "anonymous", Proof::None)
}

/// Any permission on any repository, held by the admin of the registry.
pub fn repository_access<P: Permission>(
    registry: RegistryId,
    repository: &RepositoryName,
) -> RepositoryAccess<P> {
    RepositoryAccess::new(&admin(registry), repository)
}

/// Any permission on any repository, held by a principal of its registry.
pub fn repository_access_of<P: Permission>(
    principal: &Principal,
    repository: &RepositoryName,
) -> RepositoryAccess<P> {
    RepositoryAccess::new(principal, repository)
}

/// The right to list the repositories of a registry, held by its admin.
pub fn catalog_access(registry: RegistryId) -> CatalogAccess {
    CatalogAccess::new(&admin(registry))
}

/// What an `Authorization` header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// RFC 6750: the token.
    Bearer(String),
    /// RFC 7617: user and password.
    Basic(String, String),
}

/// Reads an `Authorization` header as every request's is read.
pub fn read_authorization(value: &[u8]) -> Result<Presented, Malformed> {
    let mut buffer = vec![0; header::decoded_length(value.len().min(header::MAX_HEADER))];
    Ok(match header::parse(value, &mut buffer)? {
        Authorization::Bearer(token) => Presented::Bearer(token.to_owned()),
        Authorization::Basic { user, password } => {
            Presented::Basic(user.to_owned(), password.to_owned())
        }
    })
}

/// Whether a token of another issuer would be believed although nobody is trusted.
pub fn foreign_token(text: &str) -> bool {
    // The smallest key there is: nobody signs with it.
    let nobody = PublicKey::RsaDer(vec![0x30, 6, 2, 1, 3, 2, 1, 3]);
    let Ok(token) = Foreign::parse(text) else {
        return false;
    };
    let _ = token.claimed_issuer();
    token.verify(&nobody).is_ok()
}

/// Reads what an issuer publishes.
pub fn issuer_documents(bytes: &[u8]) {
    external::read_documents(bytes);
}

/// A registry that only verifies tokens, with a key of each purpose and no database.
pub struct TokenVerifier {
    access: Arc<SigningKey>,
    state: RegistryState,
}

impl TokenVerifier {
    /// Makes the keys. Takes a good part of a second.
    pub fn new() -> Result<Self, KeyError> {
        let access = Arc::new(SigningKey::generate(Purpose::Access)?);
        let refresh = Arc::new(SigningKey::generate(Purpose::Refresh)?);
        let keys = [(Arc::clone(&access), None), (refresh, None)];
        Ok(Self {
            state: RegistryState::with_keys(RegistryId::DEFAULT, false, &keys),
            access,
        })
    }

    /// The name of the key that access tokens are signed with.
    pub fn kid(&self) -> &str {
        self.access.kid()
    }

    /// Any header and any claims, signed with the key of access tokens.
    pub fn sign(&self, header: &[u8], claims: &[u8]) -> Result<String, KeyError> {
        jwt::sign_segments(&self.access, header, claims)
    }

    /// Who presents this access token to a login server at a time (microseconds since the Unix epoch).
    pub fn access(&self, service: &str, token: &str, now_us: i64) -> Option<Principal> {
        let verified = tokens::verify_access(&self.state, service, token, now_us).ok()?;
        verified.known(&self.state)
    }

    /// As [`Self::access`], of refresh tokens.
    pub fn refresh(&self, service: &str, token: &str, now_us: i64) -> Option<Principal> {
        let verified = tokens::verify_refresh(&self.state, service, token, now_us).ok()?;
        verified.known(&self.state)
    }
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenVerifier")
    }
}
