//! Repository names (distribution-spec, "Pulling manifests").

use std::fmt;
use std::sync::Arc;

/// A repository name: lower-case alphanumeric runs joined by `.`, `_`, `__` or dashes, in components joined by `/`.
///
/// Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

/// Why a text is no repository name. Clients see `NAME_INVALID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("the repository name is empty")]
    Empty,
    /// The name is longer than [`RepositoryName::MAX_LENGTH`].
    #[error("the repository name is longer than 255 bytes")]
    TooLong,
    /// The name does not follow the grammar.
    #[error(
        "a repository name consists of lower-case letters and digits, separated by '.', '_', '__' or dashes, in components separated by '/'"
    )]
    Malformed,
}

impl RepositoryName {
    /// The longest name in bytes: clients limit the host name and the repository name together to 255.
    pub const MAX_LENGTH: usize = 255;

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Whether the text is a name, without making one.
    pub fn check(text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(NameError::TooLong);
        }
        follows_grammar(text.as_bytes())
            .then_some(())
            .ok_or(NameError::Malformed)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the bytes so far end with.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    ComponentStart,
    Alphanumeric,
    Dot,
    Underscore,
    TwoUnderscores,
    Dashes,
}

fn follows_grammar(bytes: &[u8]) -> bool {
    let mut last = Last::ComponentStart;
    for byte in bytes {
        last = match (byte, last) {
            (b'a'..=b'z' | b'0'..=b'9', _) => Last::Alphanumeric,
            (b'/', Last::Alphanumeric) => Last::ComponentStart,
            (b'-', Last::Alphanumeric | Last::Dashes) => Last::Dashes,
            (b'_', Last::Alphanumeric) => Last::Underscore,
            (b'_', Last::Underscore) => Last::TwoUnderscores,
            (b'.', Last::Alphanumeric) => Last::Dot,
            _ => return false,
        };
    }
    last == Last::Alphanumeric
}

impl std::ops::Deref for RepositoryName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RepositoryName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for RepositoryName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

textual!(RepositoryName, NameError, "a repository name");
