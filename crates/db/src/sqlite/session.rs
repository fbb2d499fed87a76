//! A connection with its prepared statements, and the translation of values, rows and errors.

use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement, ffi};

use crate::dialect::Engine;
use crate::faults::{Fault, FaultPoint, Faults};
use crate::row::{self, Row, mismatch};
use crate::statements::Statements;
use crate::{Error, Result, Value};

/// Bound values larger than this are let go of after the statement, which otherwise keeps its copies.
const KEEP_BOUND: usize = 4096;

pub(crate) struct Session<'c> {
    conn: &'c Connection,
    statements: Statements<Statement<'c>>,
    faults: Faults,
}

impl<'c> Session<'c> {
    pub(super) fn new(conn: &'c Connection, faults: Faults) -> Self {
        Self {
            conn,
            statements: Statements::new(),
            faults,
        }
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let statement = self.bound(sql, params)?;
        let result = statement.raw_execute();
        let_go(statement, params);
        result.map(|rows| rows as u64).map_err(|e| error(&e))
    }

    pub(crate) fn query_one<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        map: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let statement = self.bound(sql, params)?;
        let mut rows = statement.raw_query();
        let result = match rows.next() {
            Ok(Some(row)) => map(&Row(row::Inner::Sqlite(row))).map(Some),
            Ok(None) => Ok(None),
            Err(e) => Err(error(&e)),
        };
        drop(rows);
        let_go(statement, params);
        result
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let statement = self.bound(sql, params)?;
        let mut rows = statement.raw_query();
        let mut mapped = Vec::new();
        let result = loop {
            match rows.next() {
                Ok(Some(row)) => match map(&Row(row::Inner::Sqlite(row))) {
                    Ok(value) => mapped.push(value),
                    Err(e) => break Err(e),
                },
                Ok(None) => break Ok(()),
                Err(e) => break Err(error(&e)),
            }
        };
        drop(rows);
        let_go(statement, params);
        result.map(|()| mapped)
    }

    /// Several statements without parameters, for migrations.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        self.conn.execute_batch(sql).map_err(|e| error(&e))
    }

    fn bound(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<&mut Statement<'c>> {
        if let Some(fault) = self.faults.at(FaultPoint::Statement) {
            return Err(injected(fault));
        }
        let conn = self.conn;
        let statement = self
            .statements
            .get(sql, || conn.prepare(&Engine::Sqlite.render(sql)))
            .map_err(|e| error(&e))?;
        if statement.parameter_count() != params.len() {
            return Err(Error::other(format!(
                "{} parameters for: {sql}",
                params.len()
            )));
        }
        for (index, value) in params.iter().enumerate() {
            statement
                .raw_bind_parameter(index + 1, Bind(*value))
                .map_err(|e| error(&e))?;
        }
        Ok(statement)
    }
}

fn let_go(statement: &mut Statement<'_>, params: &[Value<'_>]) {
    let large = |value: &Value<'_>| match value {
        Value::Text(text) => text.len() > KEEP_BOUND,
        Value::Bytes(bytes) => bytes.len() > KEEP_BOUND,
        _ => false,
    };
    if params.iter().any(large) {
        statement.clear_bindings();
    }
}

struct Bind<'a>(Value<'a>);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::I64(value) => ValueRef::Integer(value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::OutOfRange => return Err(rusqlite::Error::InvalidQuery),
        }))
    }
}

fn column<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> Result<ValueRef<'r>> {
    row.get_ref(column)
        .map_err(|_| mismatch(column, "there", &"no such column"))
}

pub(crate) fn column_i64(row: &rusqlite::Row<'_>, index: usize) -> Result<Option<i64>> {
    match column(row, index)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(value) => Ok(Some(value)),
        other => Err(mismatch(index, "an integer", &other.data_type())),
    }
}

pub(crate) fn column_text<'r>(row: &'r rusqlite::Row<'_>, index: usize) -> Result<Option<&'r str>> {
    match column(row, index)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(text) => std::str::from_utf8(text)
            .map(Some)
            .map_err(|e| mismatch(index, "UTF-8", &e)),
        other => Err(mismatch(index, "text", &other.data_type())),
    }
}

pub(crate) fn column_bytes<'r>(
    row: &'r rusqlite::Row<'_>,
    index: usize,
) -> Result<Option<&'r [u8]>> {
    match column(row, index)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => Ok(Some(bytes)),
        other => Err(mismatch(index, "bytes", &other.data_type())),
    }
}

pub(super) fn error(source: &rusqlite::Error) -> Error {
    let text: Arc<str> = source.to_string().into();
    let Some(failure) = source.sqlite_error() else {
        return Error::Other(text);
    };
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID => Error::Unique(text),
            _ => Error::Constraint(text),
        },
        ErrorCode::DiskFull => Error::Full(text),
        ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            Error::Io(text)
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy,
        ErrorCode::OperationInterrupted => Error::Closed,
        ErrorCode::CannotOpen => Error::Unsuitable(text),
        _ => Error::Other(text),
    }
}

/// Whether the disk may have lost what was written to it: a failed flush cannot be repeated, since the system may have
/// dropped the pages and report success the second time.
pub(super) fn is_flush_failure(source: &rusqlite::Error) -> bool {
    source.sqlite_error().is_some_and(|failure| {
        matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
        ) || matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
        )
    })
}

pub(super) fn injected(fault: Fault) -> Error {
    match fault {
        Fault::Full => Error::Full("injected".into()),
        Fault::Io => Error::Io("injected".into()),
        // SQLite has neither, so the nearest thing.
        Fault::Conflict | Fault::ConnectionLost => Error::Busy,
    }
}
