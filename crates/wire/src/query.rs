//! Queries and forms: `application/x-www-form-urlencoded`, strict and bounded (WHATWG URL §5.1).

use std::borrow::Cow;

use crate::percent;

/// Bounds on a query or a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Length in bytes, before decoding.
    pub max_length: usize,
    /// Pairs of name and value.
    pub max_pairs: usize,
}

impl QueryLimits {
    /// For the query of a URL.
    pub const QUERY: Self = Self {
        max_length: 16 * 1024,
        max_pairs: 128,
    };
    /// For a form in a body, which may carry several tokens.
    pub const FORM: Self = Self {
        max_length: 64 * 1024,
        max_pairs: 128,
    };
}

/// Why a query or form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Longer than the limit.
    #[error("the query is too long")]
    TooLong,
    /// More pairs than the limit.
    #[error("the query has too many parameters")]
    TooMany,
    /// A percent sign is not followed by two hexadecimal digits.
    #[error("the query has a malformed escape")]
    Escape,
    /// A name or value is not UTF-8, or has a NUL.
    #[error("the query is not text")]
    Encoding,
    /// A parameter that means one thing is given more than once.
    #[error("a parameter is given more than once")]
    Repeated,
}

/// The parameters of a query or form, in their order. Text without escapes is borrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads a query, without its `?`.
    pub fn parse(text: &'a str, limits: &QueryLimits) -> Result<Self, QueryError> {
        if text.len() > limits.max_length {
            return Err(QueryError::TooLong);
        }
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == limits.max_pairs {
                return Err(QueryError::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self { pairs })
    }

    /// Reads the body of a form.
    pub fn parse_bytes(body: &'a [u8], limits: &QueryLimits) -> Result<Self, QueryError> {
        if body.len() > limits.max_length {
            return Err(QueryError::TooLong);
        }
        Self::parse(
            std::str::from_utf8(body).map_err(|_| QueryError::Encoding)?,
            limits,
        )
    }

    /// The value of a parameter that means one thing: given twice, two readers could act on different ones.
    pub fn single(&self, name: &str) -> Result<Option<&str>, QueryError> {
        let mut values = self
            .iter()
            .filter(|(other, _)| *other == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(QueryError::Repeated),
        }
    }

    /// A name or value as it is written into a query.
    pub fn encode(text: &str) -> String {
        percent::Encoded(text).to_string()
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'q>(&'q self, name: &str) -> impl Iterator<Item = &'q str> {
        self.iter()
            .filter(move |(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// Every pair, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    let bytes = text.as_bytes();
    if bytes.contains(&0) {
        return Err(QueryError::Encoding);
    }
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while let Some(byte) = bytes.get(position) {
        let (byte, length) = match byte {
            b'%' => (
                percent::escape(&bytes[position..]).ok_or(QueryError::Escape)?,
                3,
            ),
            b'+' => (b' ', 1),
            other => (*other, 1),
        };
        if byte == 0 {
            return Err(QueryError::Encoding);
        }
        decoded.push(byte);
        position += length;
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| QueryError::Encoding)
}
