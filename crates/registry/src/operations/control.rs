//! Changes of the management plane in the log.

use lazuli_db::Tx;

use super::{Context, Operation, append};
use crate::Result;
use crate::transfer::closed;

/// Appends what was done with a resource, in the transaction that does it; fails while the installation is being moved.
/// `registry_id`: 0 for what belongs to no registry. After the commit, call [`Log::committed`](super::Log::committed).
pub fn append_control(
    tx: &mut Tx<'_>,
    context: &Context,
    registry_id: i64,
    operation: &Operation,
) -> Result<()> {
    closed::check(tx, context.now_us())?;
    append(tx, context, registry_id, None, operation, None)?;
    Ok(())
}
