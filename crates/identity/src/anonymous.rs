//! What everybody may pull from a registry without credentials.

use lazuli_wire::rbac::RepositoryPattern;

use crate::error::Error;
use crate::identity::Identity;
use crate::principal::RegistryId;
use crate::store;

/// Patterns of repositories that everybody may pull, at most.
pub const MAX_ANONYMOUS_PATTERNS: usize = 100;

impl Identity {
    /// Allows or forbids pulling without credentials. Holds here at once, in other processes within ten seconds.
    pub async fn set_anonymous_pull(
        &self,
        registry: RegistryId,
        allowed: bool,
    ) -> Result<(), Error> {
        let write =
            move |tx: &mut lazuli_db::Tx<'_>| store::set_anonymous_pull(tx, registry, allowed);
        if !self.inner().db.write(write).await? {
            return Err(Error::UnknownRegistry(registry));
        }
        self.inner().states.reload(registry).await?;
        Ok(())
    }

    /// Which repositories of a registry everybody may pull even where anonymous pull is off.
    pub async fn anonymous_repositories(
        &self,
        registry: RegistryId,
    ) -> Result<Vec<RepositoryPattern>, Error> {
        let read = move |tx: &mut lazuli_db::Tx<'_>| store::anonymous_repositories(tx, registry);
        Ok(self.inner().db.read(read).await?)
    }

    /// Says which repositories of a registry everybody may pull even where anonymous pull is off; the first
    /// [`MAX_ANONYMOUS_PATTERNS`] count. Holds here at once, in other processes within ten seconds.
    pub async fn set_anonymous_repositories(
        &self,
        registry: RegistryId,
        mut patterns: Vec<RepositoryPattern>,
    ) -> Result<(), Error> {
        patterns.truncate(MAX_ANONYMOUS_PATTERNS);
        let write = move |tx: &mut lazuli_db::Tx<'_>| {
            if !store::registry_exists(tx, registry)? {
                return Err(Error::UnknownRegistry(registry));
            }
            Ok(store::set_anonymous_repositories(tx, registry, &patterns)?)
        };
        self.inner().db.write(write).await?;
        self.inner().states.reload(registry).await?;
        Ok(())
    }
}
