//! What becomes of each table.

use lazuli_db::dump::{self, Cell};
use lazuli_db::{Error, Tx};

use super::field::Field;
use super::record::Rows;

/// What means nothing anywhere else, or follows from the rest.
const LEFT_OUT: [&str; 11] = [
    "closings",
    "uploads",
    "operations",
    "log_cursors",
    "leases",
    "blob_removals",
    "blob_suspects",
    "quarantine",
    "gc_runs",
    "scrub_passes",
    "sign_ins",
];

/// Small tables that change without an operation: who may do what. Whenever they differ they are written down again, whole.
pub(super) const SMALL: [&str; 20] = [
    "settings",
    "registries",
    "registry_hosts",
    "signing_keys",
    "credentials",
    "subscriptions",
    "resource_groups",
    "registry_resources",
    "resource_locks",
    "scope_maps",
    "registry_tokens",
    "role_definitions",
    "role_assignments",
    "deny_assignments",
    "policy",
    "directory_objects",
    "directory_members",
    "directory_credentials",
    "trusted_issuers",
    "external_principals",
];

/// Settings that are about this database only.
pub(super) const LOCAL_SETTINGS: [&str; 6] = [
    "journal",
    "rebuild",
    "arriving",
    "gc.trust",
    "gc.walked_at",
    "blob_store",
];

/// Bytes of rows in one line.
const LINE: usize = 64 << 10;

/// The tables of a snapshot, in their order: a new table is part of it.
pub(super) fn of_snapshot() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    dump::tables().filter(|(name, _)| !LEFT_OUT.contains(name))
}

/// Tells of all rows of a table, some in each line.
pub(super) fn read<E: From<Error>>(
    tx: &mut Tx<'_>,
    (name, columns): &(&'static str, Vec<&'static str>),
    mut on_rows: impl FnMut(Rows) -> Result<(), E>,
) -> Result<(), E> {
    let empty = || Rows {
        table: (*name).to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: Vec::new(),
    };
    let (mut rows, mut bytes) = (empty(), 0);
    dump::read_table(tx, name, |page| {
        for row in page {
            if *name == "settings" && is_local(&row) {
                continue;
            }
            bytes += row.iter().map(weight).sum::<usize>();
            rows.rows.push(row.into_iter().map(Field).collect());
            if bytes >= LINE {
                bytes = 0;
                on_rows(std::mem::replace(&mut rows, empty()))?;
            }
        }
        Ok::<_, E>(())
    })?;
    if rows.rows.is_empty() {
        return Ok(());
    }
    on_rows(rows)
}

fn is_local(setting: &[Cell]) -> bool {
    matches!(setting.first(), Some(Cell::Text(name)) if LOCAL_SETTINGS.contains(&name.as_str()))
}

fn weight(cell: &Cell) -> usize {
    match cell {
        Cell::Null | Cell::Integer(_) => 8,
        Cell::Text(text) => text.len() + 8,
        Cell::Bytes(bytes) => bytes.len() * 4 / 3 + 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_a_table() {
        let known: Vec<_> = dump::tables().map(|(name, _)| name).collect();
        for name in LEFT_OUT.iter().chain(&SMALL) {
            assert!(known.contains(name), "{name}");
        }
    }
}
