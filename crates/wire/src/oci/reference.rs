//! Manifest references: a tag or a digest (distribution-spec, "Pulling manifests").

use std::fmt;

use super::{Digest, DigestError, Tag, TagError};

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// By a name that can move.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text has no colon and is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The text has a colon and is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Reference {
    /// Reads a reference. Only digests have a colon, so the two cannot be confused.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.bytes().any(|byte| byte == b':') {
            Ok(Self::Digest(Digest::parse(text)?))
        } else {
            Ok(Self::Tag(Tag::parse(text)?))
        }
    }

    /// The tag, when it is one.
    pub const fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Tag(tag) => Some(tag),
            Self::Digest(_) => None,
        }
    }

    /// The digest, when it is one.
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

textual!(Reference, ReferenceError, "a tag or a digest");
