//! Bodies of requests: JSON objects, read field by field, so that an error names the field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// How deep a body may be nested.
const MAX_DEPTH: usize = 32;
/// Marks that begin or separate values: bounds what is built in memory.
const MAX_MARKS: usize = 50_000;

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than [`MAX_BODY`] bytes, too deep, or of too many parts.
    #[error("the request's body is too large or too deeply nested")]
    TooLarge,
    /// No JSON object.
    #[error("the request's body is not a JSON object: {0}")]
    NotJson(String),
    /// A field has another type, or a value that is not one of its own.
    #[error("the value of '{field}' is not valid: {expected} is expected")]
    Field {
        /// Its path, such as `properties.policies.trustPolicy.status`.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A field that has to be there is not.
    #[error("'{0}' is missing in the request's body")]
    Missing(&'static str),
    /// A field that this server does not know has a value: it would have no effect.
    #[error(
        "'{0}' is not a property this server knows; nothing is accepted that would have no effect"
    )]
    Unknown(String),
}

/// A JSON object and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    path: String,
    fields: Map<String, Value>,
}

/// Reads a body. Nothing at all is an empty object: clients send no body where nothing has to be said.
pub fn read_object(body: &[u8]) -> Result<Object, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    let marks = body
        .iter()
        .filter(|byte| matches!(byte, b',' | b'[' | b'{'))
        .count();
    if marks > MAX_MARKS {
        return Err(BodyError::TooLarge);
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Object::new(Map::new()));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| BodyError::NotJson(error.to_string()))?;
    if depth(&value, MAX_DEPTH).is_none() {
        return Err(BodyError::TooLarge);
    }
    match value {
        Value::Object(fields) => Ok(Object::new(fields)),
        _ => Err(BodyError::NotJson("another value".to_owned())),
    }
}

/// `None` when deeper than `left`.
fn depth(value: &Value, left: usize) -> Option<()> {
    let left = left.checked_sub(1)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| depth(item, left)),
        Value::Object(fields) => fields.values().try_for_each(|item| depth(item, left)),
        _ => Some(()),
    }
}

impl Object {
    fn new(fields: Map<String, Value>) -> Self {
        Self {
            path: String::new(),
            fields,
        }
    }

    /// The whole path of a field of this object.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// An error about a field of this object.
    pub fn error(&self, name: &str, expected: &'static str) -> BodyError {
        BodyError::Field {
            field: self.path_of(name),
            expected,
        }
    }

    /// Takes a field out. `null` is as if it were not there.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there, `null` or not.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, BodyError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text)),
            Some(_) => Err(self.error(name, "a text")),
        }
    }

    /// Takes a truth value.
    pub fn truth(&mut self, name: &str) -> Result<Option<bool>, BodyError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.error(name, "true or false")),
        }
    }

    /// Takes an integer.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, BodyError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| self.error(name, "an integer")),
        }
    }

    /// Takes one of several words, in any case. `expected` names them.
    pub fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
        expected: &'static str,
    ) -> Result<Option<T>, BodyError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(&text))
            .map(|(_, value)| Some(*value))
            .ok_or_else(|| self.error(name, expected))
    }

    /// Takes an object.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, BodyError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self {
                path: self.path_of(name),
                fields,
            })),
            Some(_) => Err(self.error(name, "an object")),
        }
    }

    /// Takes a list.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, BodyError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(self.error(name, "a list")),
        }
    }

    /// Takes a list of objects.
    pub fn objects(&mut self, name: &str) -> Result<Option<Vec<Self>>, BodyError> {
        let Some(items) = self.list(name)? else {
            return Ok(None);
        };
        let path = self.path_of(name);
        let objects = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::Object(fields) => Ok(Self {
                    path: format!("{path}[{index}]"),
                    fields,
                }),
                _ => Err(self.error(name, "a list of objects")),
            });
        objects.collect::<Result<_, _>>().map(Some)
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, BodyError> {
        let Some(items) = self.list(name)? else {
            return Ok(None);
        };
        let texts = items.into_iter().map(|item| match item {
            Value::String(text) if !text.contains('\0') => Ok(text),
            _ => Err(self.error(name, "a list of texts")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// Takes an object of texts, such as tags.
    pub fn text_map(&mut self, name: &str) -> Result<Option<BTreeMap<String, String>>, BodyError> {
        let Some(object) = self.object(name)? else {
            return Ok(None);
        };
        let Object { path, fields } = object;
        let pairs = fields.into_iter().map(|(key, value)| match value {
            Value::String(text) if !text.contains('\0') && !key.contains('\0') => Ok((key, text)),
            _ => Err(BodyError::Field {
                field: format!("{path}.{key}"),
                expected: "a text",
            }),
        });
        pairs.collect::<Result<_, _>>().map(Some)
    }

    /// Lets go of fields that only answers have.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Fails if a field is left that says anything: it would have no effect.
    pub fn finish(self) -> Result<(), BodyError> {
        match self.fields.iter().find(|(_, value)| says_something(value)) {
            Some((name, _)) => Err(BodyError::Unknown(self.path_of(name))),
            None => Ok(()),
        }
    }
}

/// Whether a value is more than what a client writes when nothing is meant.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty() && !text.eq_ignore_ascii_case("disabled"),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(says_something),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn an_error_names_the_field() {
        let mut body = read_object(br#"{"properties":{"a":1,"b":null},"tags":{"x":"y"}}"#).unwrap();
        assert_eq!(
            body.text_map("tags").unwrap(),
            Some([("x".to_owned(), "y".to_owned())].into())
        );
        let mut properties = body.object("properties").unwrap().unwrap();
        assert_eq!(properties.truth("b"), Ok(None));
        let error = properties.truth("a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the value of 'properties.a' is not valid: true or false is expected"
        );
    }

    #[test]
    fn nothing_that_says_something_is_ignored() {
        let body = |text: &str| read_object(text.as_bytes()).unwrap();
        for silent in [
            "",
            "{}",
            r#"{"new":null}"#,
            r#"{"new":{"status":"disabled","list":[]}}"#,
            r#"{"new":false}"#,
        ] {
            assert_eq!(body(silent).finish(), Ok(()), "{silent}");
        }
        for loud in [r#"{"new":"Enabled"}"#, r#"{"new":[1]}"#, r#"{"new":true}"#] {
            assert_eq!(
                body(loud).finish(),
                Err(BodyError::Unknown("new".to_owned())),
                "{loud}"
            );
        }
    }

    #[test]
    fn bodies_are_bounded() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
        assert_eq!(read_object(deep.as_bytes()), Err(BodyError::TooLarge));
        let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(60_000));
        assert_eq!(read_object(wide.as_bytes()), Err(BodyError::TooLarge));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY));
        assert_eq!(read_object(long.as_bytes()), Err(BodyError::TooLarge));
        assert!(matches!(read_object(b"[]"), Err(BodyError::NotJson(_))));
    }
}
