//! What changed since the last segment, read in one transaction.

use std::collections::HashSet;

use lazuli_db::Tx;
use lazuli_wire::oci::{Algorithm, Digest, RepositoryName};

use super::record::{Body, Line, Logged, Rows, hex};
use super::state::State;
use super::{sql, tables};
use crate::operations::{self, Cursor, Entry, Operation, ReadError};
use crate::{Error, manifests, repositories};

/// What a segment is made of.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) lines: Vec<Line>,
    /// The last operation in it.
    pub(super) sequence: i64,
    /// A digest of the small tables.
    pub(super) small: String,
    /// A repair changed rows without an operation for each: only a snapshot tells.
    pub(super) is_repair: bool,
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    /// Operations that come next are no longer there, or never were: the journal is of another past.
    #[error("the operation log does not go on where the journal ends")]
    Apart,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Registry(#[from] Error),
}

impl From<lazuli_db::Error> for CollectError {
    fn from(error: lazuli_db::Error) -> Self {
        Self::Registry(error.into())
    }
}

/// Up to that many operations and bytes after what was written. `None`: nothing changed.
pub(super) fn collect(
    tx: &mut Tx<'_>,
    origin: u16,
    state: &State,
    (operations, bytes): (u32, usize),
) -> Result<Option<Collected>, CollectError> {
    let cursor = Cursor {
        origin,
        sequence: state.sequence,
    };
    let (behind, _) = sql::lag(tx, origin, state.sequence)?;
    let entries = operations::entries_after(tx, cursor, operations)?;
    let is_next = |(expected, entry): (i64, &Entry)| entry.sequence == expected;
    let goes_on = (state.sequence + 1..).zip(&entries).all(is_next);
    if !goes_on || (behind > 0 && entries.is_empty()) || is_ahead(tx, origin, state)? {
        return Err(CollectError::Apart);
    }
    let (small, digest) = small_tables(tx)?;
    let mut collected = Collected {
        lines: Vec::new(),
        sequence: state.sequence,
        small: digest,
        is_repair: false,
    };
    if collected.small != state.small {
        collected.lines.extend(small.into_iter().map(Line::Rows));
    }
    let (mut met, mut weight) = (HashSet::new(), 0);
    for entry in entries {
        if weight > bytes {
            break;
        }
        weight += add(tx, entry, &mut collected, &mut met)?;
    }
    Ok((!collected.lines.is_empty()).then_some(collected))
}

/// Whether the journal has operations that this database never had: it is a copy of an earlier state.
fn is_ahead(tx: &mut Tx<'_>, origin: u16, state: &State) -> Result<bool, Error> {
    let last = operations::last_sequence(tx, origin)?;
    Ok(last < state.sequence)
}

/// The small tables, and a digest of them.
pub(super) fn small_tables(tx: &mut Tx<'_>) -> Result<(Vec<Rows>, String), Error> {
    let mut lines: Vec<Rows> = Vec::new();
    for table in tables::of_snapshot().filter(|(name, _)| tables::SMALL.contains(name)) {
        tables::read(tx, &table, |rows| {
            lines.push(rows);
            Ok::<_, Error>(())
        })?;
    }
    let text = serde_json::to_vec(&lines).unwrap_or_default();
    let digest = hex(Digest::of(Algorithm::Sha256, &text).hash());
    Ok((lines, digest))
}

/// Adds an operation, and before it what it names; returns the bytes.
fn add(
    tx: &mut Tx<'_>,
    entry: Entry,
    collected: &mut Collected,
    met: &mut HashSet<(i64, Digest)>,
) -> Result<usize, CollectError> {
    let mut weight = 0;
    match &entry.operation {
        Operation::PutManifest { digest, blobs, .. } => {
            for blob in blobs
                .iter()
                .filter(|d| met.insert((entry.registry_id, **d)))
            {
                if let Some(known) = sql::blob(tx, entry.registry_id, blob)? {
                    weight += 200 + known.content.as_ref().map_or(0, Vec::len);
                    collected.lines.push(Line::Blob(known));
                }
            }
            // The same bytes in several registries are written once.
            if !met.contains(&(0, *digest))
                && let Some(text) = body(tx, &entry, digest)?
            {
                met.insert((0, *digest));
                weight += text.len();
                collected.lines.push(Line::Manifest(Body {
                    digest: digest.to_string(),
                    text,
                }));
            }
        }
        Operation::Setting { .. } => collected.is_repair = true,
        _ => {}
    }
    let logged = logged(entry);
    weight += 200 + logged.payload.len() + logged.observed.as_ref().map_or(0, Vec::len);
    collected.sequence = logged.sequence;
    collected.lines.push(Line::Operation(logged));
    Ok(weight)
}

/// The bytes of a manifest; `None` when it was deleted meanwhile, which a later operation says.
fn body(
    tx: &mut Tx<'_>,
    entry: &Entry,
    digest: &Digest,
) -> Result<Option<String>, lazuli_db::Error> {
    let name = entry.repository.as_deref().map(RepositoryName::parse);
    let Some(Ok(name)) = name else {
        return Ok(None);
    };
    let Some(repository) = repositories::sql::find(tx, entry.registry_id, &name)? else {
        return Ok(None);
    };
    let found = manifests::sql::find(tx, repository.id, &digest.to_bytes())?;
    Ok(found.and_then(|(_, body)| String::from_utf8(body).ok()))
}

/// An operation as it is written down.
pub(super) fn logged(entry: Entry) -> Logged {
    Logged {
        id: entry.id.to_string(),
        sequence: entry.sequence,
        registry: entry.registry_id,
        repository: entry.repository,
        kind: entry.operation.kind().to_owned(),
        payload: operations::encode(&entry.operation),
        observed: operations::encode_observed(&entry.operation),
        principal: entry.principal,
        request: entry.request_id,
        created_at: entry.created_at,
    }
}
