//! The operation log: numbered without gaps, in causal order, exactly once, whoever numbers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod races;
mod reading;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_db::clock::ManualClock;
use lazuli_registry::Error;
use lazuli_registry::operations::sequencer::{Options, Sequencer};
use lazuli_registry::operations::{
    self, Appended, Cursor, Entry, Log, LogReader, Operation, OperationId, ReadError,
};
use lazuli_wire::oci::Tag;

fn fast() -> Options {
    Options {
        delay: Duration::ZERO,
        poll: Duration::from_millis(5),
        ..Options::default()
    }
}

fn setting(name: &str, value: &str) -> Operation {
    Operation::Setting {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    }
}

/// The end of the log, read whole.
async fn read_all(log: &Log) -> Vec<Entry> {
    let mut cursor = Cursor {
        origin: log.origin(),
        sequence: 0,
    };
    let mut entries = Vec::new();
    loop {
        let page = log.read_from(cursor, 100).await.unwrap();
        let Some(last) = page.last() else {
            return entries;
        };
        cursor.sequence = last.sequence;
        entries.extend(page);
    }
}

/// Appends one operation that builds on what the transaction reads: the newest one on the same register. Returns both.
/// `with_clock`: the clock of what was read is passed on, as it must be when several nodes write.
async fn build_on(
    f: &Fixture,
    log: &Arc<Log>,
    register: &'static str,
    with_clock: bool,
) -> (Option<OperationId>, OperationId) {
    let context = log.context("admin", "request");
    f.db.write(move |tx| {
        let before = tx.query_one("SELECT value FROM settings WHERE name = ?1", &[register.into()], |row| row.get_string(0))?;
        let before = before.map(|text| OperationId::from_bytes(&from_hex(&text)).unwrap());
        let after = before.filter(|_| with_clock).map(|id| id.hlc());
        let Appended { id, .. } = operations::append(tx, &context, 1, None, &setting(register, "x"), after)?;
        let text = id.to_string();
        tx.execute(
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[register.into(), (&text).into()],
        )?;
        Ok::<_, Error>((before, id))
    })
    .await
    .unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}
