//! The referrers listing (distribution-spec, "Listing Referrers" and "Referrers Tag Schema").

use std::collections::BTreeMap;

use serde::Serialize;

use super::media_type::OCI_INDEX;
use super::{Digest, Tag};
use crate::query::Query;

/// The value of `OCI-Filters-Applied` when the listing was filtered by type.
pub const ARTIFACT_TYPE_FILTER: &str = "artifactType";

/// A manifest that refers to a subject, as the listing describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
    /// [`ParsedManifest::artifact_type`](super::ParsedManifest::artifact_type).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Renders an image index of referrers; of none, an empty one.
pub fn referrers_index(referrers: &[Referrer]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index<'a> {
        schema_version: u32,
        media_type: &'static str,
        manifests: &'a [Referrer],
    }
    // Text and numbers: serialising into memory has no way to fail.
    serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: OCI_INDEX,
        manifests: referrers,
    })
    .unwrap_or_default()
}

/// The tag under which clients keep an index of referrers on registries without this listing.
///
/// It is the digest with `-` for `:`, the algorithm cut to 32 characters and the hash to 64.
pub fn fallback_tag(digest: &Digest) -> Tag {
    let mut text = digest.to_hex();
    text.truncate(64);
    text.insert(0, '-');
    text.insert_str(0, digest.algorithm().as_str());
    Tag::from_valid(text.into_boxed_str())
}

/// The types a listing is filtered by: every `artifactType` parameter; a referrer of any of them is listed. Empty: no filter.
///
/// A media type has no space, so one stands for a `+` that the client did not escape.
pub fn artifact_type_filter(query: &Query<'_>) -> Vec<String> {
    query
        .all("artifactType")
        .filter(|value| !value.is_empty())
        .map(|value| value.replace(' ', "+"))
        .collect()
}
