//! Manifests (image-spec 1.1 manifest and index; Docker manifest v2 and list; the withdrawn artifact manifests).
//!
//! A manifest is stored as the bytes that came, so reading it only has to find what the registry acts on, and to refuse what two
//! readers could understand differently: duplicate keys, keys that differ in case only, a body that is image and index at once
//! (CVE-2021-41190), a media type the body contradicts.

mod descriptor;
mod document;
mod error;
mod json;

use std::collections::BTreeMap;

use super::media_type::{self, ManifestKind};
pub use descriptor::{Descriptor, Platform};
use document::Document;
pub use error::{ManifestError, Place};

/// Bounds on a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestLimits {
    /// Size of the body in bytes.
    pub max_bytes: usize,
    /// Nesting of arrays and objects.
    pub max_depth: usize,
    /// Entries of `layers`, `blobs` or `manifests`.
    pub max_descriptors: usize,
    /// Entries of one annotation map.
    pub max_annotations: usize,
    /// Keys of the top-level object or of a descriptor, known and unknown.
    pub max_keys: usize,
}

impl Default for ManifestLimits {
    fn default() -> Self {
        Self {
            max_bytes: 4 * 1024 * 1024,
            max_depth: 32,
            max_descriptors: 10_000,
            max_annotations: 1_000,
            max_keys: 64,
        }
    }
}

/// What the registry acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedManifest {
    /// The format.
    pub kind: ManifestKind,
    /// The media type it is served as, without parameters.
    pub media_type: String,
    /// The type it has as a referrer: its own `artifactType`; else, of an image, its configuration's media type.
    pub artifact_type: Option<String>,
    /// The manifest it refers to, which need not exist.
    pub subject: Option<Descriptor>,
    /// An image's configuration.
    pub config: Option<Descriptor>,
    /// An image's layers, or the blobs of an artifact manifest.
    pub layers: Vec<Descriptor>,
    /// An index's children.
    pub manifests: Vec<Descriptor>,
    /// Its own annotations.
    pub annotations: BTreeMap<String, String>,
    /// The media type of an image's configuration.
    pub config_media_type: Option<String>,
    /// Bytes of everything it lists: configuration and layers, or children (their manifests, not what those list).
    pub image_size: u64,
    /// What a client should be told with a `Warning` header.
    pub warnings: Vec<ManifestWarning>,
}

/// Accepted, yet against the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestWarning {
    /// The configuration is the empty blob, so `artifactType` is required (image-spec, "Guidelines for Artifact Usage").
    #[error(
        "artifactType is required when the config mediaType is application/vnd.oci.empty.v1+json"
    )]
    ArtifactTypeMissing,
}

impl ParsedManifest {
    /// Reads a manifest as it was pushed with this `Content-Type`.
    pub fn parse(
        content_type: Option<&str>,
        body: &[u8],
        limits: &ManifestLimits,
    ) -> Result<Self, ManifestError> {
        if body.len() > limits.max_bytes {
            return Err(ManifestError::TooLarge {
                limit: limits.max_bytes,
            });
        }
        // Said before the body is looked at: schema 1 bodies have nothing the checks below expect.
        if content_type.is_some_and(media_type::is_docker_schema1) {
            return Err(ManifestError::Schema1Unsupported);
        }
        let text = std::str::from_utf8(body).map_err(|_| ManifestError::Encoding)?;
        json::check_depth(body, limits.max_depth)?;
        Self::from_document(Document::read(text, limits)?, content_type)
    }

    fn from_document(
        document: Document<'_>,
        content_type: Option<&str>,
    ) -> Result<Self, ManifestError> {
        let kind = document.kind(content_type)?;
        document.check_form(kind)?;
        let subject = document
            .subject
            .map(|raw| raw.check(Place::Subject))
            .transpose()?;
        let config = document
            .config
            .map(|raw| raw.check(Place::Config))
            .transpose()?;
        let layers =
            descriptor::check_all(document.layers.or(document.blobs), |index| match kind {
                ManifestKind::OciArtifact | ManifestKind::OrasArtifact => Place::Blob(index),
                _ => Place::Layer(index),
            })?;
        let manifests = descriptor::check_all(document.manifests, Place::Manifest)?;
        let own_type =
            descriptor::media_type_text(document.artifact_type, Place::Top, "artifactType")?;

        let config_media_type = config.as_ref().map(|config| config.media_type.clone());
        let mut warnings = Vec::new();
        if own_type.is_none() && config_media_type.as_deref() == Some(media_type::OCI_EMPTY) {
            warnings.push(ManifestWarning::ArtifactTypeMissing);
        }
        let listed = config.iter().chain(&layers).chain(&manifests);
        Ok(Self {
            kind,
            media_type: kind.media_type().to_owned(),
            artifact_type: own_type.or_else(|| config_media_type.clone()),
            subject,
            image_size: listed.fold(0_u64, |sum, descriptor| sum.saturating_add(descriptor.size)),
            config,
            layers,
            manifests,
            annotations: document.annotations.unwrap_or_default(),
            config_media_type,
            warnings,
        })
    }
}
