//! Principals: who a request comes from, proven.

use std::fmt;
use std::sync::Arc;

use crate::grants::Grants;

/// A registry of this installation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryId(i64);

impl RegistryId {
    /// The registry every installation begins with.
    pub const DEFAULT: Self = Self(1);

    /// The registry with this row number.
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    /// The row number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryId({})", self.0)
    }
}

/// The kinds of identity a caller can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// Nobody in particular. Never a fallback after bad credentials.
    Anonymous,
    /// The admin user of the registry: every right in it.
    Admin,
}

/// Who a request comes from, in one registry, and what the token it carried allows. Cloning shares.
///
/// A principal is proof: only this crate makes one, from verified credentials.
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    registry: RegistryId,
    kind: PrincipalKind,
    name: Box<str>,
    proof: Proof,
}

/// What a principal was verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing was presented.
    None,
    /// A user name and its password.
    Password,
    /// A refresh token; nothing derived from it outlives `expires_at` (microseconds).
    RefreshToken { expires_at: i64 },
    /// An access token: the identity may at most do what `grants` says, until `expires_at` (microseconds).
    AccessToken { grants: Grants, expires_at: i64 },
}

impl Principal {
    pub(crate) fn new(
        registry: RegistryId,
        kind: PrincipalKind,
        name: impl Into<Box<str>>,
        proof: Proof,
    ) -> Self {
        Self(Arc::new(Inner {
            registry,
            kind,
            name: name.into(),
            proof,
        }))
    }

    /// The registry the principal belongs to. It has no rights in any other.
    pub fn registry(&self) -> RegistryId {
        self.0.registry
    }

    /// What kind of identity this is.
    pub fn kind(&self) -> PrincipalKind {
        self.0.kind
    }

    /// The name for logs: the user name, or `anonymous`. Chosen by people: not for rows.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The stable text for rows (who owns an upload session, who did an operation): `admin`, `anonymous`.
    pub fn key(&self) -> &str {
        match self.0.kind {
            PrincipalKind::Anonymous => "anonymous",
            PrincipalKind::Admin => "admin",
        }
    }

    /// Whether the caller is nobody in particular, with or without an anonymous access token.
    pub fn is_anonymous(&self) -> bool {
        self.0.kind == PrincipalKind::Anonymous
    }

    /// Whether the request carried credentials that were verified. An anonymous access token counts.
    pub fn presented_credentials(&self) -> bool {
        self.0.proof != Proof::None
    }

    pub(crate) fn proof(&self) -> &Proof {
        &self.0.proof
    }

    /// What the access token allows; `None`: the caller presented none, so everything the identity may.
    pub(crate) fn grants(&self) -> Option<&Grants> {
        match &self.0.proof {
            Proof::AccessToken { grants, .. } => Some(grants),
            Proof::None | Proof::Password | Proof::RefreshToken { .. } => None,
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("registry", &self.0.registry)
            .field("kind", &self.0.kind)
            .field("name", &self.0.name)
            .field("proof", &self.0.proof)
            .finish()
    }
}
