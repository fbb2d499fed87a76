//! A client of the OCI distribution protocol: what imports, caches and copies need of another registry.
//!
//! Bodies of blobs stream, manifests stay the bytes they are and are compared with their digests. What fails for the moment
//! is tried again with growing pauses; a download that breaks goes on where it was.

mod auth;
mod challenge;
mod error;
mod harbor;
mod links;
mod pull;
mod push;
mod remote;
pub mod stored;
#[cfg(feature = "testing")]
pub mod testing;

pub use auth::Credentials;
pub use error::Error;
pub use pull::{BlobReader, Manifest};
pub use push::Upload;
pub use remote::{Remote, Retry};
