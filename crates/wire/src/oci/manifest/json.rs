//! Bounded reading of JSON objects: what a derived deserializer does not refuse.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ManifestLimits;
use super::error::{ManifestError, excerpt};

/// Refuses nesting deeper than `limit`, by counting brackets outside strings. Takes no stack, and leaves syntax to the parser.
pub(super) fn check_depth(body: &[u8], limit: usize) -> Result<(), ManifestError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match (in_string, byte) {
            (true, b'\\') => {
                bytes.next();
            }
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > limit {
                    return Err(ManifestError::TooDeep { limit });
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The limits, and the refusal that made the JSON reader stop: its own errors carry nothing but text.
pub(super) struct Reader<'a> {
    pub(super) limits: &'a ManifestLimits,
    refusal: RefCell<Option<ManifestError>>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(limits: &'a ManifestLimits) -> Self {
        Self {
            limits,
            refusal: RefCell::new(None),
        }
    }

    pub(super) fn read<'de, O: Object<'de>>(&self, text: &'de str) -> Result<O, ManifestError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        ObjectSeed(self, PhantomData)
            .deserialize(&mut deserializer)
            .and_then(|object| deserializer.end().map(|()| object))
            .map_err(|error| {
                let refusal = self.refusal.borrow_mut().take();
                refusal.unwrap_or_else(|| ManifestError::Syntax {
                    message: excerpt(&error.to_string()),
                })
            })
    }

    fn refuse<E: Error>(&self, refusal: ManifestError) -> E {
        *self.refusal.borrow_mut() = Some(refusal);
        E::custom("refused")
    }

    fn too_many<E: Error>(&self, what: &'static str, limit: usize) -> E {
        self.refuse(ManifestError::TooMany { what, limit })
    }
}

/// A JSON object with known fields. Unknown ones are skipped.
pub(super) trait Object<'de>: Default {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// Its known keys, at most 32.
    const KEYS: &'static [&'static str];

    /// Reads the value of the known key with this index.
    fn read_field<A: MapAccess<'de>>(
        &mut self,
        key: usize,
        reader: &Reader<'_>,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

/// An object with known fields, neither they nor others given twice.
struct ObjectSeed<'r, 'l, O>(&'r Reader<'l>, PhantomData<O>);

impl<'de, O: Object<'de>> DeserializeSeed<'de> for ObjectSeed<'_, '_, O> {
    type Value = O;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<O, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, O: Object<'de>> Visitor<'de> for ObjectSeed<'_, '_, O> {
    type Value = O;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<O, A::Error> {
        let reader = self.0;
        let mut object = O::default();
        let mut known = 0_u32;
        let mut unknown = HashSet::new();
        while let Some(Text(key)) = map.next_key()? {
            if known.count_ones() as usize + unknown.len() >= reader.limits.max_keys {
                return Err(reader.too_many(O::WHAT, reader.limits.max_keys));
            }
            if let Some(index) = O::KEYS.iter().position(|name| *name == key) {
                if known & 1 << index != 0 {
                    return Err(reader.refuse(ManifestError::DuplicateKey { key: excerpt(&key) }));
                }
                known |= 1 << index;
                object.read_field(index, reader, &mut map)?;
            } else if O::KEYS.iter().any(|name| folds_to(&key, name)) {
                return Err(reader.refuse(ManifestError::AmbiguousKey { key: excerpt(&key) }));
            } else if let Some(key) = unknown.replace(key) {
                return Err(reader.refuse(ManifestError::DuplicateKey { key: excerpt(&key) }));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

/// Whether readers that fold case, such as Go's, take `key` for `name`. Two letters outside ASCII fold into it.
fn folds_to(key: &str, name: &str) -> bool {
    let fold = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// `null` or a value.
struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// An array of objects, not longer than a limit.
struct ArraySeed<'r, 'l, O>(&'r Reader<'l>, PhantomData<O>);

impl<'de, O: Object<'de>> DeserializeSeed<'de> for ArraySeed<'_, '_, O> {
    type Value = Vec<O>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<O>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, O: Object<'de>> Visitor<'de> for ArraySeed<'_, '_, O> {
    type Value = Vec<O>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<O>, A::Error> {
        let limit = self.0.limits.max_descriptors;
        let mut objects = Vec::new();
        while let Some(object) = sequence.next_element_seed(ObjectSeed(self.0, PhantomData))? {
            if objects.len() == limit {
                return Err(self.0.too_many("a list of descriptors", limit));
            }
            objects.push(object);
        }
        Ok(objects)
    }
}

/// A map from text to text, not larger than a limit, without duplicates.
struct AnnotationsSeed<'r, 'l>(&'r Reader<'l>);

impl<'de> DeserializeSeed<'de> for AnnotationsSeed<'_, '_> {
    type Value = Annotations<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AnnotationsSeed<'_, '_> {
    type Value = Annotations<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let limit = self.0.limits.max_annotations;
        let mut annotations = BTreeMap::new();
        while let Some((Text(key), Text(value))) = map.next_entry()? {
            if annotations.len() == limit {
                return Err(self.0.too_many("annotations", limit));
            }
            if annotations.contains_key(&key) {
                return Err(self
                    .0
                    .refuse(ManifestError::DuplicateKey { key: excerpt(&key) }));
            }
            annotations.insert(key, value);
        }
        Ok(annotations)
    }
}

/// A string, borrowed from the body where it has no escapes.
struct Text<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A number; `None` inside when it is negative, fractional or too large.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) Option<u64>);

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(u64::try_from(number).ok()))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_u64(NumberVisitor)
    }
}

/// Annotations, borrowed from the body where they have no escapes.
pub(super) type Annotations<'de> = BTreeMap<Cow<'de, str>, Cow<'de, str>>;

/// Values of fields. Each reads `null` as an absent field, as clients written in Go send and read it.
impl Reader<'_> {
    pub(super) fn text<'de, A: MapAccess<'de>>(
        map: &mut A,
    ) -> Result<Option<Cow<'de, str>>, A::Error> {
        Ok(map
            .next_value::<Option<Text<'de>>>()?
            .map(|Text(text)| text))
    }

    pub(super) fn number<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Number>, A::Error> {
        map.next_value()
    }

    pub(super) fn object<'de, O: Object<'de>, A: MapAccess<'de>>(
        &self,
        map: &mut A,
    ) -> Result<Option<O>, A::Error> {
        map.next_value_seed(Nullable(ObjectSeed(self, PhantomData)))
    }

    pub(super) fn array<'de, O: Object<'de>, A: MapAccess<'de>>(
        &self,
        map: &mut A,
    ) -> Result<Option<Vec<O>>, A::Error> {
        map.next_value_seed(Nullable(ArraySeed(self, PhantomData)))
    }

    pub(super) fn annotations<'de, A: MapAccess<'de>>(
        &self,
        map: &mut A,
    ) -> Result<Option<Annotations<'de>>, A::Error> {
        map.next_value_seed(Nullable(AnnotationsSeed(self)))
    }
}
