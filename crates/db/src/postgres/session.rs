//! A connection with its prepared statements, and the translation of values, rows and errors.

use std::error::Error as StdError;
use std::sync::Arc;

use postgres::error::{Severity, SqlState};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::private::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, RowIter, Statement};

use super::connect::{Connection, Warned};
use crate::dialect::Engine;
use crate::faults::{Fault, FaultPoint, Faults};
use crate::row::{self, Row, mismatch};
use crate::statements::Statements;
use crate::{Error, Result, Value};

pub(crate) struct Session {
    client: Client,
    warned: Warned,
    statements: Statements<Statement>,
    faults: Faults,
    /// Whether faults apply: only to write transactions.
    pub(super) writing: bool,
}

impl Session {
    pub(super) fn new(connection: Connection, faults: Faults) -> Self {
        Self {
            client: connection.client,
            warned: connection.warned,
            statements: Statements::new(),
            faults,
            writing: false,
        }
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let mut rows = self.start(sql, params)?;
        while rows.next().map_err(|e| error(&e))?.is_some() {}
        Ok(rows.rows_affected().unwrap_or(0))
    }

    pub(crate) fn query_one<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        map: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut rows = self.start(sql, params)?;
        let mut map = Some(map);
        let mut first = None;
        // Read to the end: an error may come after the first row.
        while let Some(row) = rows.next().map_err(|e| error(&e))? {
            if let Some(map) = map.take() {
                first = Some(map(&Row(row::Inner::Postgres(&row)))?);
            }
        }
        Ok(first)
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = self.start(sql, params)?;
        let mut mapped = Vec::new();
        while let Some(row) = rows.next().map_err(|e| error(&e))? {
            mapped.push(map(&Row(row::Inner::Postgres(&row)))?);
        }
        Ok(mapped)
    }

    /// Several statements without parameters.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).map_err(|e| error(&e))
    }

    /// Ends a write transaction.
    ///
    /// A commit with a warning counts for nothing: a server that is told to stop waiting for its standby says that it has
    /// committed, and in a warning, that the standby may not have it.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.warned.take();
        let committed = self.client.batch_execute("COMMIT");
        if committed.is_ok() && self.warned.take() {
            return Err(Error::OutcomeUnknown);
        }
        committed.map_err(|e| {
            match e
                .as_db_error()
                .map(postgres::error::DbError::parsed_severity)
            {
                // The server says that it has rolled back.
                Some(Some(Severity::Error)) => error(&e),
                _ => Error::OutcomeUnknown,
            }
        })
    }

    fn start(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<RowIter<'_>> {
        if self.writing
            && let Some(fault) = self.faults.at(FaultPoint::Statement)
        {
            return Err(injected(fault));
        }
        let client = &mut self.client;
        let statement = self
            .statements
            .get(sql, || client.prepare(&Engine::Postgres.render(sql)))
            .map_err(|e| error(&e))?;
        if statement.params().len() != params.len() {
            return Err(Error::other(format!(
                "{} parameters for: {sql}",
                params.len()
            )));
        }
        client
            .query_raw(&*statement, params.iter().map(|value| Bind(*value)))
            .map_err(|e| error(&e))
    }
}

#[derive(Debug)]
struct Bind<'a>(Value<'a>);

impl ToSql for Bind<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::I64(value) => match *ty {
                Type::INT8 => value.to_sql(ty, out),
                Type::INT4 => i32::try_from(value)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(value)?.to_sql(ty, out),
                _ => Err(format!("an integer given for {ty}").into()),
            },
            Value::Text(text) if <&str as ToSql>::accepts(ty) => text.to_sql(ty, out),
            Value::Bytes(bytes) if <&[u8] as ToSql>::accepts(ty) => bytes.to_sql(ty, out),
            Value::Text(_) => Err(format!("text given for {ty}").into()),
            Value::Bytes(_) => Err(format!("bytes given for {ty}").into()),
            Value::OutOfRange => Err("integer beyond 63 bits".into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// An integer of any width, or a truth value (`SELECT EXISTS (..)` is one here and an integer in SQLite).
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT8 => i64::from_sql(ty, raw)?,
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            _ => bool::from_sql(ty, raw)?.into(),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL)
    }
}

pub(crate) fn column_i64(row: &postgres::Row, column: usize) -> Result<Option<i64>> {
    let value: Option<Integer> = row
        .try_get(column)
        .map_err(|e| mismatch(column, "an integer", &e))?;
    Ok(value.map(|value| value.0))
}

pub(crate) fn column_text(row: &postgres::Row, column: usize) -> Result<Option<&str>> {
    row.try_get(column)
        .map_err(|e| mismatch(column, "text", &e))
}

pub(crate) fn column_bytes(row: &postgres::Row, column: usize) -> Result<Option<&[u8]>> {
    row.try_get(column)
        .map_err(|e| mismatch(column, "bytes", &e))
}

pub(super) fn error(source: &postgres::Error) -> Error {
    // The driver's own text for a server's error is only "db error".
    let text: Arc<str> = match (source.as_db_error(), StdError::source(source)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()).into(),
        (None, Some(cause)) => format!("{source}: {cause}").into(),
        (None, None) => source.to_string().into(),
    };
    let Some(db) = source.as_db_error() else {
        let io = StdError::source(source).is_some_and(<dyn StdError>::is::<std::io::Error>);
        return if source.is_closed() || io {
            Error::Unavailable(text)
        } else {
            Error::Other(text)
        };
    };
    let code = db.code();
    match code.code() {
        // Serialization, a deadlock, or too long a wait for a lock.
        "40001" | "40P01" | "55P03" => Error::Conflict,
        "23505" => Error::Unique(text),
        "53100" => Error::Full(text),
        "58030" => Error::Io(text),
        // The plan of a prepared statement, or the statement, is gone: the schema was migrated, or a pooler is between.
        // 25006: the server became a standby; there is another primary.
        "26000" | "25006" => Error::Unavailable(text),
        // The statement took too long.
        "57014" => Error::Busy,
        _ if *code == SqlState::FEATURE_NOT_SUPPORTED
            && db.message().starts_with("cached plan") =>
        {
            Error::Unavailable(text)
        }
        // Connection trouble, no connections or memory left, shutting down or starting up.
        class
            if ["08", "53", "57P"]
                .iter()
                .any(|start| class.starts_with(start)) =>
        {
            Error::Unavailable(text)
        }
        class if class.starts_with("23") => Error::Constraint(text),
        _ if db
            .parsed_severity()
            .is_some_and(|severity| severity != Severity::Error) =>
        {
            Error::Unavailable(text)
        }
        _ => Error::Other(text),
    }
}

pub(super) fn injected(fault: Fault) -> Error {
    match fault {
        Fault::Full => Error::Full("injected".into()),
        Fault::Io => Error::Io("injected".into()),
        Fault::Conflict => Error::Conflict,
        Fault::ConnectionLost => Error::Unavailable("injected".into()),
    }
}
