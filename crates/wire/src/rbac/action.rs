//! Actions such as `Microsoft.ContainerRegistry/registries/read`, and patterns of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest action or pattern, in bytes.
pub const MAX_ACTION: usize = 512;

/// Why a text is no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Nothing, or longer than [`MAX_ACTION`].
    #[error("an action has 1 to 512 bytes")]
    Length,
    /// A character no action has.
    #[error("character {0} does not belong into an action")]
    Character(usize),
}

/// One operation on a resource, named in full. Compares in lower case. Cloning shares.
#[derive(Clone)]
pub struct ArmAction {
    text: Arc<str>,
    key: Arc<str>,
}

impl ArmAction {
    /// Reads an action.
    pub fn parse(text: &str) -> Result<Self, ActionError> {
        check(text, false)?;
        let (text, key) = (Arc::from(text), Arc::from(text.to_ascii_lowercase()));
        Ok(Self { text, key })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In lower case.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl PartialEq for ArmAction {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ArmAction {}

impl std::hash::Hash for ArmAction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for ArmAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ArmAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArmAction({})", self.text)
    }
}

/// A pattern of actions: `*` stands for any run of characters, slashes too. Upper and lower case are the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ActionPattern {
    text: Box<str>,
    /// In lower case.
    key: Box<str>,
    /// Where the first star is.
    star: Option<usize>,
}

impl ActionPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, ActionError> {
        check(text, true)?;
        Ok(Self {
            text: text.into(),
            key: text.to_ascii_lowercase().into(),
            star: text.find('*'),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether an action is one of the pattern's.
    pub fn matches(&self, action: &ArmAction) -> bool {
        let (pattern, action) = (&*self.key, action.key());
        let Some(star) = self.star else {
            return pattern == action;
        };
        // Most patterns differ from most actions before the first star.
        action.starts_with(&pattern[..star]) && run_matches(&pattern[star..], &action[star..])
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters. Each piece is searched for once, from where the
/// one before it ended: the time is linear.
pub(super) fn run_matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(at) = text.find(piece) else {
            return false;
        };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}

fn check(text: &str, wildcards: bool) -> Result<(), ActionError> {
    if text.is_empty() || text.len() > MAX_ACTION {
        return Err(ActionError::Length);
    }
    let belongs = |character: char| {
        character.is_ascii_alphanumeric()
            || matches!(character, '.' | '/' | '-' | '_' | '$')
            || (wildcards && character == '*')
    };
    match text.chars().position(|character| !belongs(character)) {
        Some(at) => Err(ActionError::Character(at + 1)),
        None => Ok(()),
    }
}

impl fmt::Display for ActionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ActionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionPattern({})", self.text)
    }
}

impl Serialize for ActionPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ActionPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, action: &str) -> bool {
        ActionPattern::parse(pattern)
            .unwrap()
            .matches(&ArmAction::parse(action).unwrap())
    }

    #[test]
    fn a_star_is_any_run() {
        assert!(matches("*", "A/b/read"));
        assert!(matches("*/read", "A/b/read"));
        assert!(!matches("*/read", "A/b/reader"));
        assert!(matches(
            "Microsoft.ContainerRegistry/registries/*",
            "microsoft.containerregistry/REGISTRIES/tokens/write"
        ));
        assert!(!matches("A/b/*", "A/b"));
        assert!(matches("A/*/write", "A/b/c/write"));
        assert!(!matches("A/*b", "A/"));
        assert!(matches("a*a", "aa"));
        assert!(!matches("a*a", "a"));
        assert!(!matches("a*ab*b", "aab"));
        assert!(matches("A/b/read", "a/B/READ"));
    }

    #[test]
    fn what_is_no_action_is_refused() {
        assert_eq!(ArmAction::parse(""), Err(ActionError::Length));
        assert_eq!(ArmAction::parse("a*"), Err(ActionError::Character(2)));
        assert_eq!(ActionPattern::parse("a b"), Err(ActionError::Character(2)));
        assert_eq!(
            ActionPattern::parse(&"a".repeat(513)),
            Err(ActionError::Length)
        );
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some((b'*', rest)), None) => naive(rest, text),
            (Some((b'*', rest)), Some((_, less))) => naive(rest, text) || naive(pattern, less),
            (Some((a, rest)), Some((b, less))) => a == b && naive(rest, less),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn the_fast_match_is_the_naive_one(pattern in "[ab*]{1,10}", text in "[ab]{0,10}") {
            prop_assert_eq!(run_matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Ok(pattern) = ActionPattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), text.as_str());
            }
        }
    }
}
