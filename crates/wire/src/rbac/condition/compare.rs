//! One value against another.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::evaluate::Value;
use super::operator::{Kind, Operator, Test};
use super::time;
use crate::Guid;

/// A value written in a condition, in the form its operator compares.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    /// In lower case where the operator ignores case.
    Text(Box<str>),
    Like(Like),
    Number(f64),
    Time(i64),
    Bool(bool),
    Guid(Guid),
}

impl Literal {
    /// Reads what stands between quotation marks.
    pub(super) fn of_text(operator: Operator, text: &str) -> Option<Self> {
        match operator.kind {
            Kind::Text | Kind::TextIgnoreCase => {
                let text = folded(operator, text);
                Some(if operator.test == Test::Like {
                    Self::Like(Like::new(&text))
                } else {
                    Self::Text(text.into())
                })
            }
            Kind::Time => time::parse_time(text).map(Self::Time),
            Kind::Guid => Guid::parse(text).ok().map(Self::Guid),
            Kind::Number | Kind::Bool => None,
        }
    }

    /// Reads what stands without them.
    pub(super) fn of_word(operator: Operator, word: &str) -> Option<Self> {
        match operator.kind {
            Kind::Number => number(word).map(Self::Number),
            Kind::Time => time::parse_time(word).map(Self::Time),
            Kind::Bool if word.eq_ignore_ascii_case("true") => Some(Self::Bool(true)),
            Kind::Bool if word.eq_ignore_ascii_case("false") => Some(Self::Bool(false)),
            Kind::Guid => Guid::parse(word).ok().map(Self::Guid),
            Kind::Text | Kind::TextIgnoreCase | Kind::Bool => None,
        }
    }

    /// The form in which a value of an attribute is compared with; `None` when it is of another type.
    pub(super) fn of_value(operator: Operator, value: &Value<'_>) -> Option<Self> {
        match (operator.kind, value) {
            (Kind::Text | Kind::TextIgnoreCase | Kind::Guid | Kind::Time, Value::Text(text)) => {
                Self::of_text(operator, text)
            }
            (Kind::Number, Value::Number(number)) => Some(Self::Number(*number)),
            (Kind::Time, Value::Time(time)) => Some(Self::Time(*time)),
            (Kind::Bool, Value::Bool(truth)) => Some(Self::Bool(*truth)),
            (Kind::Guid, Value::Guid(guid)) => Some(Self::Guid(*guid)),
            _ => None,
        }
    }
}

/// The value of an attribute in the form an operator compares; `None` when it is of another type.
pub(super) fn prepared<'v>(operator: Operator, value: &Value<'v>) -> Option<Value<'v>> {
    Some(match (operator.kind, value) {
        (Kind::Text, Value::Text(text)) => Value::Text(text.clone()),
        (Kind::TextIgnoreCase, Value::Text(text)) if is_folded(text) => Value::Text(text.clone()),
        (Kind::TextIgnoreCase, Value::Text(text)) => Value::Text(Cow::Owned(text.to_lowercase())),
        (Kind::Time, Value::Text(text)) => Value::Time(time::parse_time(text)?),
        (Kind::Guid, Value::Text(text)) => Value::Guid(Guid::parse(text).ok()?),
        (Kind::Number, Value::Number(number)) if number.is_finite() => Value::Number(*number),
        (Kind::Time, Value::Time(time)) => Value::Time(*time),
        (Kind::Bool, Value::Bool(truth)) => Value::Bool(*truth),
        (Kind::Guid, Value::Guid(guid)) => Value::Guid(*guid),
        _ => return None,
    })
}

/// Whether a prepared value fits, before negation; `None` for another type.
pub(super) fn fits(test: Test, value: &Value<'_>, literal: &Literal) -> Option<bool> {
    let ordering = match (value, literal) {
        (Value::Text(text), Literal::Text(with)) => {
            return Some(match test {
                Test::StartsWith => text.starts_with(&**with),
                _ => **text == **with,
            });
        }
        (Value::Text(text), Literal::Like(pattern)) => return Some(pattern.matches(text)),
        (Value::Bool(one), Literal::Bool(other)) => return Some(one == other),
        (Value::Guid(one), Literal::Guid(other)) => return Some(one == other),
        (Value::Number(one), Literal::Number(other)) => one.partial_cmp(other)?,
        (Value::Time(one), Literal::Time(other)) => one.cmp(other),
        _ => return None,
    };
    Some(match test {
        Test::Less => ordering == Ordering::Less,
        Test::LessOrEqual => ordering != Ordering::Greater,
        Test::Greater => ordering == Ordering::Greater,
        Test::GreaterOrEqual => ordering != Ordering::Less,
        Test::Equals | Test::StartsWith | Test::Like => ordering == Ordering::Equal,
    })
}

fn folded(operator: Operator, text: &str) -> Cow<'_, str> {
    if operator.kind == Kind::TextIgnoreCase && !is_folded(text) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_folded(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}

fn number(word: &str) -> Option<f64> {
    let plain = word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.'));
    let number: f64 = plain.then(|| word.parse().ok()).flatten()?;
    number.is_finite().then_some(number)
}

/// A pattern of `StringLike`: `*` is any run, `?` one character; behind a backslash they, and it, stand for themselves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Like {
    /// Between the stars. `None`: any one character.
    pieces: Box<[Box<[Option<char>]>]>,
}

impl Like {
    pub(super) fn new(pattern: &str) -> Self {
        let mut pieces = vec![Vec::new()];
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let part = match (character, characters.peek().copied()) {
                ('\\', Some(escaped @ ('*' | '?' | '\\'))) => {
                    characters.next();
                    Some(escaped)
                }
                ('*', _) => {
                    pieces.push(Vec::new());
                    continue;
                }
                ('?', _) => None,
                (plain, _) => Some(plain),
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(part);
            }
        }
        Self {
            pieces: pieces.into_iter().map(Vec::into_boxed_slice).collect(),
        }
    }

    /// Each piece is searched for from where the one before it ended, and what was found is never taken back.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let Some((first, rest)) = self.pieces.split_first() else {
            return text.is_empty();
        };
        let Some((last, middle)) = rest.split_last() else {
            return first.len() == text.len() && is_at(first, &text);
        };
        let shortest: usize = self.pieces.iter().map(|piece| piece.len()).sum();
        if shortest > text.len() || !is_at(first, &text) {
            return false;
        }
        let tail = text.len() - last.len();
        if !is_at(last, &text[tail..]) {
            return false;
        }
        let mut at = first.len();
        for piece in middle {
            let found = (at..=tail.saturating_sub(piece.len()))
                .find(|start| is_at(piece, &text[*start..tail]));
            match found {
                Some(start) => at = start + piece.len(),
                None => return false,
            }
        }
        at <= tail
    }
}

fn is_at(piece: &[Option<char>], text: &[char]) -> bool {
    piece.len() <= text.len()
        && piece
            .iter()
            .zip(text)
            .all(|(part, character)| part.is_none_or(|part| part == *character))
}
