//! Why a manifest is refused.

use std::fmt;

/// A place in a manifest that something can be wrong at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The manifest itself.
    Top,
    /// `subject`
    Subject,
    /// `config`
    Config,
    /// An entry of `layers`.
    Layer(usize),
    /// An entry of `blobs`.
    Blob(usize),
    /// An entry of `manifests`.
    Manifest(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("manifest"),
            Self::Subject => f.write_str("subject"),
            Self::Config => f.write_str("config"),
            Self::Layer(index) => write!(f, "layers[{index}]"),
            Self::Blob(index) => write!(f, "blobs[{index}]"),
            Self::Manifest(index) => write!(f, "manifests[{index}]"),
        }
    }
}

/// Why a manifest is refused. Clients see `MANIFEST_INVALID`, or 413 when it is [`TooLarge`](Self::TooLarge).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The body is larger than the limit.
    #[error("the manifest is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Arrays and objects are nested deeper than the limit.
    #[error("the manifest is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit in levels.
        limit: usize,
    },
    /// A list or an object has more entries than the limit.
    #[error("{what} has more than {limit} entries")]
    TooMany {
        /// What has too many.
        what: &'static str,
        /// The limit in entries.
        limit: usize,
    },
    /// The body is not UTF-8.
    #[error("the manifest is not UTF-8")]
    Encoding,
    /// The body is not JSON, or a known field has another type than the specification says.
    #[error("the manifest is not valid: {message}")]
    Syntax {
        /// What the JSON reader says, with line and column.
        message: Box<str>,
    },
    /// A key occurs twice in one object.
    #[error("the key '{key}' occurs twice")]
    DuplicateKey {
        /// The key, cut to a printable length.
        key: Box<str>,
    },
    /// A key differs from a known one in case only, so that some readers would take it for that.
    #[error("the key '{key}' is ambiguous: it differs from a known key in case only")]
    AmbiguousKey {
        /// The key, cut to a printable length.
        key: Box<str>,
    },
    /// Docker schema 1, signed or not.
    #[error(
        "Docker image manifest schema 1 is not supported; push the image with a current client"
    )]
    Schema1Unsupported,
    /// `schemaVersion` is missing or not 2.
    #[error("schemaVersion must be 2")]
    SchemaVersion,
    /// The media type is none this registry stores as a manifest.
    #[error("media type '{media_type}' is no manifest type this registry stores")]
    MediaTypeUnsupported {
        /// The media type, cut to a printable length.
        media_type: Box<str>,
    },
    /// There is no media type, and the body looks like no manifest.
    #[error("the manifest has no media type")]
    MediaTypeMissing,
    /// `mediaType` in the body is not the `Content-Type`.
    #[error("mediaType '{body}' does not match Content-Type '{header}'")]
    MediaTypeMismatch {
        /// The type in the body, cut to a printable length.
        body: Box<str>,
        /// The type in the header.
        header: &'static str,
    },
    /// A field belongs to another kind of manifest.
    #[error("'{field}' does not belong in a manifest of this type")]
    FieldForeign {
        /// The field.
        field: &'static str,
    },
    /// A required field is missing or empty.
    #[error("{place}: '{field}' is required")]
    FieldMissing {
        /// Where.
        place: Place,
        /// The field.
        field: &'static str,
    },
    /// A media type or artifact type has characters or a length no media type has.
    #[error("{place}: '{field}' is no media type")]
    MediaTypeMalformed {
        /// Where.
        place: Place,
        /// The field.
        field: &'static str,
    },
    /// A descriptor's digest is malformed.
    #[error("{place}: malformed digest")]
    DigestMalformed {
        /// Where.
        place: Place,
    },
    /// A descriptor's digest is of an algorithm this registry does not compute.
    #[error("{place}: digest algorithm is not supported; use sha256 or sha512")]
    DigestUnsupported {
        /// Where.
        place: Place,
    },
    /// A descriptor's size is no integer from 0 to 2^63-1.
    #[error("{place}: size must be an integer from 0 to 9223372036854775807")]
    SizeInvalid {
        /// Where.
        place: Place,
    },
    /// A descriptor's `data` is not the base64 of content that matches its size and digest.
    #[error("{place}: data does not match size and digest")]
    DataMismatch {
        /// Where.
        place: Place,
    },
}

/// The start of a foreign text, short enough to be shown.
pub(super) fn excerpt(text: &str) -> Box<str> {
    let mut end = text.len().min(128);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}
