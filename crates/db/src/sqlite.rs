//! SQLite.
use crate::row::Row;
use crate::{Error, Result, Value};
pub(crate) struct Session<'c>(std::marker::PhantomData<&'c ()>);
impl Session<'_> {
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
pub(crate) fn column_i64<'r>(_: &'r rusqlite::Row<'_>, _: usize) -> Result<Option<i64>> {
    Err(Error::Closed)
}
pub(crate) fn column_text<'r>(_: &'r rusqlite::Row<'_>, _: usize) -> Result<Option<&'r str>> {
    Err(Error::Closed)
}
pub(crate) fn column_bytes<'r>(_: &'r rusqlite::Row<'_>, _: usize) -> Result<Option<&'r [u8]>> {
    Err(Error::Closed)
}
