//! A connection with its prepared statements, and the translation of values, rows and errors.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use tokio_postgres::Statement;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::driver::Driver;
use crate::dialect::Engine;
use crate::faults::{Fault, FaultPoint, Faults};
use crate::row::{self, Row, mismatch};
use crate::statements::Statements;
use crate::value::OwnedValue;
use crate::{Error, Result, Value};

pub(crate) struct Session {
    driver: Driver,
    statements: Statements<Statement>,
    faults: Faults,
    /// Whether faults apply: only to write transactions.
    pub(super) writing: bool,
}

impl Session {
    pub(super) fn new(driver: Driver, faults: Faults) -> Self {
        Self {
            driver,
            statements: Statements::new(),
            faults,
            writing: false,
        }
    }

    /// Begins a transaction, together with its first statement. Should it not begin, that statement can change nothing: by
    /// default, connections only read.
    pub(super) fn begin(&mut self, sql: &'static str) {
        let client = self.driver.client();
        self.driver
            .send(async move { client.batch_execute(sql).await });
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let statement = self.prepare(sql, params)?;
        let client = self.driver.client();
        let executed = client.execute_raw(&statement, params.iter().map(|value| Bind(*value)));
        self.driver.run(executed).map_err(|e| error(&e))
    }

    /// The same without waiting for the outcome: an error comes with a later statement, or at the end.
    pub(crate) fn send(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<()> {
        let statement = self.prepare(sql, params)?;
        let client = self.driver.client();
        let params: Vec<OwnedValue> = params.iter().map(OwnedValue::from).collect();
        self.driver.send(async move {
            let params = params.iter().map(|value| Bind(value.as_value()));
            client.execute_raw(&statement, params).await.map(drop)
        });
        Ok(())
    }

    pub(crate) fn query_one<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        map: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut map = Some(map);
        let mut first = None;
        self.each(sql, params, |row| {
            if let Some(map) = map.take() {
                first = Some(map(row)?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut mapped = Vec::new();
        self.each(sql, params, |row| {
            mapped.push(map(row)?);
            Ok(())
        })?;
        Ok(mapped)
    }

    /// All rows are read, also after the last one that is wanted: an error may come after it.
    fn each(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let statement = self.prepare(sql, params)?;
        let client = self.driver.client();
        let rows = client.query_raw(&statement, params.iter().map(|value| Bind(*value)));
        let mut rows = pin!(self.driver.run(rows).map_err(|e| error(&e))?);
        while let Some(row) = self.driver.run(rows.try_next()).map_err(|e| error(&e))? {
            map(&Row(row::Inner::Postgres(&row)))?;
        }
        Ok(())
    }

    /// Several statements without parameters.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        self.driver.batch(sql).map_err(|e| error(&e))
    }

    /// Ends a transaction without effect. That it was is not waited for.
    pub(super) fn roll_back(&mut self) {
        let client = self.driver.client();
        self.driver
            .send_only(async move { client.batch_execute("ROLLBACK").await });
    }

    /// Ends a write transaction, whose last statements may still be on their way. Afterwards there is none.
    ///
    /// A commit with a warning counts for nothing: a server that is told to stop waiting for its standby says that it has
    /// committed, and in a warning, that the standby may not have it.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.driver.take_warning();
        let committed = self.driver.batch("COMMIT");
        if committed.is_ok() && self.driver.take_warning() {
            return Err(Error::OutcomeUnknown);
        }
        committed.map_err(|e| match e.as_db_error().map(DbError::parsed_severity) {
            // The server says that it has rolled back, or that a statement failed, after which it does so.
            Some(Some(Severity::Error)) => error(&e),
            _ => Error::OutcomeUnknown,
        })
    }

    fn prepare(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Statement> {
        if self.writing
            && let Some(fault) = self.faults.at(FaultPoint::Statement)
        {
            return Err(injected(fault));
        }
        let driver = &mut self.driver;
        let statement = self
            .statements
            .get(sql, || {
                let client = driver.client();
                driver.run(client.prepare(&Engine::Postgres.render(sql)))
            })
            .map_err(|e| error(&e))?;
        if statement.params().len() != params.len() {
            return Err(Error::other(format!(
                "{} parameters for: {sql}",
                params.len()
            )));
        }
        Ok(statement.clone())
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

pub(crate) fn column_i64(row: &tokio_postgres::Row, column: usize) -> Result<Option<i64>> {
    let value: Option<Integer> = row
        .try_get(column)
        .map_err(|e| mismatch(column, "an integer", &e))?;
    Ok(value.map(|value| value.0))
}

pub(crate) fn column_text(row: &tokio_postgres::Row, column: usize) -> Result<Option<&str>> {
    row.try_get(column)
        .map_err(|e| mismatch(column, "text", &e))
}

pub(crate) fn column_bytes(row: &tokio_postgres::Row, column: usize) -> Result<Option<&[u8]>> {
    row.try_get(column)
        .map_err(|e| mismatch(column, "bytes", &e))
}

pub(super) fn error(source: &tokio_postgres::Error) -> Error {
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
