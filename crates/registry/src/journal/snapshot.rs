//! All rows of a database, as they are at one moment, in parts.

use lazuli_db::{Db, Tx};
use tokio::sync::mpsc;

use super::record::{Head, Line, Writer};
use super::{segment, sql, tables};
use crate::operations::{self, Cursor};
use crate::{Error, Result};

/// Parts that wait to be sent.
const WAITING: usize = 2;

/// What comes out of the reading transaction.
pub(super) enum Piece {
    /// It begins, perhaps again: what came before is of another moment.
    Begin,
    Part(Writer),
    /// Everything came.
    End(End),
}

/// What is known at the end.
pub(super) struct End {
    /// The last numbered operation that is in it.
    pub(super) sequence: i64,
    /// Operations that are in it though they have no number yet.
    pub(super) included: Vec<String>,
    /// A digest of the small tables.
    pub(super) small: String,
}

/// Reads everything on a thread of its own. The reader waits while parts are on their way.
pub(super) fn read(
    db: &Db,
    origin: u16,
    head: Head,
    part_bytes: usize,
) -> mpsc::Receiver<Result<Piece>> {
    let (to, from) = mpsc::channel(WAITING);
    let db = db.clone();
    tokio::task::spawn_blocking(move || {
        let pieces = to.clone();
        let outcome = db.read_blocking(move |tx| {
            send(&pieces, Piece::Begin)?;
            let end = parts(tx, origin, &head, part_bytes, &pieces)?;
            send(&pieces, Piece::End(end))
        });
        if let Err(error) = outcome {
            let _ = to.blocking_send(Err(error));
        }
    });
    from
}

fn send(to: &mpsc::Sender<Result<Piece>>, piece: Piece) -> Result<()> {
    let sent = to.blocking_send(Ok(piece));
    sent.map_err(|_| Error::Internal("nobody waits for the snapshot"))
}

fn parts(
    tx: &mut Tx<'_>,
    origin: u16,
    head: &Head,
    part_bytes: usize,
    to: &mpsc::Sender<Result<Piece>>,
) -> Result<End> {
    let sequence = operations::last_sequence(tx, origin)?;
    let included = sql::unnumbered(tx, origin)?;
    let mut number = 1;
    let begin = |number| {
        Writer::new(Head {
            number,
            after: sequence,
            ..head.clone()
        })
    };
    let mut writer = begin(number);
    for table in tables::of_snapshot() {
        tables::read(tx, &table, |rows| {
            writer.push(&Line::Rows(rows));
            if writer.len() >= part_bytes {
                number += 1;
                let full = std::mem::replace(&mut writer, begin(number));
                send(to, Piece::Part(full))?;
            }
            Ok::<_, Error>(())
        })?;
    }
    // A log is never empty again.
    let cursor = Cursor {
        origin,
        sequence: sequence - 1,
    };
    let last = operations::entries_after(tx, cursor, 1);
    let last = last.map_err(|_| Error::Internal("the last operation cannot be read"))?;
    for entry in last.into_iter().filter(|entry| entry.sequence == sequence) {
        writer.push(&Line::Operation(segment::logged(entry)));
    }
    send(to, Piece::Part(writer))?;
    let (_, small) = segment::small_tables(tx)?;
    Ok(End {
        sequence,
        included,
        small,
    })
}
