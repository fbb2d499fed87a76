//! PostgreSQL.
use crate::row::Row;
use crate::{Error, Result, Value};
pub(crate) struct Session;
impl Session {
    pub(crate) fn execute(&mut self, _: &'static str, _: &[Value<'_>]) -> Result<u64> {
        Err(Error::Closed)
    }
    pub(crate) fn query_one<T>(
        &mut self,
        _: &'static str,
        _: &[Value<'_>],
        _: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Err(Error::Closed)
    }
    pub(crate) fn query<T>(
        &mut self,
        _: &'static str,
        _: &[Value<'_>],
        _: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        Err(Error::Closed)
    }
}
pub(crate) fn column_i64(_: &postgres::Row, _: usize) -> Result<Option<i64>> {
    Err(Error::Closed)
}
pub(crate) fn column_text(_: &postgres::Row, _: usize) -> Result<Option<&str>> {
    Err(Error::Closed)
}
pub(crate) fn column_bytes(_: &postgres::Row, _: usize) -> Result<Option<&[u8]>> {
    Err(Error::Closed)
}
