//! Groups whose deletion takes longer than a client should wait for one answer.
//!
//! How far it is can be asked of any node: a setting says that it is under way, or why it failed.

use std::time::Duration;

use lazuli_db::{Tx, params, settings};
use lazuli_identity::random_guid;
use lazuli_wire::Guid;
use lazuli_wire::arm::GroupPath;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::control::Control;
use crate::{Error, Result, groups};

const PREFIX: &str = "operation.";
/// Microseconds after which a deletion that has not ended counts as broken off: its process is gone.
const LONGEST: i64 = 3_600_000_000;
/// Microseconds for which it is remembered how one ended.
const REMEMBERED: i64 = 24 * LONGEST;

/// A deletion that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is over; whether there was anything to delete.
    Done(bool),
    /// It goes on; ask for [`Control::progress`] with this identifier.
    Running(Guid),
}

/// How far something is that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It failed: a code and a message.
    Failed(String, String),
}

#[derive(Serialize, Deserialize)]
struct Row {
    subscription: String,
    group: String,
    at: i64,
    error: Option<(String, String)>,
}

fn name(id: Guid) -> String {
    format!("{PREFIX}{id}")
}

fn put(tx: &mut Tx<'_>, id: Guid, row: &Row) -> Result<()> {
    Ok(settings::set(
        tx,
        &name(id),
        &serde_json::json!(row).to_string(),
    )?)
}

/// Forgets what nobody asks about any more.
fn forget_old(tx: &mut Tx<'_>, now: i64) -> Result<()> {
    let rows = tx.query(
        "SELECT name, value FROM settings WHERE name > 'operation.' AND name < 'operation/' ORDER BY name LIMIT 1000",
        params![],
        |row| Ok((row.get_string(0)?, row.get_string(1)?)),
    )?;
    for (name, value) in rows {
        let row: Option<Row> = serde_json::from_str(&value).ok();
        if row.is_none_or(|row| now - row.at > REMEMBERED) {
            settings::remove(tx, &name)?;
        }
    }
    Ok(())
}

impl Control {
    /// Deletes a group and what is in it, and waits for the end as long as `patience` lasts; without any it
    /// does not wait.
    pub async fn begin_group_deletion(
        &self,
        actor: &Actor,
        path: &GroupPath,
        patience: Duration,
    ) -> Result<Deletion> {
        let (this, actor, wanted) = (self.clone(), actor.clone(), path.clone());
        let mut work = tokio::spawn(async move { this.delete_group(&actor, &wanted).await });
        let waited = !patience.is_zero();
        if waited && let Ok(ended) = tokio::time::timeout(patience, &mut work).await {
            let ended = ended.unwrap_or_else(|_| Err(broken_off()));
            return ended.map(Deletion::Done);
        }
        let (id, now) = (random_guid()?, self.now());
        let row = Row {
            subscription: path.subscription.to_string(),
            group: path.name.to_string(),
            at: now,
            error: None,
        };
        let db = &self.inner().db;
        db.write(move |tx| {
            forget_old(tx, now)?;
            put(tx, id, &row)
        })
        .await?;
        let (this, path) = (self.clone(), path.clone());
        tokio::spawn(async move {
            let Err(error) = work.await.unwrap_or_else(|_| Err(broken_off())) else {
                return;
            };
            tracing::warn!(group = %path, %error, "a resource group could not be deleted");
            let row = Row {
                subscription: path.subscription.to_string(),
                group: path.name.to_string(),
                at: now,
                error: Some((error.code().to_owned(), error.to_string())),
            };
            let db = &this.inner().db;
            if let Err(error) = db.write(move |tx| put(tx, id, &row)).await {
                tracing::warn!(%error, "nobody is told that a deletion failed");
            }
        });
        Ok(Deletion::Running(id))
    }

    /// How far something is that was begun; `None` if nothing is known of it. The identifier is a secret of who began it.
    pub async fn progress(&self, subscription: Guid, id: Guid) -> Result<Option<Progress>> {
        let now = self.now();
        self.read(move |tx| {
            let row = settings::get(tx, &name(id))?;
            let row: Option<Row> = row.and_then(|row| serde_json::from_str(&row).ok());
            let Some(row) = row.filter(|row| row.subscription == subscription.to_string()) else {
                return Ok(None);
            };
            if let Some((code, message)) = row.error {
                return Ok(Some(Progress::Failed(code, message)));
            }
            let path = GroupPath {
                subscription,
                name: row.group.into(),
            };
            if groups::find(tx, &path)?.is_none() {
                return Ok(Some(Progress::Done));
            }
            if now - row.at > LONGEST {
                let error = broken_off();
                let failed = Progress::Failed(error.code().to_owned(), error.to_string());
                return Ok(Some(failed));
            }
            Ok(Some(Progress::Running))
        })
        .await
    }
}

fn broken_off() -> Error {
    Error::conflict(
        "OperationPreempted",
        "The deletion broke off with the server that was at it. Delete the group again.",
    )
}
