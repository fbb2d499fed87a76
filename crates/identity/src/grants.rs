//! What an access token allows, in the form authorization reads.

use lazuli_wire::oci::RepositoryName;
use lazuli_wire::token::{Action, Actions};

/// What an access token allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Grants {
    repositories: Vec<(RepositoryName, Actions)>,
    every_repository: Actions,
    catalog: Actions,
    deleted_catalog: Actions,
}

impl Grants {
    /// Adds actions on one repository.
    pub(crate) fn add_repository(&mut self, name: RepositoryName, actions: Actions) {
        match self.repositories.iter_mut().find(|grant| grant.0 == name) {
            Some(grant) => grant.1 = grant.1.union(actions),
            None => self.repositories.push((name, actions)),
        }
    }

    /// Adds actions on every repository: only anonymous tokens carry such a grant.
    pub(crate) fn add_every_repository(&mut self, actions: Actions) {
        self.every_repository = self.every_repository.union(actions);
    }

    /// Adds actions on the list of repositories.
    pub(crate) fn add_catalog(&mut self, actions: Actions) {
        self.catalog = self.catalog.union(actions);
    }

    /// Adds actions on the list of deleted repositories.
    pub(crate) fn add_deleted_catalog(&mut self, actions: Actions) {
        self.deleted_catalog = self.deleted_catalog.union(actions);
    }

    /// What is granted on a repository.
    pub(crate) fn on_repository(&self, name: &str) -> Actions {
        self.repositories
            .iter()
            .filter(|grant| grant.0.as_str() == name)
            .fold(self.every_repository, |sum, grant| sum.union(grant.1))
    }

    /// Whether the list of repositories may be read.
    pub(crate) fn allows_catalog(&self) -> bool {
        self.catalog.allows(Action::All)
    }

    /// Whether the list of deleted repositories may be read.
    pub(crate) fn allows_deleted_catalog(&self) -> bool {
        self.deleted_catalog.allows(Action::All)
    }
}
