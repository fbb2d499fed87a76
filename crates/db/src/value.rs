//! Parameters of a statement.

use crate::{Error, Result};

/// A parameter of a statement. The four kinds that both engines share; truth values are the integers 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A 64-bit signed integer.
    I64(i64),
    /// Text; it must not hold a NUL byte (PostgreSQL cannot store one).
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An unsigned integer beyond `i64::MAX`: the statement is refused with [`Error::InvalidValue`].
    OutOfRange,
}

impl Value<'_> {
    /// Refuses what one of the engines could not store.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::OutOfRange => Err(Error::InvalidValue("integer beyond 63 bits")),
            Self::Text(text) if text.as_bytes().contains(&0) => {
                Err(Error::InvalidValue("text with a NUL byte"))
            }
            _ => Ok(()),
        }
    }
}

/// A parameter that outlives the call it was given to.
pub(crate) enum OwnedValue {
    Plain(Value<'static>),
    Text(Box<str>),
    Bytes(Box<[u8]>),
}

impl OwnedValue {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

impl From<&Value<'_>> for OwnedValue {
    fn from(value: &Value<'_>) -> Self {
        match *value {
            Value::Null => Self::Plain(Value::Null),
            Value::I64(value) => Self::Plain(Value::I64(value)),
            Value::Text(text) => Self::Text(text.into()),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::OutOfRange => Self::Plain(Value::OutOfRange),
        }
    }
}

/// Makes the parameter list of a statement: `params![id, name, &digest[..]]` is `&[Value::from(id), ..]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::Value::from($value)),*] as &[$crate::Value<'_>] };
}

macro_rules! from_small_integer {
    ($($t:ty),*) => { $(
        impl From<$t> for Value<'_> {
            fn from(value: $t) -> Self { Self::I64(i64::from(value)) }
        }
    )* };
}
from_small_integer!(i64, i32, i16, u32, u16, u8, bool);

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::OutOfRange, Self::I64)
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or(Self::OutOfRange, Self::I64)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_beyond_63_bits_are_refused_not_wrapped() {
        assert_eq!(Value::from(u64::MAX), Value::OutOfRange);
        assert_eq!(Value::from(7_u64), Value::I64(7));
        assert!(matches!(
            Value::from(1_u64 << 63).check(),
            Err(Error::InvalidValue(_))
        ));
    }

    #[test]
    fn nul_bytes_are_refused_in_text_only() {
        assert!(matches!(
            Value::from("a\0b").check(),
            Err(Error::InvalidValue(_))
        ));
        assert!(Value::from(&b"a\0b"[..]).check().is_ok());
    }

    #[test]
    fn the_macro_takes_every_kind() {
        let owned = String::from("o");
        let bytes = vec![1_u8];
        let none: Option<&str> = None;
        let list = params![
            1_i64,
            "a",
            &owned,
            &bytes,
            &[2_u8; 3],
            none,
            Some(4_i64),
            true
        ];
        assert_eq!(
            list,
            [
                Value::I64(1),
                Value::Text("a"),
                Value::Text("o"),
                Value::Bytes(&[1]),
                Value::Bytes(&[2, 2, 2]),
                Value::Null,
                Value::I64(4),
                Value::I64(1),
            ]
        );
    }
}
