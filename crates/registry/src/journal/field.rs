//! Values of rows in JSON: null, a number, a text, or bytes in base 64.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use lazuli_db::dump::Cell;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field(pub Cell);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Null(()),
    Integer(i64),
    Text(String),
    Bytes { base64: String },
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Cell::Null => to.serialize_unit(),
            Cell::Integer(number) => to.serialize_i64(*number),
            Cell::Text(text) => to.serialize_str(text),
            Cell::Bytes(bytes) => Form::Bytes {
                base64: STANDARD.encode(bytes),
            }
            .serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match Form::deserialize(from)? {
            Form::Null(()) => Cell::Null,
            Form::Integer(number) => Cell::Integer(number),
            Form::Text(text) => Cell::Text(text),
            Form::Bytes { base64 } => Cell::Bytes(decoded(&base64)?),
        }))
    }
}

fn decoded<E: serde::de::Error>(text: &str) -> Result<Vec<u8>, E> {
    STANDARD.decode(text).map_err(E::custom)
}

/// Bytes that may be missing, as text in base 64.
pub(super) mod base64 {
    use super::{Deserialize, Deserializer, STANDARD, Serialize, Serializer, decoded};
    use ::base64::Engine as _;

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        bytes
            .as_ref()
            .map(|bytes| STANDARD.encode(bytes))
            .serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| decoded(&text)).transpose()
    }
}
