//! Who calls, proven by a token of a directory: the embedded one, or one that is trusted.

use std::fmt;
use std::sync::Arc;

use lazuli_wire::Guid;

/// What kind of object a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// A person of the embedded directory.
    User,
    /// An application that signed in as itself.
    ServicePrincipal,
    /// A managed identity of the embedded directory.
    ManagedIdentity,
    /// Somebody of another directory whose tokens are trusted.
    External,
    /// The command line of the operator, who has the database anyway.
    Operator,
}

/// What a token of a directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The management plane.
    Management,
    /// The data plane of registries: what `/oauth2/exchange` takes.
    Registry,
    /// The directory itself.
    Graph,
}

impl Audience {
    /// Every audience.
    pub const ALL: [Self; 3] = [Self::Management, Self::Registry, Self::Graph];

    /// The `aud` of tokens that this installation makes: what Microsoft's cloud writes, so that every client knows it.
    pub const fn canonical(self) -> &'static str {
        match self {
            Self::Management => "https://management.core.windows.net/",
            Self::Registry => "https://containerregistry.azure.net",
            Self::Graph => "https://graph.microsoft.com",
        }
    }
}

/// Who calls. Only this crate makes one: from a verified token, or [`Caller::operator`]. Cloning shares.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller(Arc<Inner>);

#[derive(PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) tenant: Guid,
    pub(crate) object: Guid,
    pub(crate) kind: CallerKind,
    pub(crate) application: Option<Guid>,
    pub(crate) name: Box<str>,
    pub(crate) groups: Arc<[Guid]>,
    pub(crate) expires_at_us: i64,
}

impl Caller {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The command line of the operator, who may do everything. Never made from anything that came over a network.
    pub fn operator() -> Self {
        Self::new(Inner {
            tenant: Guid::ZERO,
            object: Guid::ZERO,
            kind: CallerKind::Operator,
            application: None,
            name: "operator".into(),
            groups: Arc::default(),
            expires_at_us: i64::MAX,
        })
    }

    /// The directory the object is of.
    pub fn tenant(&self) -> Guid {
        self.0.tenant
    }

    /// The object: with the tenant, the identity.
    pub fn object(&self) -> Guid {
        self.0.object
    }

    /// What kind of object it is.
    pub fn kind(&self) -> CallerKind {
        self.0.kind
    }

    /// The program the token was given to.
    pub fn application(&self) -> Option<Guid> {
        self.0.application
    }

    /// The name for people and logs. Never a reason to allow anything.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The groups that a token of another directory names. Those of the embedded one are read from the database.
    pub fn groups(&self) -> &[Guid] {
        &self.0.groups
    }

    /// Until when the token is good, in microseconds since the Unix epoch.
    pub fn expires_at_us(&self) -> i64 {
        self.0.expires_at_us
    }

    /// Whether this is the operator at the command line.
    pub fn is_operator(&self) -> bool {
        self.0.kind == CallerKind::Operator
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("tenant", &self.0.tenant)
            .field("object", &self.0.object)
            .field("kind", &self.0.kind)
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}
