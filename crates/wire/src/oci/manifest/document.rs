//! A manifest as it is written: the union of what the kinds have, and which kind may have what.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{IgnoredAny, MapAccess};

use super::ManifestLimits;
use super::descriptor::RawDescriptor;
use super::error::{ManifestError, Place, excerpt};
use super::json::{Number, Object, Reader};
use crate::oci::media_type::{self, ManifestKind};

#[derive(Default)]
pub(super) struct Document<'de> {
    schema_version: Option<Number>,
    media_type: Option<Cow<'de, str>>,
    has_fs_layers: bool,
    pub(super) artifact_type: Option<Cow<'de, str>>,
    pub(super) config: Option<RawDescriptor<'de>>,
    pub(super) layers: Option<Vec<RawDescriptor<'de>>>,
    pub(super) blobs: Option<Vec<RawDescriptor<'de>>>,
    pub(super) manifests: Option<Vec<RawDescriptor<'de>>>,
    has_manifests: bool,
    pub(super) subject: Option<RawDescriptor<'de>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl<'de> Object<'de> for Document<'de> {
    const WHAT: &'static str = "the manifest";
    const KEYS: &'static [&'static str] = &[
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "blobs",
        "manifests",
        "subject",
        "annotations",
        "fsLayers",
    ];

    fn read_field<A: MapAccess<'de>>(
        &mut self,
        key: usize,
        reader: &Reader<'_>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match Self::KEYS[key] {
            "schemaVersion" => self.schema_version = Reader::number(map)?,
            "mediaType" => self.media_type = Reader::text(map)?,
            "artifactType" => self.artifact_type = Reader::text(map)?,
            "config" => self.config = reader.object(map)?,
            "layers" => self.layers = reader.array(map)?,
            "blobs" => self.blobs = reader.array(map)?,
            "manifests" => {
                self.has_manifests = true;
                self.manifests = reader.array(map)?;
            }
            "subject" => self.subject = reader.object(map)?,
            "annotations" => {
                let borrowed = reader.annotations(map)?;
                self.annotations = borrowed.map(|borrowed| {
                    borrowed
                        .into_iter()
                        .map(|(key, value)| (key.into_owned(), value.into_owned()))
                        .collect()
                });
            }
            _ => {
                self.has_fs_layers = true;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Document<'de> {
    pub(super) fn read(text: &'de str, limits: &ManifestLimits) -> Result<Self, ManifestError> {
        let document: Self = Reader::new(limits).read(text)?;
        if document.has_fs_layers || document.schema_version == Some(Number(Some(1))) {
            return Err(ManifestError::Schema1Unsupported);
        }
        Ok(document)
    }

    /// The kind: what the `Content-Type` says and `mediaType` does not contradict; without either, what the fields look like.
    pub(super) fn kind(&self, content_type: Option<&str>) -> Result<ManifestKind, ManifestError> {
        let content_type = content_type.filter(|text| !media_type::essence(text).is_empty());
        let in_body = self.media_type.as_deref().filter(|text| !text.is_empty());
        let known = |text: &str| {
            ManifestKind::from_media_type(text).ok_or_else(|| {
                if media_type::is_docker_schema1(text) {
                    ManifestError::Schema1Unsupported
                } else {
                    ManifestError::MediaTypeUnsupported {
                        media_type: excerpt(text),
                    }
                }
            })
        };
        match (content_type, in_body) {
            (Some(header), None) => known(header),
            (Some(header), Some(in_body)) => {
                let kind = known(header)?;
                // Exactly: the next reader of the body compares bytes.
                if in_body == kind.media_type() {
                    Ok(kind)
                } else {
                    Err(ManifestError::MediaTypeMismatch {
                        body: excerpt(in_body),
                        header: kind.media_type(),
                    })
                }
            }
            (None, Some(in_body)) => {
                let kind = known(in_body)?;
                if in_body == kind.media_type() {
                    Ok(kind)
                } else {
                    Err(ManifestError::MediaTypeUnsupported {
                        media_type: excerpt(in_body),
                    })
                }
            }
            (None, None) if self.has_manifests => Ok(ManifestKind::OciIndex),
            (None, None) if self.config.is_some() => Ok(ManifestKind::OciManifest),
            (None, None) => Err(ManifestError::MediaTypeMissing),
        }
    }

    /// Whether it has what its kind requires, and nothing of another kind.
    pub(super) fn check_form(&self, kind: ManifestKind) -> Result<(), ManifestError> {
        let image = kind.is_image();
        let index = kind.is_index();
        let artifact = kind.is_withdrawn_artifact();
        let foreign = [
            ("config", self.config.is_some(), image),
            ("layers", self.layers.is_some(), image),
            ("manifests", self.manifests.is_some(), index),
            ("blobs", self.blobs.is_some(), artifact),
        ];
        if let Some((field, ..)) = foreign
            .into_iter()
            .find(|(_, present, belongs)| *present && !belongs)
        {
            return Err(ManifestError::FieldForeign { field });
        }
        let version_is_fine = if artifact {
            matches!(self.schema_version, None | Some(Number(Some(2))))
        } else {
            self.schema_version == Some(Number(Some(2)))
        };
        if !version_is_fine {
            return Err(ManifestError::SchemaVersion);
        }
        let missing = |field| {
            Err(ManifestError::FieldMissing {
                place: Place::Top,
                field,
            })
        };
        if image && self.config.is_none() {
            return missing("config");
        }
        if index && !self.has_manifests {
            return missing("manifests");
        }
        Ok(())
    }
}
