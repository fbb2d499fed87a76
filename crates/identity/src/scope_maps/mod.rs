//! Scope maps and the tokens that use them: rights on repositories without a directory.
//!
//! A token is a user name with up to two generated passwords; what it may do is what its scope map says, at every moment.

pub(crate) mod rights;
pub mod store;

use std::sync::LazyLock;

use lazuli_wire::rbac::ScopeMapAction;
use lazuli_wire::token::Secret;

use crate::passwords::{self, PasswordHash};
use crate::random::NoEntropy;

/// A password of a token that was generated and is not stored yet.
#[derive(Clone)]
pub struct GeneratedTokenPassword {
    secret: Secret,
    hash: PasswordHash,
}

impl GeneratedTokenPassword {
    /// Makes one.
    pub fn generate() -> Result<Self, NoEntropy> {
        let secret = passwords::generate_password()?;
        let hash = PasswordHash::of_generated(secret.expose())?;
        Ok(Self { secret, hash })
    }

    /// The password itself. It is kept nowhere else.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// The scope maps that every registry has: name, description, actions.
const SYSTEM: [(&str, &str, &[&str]); 5] = [
    (
        "_repositories_admin",
        "Can perform all read, write and delete operations on the registry",
        &[
            "repositories/*/metadata/read",
            "repositories/*/metadata/write",
            "repositories/*/content/read",
            "repositories/*/content/write",
            "repositories/*/content/delete",
        ],
    ),
    (
        "_repositories_pull",
        "Can pull any repository of the registry",
        &["repositories/*/content/read"],
    ),
    (
        "_repositories_pull_metadata_read",
        "Can perform all read operations on the registry",
        &[
            "repositories/*/content/read",
            "repositories/*/metadata/read",
        ],
    ),
    (
        "_repositories_push",
        "Can push to any repository of the registry",
        &[
            "repositories/*/content/read",
            "repositories/*/content/write",
        ],
    ),
    (
        "_repositories_push_metadata_write",
        "Can perform all read and write operations on the registry",
        &[
            "repositories/*/metadata/read",
            "repositories/*/metadata/write",
            "repositories/*/content/read",
            "repositories/*/content/write",
        ],
    ),
];

struct SystemMap {
    name: &'static str,
    description: &'static str,
    actions: Vec<ScopeMapAction>,
}

fn system_maps() -> &'static [SystemMap] {
    static MAPS: LazyLock<Vec<SystemMap>> = LazyLock::new(|| {
        let read =
            |(name, description, actions): &(&'static str, &'static str, &[&str])| SystemMap {
                name,
                description,
                actions: actions
                    .iter()
                    .filter_map(|action| ScopeMapAction::parse(action).ok())
                    .collect(),
            };
        SYSTEM.iter().map(read).collect()
    });
    &MAPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_of_the_system_maps_is_read() {
        for (map, (name, _, actions)) in system_maps().iter().zip(SYSTEM) {
            assert_eq!(map.name, name);
            assert_eq!(map.actions.len(), actions.len());
        }
    }
}
