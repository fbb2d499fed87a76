//! The objects of the directory.

use std::fmt;

use lazuli_wire::Guid;
use serde_json::{Map, Value};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A person.
    User,
    /// A number of others.
    Group,
    /// The registration of a program.
    Application,
    /// A program, as far as it may do something here.
    ServicePrincipal,
    /// A program that gets its tokens without a secret of its own.
    ManagedIdentity,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::User,
        Self::Group,
        Self::Application,
        Self::ServicePrincipal,
        Self::ManagedIdentity,
    ];

    /// The word in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Application => "application",
            Self::ServicePrincipal => "service_principal",
            Self::ManagedIdentity => "managed_identity",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServicePrincipal => "service principal",
            Self::ManagedIdentity => "managed identity",
            other => other.as_str(),
        })
    }
}

/// An object of the directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its own number.
    pub id: Guid,
    /// What it is.
    pub kind: ObjectKind,
    /// What it signs in with or is found by, in lower case: the user principal name, the application's number, or for groups
    /// its own.
    pub name_key: String,
    /// What people call it.
    pub display_name: String,
    /// Whether it may sign in.
    pub enabled: bool,
    /// Whatever else is known of it, by Graph's names.
    pub attributes: Map<String, Value>,
    /// Tokens made before this are void, in microseconds.
    pub sessions_valid_from: i64,
    /// When it was made, in microseconds.
    pub created_at: i64,
    /// When it was changed, in microseconds.
    pub updated_at: i64,
}

/// Most bytes of an object's attributes.
pub(crate) const MAX_ATTRIBUTES: usize = 64 * 1024;

/// The longest display name, in characters, as Entra's.
pub(crate) const MAX_DISPLAY_NAME: usize = 256;

impl Object {
    /// A new object.
    pub fn new(id: Guid, kind: ObjectKind, name: &str, display_name: &str, now: i64) -> Self {
        Self {
            id,
            kind,
            name_key: name.to_lowercase(),
            display_name: display_name.to_owned(),
            enabled: true,
            attributes: Map::new(),
            sessions_valid_from: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// The application's number, of applications and what runs in their name.
    pub fn app_id(&self) -> Option<Guid> {
        match self.kind {
            ObjectKind::Application
            | ObjectKind::ServicePrincipal
            | ObjectKind::ManagedIdentity => Guid::parse(&self.name_key).ok(),
            ObjectKind::User | ObjectKind::Group => None,
        }
    }

    /// An attribute that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    /// An attribute that is a list of texts.
    pub fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let list = self.attributes.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// What it is called in logs.
    pub fn principal_name_or_display(&self) -> &str {
        match self.kind {
            ObjectKind::User => self.principal_name(),
            _ => &self.display_name,
        }
    }

    /// The user principal name as it was written.
    pub fn principal_name(&self) -> &str {
        self.text("userPrincipalName").unwrap_or(&self.name_key)
    }
}

/// What an object proves itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A person chose it, or it was made for one.
    Password,
    /// Made here, for a program.
    Secret,
    /// A certificate; its holder signs assertions.
    Certificate,
    /// Assertions of another issuer.
    Federated,
    /// What opens the endpoint of a managed identity.
    Endpoint,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Password,
        Self::Secret,
        Self::Certificate,
        Self::Federated,
        Self::Endpoint,
    ];

    /// The word in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Federated => "federated",
            Self::Endpoint => "endpoint",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A credential, without what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its number.
    pub id: Guid,
    /// What it is.
    pub kind: CredentialKind,
    /// What people call it.
    pub name: String,
    /// What may be shown of it: the first characters, or a thumbprint.
    pub hint: String,
    /// When it becomes good, in microseconds.
    pub starts_at: i64,
    /// When it ends, in microseconds.
    pub expires_at: Option<i64>,
    /// Of federated ones: issuer, subject and audiences. Of certificates: the DER.
    pub(crate) data: Vec<u8>,
}

impl Credential {
    /// Whether it is good at a time (microseconds).
    pub fn is_good_at(&self, now: i64) -> bool {
        self.starts_at <= now && self.expires_at.is_none_or(|end| now < end)
    }

    /// Issuer, subject, audiences and description of a federated credential.
    pub fn federation(&self) -> Option<Map<String, Value>> {
        (self.kind == CredentialKind::Federated)
            .then(|| serde_json::from_slice(&self.data).ok())
            .flatten()
    }

    /// The certificate (DER).
    pub fn certificate(&self) -> Option<&[u8]> {
        (self.kind == CredentialKind::Certificate).then_some(&self.data)
    }
}
