//! Passes as they are written down, and requests for one.

use lazuli_db::{Error, Row, Tx, settings};

use super::status::{Phase, Run};
use super::{LEASE, sql};
use crate::{Registry, Result};

const REQUEST: &str = "gc.requested";
/// Passes kept.
const KEPT: i64 = 100;

/// Whether somebody asked for a pass, or one was cut short, and nobody is at it.
pub(super) async fn is_wanted(registry: &Registry) -> Result<bool> {
    let now = registry.now();
    let wanted = registry.inner.db.read(move |tx| {
        let is_open = is_requested(tx)? || open(tx)?.is_some();
        Ok::<_, Error>(is_open && !sql::is_lease_held(tx, LEASE, now)?)
    });
    Ok(wanted.await?)
}

/// The pass that was cut short, and whether one was asked for.
pub(super) fn waiting(tx: &mut Tx<'_>) -> Result<(Option<Run>, bool), Error> {
    Ok((open(tx)?, is_requested(tx)?))
}

pub(super) fn is_requested(tx: &mut Tx<'_>) -> Result<bool, Error> {
    Ok(settings::get(tx, REQUEST)?.is_some())
}

pub(super) fn set_request(tx: &mut Tx<'_>, now: i64) -> Result<(), Error> {
    settings::set(tx, REQUEST, &now.to_string())
}

/// Writes a run down. The first time it meets what was asked for, and those before are shortened to the newest few.
pub(super) fn record(tx: &mut Tx<'_>, run: &Run, is_first: bool) -> Result<(), Error> {
    if is_first {
        tx.execute(
            "DELETE FROM gc_runs WHERE id IN (SELECT id FROM gc_runs ORDER BY started_at DESC LIMIT 1000000 OFFSET ?1)",
            &[(KEPT - 1).into()],
        )?;
        if run.is_asked_for {
            settings::remove(tx, REQUEST)?;
        }
    }
    tx.execute(
        "INSERT INTO gc_runs (id, started_at, finished_at, asked_for, phase, phase_done, phase_total, seen_at, resumed, \
         examined, unlinked, condemned, deleted, freed_bytes, manifests, history, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
         ON CONFLICT (id) DO UPDATE SET finished_at = excluded.finished_at, asked_for = excluded.asked_for, \
         phase = excluded.phase, phase_done = excluded.phase_done, phase_total = excluded.phase_total, \
         seen_at = excluded.seen_at, resumed = excluded.resumed, examined = excluded.examined, \
         unlinked = excluded.unlinked, condemned = excluded.condemned, deleted = excluded.deleted, \
         freed_bytes = excluded.freed_bytes, manifests = excluded.manifests, history = excluded.history, \
         error = excluded.error",
        &[
            run.id.into(),
            run.started_at.into(),
            run.finished_at.into(),
            i64::from(run.is_asked_for).into(),
            run.phase.as_str().into(),
            run.phase_done.into(),
            run.phase_total.map(|total| i64::try_from(total).unwrap_or(i64::MAX)).into(),
            run.seen_at.into(),
            run.resumed.into(),
            run.examined.into(),
            run.unlinked.into(),
            run.condemned.into(),
            run.deleted.into(),
            run.freed_bytes.into(),
            run.manifests.into(),
            run.history.into(),
            run.error.as_deref().into(),
        ],
    )
    .map(drop)
}

fn read(row: &Row<'_>) -> Result<Run, Error> {
    Ok(Run {
        id: row.get_i64(0)?,
        started_at: row.get_i64(1)?,
        finished_at: row.get_i64_opt(2)?,
        is_asked_for: row.get_bool(3)?,
        phase: Phase::parse(row.get_text(4)?),
        phase_done: row.get_u64(5)?,
        phase_total: row
            .get_i64_opt(6)?
            .and_then(|total| u64::try_from(total).ok()),
        seen_at: row.get_i64(7)?,
        resumed: row.get_u64(8)?,
        examined: row.get_u64(9)?,
        unlinked: row.get_u64(10)?,
        condemned: row.get_u64(11)?,
        deleted: row.get_u64(12)?,
        freed_bytes: row.get_u64(13)?,
        manifests: row.get_u64(14)?,
        history: row.get_u64(15)?,
        error: row.get_string_opt(16)?,
    })
}

/// The newest pass that was written down.
pub(super) fn last(tx: &mut Tx<'_>) -> Result<Option<Run>, Error> {
    tx.query_one(
        "SELECT id, started_at, finished_at, asked_for, phase, phase_done, phase_total, seen_at, resumed, examined, unlinked, \
         condemned, deleted, freed_bytes, manifests, history, error FROM gc_runs ORDER BY started_at DESC LIMIT 1",
        &[],
        read,
    )
}

/// The pass that has no end.
fn open(tx: &mut Tx<'_>) -> Result<Option<Run>, Error> {
    tx.query_one(
        "SELECT id, started_at, finished_at, asked_for, phase, phase_done, phase_total, seen_at, resumed, examined, unlinked, \
         condemned, deleted, freed_bytes, manifests, history, error FROM gc_runs WHERE finished_at IS NULL \
         ORDER BY started_at DESC LIMIT 1",
        &[],
        read,
    )
}
