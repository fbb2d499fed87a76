//! Looking for what is due.

use std::collections::VecDeque;

use lazuli_db::Tx;
use lazuli_wire::oci::Digest;

use super::order::{Cursor, MANIFESTS, Segment};
use super::{Halt, Inner, sql};

/// Rows read at a time; small blobs come with their bytes.
const PAGE: u32 = 100;
/// Empty parts of the order looked through in one transaction.
const SEGMENTS: usize = 256;

/// Items of one slice, in order.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) slice: i64,
    pub(super) items: VecDeque<Item>,
    /// Where the pass is when these are done, and no more follow before that.
    pub(super) then: Option<Cursor>,
}

/// A blob or a manifest to be verified.
pub(super) enum Item {
    Blob(sql::Blob),
    Manifest(i64, Digest),
}

/// What a look found.
pub(super) enum Scan {
    Items(Batch),
    NotDue,
    Ended,
    /// Not everything was looked through.
    More,
}

/// Looks for what is due from a place on. Returns the place before it.
pub(super) async fn scan(inner: &Inner, from: Cursor, due: f64) -> Result<(Cursor, Scan), Halt> {
    let db = &inner.registry.inner.db;
    Ok(db.read(move |tx| scan_page(tx, from.clone(), due)).await?)
}

fn scan_page(
    tx: &mut Tx<'_>,
    mut cursor: Cursor,
    due: f64,
) -> Result<(Cursor, Scan), lazuli_db::Error> {
    let registries = match cursor.slice {
        MANIFESTS => Vec::new(),
        _ => sql::registries(tx)?,
    };
    for _ in 0..SEGMENTS {
        let (registry, after, before, then, is_last) = match cursor.next(&registries, due) {
            Segment::NotDue => return Ok((cursor, Scan::NotDue)),
            Segment::Manifests => return scan_manifests(tx, &cursor.among_manifests()),
            Segment::Blobs {
                registry,
                after,
                before,
                then,
                is_last,
            } => (registry, after, before, then, is_last),
        };
        let rows = sql::blobs(tx, registry, &after, &before, PAGE)?;
        if !rows.is_empty() {
            let batch = Batch {
                slice: then.slice,
                then: (rows.len() < PAGE as usize).then_some(then),
                items: rows.into_iter().map(Item::Blob).collect(),
            };
            return Ok((cursor, Scan::Items(batch)));
        }
        cursor = then;
        if is_last {
            return Ok((cursor, Scan::NotDue));
        }
    }
    Ok((cursor, Scan::More))
}

fn scan_manifests(tx: &mut Tx<'_>, cursor: &Cursor) -> Result<(Cursor, Scan), lazuli_db::Error> {
    let keys = sql::manifests(tx, cursor, PAGE)?;
    if keys.is_empty() {
        return Ok((cursor.clone(), Scan::Ended));
    }
    let items = keys
        .into_iter()
        .map(|(repository, digest)| Item::Manifest(repository, digest));
    let batch = Batch {
        slice: MANIFESTS,
        items: items.collect(),
        then: None,
    };
    Ok((cursor.clone(), Scan::Items(batch)))
}
