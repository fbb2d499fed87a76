//! Small named objects that a store keeps beside the blobs: what is needed to find the way from bytes back to a registry.

use bytes::Bytes;

use crate::{BoxFuture, Error};

/// The largest record, in bytes.
pub const RECORD_MAX: u64 = 256 << 20;

/// Named texts. A name is of lower-case letters, digits, `-`, `.` and `/`.
pub trait Records: Send + Sync {
    /// Makes a record that must not be there; whether it was not. When this returns, it is durable.
    fn create(&self, name: String, text: Bytes) -> BoxFuture<'_, Result<bool, Error>>;

    /// Reads one whole. Errors: [`Error::NotFound`]; [`Error::Damaged`] when it is larger than [`RECORD_MAX`].
    fn read(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>>;

    /// Names of all records below a folder (empty: all), in byte order.
    fn list(&self, folder: String) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// Removes one; fine when there is none.
    fn remove(&self, name: String) -> BoxFuture<'_, Result<(), Error>>;
}
