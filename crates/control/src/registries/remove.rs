//! Registries are deleted: their names are free at once, their content goes with the garbage collection.

use lazuli_identity::rbac::policy;
use lazuli_identity::{delete_registry, scope_maps};
use lazuli_wire::arm::{GroupPath, RegistryPath, Within};

use super::{default_stays, sql};
use crate::actor::{Actor, Precondition};
use crate::control::{Control, Made};
use crate::locks::{self, Change};
use crate::{Result, subscriptions};

impl Control {
    /// Deletes a registry; `false` when there is none.
    pub async fn delete_registry(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        condition: Precondition,
    ) -> Result<bool> {
        let deleted = self.delete_one(actor, path, condition).await?;
        if deleted {
            self.registries_changed().await;
        }
        Ok(deleted)
    }

    async fn delete_one(
        &self,
        actor: &Actor,
        path: &RegistryPath,
        condition: Precondition,
    ) -> Result<bool> {
        let wanted = path.clone();
        let scope = path.scope()?;
        let resource = scope.clone();
        let deleted = self.change(actor, &resource, Change::Delete, move |tx, _| {
            subscriptions::require(tx, wanted.group.subscription)?;
            let known = sql::find(tx, &wanted)?;
            condition.check(known.as_ref().map(|known| known.version))?;
            let Some(known) = known else {
                return Ok(Made::nothing(None));
            };
            if known.is_default() {
                return Err(default_stays());
            }
            scope_maps::store::delete_all(tx, known.id)?;
            tx.execute(
                "DELETE FROM registry_resources WHERE registry_id = ?1",
                lazuli_db::params![known.id.get()],
            )?;
            delete_registry(tx, known.id)?;
            lazuli_identity::rbac::store::delete_assignments_below(tx, &scope)?;
            locks::remove_with(tx, &scope)?;
            policy::bump(tx)?;
            Ok(Made::change(Some(known.id)).of(known.id))
        });
        let Some(id) = deleted.await? else {
            return Ok(false);
        };
        self.inner().identity.forget_registry(id).await;
        Ok(true)
    }

    /// Deletes everything that is in a group.
    pub(crate) async fn empty_group(&self, actor: &Actor, group: &GroupPath) -> Result<()> {
        let within = Within::Group(group.clone());
        let mut deleted = 0;
        loop {
            let registries = self.registries(&within, "", 100).await?;
            if registries.is_empty() {
                break;
            }
            for registry in registries {
                deleted += 1;
                self.delete_one(actor, &registry.path, Precondition::None)
                    .await?;
            }
        }
        if deleted > 0 {
            self.registries_changed().await;
        }
        self.delete_identities_in(actor, group).await
    }
}
