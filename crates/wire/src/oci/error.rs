//! Error codes and the error body (distribution-spec, "Error codes").

use serde::Serialize;
use serde_json::Value;

/// A code clients act on. The first fourteen are the specification's; the rest are what Docker-era clients and Azure's SDKs know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// `BLOB_UNKNOWN`
    BlobUnknown,
    /// `BLOB_UPLOAD_INVALID`
    BlobUploadInvalid,
    /// `BLOB_UPLOAD_UNKNOWN`
    BlobUploadUnknown,
    /// `DIGEST_INVALID`
    DigestInvalid,
    /// `MANIFEST_BLOB_UNKNOWN`
    ManifestBlobUnknown,
    /// `MANIFEST_INVALID`
    ManifestInvalid,
    /// `MANIFEST_UNKNOWN`
    ManifestUnknown,
    /// `NAME_INVALID`
    NameInvalid,
    /// `NAME_UNKNOWN`
    NameUnknown,
    /// `SIZE_INVALID`
    SizeInvalid,
    /// `UNAUTHORIZED`
    Unauthorized,
    /// `DENIED`
    Denied,
    /// `UNSUPPORTED`
    Unsupported,
    /// `TOOMANYREQUESTS`
    TooManyRequests,
    /// `TAG_INVALID`
    TagInvalid,
    /// `TAG_UNKNOWN`
    TagUnknown,
    /// `RANGE_INVALID`
    RangeInvalid,
    /// `PAGINATION_NUMBER_INVALID`
    PaginationNumberInvalid,
    /// `MANIFEST_UNVERIFIED`
    ManifestUnverified,
    /// `REGISTRY_DISALLOWED_OPERATION`: locked
    DisallowedOperation,
    /// `UNKNOWN`: a fault of the registry
    Unknown,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 21] = [
        Self::BlobUnknown,
        Self::BlobUploadInvalid,
        Self::BlobUploadUnknown,
        Self::DigestInvalid,
        Self::ManifestBlobUnknown,
        Self::ManifestInvalid,
        Self::ManifestUnknown,
        Self::NameInvalid,
        Self::NameUnknown,
        Self::SizeInvalid,
        Self::Unauthorized,
        Self::Denied,
        Self::Unsupported,
        Self::TooManyRequests,
        Self::TagInvalid,
        Self::TagUnknown,
        Self::RangeInvalid,
        Self::PaginationNumberInvalid,
        Self::ManifestUnverified,
        Self::DisallowedOperation,
        Self::Unknown,
    ];

    /// The code as it is written in the body.
    pub const fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// The message when there is nothing better to say.
    pub const fn message(self) -> &'static str {
        self.texts().1
    }

    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", "blob unknown to registry"),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", "blob upload invalid"),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
            Self::DigestInvalid => (
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            ),
            Self::ManifestBlobUnknown => (
                "MANIFEST_BLOB_UNKNOWN",
                "manifest references a manifest or blob unknown to registry",
            ),
            Self::ManifestInvalid => ("MANIFEST_INVALID", "manifest invalid"),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", "manifest unknown to registry"),
            Self::NameInvalid => ("NAME_INVALID", "invalid repository name"),
            Self::NameUnknown => ("NAME_UNKNOWN", "repository name not known to registry"),
            Self::SizeInvalid => (
                "SIZE_INVALID",
                "provided length did not match content length",
            ),
            Self::Unauthorized => ("UNAUTHORIZED", "authentication required"),
            Self::Denied => ("DENIED", "requested access to the resource is denied"),
            Self::Unsupported => ("UNSUPPORTED", "the operation is unsupported"),
            Self::TooManyRequests => ("TOOMANYREQUESTS", "too many requests"),
            Self::TagInvalid => ("TAG_INVALID", "invalid tag"),
            Self::TagUnknown => ("TAG_UNKNOWN", "the specified tag does not exist"),
            Self::RangeInvalid => ("RANGE_INVALID", "invalid content range"),
            Self::PaginationNumberInvalid => (
                "PAGINATION_NUMBER_INVALID",
                "invalid number of results requested",
            ),
            Self::ManifestUnverified => (
                "MANIFEST_UNVERIFIED",
                "manifest failed signature verification",
            ),
            Self::DisallowedOperation => (
                "REGISTRY_DISALLOWED_OPERATION",
                "The operation is disallowed on this registry, repository or image",
            ),
            Self::Unknown => (
                "UNKNOWN",
                "the registry failed; try again or ask its operator",
            ),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One entry of an error body. Keys are written in this order, as the recorded answers have it.
#[derive(Serialize)]
pub(crate) struct Entry<'a, D> {
    pub(crate) code: &'static str,
    pub(crate) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<D>,
}

/// Renders entries as `{"errors":[…]}` and a line feed.
pub(crate) fn render<D: Serialize>(errors: &[Entry<'_, D>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a, 'b, D> {
        errors: &'a [Entry<'b, D>],
    }
    // Strings and JSON values with text keys: serialising into memory has no way to fail.
    let mut body = serde_json::to_vec(&Body { errors }).unwrap_or_default();
    body.push(b'\n');
    body
}

/// The error body: `{"errors":[{"code","message","detail"}]}` and a line feed; `detail` is left out when there is none.
pub fn error_body(errors: &[(ErrorCode, &str, Option<Value>)]) -> Vec<u8> {
    let entries: Vec<_> = errors
        .iter()
        .map(|(code, message, detail)| Entry {
            code: code.as_str(),
            message,
            detail: detail.as_ref(),
        })
        .collect();
    render(&entries)
}
