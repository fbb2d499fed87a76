//! Scopes (Docker token specification, "Requesting a Token"; Azure Container Registry's resources and actions).

use std::fmt;

use super::{Action, Actions};
use crate::oci::RepositoryName;

/// The longest scope that is read, in bytes; longer ones are [`Scope::Other`].
const MAX_LENGTH: usize = 512;

/// The most scopes in one request.
pub const MAX_SCOPES: usize = 64;

/// A resource and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `repository:<name>:<actions>`
    Repository {
        /// The repository.
        name: RepositoryName,
        /// The actions; unknown ones are left out.
        actions: Actions,
    },
    /// `registry:<listing>:*`
    Registry {
        /// The listing.
        name: Listing,
        /// Whether the one action there is, `*`, is among those wanted.
        all: bool,
    },
    /// Anything else: nothing is ever granted for it.
    Other,
}

/// A listing of the whole registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listing {
    /// The repositories: `catalog`.
    Catalog,
    /// What was deleted and is still kept: `deleted_catalog`.
    DeletedCatalog,
}

impl Listing {
    /// Its name in scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::DeletedCatalog => "deleted_catalog",
        }
    }

    /// Reads its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Catalog, Self::DeletedCatalog]
            .into_iter()
            .find(|listing| listing.as_str() == text)
    }
}

/// More than [`MAX_SCOPES`] scopes in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than 64 scopes in one request")]
pub struct TooManyScopes;

impl Scope {
    /// Reads one scope. What is not understood is [`Scope::Other`]: a token is issued for the rest.
    pub fn parse(text: &str) -> Self {
        Self::understood(text).unwrap_or(Self::Other)
    }

    fn understood(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (kind, rest) = text.split_once(':')?;
        let (name, words) = rest.rsplit_once(':')?;
        Self::from_parts(kind, name, Actions::from_words(words.split(',')))
    }

    pub(super) fn from_parts(kind: &str, name: &str, actions: Actions) -> Option<Self> {
        // A class in parentheses, as in `repository(plugin)`, says what the repository holds.
        let kind = kind
            .split_once('(')
            .filter(|(_, class)| class.ends_with(')'))
            .map_or(kind, |(kind, _)| kind);
        match kind {
            "repository" => Some(Self::Repository {
                name: RepositoryName::parse(name).ok()?,
                actions,
            }),
            "registry" => Some(Self::Registry {
                name: Listing::parse(name)?,
                all: actions.contains(Action::All),
            }),
            _ => None,
        }
    }

    /// Reads scopes separated by spaces, from any number of parameters.
    pub fn parse_list<'a>(
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Self>, TooManyScopes> {
        let mut scopes = Vec::new();
        for text in texts
            .into_iter()
            .flat_map(|text| text.split(' '))
            .filter(|text| !text.is_empty())
        {
            if scopes.len() == MAX_SCOPES {
                return Err(TooManyScopes);
            }
            scopes.push(Self::parse(text));
        }
        Ok(scopes)
    }

    /// What is wanted of the resource.
    pub const fn actions(&self) -> Actions {
        match self {
            Self::Repository { actions, .. } => *actions,
            Self::Registry { all: true, .. } => Actions::ALL,
            Self::Registry { all: false, .. } | Self::Other => Actions::NONE,
        }
    }
}

impl fmt::Display for Scope {
    /// The form that is read; nothing for [`Scope::Other`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository { name, actions } => write!(f, "repository:{name}:{actions}"),
            Self::Registry { name, .. } => {
                write!(f, "registry:{}:{}", name.as_str(), self.actions())
            }
            Self::Other => Ok(()),
        }
    }
}
