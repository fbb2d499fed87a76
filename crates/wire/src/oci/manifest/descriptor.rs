//! Descriptors (image-spec, "OCI Content Descriptors").

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{IgnoredAny, MapAccess};

use super::error::{ManifestError, Place};
use super::json::{Number, Object, Reader};
use crate::oci::range::MAX_SIZE;
use crate::oci::{Digest, DigestError, media_type};

/// What a manifest points at. Only what the registry acts on is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes, at most [`MAX_SIZE`].
    pub size: u64,
    /// The type of an artifact.
    pub artifact_type: Option<String>,
    /// The platform an index's child is for.
    pub platform: Option<Platform>,
}

/// A platform, in Go's words for architectures and operating systems.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Platform {
    /// Such as `amd64`.
    pub architecture: String,
    /// Such as `linux`.
    pub os: String,
    /// Such as `v8`.
    pub variant: Option<String>,
}

impl Descriptor {
    /// Whether the registry has to hold the content: foreign and non-distributable layers need not be pushed.
    pub fn is_distributable(&self) -> bool {
        !media_type::is_non_distributable(&self.media_type)
    }
}

/// A descriptor as it is written.
#[derive(Default)]
pub(super) struct RawDescriptor<'de> {
    media_type: Option<Cow<'de, str>>,
    digest: Option<Cow<'de, str>>,
    size: Option<Number>,
    artifact_type: Option<Cow<'de, str>>,
    data: Option<Cow<'de, str>>,
    platform: Option<RawPlatform<'de>>,
}

#[derive(Default)]
struct RawPlatform<'de> {
    architecture: Option<Cow<'de, str>>,
    os: Option<Cow<'de, str>>,
    variant: Option<Cow<'de, str>>,
}

impl<'de> Object<'de> for RawDescriptor<'de> {
    const WHAT: &'static str = "a descriptor";
    const KEYS: &'static [&'static str] = &[
        "mediaType",
        "digest",
        "size",
        "annotations",
        "platform",
        "artifactType",
        "data",
        "urls",
    ];

    fn read_field<A: MapAccess<'de>>(
        &mut self,
        key: usize,
        reader: &Reader<'_>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match Self::KEYS[key] {
            "mediaType" => self.media_type = Reader::text(map)?,
            "digest" => self.digest = Reader::text(map)?,
            "size" => self.size = Reader::number(map)?,
            // Read for their form only.
            "annotations" => drop(reader.annotations(map)?),
            "platform" => self.platform = reader.object(map)?,
            "artifactType" => self.artifact_type = Reader::text(map)?,
            "data" => self.data = Reader::text(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de> Object<'de> for RawPlatform<'de> {
    const WHAT: &'static str = "a platform";
    const KEYS: &'static [&'static str] = &["architecture", "os", "variant"];

    fn read_field<A: MapAccess<'de>>(
        &mut self,
        key: usize,
        _: &Reader<'_>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let text = Reader::text(map)?;
        match Self::KEYS[key] {
            "architecture" => self.architecture = text,
            "os" => self.os = text,
            _ => self.variant = text,
        }
        Ok(())
    }
}

impl RawDescriptor<'_> {
    pub(super) fn check(self, place: Place) -> Result<Descriptor, ManifestError> {
        let missing = |field| ManifestError::FieldMissing { place, field };
        let media_type = media_type_text(self.media_type, place, "mediaType")?
            .ok_or_else(|| missing("mediaType"))?;
        let digest = self.digest.ok_or_else(|| missing("digest"))?;
        let digest = Digest::parse(&digest).map_err(|error| match error {
            DigestError::Malformed => ManifestError::DigestMalformed { place },
            DigestError::Unsupported { .. } => ManifestError::DigestUnsupported { place },
        })?;
        let Number(size) = self.size.ok_or_else(|| missing("size"))?;
        let size = size
            .filter(|size| *size <= MAX_SIZE)
            .ok_or(ManifestError::SizeInvalid { place })?;
        if self
            .data
            .is_some_and(|data| !is_content(&data, &digest, size))
        {
            return Err(ManifestError::DataMismatch { place });
        }
        Ok(Descriptor {
            media_type,
            digest,
            size,
            artifact_type: media_type_text(self.artifact_type, place, "artifactType")?,
            platform: self.platform.map(|platform| Platform {
                architecture: platform.architecture.unwrap_or_default().into_owned(),
                os: platform.os.unwrap_or_default().into_owned(),
                variant: platform.variant.map(Cow::into_owned),
            }),
        })
    }
}

pub(super) fn check_all(
    raw: Option<Vec<RawDescriptor<'_>>>,
    place: impl Fn(usize) -> Place,
) -> Result<Vec<Descriptor>, ManifestError> {
    raw.unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, raw)| raw.check(place(index)))
        .collect()
}

/// Whether embedded `data` is the content it stands for. Its length is compared first, so that decoding is never for nothing.
fn is_content(data: &str, digest: &Digest, size: u64) -> bool {
    size.div_ceil(3).checked_mul(4) == Some(data.len() as u64)
        && STANDARD.decode(data).is_ok_and(|content| {
            content.len() as u64 == size && Digest::of(digest.algorithm(), &content) == *digest
        })
}

/// The longest media type in bytes. RFC 6838 §4.2 allows two names of 127; the rest is for parameters.
const MAX_MEDIA_TYPE: usize = 512;

/// A media type of any kind: unknown ones are welcome, what no header and no database could hold is not. Empty is absent.
pub(super) fn media_type_text(
    text: Option<Cow<'_, str>>,
    place: Place,
    field: &'static str,
) -> Result<Option<String>, ManifestError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let printable = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if printable && text.len() <= MAX_MEDIA_TYPE {
        Ok(Some(text.into_owned()))
    } else {
        Err(ManifestError::MediaTypeMalformed { place, field })
    }
}
