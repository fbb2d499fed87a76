//! The readers of what registries send, each by itself, for property tests and fuzzing. Never part of a product build.

use super::challenge::Challenge as Read;

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The password with each request.
    Basic,
    /// A token.
    Bearer {
        /// From where.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// Reads a `WWW-Authenticate` field.
pub fn challenge(field: &str) -> Option<Challenge> {
    Some(match Read::parse(field)? {
        Read::Basic => Challenge::Basic,
        Read::Bearer {
            realm,
            service,
            scope,
        } => Challenge::Bearer {
            realm,
            service,
            scope,
        },
    })
}

/// Reads a `Link` field: the target of the link to the next page.
pub fn next_page(field: &str) -> Option<&str> {
    super::links::next_page(field)
}

/// Whether this is what Harbor says of itself.
pub fn is_harbor(bytes: &[u8]) -> bool {
    super::harbor::is_harbor(bytes)
}

/// Reads a list of Harbor's.
pub fn harbor_names(bytes: &[u8]) -> Option<Vec<String>> {
    super::harbor::names(bytes)
}
