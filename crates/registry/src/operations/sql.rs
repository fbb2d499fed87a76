//! The operation log's SQL.

use lazuli_db::{Error, Tx, Value};

use super::{Context, Cursor, Entry, Operation, OperationId, ReadError, payload};

const INSERT: &str = "INSERT INTO operations \
    (id, origin, sequence, hlc, registry_id, repository, kind, principal, request_id, dependencies, observed, payload, created_at) \
    VALUES (?1, ?2, NULL, ?3, ?4, ?5, ?6, ?7, ?8, NULL, ?9, ?10, ?11)";

pub(super) fn insert(
    tx: &mut Tx<'_>,
    context: &Context,
    registry_id: i64,
    repository: Option<&str>,
    operation: &Operation,
    id: OperationId,
) -> Result<(), Error> {
    let payload = payload::encode(operation);
    let observed = payload::encode_observed(operation);
    tx.send(
        INSERT,
        &[
            Value::Bytes(id.as_bytes()),
            Value::I64(i64::from(id.origin())),
            Value::I64(id.hlc()),
            Value::I64(registry_id),
            repository.map_or(Value::Null, Value::Text),
            Value::Text(operation.kind()),
            Value::Text(context.principal()),
            Value::Text(context.request_id()),
            observed.as_deref().map_or(Value::Null, Value::Bytes),
            Value::Text(&payload),
            Value::I64(context.now_us()),
        ],
    )?;
    Ok(())
}

/// The newest operation stored, of any origin: identifiers sort by clock.
pub(super) fn newest_id(tx: &mut Tx<'_>) -> Result<Option<OperationId>, Error> {
    let id = tx.query_one(
        "SELECT id FROM operations ORDER BY id DESC LIMIT 1",
        &[],
        |row| row.get_bytes(0),
    )?;
    Ok(id.and_then(|bytes| OperationId::from_bytes(&bytes)))
}

pub(super) fn has_unnumbered(tx: &mut Tx<'_>, origin: u16) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM operations WHERE sequence IS NULL AND origin = ?1 ORDER BY hlc, id LIMIT 1",
        &[Value::I64(i64::from(origin))],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// The newest number given to an operation of `origin`; 0 before the first.
pub(crate) fn last_sequence(tx: &mut Tx<'_>, origin: u16) -> Result<i64, Error> {
    let last = tx.query_one(
        "SELECT sequence FROM origins WHERE origin = ?1",
        &[Value::I64(i64::from(origin))],
        |row| row.get_i64(0),
    )?;
    Ok(last.unwrap_or(0))
}

const NUMBER: &str = "UPDATE operations SET sequence = ?1 + batch.position \
    FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY hlc, id) AS position FROM operations \
          WHERE sequence IS NULL AND origin = ?2 ORDER BY hlc, id LIMIT ?3) AS batch \
    WHERE operations.id = batch.id";

/// Numbers up to `limit` operations; returns how many.
pub(super) fn number(tx: &mut Tx<'_>, origin: u16, limit: u32) -> Result<u64, Error> {
    let last = last_sequence(tx, origin)?;
    let origin = Value::I64(i64::from(origin));
    let count = tx.execute(
        NUMBER,
        &[Value::I64(last), origin, Value::I64(i64::from(limit))],
    )?;
    if count > 0 {
        tx.send(
            "INSERT INTO origins (origin, sequence) VALUES (?1, ?2) \
             ON CONFLICT (origin) DO UPDATE SET sequence = excluded.sequence",
            &[origin, Value::I64(last + count as i64)],
        )?;
    }
    Ok(count)
}

/// Operations after the cursor, decoded outside the row callback because that may fail in its own way.
pub(crate) fn entries_after(
    tx: &mut Tx<'_>,
    cursor: Cursor,
    limit: u32,
) -> Result<Vec<Entry>, ReadError> {
    let rows = tx.query(
        "SELECT id, sequence, registry_id, repository, kind, principal, request_id, observed, payload, created_at \
         FROM operations WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
        &[Value::I64(i64::from(cursor.origin)), Value::I64(cursor.sequence), Value::I64(i64::from(limit))],
        |row| {
            Ok(Raw {
                id: row.get_bytes(0)?,
                sequence: row.get_i64(1)?,
                registry_id: row.get_i64(2)?,
                repository: row.get_string_opt(3)?,
                kind: row.get_string(4)?,
                principal: row.get_string(5)?,
                request_id: row.get_string(6)?,
                observed: row.get_bytes_opt(7)?,
                payload: row.get_string(8)?,
                created_at: row.get_i64(9)?,
            })
        },
    )?;
    rows.into_iter().map(Raw::decode).collect()
}

struct Raw {
    id: Vec<u8>,
    sequence: i64,
    registry_id: i64,
    repository: Option<String>,
    kind: String,
    principal: String,
    request_id: String,
    observed: Option<Vec<u8>>,
    payload: String,
    created_at: i64,
}

impl Raw {
    fn decode(self) -> Result<Entry, ReadError> {
        let id = OperationId::from_bytes(&self.id).unwrap_or(OperationId::new(0, 0, 0));
        let operation = payload::decode(&self.kind, &self.payload, self.observed.as_deref())
            .map_err(|source| ReadError::Payload { id, source })?;
        Ok(Entry {
            id,
            sequence: self.sequence,
            registry_id: self.registry_id,
            repository: self.repository,
            operation,
            principal: self.principal,
            request_id: self.request_id,
            created_at: self.created_at,
        })
    }
}

pub(super) fn cursor(tx: &mut Tx<'_>, reader: &str, origin: u16) -> Result<Option<i64>, Error> {
    tx.query_one(
        "SELECT sequence FROM log_cursors WHERE reader = ?1 AND origin = ?2",
        &[Value::Text(reader), Value::I64(i64::from(origin))],
        |row| row.get_i64(0),
    )
}

pub(super) fn store_cursor(tx: &mut Tx<'_>, reader: &str, cursor: Cursor) -> Result<(), Error> {
    tx.send(
        "INSERT INTO log_cursors (reader, origin, sequence) VALUES (?1, ?2, ?3) \
         ON CONFLICT (reader, origin) DO UPDATE SET sequence = excluded.sequence \
         WHERE log_cursors.sequence < excluded.sequence",
        &[
            Value::Text(reader),
            Value::I64(i64::from(cursor.origin)),
            Value::I64(cursor.sequence),
        ],
    )?;
    Ok(())
}
