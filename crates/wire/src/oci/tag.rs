//! Tags (distribution-spec, "Pulling manifests").

use std::fmt;

/// A tag: a letter, digit or underscore, then up to 127 letters, digits, underscores, dots and dashes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// Why a text is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// The tag is empty.
    #[error("the tag is empty")]
    Empty,
    /// The tag is longer than [`Tag::MAX_LENGTH`].
    #[error("the tag is longer than 128 characters")]
    TooLong,
    /// The tag does not follow the grammar.
    #[error(
        "a tag consists of letters, digits, '_', '.' and '-', and begins with a letter, a digit or '_'"
    )]
    Malformed,
}

impl Tag {
    /// The longest tag in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// Reads a tag.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        Self::check(text)?;
        Ok(Self(Box::from(text)))
    }

    /// Whether the text is a tag, without making one.
    pub fn check(text: &str) -> Result<(), TagError> {
        let (first, rest) = text.as_bytes().split_first().ok_or(TagError::Empty)?;
        if text.len() > Self::MAX_LENGTH {
            return Err(TagError::TooLong);
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if is_word(first)
            && rest
                .iter()
                .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
        {
            Ok(())
        } else {
            Err(TagError::Malformed)
        }
    }

    /// A tag from a text made here, known to be one.
    pub(crate) const fn from_valid(text: Box<str>) -> Self {
        Self(text)
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Tag {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

textual!(Tag, TagError, "a tag");
