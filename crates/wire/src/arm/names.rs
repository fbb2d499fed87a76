//! Which names resources may have.

use std::collections::BTreeMap;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not the name of a registry.
    #[error("a registry's name has 5 to 50 letters and digits")]
    Registry,
    /// Not the name of a resource group.
    #[error(
        "a resource group's name has 1 to 90 letters, digits, underscores, parentheses, hyphens and periods, and no period at \
         its end"
    )]
    Group,
    /// Not the name of a scope map.
    #[error(
        "a scope map's name has 1 to 61 letters, digits, hyphens and underscores, and no underscore at its beginning"
    )]
    ScopeMap,
    /// Not the name of a token.
    #[error(
        "a token's name has 1 to 50 letters, digits, hyphens and underscores, and begins with a letter or digit"
    )]
    Token,
    /// Not the name of a lock.
    #[error(
        "a lock's name has 1 to 90 letters, digits, underscores, parentheses, hyphens and periods"
    )]
    Lock,
    /// Not the name of a managed identity.
    #[error(
        "an identity's name has 3 to 128 letters, digits, hyphens and underscores, and begins with a letter or digit"
    )]
    Identity,
    /// Too many tags, or one that is too long.
    #[error("a resource has at most 50 tags, of names up to 512 and values up to 256 characters")]
    Tags,
}

/// Names of registries: part of host names, and compared in lower case.
pub fn check_registry_name(name: &str) -> Result<(), NameError> {
    let is_good = (5..=50).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    is_good.then_some(()).ok_or(NameError::Registry)
}

/// Names of resource groups.
pub fn check_group_name(name: &str) -> Result<(), NameError> {
    let is_good = is_free(name) && !name.ends_with('.');
    is_good.then_some(()).ok_or(NameError::Group)
}

/// Names of scope maps that people make. Those of the system begin with an underscore, which these do not.
pub fn check_scope_map_name(name: &str) -> Result<(), NameError> {
    // az makes `NAME-scope-map` for the token NAME.
    let is_good =
        (1..=61).contains(&name.len()) && name.bytes().all(is_word) && !name.starts_with('_');
    is_good.then_some(()).ok_or(NameError::ScopeMap)
}

/// Names of tokens, with which they sign in.
pub fn check_token_name(name: &str) -> Result<(), NameError> {
    let is_good = (1..=50).contains(&name.len())
        && name.bytes().all(is_word)
        && !name.starts_with(['_', '-']);
    is_good.then_some(()).ok_or(NameError::Token)
}

/// Names of locks.
pub fn check_lock_name(name: &str) -> Result<(), NameError> {
    is_free(name).then_some(()).ok_or(NameError::Lock)
}

/// Names of managed identities.
pub fn check_identity_name(name: &str) -> Result<(), NameError> {
    let is_good = (3..=128).contains(&name.len())
        && name.bytes().all(is_word)
        && !name.starts_with(['_', '-']);
    is_good.then_some(()).ok_or(NameError::Identity)
}

/// The tags of a resource.
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), NameError> {
    let is_good = tags.len() <= 50
        && tags.iter().all(|(name, value)| {
            !name.is_empty() && name.chars().count() <= 512 && value.chars().count() <= 256
        });
    is_good.then_some(()).ok_or(NameError::Tags)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_free(name: &str) -> bool {
    (1..=90).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '(' | ')' | '-' | '.'))
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        for good in ["abcde", "Hub01", &"a".repeat(50)] {
            assert_eq!(check_registry_name(good), Ok(()), "{good}");
        }
        for bad in [
            "abcd",
            "a-bcd",
            "a_bcd",
            "äbcde",
            "abc.de",
            &"a".repeat(51),
            "",
        ] {
            assert_eq!(check_registry_name(bad), Err(NameError::Registry), "{bad}");
        }
        for good in ["a", "Prod.RG-1_(x)", "ü"] {
            assert_eq!(check_group_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a.", "a b", "a/b", "..", &"a".repeat(91)] {
            assert_eq!(check_group_name(bad), Err(NameError::Group), "{bad}");
        }
        assert!(check_scope_map_name("tok1-scope-map").is_ok());
        assert!(check_scope_map_name("_repositories_pull").is_err());
        assert!(check_token_name("tok1").is_ok());
        assert!(check_token_name("-tok").is_err());
        assert!(check_identity_name("id-1").is_ok());
        assert!(check_identity_name("-id").is_err());
    }
}
