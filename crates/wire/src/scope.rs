//! Scopes of the management plane: the resource an assignment, a lock or a request is about.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest scope, in bytes.
pub const MAX_SCOPE: usize = 2048;

/// The most segments in a scope: a resource in a group with ten levels of types.
const MAX_SEGMENTS: usize = 32;

/// A resource of the management plane, or what holds resources: `/`, `/subscriptions/S`, `/subscriptions/S/resourceGroups/G`, a
/// resource below any of them (`…/providers/NS/type/name[/type/name]…`), a management group. Keeps its text as it was given (but
/// for slashes at the end), compares in lower case. Cloning shares.
#[derive(Clone)]
pub struct ArmScope {
    text: Arc<str>,
    key: Arc<str>,
}

/// Why a text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArmScopeError {
    /// Longer than [`MAX_SCOPE`], or of too many segments.
    #[error("a scope has at most 2048 bytes and 32 segments")]
    TooLong,
    /// Does not begin with a slash.
    #[error("a scope begins with '/'")]
    Relative,
    /// A segment is empty, `.` or `..`, or has a character no resource name has.
    #[error("segment {0} of the scope is not a name")]
    Segment(usize),
    /// The segments are not those of a resource identifier.
    #[error(
        "a scope is /, /subscriptions/{{id}}, /subscriptions/{{id}}/resourceGroups/{{name}}, or a resource below providers/"
    )]
    Shape,
}

impl ArmScope {
    /// The whole installation, `/`.
    pub fn root() -> Self {
        let text: Arc<str> = Arc::from("/");
        Self {
            key: Arc::clone(&text),
            text,
        }
    }

    /// A subscription.
    pub fn subscription(id: &str) -> Result<Self, ArmScopeError> {
        Self::parse(&format!("/subscriptions/{id}"))
    }

    /// A resource group.
    pub fn resource_group(subscription: &str, group: &str) -> Result<Self, ArmScopeError> {
        Self::parse(&format!(
            "/subscriptions/{subscription}/resourceGroups/{group}"
        ))
    }

    /// A registry.
    pub fn registry(subscription: &str, group: &str, name: &str) -> Result<Self, ArmScopeError> {
        Self::parse(&format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{name}"
        ))
    }

    /// Reads a scope. Slashes at the end do not count.
    pub fn parse(text: &str) -> Result<Self, ArmScopeError> {
        if text.len() > MAX_SCOPE {
            return Err(ArmScopeError::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(ArmScopeError::Relative)?;
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() {
            return Ok(Self::root());
        }
        let mut segments = Vec::new();
        for (index, segment) in rest.split('/').enumerate() {
            if index == MAX_SEGMENTS {
                return Err(ArmScopeError::TooLong);
            }
            if !is_name(segment) {
                return Err(ArmScopeError::Segment(index + 1));
            }
            segments.push(segment);
        }
        if !is_shape(&segments) {
            return Err(ArmScopeError::Shape);
        }
        let text: Arc<str> = text[..=rest.len()].into();
        let key = if text
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
        {
            text.to_lowercase().into()
        } else {
            Arc::clone(&text)
        };
        Ok(Self { text, key })
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form for comparing and for rows: lower case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether this is the whole installation.
    pub fn is_root(&self) -> bool {
        &*self.key == "/"
    }

    /// Whether another scope is this one or below it, by whole segments. Management groups hold subscriptions without their names
    /// saying so: that is not known here.
    pub fn contains(&self, other: &Self) -> bool {
        key_contains(&self.key, &other.key)
    }

    /// This scope and all above it, the nearest first, as keys: of a resource its parent resources, the group, the subscription, `/`.
    pub fn ancestor_keys(&self) -> impl Iterator<Item = &str> {
        let key = &*self.key;
        let own = (key != "/").then_some(key);
        let above = key
            .char_indices()
            .rev()
            .filter(move |(index, character)| *character == '/' && *index > 0)
            .map(move |(index, _)| &key[..index]);
        own.into_iter()
            .chain(above.filter(|key| is_scope_key(key)))
            .chain(std::iter::once("/"))
    }

    /// The subscription.
    pub fn subscription_id(&self) -> Option<&str> {
        let mut segments = self.text[1..].split('/');
        let first = segments.next()?;
        first
            .eq_ignore_ascii_case("subscriptions")
            .then(|| segments.next())
            .flatten()
    }

    /// The resource group.
    pub fn resource_group_name(&self) -> Option<&str> {
        self.subscription_id()?;
        let mut segments = self.text[1..].split('/').skip(2);
        let third = segments.next()?;
        third
            .eq_ignore_ascii_case("resourceGroups")
            .then(|| segments.next())
            .flatten()
    }

    /// The management group, when this is one.
    pub fn management_group(&self) -> Option<&str> {
        const PREFIX: &str = "/providers/microsoft.management/managementgroups/";
        let rest = self.key.strip_prefix(PREFIX)?;
        (!rest.contains('/')).then(|| &self.text[PREFIX.len()..])
    }

    /// The type of the resource, such as `Microsoft.ContainerRegistry/registries/tokens`, and its name; `None` for what is no
    /// resource of a provider.
    pub fn resource(&self) -> Option<(String, &str)> {
        let segments: Vec<&str> = self.text[1..].split('/').collect();
        let provider = segments
            .iter()
            .rposition(|segment| segment.eq_ignore_ascii_case("providers"))?;
        let below = segments.get(provider + 1..)?;
        let (namespace, rest) = below.split_first()?;
        let mut kind = (*namespace).to_owned();
        for pair in rest.chunks(2) {
            kind.push('/');
            kind.push_str(pair.first()?);
        }
        Some((kind, rest.last()?))
    }

    /// The name of the last segment: of the resource, the group, the subscription; empty for `/`.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

/// Whether a scope in lower case holds another in lower case.
pub fn key_contains(key: &str, other: &str) -> bool {
    key == "/"
        || other
            .strip_prefix(key)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_name(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.chars().all(|character| {
            character.is_alphanumeric()
                || matches!(character, '-' | '_' | '.' | '(' | ')' | '$' | '~')
        })
}

fn is_scope_key(key: &str) -> bool {
    let segments: Vec<&str> = key[1..].split('/').collect();
    is_shape(&segments)
}

fn is_shape(segments: &[&str]) -> bool {
    let is = |index: usize, word: &str| {
        segments
            .get(index)
            .is_some_and(|segment| segment.eq_ignore_ascii_case(word))
    };
    let mut at = 0;
    if is(0, "subscriptions") {
        at = if is(2, "resourceGroups") { 4 } else { 2 };
        if segments.len() < at {
            return false;
        }
    }
    while at < segments.len() {
        if !is(at, "providers") {
            return false;
        }
        // The namespace, then pairs of type and name, until another provider extends the resource.
        let end = segments[at + 1..]
            .iter()
            .position(|segment| segment.eq_ignore_ascii_case("providers"))
            .map_or(segments.len(), |index| at + 1 + index);
        let below = end - at - 1;
        if below < 3 || below.is_multiple_of(2) {
            return false;
        }
        at = end;
    }
    true
}

impl PartialEq for ArmScope {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ArmScope {}

impl Hash for ArmScope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialOrd for ArmScope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ArmScope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl fmt::Display for ArmScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ArmScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArmScope({})", self.text)
    }
}

impl std::str::FromStr for ArmScope {
    type Err = ArmScopeError;

    fn from_str(text: &str) -> Result<Self, ArmScopeError> {
        Self::parse(text)
    }
}

impl Serialize for ArmScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ArmScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
