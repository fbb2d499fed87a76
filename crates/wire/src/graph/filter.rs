//! `$filter` of OData, as far as directories need it: comparisons of texts and truths, `startswith`, `endswith`, `in`,
//! `any` over lists, `and`, `or`, `not` and parentheses.

use serde_json::{Map, Value};

/// The longest filter, in bytes.
const MAX_LENGTH: usize = 4096;

/// Deepest nesting.
const MAX_DEPTH: usize = 16;

/// Most comparisons.
const MAX_TERMS: usize = 64;

/// Why a filter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Longer than 4 KiB, nested too deeply, or of too many comparisons.
    #[error("the filter is too large")]
    TooLarge,
    /// It cannot be read from this byte on.
    #[error(
        "the filter cannot be read at character {0}; there are eq, ne, in, startswith, endswith, any, and, or, not"
    )]
    Syntax(usize),
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    /// Whether one of the values is the property's.
    Is(String, Vec<Value>),
    StartsWith(String, String),
    EndsWith(String, String),
    /// Whether an item of a list is this.
    Any(String, Value),
}

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError::TooLarge);
        }
        let mut reader = Reader {
            text,
            position: 0,
            terms: 0,
        };
        let node = reader.any_of(0)?;
        reader.spaces();
        if reader.position == text.len() {
            Ok(Self(node))
        } else {
            Err(reader.error())
        }
    }

    /// Whether an object passes. Texts are compared without regard to case, as Graph does.
    pub fn matches(&self, object: &Map<String, Value>) -> bool {
        self.0.matches(object)
    }

    /// The text that a property has to be, when the filter says nothing but that, or says it together with other things.
    pub fn demands(&self, property: &str) -> Option<&str> {
        self.0.demands(property)
    }
}

impl Node {
    fn matches(&self, object: &Map<String, Value>) -> bool {
        match self {
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(object)),
            Self::And(nodes) => nodes.iter().all(|node| node.matches(object)),
            Self::Not(node) => !node.matches(object),
            Self::Is(name, values) => {
                let had = object.get(name).unwrap_or(&Value::Null);
                values.iter().any(|value| equal(had, value))
            }
            Self::StartsWith(name, text) => {
                lower(object, name).is_some_and(|had| had.starts_with(&text.to_lowercase()))
            }
            Self::EndsWith(name, text) => {
                lower(object, name).is_some_and(|had| had.ends_with(&text.to_lowercase()))
            }
            Self::Any(name, value) => {
                let list = object.get(name).and_then(Value::as_array);
                list.is_some_and(|list| list.iter().any(|item| equal(item, value)))
            }
        }
    }

    fn demands(&self, property: &str) -> Option<&str> {
        match self {
            Self::And(nodes) => nodes.iter().find_map(|node| node.demands(property)),
            Self::Is(name, values) if name == property => match values.as_slice() {
                [Value::String(text)] => Some(text),
                _ => None,
            },
            Self::Any(name, Value::String(text)) if name == property => Some(text),
            _ => None,
        }
    }
}

fn lower(object: &Map<String, Value>, name: &str) -> Option<String> {
    Some(object.get(name)?.as_str()?.to_lowercase())
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.to_lowercase() == other.to_lowercase(),
        _ => one == other,
    }
}

struct Reader<'t> {
    text: &'t str,
    position: usize,
    terms: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    fn error(&self) -> FilterError {
        FilterError::Syntax(self.text[..self.position].chars().count() + 1)
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches(' ').len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.spaces();
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), FilterError> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    /// A word that ends where it ends.
    fn keyword(&mut self, word: &str) -> bool {
        self.spaces();
        let rest = self.rest();
        let is_it = rest.strip_prefix(word).is_some_and(|after| {
            !after.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/'))
        });
        if is_it {
            self.position += word.len();
        }
        is_it
    }

    fn any_of(&mut self, depth: usize) -> Result<Node, FilterError> {
        if depth > MAX_DEPTH {
            return Err(FilterError::TooLarge);
        }
        let mut nodes = vec![self.all_of(depth)?];
        while self.keyword("or") {
            nodes.push(self.all_of(depth)?);
        }
        Ok(single(nodes, Node::Or))
    }

    fn all_of(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.unary(depth)?];
        while self.keyword("and") {
            nodes.push(self.unary(depth)?);
        }
        Ok(single(nodes, Node::And))
    }

    fn unary(&mut self, depth: usize) -> Result<Node, FilterError> {
        if depth > MAX_DEPTH {
            return Err(FilterError::TooLarge);
        }
        if self.keyword("not") {
            return Ok(Node::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.take("(") {
            let node = self.any_of(depth + 1)?;
            self.expect(")")?;
            return Ok(node);
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(FilterError::TooLarge);
        }
        self.term()
    }

    fn term(&mut self) -> Result<Node, FilterError> {
        for (word, make) in [
            ("startswith", Node::StartsWith as fn(String, String) -> Node),
            ("startsWith", Node::StartsWith),
            ("endswith", Node::EndsWith),
            ("endsWith", Node::EndsWith),
        ] {
            if self.keyword(word) {
                self.expect("(")?;
                let name = self.name()?;
                self.expect(",")?;
                let Value::String(text) = self.literal()? else {
                    return Err(self.error());
                };
                self.expect(")")?;
                return Ok(make(name, text));
            }
        }
        let name = self.name()?;
        if self.take("/any(") {
            let variable = self.name()?;
            self.expect(":")?;
            if self.name()? != variable || !self.keyword("eq") {
                return Err(self.error());
            }
            let value = self.literal()?;
            self.expect(")")?;
            return Ok(Node::Any(name, value));
        }
        if self.keyword("eq") {
            return Ok(Node::Is(name, vec![self.literal()?]));
        }
        if self.keyword("ne") {
            let is = Node::Is(name, vec![self.literal()?]);
            return Ok(Node::Not(Box::new(is)));
        }
        if self.keyword("in") {
            self.expect("(")?;
            let mut values = vec![self.literal()?];
            while self.take(",") {
                self.terms += 1;
                if self.terms > MAX_TERMS {
                    return Err(FilterError::TooLarge);
                }
                values.push(self.literal()?);
            }
            self.expect(")")?;
            return Ok(Node::Is(name, values));
        }
        Err(self.error())
    }

    fn name(&mut self) -> Result<String, FilterError> {
        self.spaces();
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error());
        }
        let name = rest[..end].to_owned();
        self.position += end;
        Ok(name)
    }

    fn literal(&mut self) -> Result<Value, FilterError> {
        for (word, value) in [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ] {
            if self.keyword(word) {
                return Ok(value);
            }
        }
        self.spaces();
        if let Some(quoted) = self.rest().strip_prefix('\'') {
            let mut text = String::new();
            let mut characters = quoted.char_indices().peekable();
            while let Some((index, character)) = characters.next() {
                if character != '\'' {
                    text.push(character);
                } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                    text.push('\'');
                } else {
                    self.position += index + 2;
                    return Ok(Value::String(text));
                }
            }
            return Err(self.error());
        }
        // A GUID without quotes.
        let rest = self.rest();
        if let Some(guid) = rest.get(..36)
            && crate::Guid::parse(guid).is_ok()
        {
            let guid = guid.to_owned();
            self.position += 36;
            return Ok(Value::String(guid));
        }
        Err(self.error())
    }
}

fn single(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1 {
        nodes.remove(0)
    } else {
        many(nodes)
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
