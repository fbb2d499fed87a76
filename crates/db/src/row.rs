//! A row of an answer, the same on both engines.

use crate::{Error, Result};

/// A row; columns are numbered from 0.
///
/// Every getter fails with [`Error::Other`] when the column does not exist, is of another kind, or is NULL where the
/// getter does not end in `_opt`.
pub struct Row<'r>(pub(crate) Inner<'r>);

pub(crate) enum Inner<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// An integer.
    pub fn get_i64(&self, column: usize) -> Result<i64> {
        self.get_i64_opt(column)?.ok_or_else(|| null(column))
    }

    /// An integer or NULL.
    pub fn get_i64_opt(&self, column: usize) -> Result<Option<i64>> {
        match &self.0 {
            Inner::Sqlite(row) => crate::sqlite::column_i64(row, column),
            Inner::Postgres(row) => crate::postgres::column_i64(row, column),
        }
    }

    /// An integer that is never negative, such as a size.
    pub fn get_u64(&self, column: usize) -> Result<u64> {
        let value = self.get_i64(column)?;
        u64::try_from(value)
            .map_err(|_| Error::other(format!("column {column} is negative: {value}")))
    }

    /// An integer as a truth value: anything but 0 is true.
    pub fn get_bool(&self, column: usize) -> Result<bool> {
        Ok(self.get_i64(column)? != 0)
    }

    /// Text, borrowed from the row.
    pub fn get_text(&self, column: usize) -> Result<&str> {
        self.get_text_opt(column)?.ok_or_else(|| null(column))
    }

    /// Text or NULL, borrowed from the row.
    pub fn get_text_opt(&self, column: usize) -> Result<Option<&str>> {
        match &self.0 {
            Inner::Sqlite(row) => crate::sqlite::column_text(row, column),
            Inner::Postgres(row) => crate::postgres::column_text(row, column),
        }
    }

    /// Text, owned.
    pub fn get_string(&self, column: usize) -> Result<String> {
        self.get_text(column).map(str::to_owned)
    }

    /// Text or NULL, owned.
    pub fn get_string_opt(&self, column: usize) -> Result<Option<String>> {
        Ok(self.get_text_opt(column)?.map(str::to_owned))
    }

    /// Bytes, owned.
    pub fn get_bytes(&self, column: usize) -> Result<Vec<u8>> {
        self.get_bytes_ref(column).map(<[u8]>::to_vec)
    }

    /// Bytes or NULL, owned.
    pub fn get_bytes_opt(&self, column: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.get_bytes_ref_opt(column)?.map(<[u8]>::to_vec))
    }

    /// Bytes, borrowed from the row.
    pub fn get_bytes_ref(&self, column: usize) -> Result<&[u8]> {
        self.get_bytes_ref_opt(column)?.ok_or_else(|| null(column))
    }

    /// Bytes or NULL, borrowed from the row.
    pub fn get_bytes_ref_opt(&self, column: usize) -> Result<Option<&[u8]>> {
        match &self.0 {
            Inner::Sqlite(row) => crate::sqlite::column_bytes(row, column),
            Inner::Postgres(row) => crate::postgres::column_bytes(row, column),
        }
    }
}

fn null(column: usize) -> Error {
    Error::other(format!("column {column} is NULL"))
}

/// The error for a column that is missing or of another kind.
pub(crate) fn mismatch(column: usize, wanted: &str, found: &dyn std::fmt::Display) -> Error {
    Error::other(format!("column {column} is not {wanted}: {found}"))
}
