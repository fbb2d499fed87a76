//! How an operation is written into the columns `payload` (JSON) and `observed` (identifiers, 16 bytes each).
//!
//! Written by hand, because it happens in every push; read with serde_json, because readers have time.

use std::fmt::Write as _;

use lazuli_wire::acr::Flags;
use lazuli_wire::oci::{Digest, ImagePlatform, Tag};
use serde_json::{Map, Value};

use super::{Operation, OperationId};
use crate::attributes::{Attributes, Subject};

/// A row of the log that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The kind is from a newer version.
    #[error("unknown kind of operation: {0}")]
    UnknownKind(String),
    /// The payload is not what its kind demands.
    #[error("malformed payload: {0}")]
    Malformed(&'static str),
}

/// The JSON text of the operation.
pub(crate) fn encode(operation: &Operation) -> String {
    match operation {
        Operation::PutManifest {
            digest,
            media_type,
            size,
            blobs,
            tag,
            platform,
            ..
        } => {
            let mut out = String::with_capacity(200 + 80 * blobs.len());
            let _ = write!(out, r#"{{"digest":"{digest}","media_type":"#);
            push_string(&mut out, media_type);
            let _ = write!(out, r#","size":{size},"blobs":"#);
            push_list(&mut out, blobs);
            if let Some(tag) = tag {
                out.push_str(r#","tag":"#);
                push_string(&mut out, tag.as_str());
            }
            push_optional(&mut out, "architecture", platform.architecture.as_deref());
            push_optional(&mut out, "os", platform.os.as_deref());
            out.push('}');
            out
        }
        Operation::DeleteManifest { digest, tags, .. } => {
            let mut out = format!(r#"{{"digest":"{digest}","tags":"#);
            push_list(&mut out, tags.iter().map(Tag::as_str));
            out.push('}');
            out
        }
        Operation::Untag { tag } => format!(r#"{{"tag":"{}"}}"#, tag.as_str()),
        Operation::DeleteBlob { digest } => format!(r#"{{"digest":"{digest}"}}"#),
        Operation::DeleteRepository { .. } => String::from("{}"),
        Operation::SetAttributes {
            subject,
            attributes,
        } => {
            let mut out = format!(r#"{{"flags":{}"#, attributes.flags.bits());
            match subject {
                Subject::Repository => {}
                Subject::Manifest(digest) => {
                    let _ = write!(out, r#","digest":"{digest}""#);
                }
                Subject::Tag(tag) => push_optional(&mut out, "tag", Some(tag.as_str())),
            }
            let state = attributes.quarantine_state.as_deref();
            push_optional(&mut out, "quarantine_state", state);
            let details = attributes.quarantine_details.as_deref();
            push_optional(&mut out, "quarantine_details", details);
            out.push('}');
            out
        }
        Operation::Setting { name, value } => {
            let mut out = String::from(r#"{"name":"#);
            push_string(&mut out, name);
            out.push_str(r#","value":"#);
            match value {
                Some(value) => push_string(&mut out, value),
                None => out.push_str("null"),
            }
            out.push('}');
            out
        }
        Operation::Control {
            resource,
            action,
            detail,
        } => {
            let mut out = String::from(r#"{"resource":"#);
            push_string(&mut out, resource);
            out.push_str(r#","action":"#);
            push_string(&mut out, action);
            if let Some(detail) = detail {
                out.push_str(r#","detail":"#);
                push_string(&mut out, detail);
            }
            out.push('}');
            out
        }
    }
}

/// The dots the operation removes, one after the other; `None` when there are none.
pub(crate) fn encode_observed(operation: &Operation) -> Option<Vec<u8>> {
    let observed = operation.observed();
    (!observed.is_empty()).then(|| {
        observed
            .iter()
            .flat_map(OperationId::as_bytes)
            .copied()
            .collect()
    })
}

/// Reads an operation back.
pub(crate) fn decode(
    kind: &str,
    payload: &str,
    observed: Option<&[u8]>,
) -> Result<Operation, PayloadError> {
    let Ok(Value::Object(fields)) = serde_json::from_str(payload) else {
        return Err(PayloadError::Malformed("not a JSON object"));
    };
    let observed = decode_observed(observed.unwrap_or_default())?;
    Ok(match kind {
        "put-manifest" => Operation::PutManifest {
            digest: digest(fields.get("digest"))?,
            media_type: text(&fields, "media_type")?.to_owned(),
            size: fields
                .get("size")
                .and_then(Value::as_u64)
                .ok_or(PayloadError::Malformed("size"))?,
            blobs: list(&fields, "blobs", |value| digest(Some(value)))?,
            tag: fields.get("tag").map(tag).transpose()?,
            platform: ImagePlatform {
                architecture: word(&fields, "architecture"),
                os: word(&fields, "os"),
            },
            superseded: observed.first().copied(),
        },
        "delete-manifest" => Operation::DeleteManifest {
            digest: digest(fields.get("digest"))?,
            observed,
            tags: list(&fields, "tags", tag)?,
        },
        "untag" => Operation::Untag {
            tag: tag(fields.get("tag").unwrap_or(&Value::Null))?,
        },
        "delete-blob" => Operation::DeleteBlob {
            digest: digest(fields.get("digest"))?,
        },
        "delete-repository" => Operation::DeleteRepository { observed },
        "set-attributes" => Operation::SetAttributes {
            subject: match (fields.get("tag"), fields.get("digest")) {
                (Some(name), _) => Subject::Tag(tag(name)?),
                (None, Some(_)) => Subject::Manifest(digest(fields.get("digest"))?),
                (None, None) => Subject::Repository,
            },
            attributes: Attributes {
                flags: fields
                    .get("flags")
                    .and_then(Value::as_i64)
                    .map(Flags::from_bits)
                    .ok_or(PayloadError::Malformed("flags"))?,
                quarantine_state: optional(&fields, "quarantine_state"),
                quarantine_details: optional(&fields, "quarantine_details"),
            },
        },
        "setting" => Operation::Setting {
            name: text(&fields, "name")?.to_owned(),
            value: fields
                .get("value")
                .and_then(Value::as_str)
                .map(str::to_owned),
        },
        "control" => Operation::Control {
            resource: text(&fields, "resource")?.to_owned(),
            action: text(&fields, "action")?.to_owned(),
            detail: fields
                .get("detail")
                .and_then(Value::as_str)
                .map(str::to_owned),
        },
        other => return Err(PayloadError::UnknownKind(other.to_owned())),
    })
}

fn decode_observed(bytes: &[u8]) -> Result<Vec<OperationId>, PayloadError> {
    bytes
        .chunks(16)
        .map(|id| OperationId::from_bytes(id).ok_or(PayloadError::Malformed("observed")))
        .collect()
}

/// A list of things whose text needs no escaping (digests, tags: their grammar has no such characters).
fn push_list<T: std::fmt::Display>(out: &mut String, items: impl IntoIterator<Item = T>) {
    let mut separator = '[';
    for item in items {
        let _ = write!(out, "{separator}\"{item}\"");
        separator = ',';
    }
    out.push_str(if separator == '[' { "[]" } else { "]" });
}

fn push_string(out: &mut String, text: &str) {
    let plain = text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain {
        let _ = write!(out, "\"{text}\"");
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// A further field, if it has a value.
fn push_optional(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = write!(out, r#","{name}":"#);
        push_string(out, value);
    }
}

fn optional(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn word(fields: &Map<String, Value>, name: &str) -> Option<Box<str>> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .and_then(ImagePlatform::word)
}

fn text<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, PayloadError> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .ok_or(PayloadError::Malformed(name))
}

fn list<T>(
    fields: &Map<String, Value>,
    name: &'static str,
    item: impl Fn(&Value) -> Result<T, PayloadError>,
) -> Result<Vec<T>, PayloadError> {
    let items = fields
        .get(name)
        .and_then(Value::as_array)
        .ok_or(PayloadError::Malformed(name))?;
    items.iter().map(item).collect()
}

fn digest(value: Option<&Value>) -> Result<Digest, PayloadError> {
    value
        .and_then(Value::as_str)
        .and_then(|text| Digest::parse(text).ok())
        .ok_or(PayloadError::Malformed("digest"))
}

fn tag(value: &Value) -> Result<Tag, PayloadError> {
    value
        .as_str()
        .and_then(|text| Tag::parse(text).ok())
        .ok_or(PayloadError::Malformed("tag"))
}
