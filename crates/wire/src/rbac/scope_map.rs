//! Actions of scope maps, such as `repositories/team/*/content/read`, and the patterns of repository names in them.

use std::fmt;

use crate::oci::RepositoryName;
use crate::token::Action;

/// Repositories by name: one, all whose name begins with a path (`team/*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryPattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    All,
    /// With the slash at its end.
    Below(Box<str>),
    One(RepositoryName),
}

/// Why a text is no action of a scope map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeMapActionError {
    /// It is not `repositories/<pattern>/<what>/<how>`.
    #[error("an action is repositories/<name>/<what>/<how>")]
    Form,
    /// The name is no repository name, and none with a `*` alone or a `/*` at its end.
    #[error("a repository is named in full, by a prefix that ends in /*, or by * alone")]
    Pattern,
    /// The words at the end are unknown.
    #[error(
        "the action ends in content/read, content/write, content/delete, metadata/read or metadata/write"
    )]
    Words,
    /// It is about a connected registry.
    #[error("gateway actions are for connected registries, which do not exist here")]
    Gateway,
}

impl RepositoryPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, ScopeMapActionError> {
        let name =
            |text: &str| RepositoryName::parse(text).map_err(|_| ScopeMapActionError::Pattern);
        Ok(Self(match text.strip_suffix('*') {
            Some("") => Kind::All,
            Some(prefix) => {
                name(
                    prefix
                        .strip_suffix('/')
                        .ok_or(ScopeMapActionError::Pattern)?,
                )?;
                Kind::Below(prefix.into())
            }
            None => Kind::One(name(text)?),
        }))
    }

    /// Whether a repository is one of them.
    pub fn matches(&self, repository: &str) -> bool {
        match &self.0 {
            Kind::All => true,
            Kind::Below(prefix) => repository.starts_with(&**prefix),
            Kind::One(name) => name.as_str() == repository,
        }
    }

    /// Whether every repository is one of them.
    pub fn is_all(&self) -> bool {
        self.0 == Kind::All
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::All => f.write_str("*"),
            Kind::Below(prefix) => write!(f, "{prefix}*"),
            Kind::One(name) => write!(f, "{name}"),
        }
    }
}

textual!(
    RepositoryPattern,
    ScopeMapActionError,
    "a repository or a prefix and /*"
);

/// An action on repositories, allowed by a scope map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeMapAction {
    /// The repositories.
    pub repositories: RepositoryPattern,
    /// What may be done with them.
    pub action: Action,
}

/// The words of scope maps and those of tokens.
const WORDS: [(&str, Action); 5] = [
    ("/content/read", Action::Pull),
    ("/content/write", Action::Push),
    ("/content/delete", Action::Delete),
    ("/metadata/read", Action::MetadataRead),
    ("/metadata/write", Action::MetadataWrite),
];

impl ScopeMapAction {
    /// Reads an action.
    pub fn parse(text: &str) -> Result<Self, ScopeMapActionError> {
        if text.starts_with("gateway/") {
            return Err(ScopeMapActionError::Gateway);
        }
        let rest = text
            .strip_prefix("repositories/")
            .ok_or(ScopeMapActionError::Form)?;
        let (name, action) = WORDS
            .into_iter()
            .find_map(|(words, action)| Some((rest.strip_suffix(words)?, action)))
            .ok_or(ScopeMapActionError::Words)?;
        Ok(Self {
            repositories: RepositoryPattern::parse(name)?,
            action,
        })
    }
}

impl fmt::Display for ScopeMapAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = WORDS
            .iter()
            .find(|(_, action)| *action == self.action)
            .map_or("", |(words, _)| words);
        write!(f, "repositories/{}{words}", self.repositories)
    }
}

textual!(
    ScopeMapAction,
    ScopeMapActionError,
    "an action of a scope map"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_name_repositories() {
        let matches =
            |pattern: &str, name: &str| RepositoryPattern::parse(pattern).unwrap().matches(name);
        assert!(matches("*", "a/b"));
        assert!(matches("team/*", "team/a"));
        assert!(matches("team/*", "team/a/b"));
        assert!(!matches("team/*", "team"));
        assert!(!matches("team/*", "teamx/a"));
        assert!(matches("team/a", "team/a"));
        assert!(!matches("team/a", "team/ab"));
        for bad in ["", "**", "te*", "*/a", "a/*/b", "Team", "/*", "a//*", "a*"] {
            assert_eq!(
                RepositoryPattern::parse(bad),
                Err(ScopeMapActionError::Pattern),
                "{bad}"
            );
        }
    }

    #[test]
    fn actions_have_two_words_behind_the_name() {
        let read = ScopeMapAction::parse("repositories/team/*/metadata/write").unwrap();
        assert_eq!(read.action, Action::MetadataWrite);
        assert_eq!(read.to_string(), "repositories/team/*/metadata/write");
        // A repository may be named like the words.
        let odd = ScopeMapAction::parse("repositories/content/read/content/read").unwrap();
        assert!(odd.repositories.matches("content/read"));
        for (text, error) in [
            ("repositories/a/content/sign", ScopeMapActionError::Words),
            ("repositories/content/read", ScopeMapActionError::Words),
            ("registry/a/content/read", ScopeMapActionError::Form),
            ("gateway/a/config/read", ScopeMapActionError::Gateway),
            ("repositories/A/content/read", ScopeMapActionError::Pattern),
        ] {
            assert_eq!(ScopeMapAction::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "(repositories/)?[a-z*/]{0,12}/(content|metadata)/(read|write|delete)") {
            if let Ok(action) = ScopeMapAction::parse(&text) {
                prop_assert_eq!(action.to_string(), text);
            }
        }
    }
}
