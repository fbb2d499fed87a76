//! A running transaction.

use crate::row::Row;
use crate::{Error, Result, Value};

/// A running transaction, handed to the closure of [`Db::write`](crate::Db::write) or [`Db::read`](crate::Db::read).
///
/// Statements are string constants: they are prepared once for each connection and found again by address. See
/// [`dialect`](crate::dialect) for the rules of the SQL text.
///
/// Any error of a statement dooms the transaction, as PostgreSQL does: later statements return the same error, and
/// if the closure returns `Ok` all the same, everything is rolled back and the caller gets that error. Ask for
/// `ON CONFLICT` instead of waiting for [`Error::Unique`].
pub struct Tx<'c> {
    pub(crate) session: Session<'c>,
    pub(crate) failure: Option<Error>,
}

/// A connection of one of the engines with its prepared statements.
pub(crate) enum Session<'c> {
    Sqlite(crate::sqlite::Session<'c>),
    Postgres(Box<crate::postgres::Session>),
}

impl<'c> Tx<'c> {
    pub(crate) fn new(session: Session<'c>) -> Self {
        Self {
            session,
            failure: None,
        }
    }

    /// Runs a statement that returns no rows; the answer is the number of rows it changed.
    pub fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        self.usable()?;
        let result = check(params).and_then(|()| match &mut self.session {
            Session::Sqlite(session) => session.execute(sql, params),
            Session::Postgres(session) => session.execute(sql, params),
        });
        self.note(result)
    }

    /// Runs a statement of which nothing needs to be known but that it worked. On PostgreSQL it is on its way while the next
    /// ones are made: its error may come with one of those, or at the commit.
    pub fn send(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<()> {
        self.usable()?;
        let result = check(params).and_then(|()| match &mut self.session {
            Session::Sqlite(session) => session.execute(sql, params).map(drop),
            Session::Postgres(session) => session.send(sql, params),
        });
        self.note(result)
    }

    /// Runs a statement and maps its first row, if it has one. Further rows are not looked at.
    pub fn query_one<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        map: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.usable()?;
        let result = check(params).and_then(|()| match &mut self.session {
            Session::Sqlite(session) => session.query_one(sql, params, map),
            Session::Postgres(session) => session.query_one(sql, params, map),
        });
        self.note(result)
    }

    /// Runs a statement and maps all its rows. Bound the answer with `LIMIT`: it is held in memory.
    pub fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        map: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.usable()?;
        let result = check(params).and_then(|()| match &mut self.session {
            Session::Sqlite(session) => session.query(sql, params, map),
            Session::Postgres(session) => session.query(sql, params, map),
        });
        self.note(result)
    }

    /// Several statements without parameters, for migrations.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        self.usable()?;
        let result = match &mut self.session {
            Session::Sqlite(session) => session.batch(sql),
            Session::Postgres(session) => session.batch(sql),
        };
        self.note(result)
    }

    fn usable(&self) -> Result<()> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn note<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        result
    }
}

fn check(params: &[Value<'_>]) -> Result<()> {
    params.iter().try_for_each(Value::check)
}
