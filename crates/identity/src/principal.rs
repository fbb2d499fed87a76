//! Principals: who a request comes from, proven.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use lazuli_wire::Guid;

use crate::grants::Grants;
use crate::rbac::cache::Owner;
use crate::rbac::registry::RegistryRights;
use crate::scope_maps::rights::TokenRights;

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
    /// A token with a scope map.
    Token,
    /// Somebody of a directory, with roles.
    Directory,
}

/// Who a request comes from, in one registry, and what the token it carried allows. Cloning shares.
///
/// A principal is proof: only this crate makes one, from verified credentials.
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    registry: RegistryId,
    who: Who,
    name: Box<str>,
    key: Cow<'static, str>,
    proof: Proof,
}

/// An identity, and what decides about its rights.
#[derive(Clone)]
pub(crate) enum Who {
    Anonymous,
    Admin,
    Token(Arc<TokenRights>),
    Directory(DirectoryIdentity, Arc<RegistryRights>),
}

/// Somebody of a directory, as the registry's tokens carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectoryIdentity {
    pub(crate) owner: Owner,
    pub(crate) application: Option<Guid>,
    pub(crate) name: Box<str>,
    /// When the directory vouched for them, in microseconds.
    pub(crate) proven_at: i64,
}

impl Who {
    pub(crate) const fn kind(&self) -> PrincipalKind {
        match self {
            Self::Anonymous => PrincipalKind::Anonymous,
            Self::Admin => PrincipalKind::Admin,
            Self::Token(_) => PrincipalKind::Token,
            Self::Directory(..) => PrincipalKind::Directory,
        }
    }

    /// Whether the identity may list what was deleted and is still kept.
    pub(crate) fn lists_deleted(&self) -> bool {
        match self {
            Self::Admin => true,
            Self::Anonymous | Self::Token(_) => false,
            Self::Directory(_, rights) => rights.deleted_catalog(),
        }
    }

    fn key(&self) -> Cow<'static, str> {
        match self {
            Self::Anonymous => "anonymous".into(),
            Self::Admin => "admin".into(),
            Self::Token(rights) => format!("token:{}", rights.name.to_lowercase()).into(),
            Self::Directory(identity, _) => format!("object:{}", identity.owner.object).into(),
        }
    }
}

/// What a principal was verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing was presented.
    None,
    /// A user name and its password.
    Password,
    /// A user name and a password that ends at `expires_at` (microseconds).
    EndingPassword { expires_at: i64 },
    /// A refresh token; nothing derived from it outlives `expires_at` (microseconds).
    RefreshToken { expires_at: i64 },
    /// An access token: the identity may at most do what `grants` says, until `expires_at` (microseconds).
    AccessToken { grants: Grants, expires_at: i64 },
}

impl Principal {
    pub(crate) fn new(
        registry: RegistryId,
        who: Who,
        name: impl Into<Box<str>>,
        proof: Proof,
    ) -> Self {
        Self(Arc::new(Inner {
            registry,
            key: who.key(),
            who,
            name: name.into(),
            proof,
        }))
    }

    pub(crate) fn who(&self) -> &Who {
        &self.0.who
    }

    /// Whether nothing that decides about the rights has changed since they were read: `generation` is the newest known one.
    pub(crate) fn is_current(&self, generation: i64) -> bool {
        match &self.0.who {
            Who::Anonymous | Who::Admin => true,
            Who::Token(rights) => rights.generation >= generation,
            Who::Directory(_, rights) => rights.generation >= generation,
        }
    }

    /// The registry the principal belongs to. It has no rights in any other.
    pub fn registry(&self) -> RegistryId {
        self.0.registry
    }

    /// What kind of identity this is.
    pub fn kind(&self) -> PrincipalKind {
        self.0.who.kind()
    }

    /// The name for logs: the user name, or `anonymous`. Chosen by people: not for rows.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The stable text for rows (who owns an upload session, who did an operation): `admin`, `anonymous`, `token:<name>`
    /// in lower case, `object:<identifier>`.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Whether the caller is nobody in particular, with or without an anonymous access token.
    pub fn is_anonymous(&self) -> bool {
        self.kind() == PrincipalKind::Anonymous
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
            Proof::None
            | Proof::Password
            | Proof::EndingPassword { .. }
            | Proof::RefreshToken { .. } => None,
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("registry", &self.0.registry)
            .field("kind", &self.kind())
            .field("name", &self.0.name)
            .field("proof", &self.0.proof)
            .finish()
    }
}
